package feed

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/projections"
	"github.com/consent-ledger/consent-ledger/projections/internal/jstest"
	"github.com/consent-ledger/consent-ledger/projections/internal/memsource"
	"github.com/consent-ledger/consent-ledger/projections/listing"
	"github.com/consent-ledger/consent-ledger/projections/runner"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// states stands in for the suppression fold: each fact leaves one register that
// carries its position, so that a state tells which facts it holds.
type states struct{}

func (states) Name() string    { return "suppression" }
func (states) Version() uint32 { return 1 }
func (states) Spaces() []byte  { return []byte{store.SpaceState} }
func (states) Apply(b projections.Batch, e *ledger.Entry) error {
	if e.Token.IsZero() || !changesState(e.Fact()) {
		return nil
	}
	if e.Fact().GetPersonErased() != nil {
		if err := b.DeleteRange(store.PrefixRange(store.StateKey(e.Token, ""))); err != nil {
			return err
		}
		return put(b, e, ledger.All, &consentv1.SuppressionState{Erased: &consentv1.TimeSpan{Earliest: int64(e.Position)}})
	}
	sellers := e.Fact().GetSellers()
	if len(sellers) == 0 {
		sellers = []string{ledger.All}
	}
	for _, s := range sellers {
		st := &consentv1.SuppressionState{}
		raw, err := b.Get(store.StateKey(e.Token, s))
		if err != nil {
			return err
		}
		if err := proto.Unmarshal(raw, st); err != nil {
			return err
		}
		st.Revoked = append(st.Revoked, &consentv1.ProhibitionRegister{Time: &consentv1.TimeSpan{Latest: int64(e.Position)}})
		if err := put(b, e, s, st); err != nil {
			return err
		}
	}
	return nil
}

func put(b projections.Batch, e *ledger.Entry, seller string, s *consentv1.SuppressionState) error {
	raw, err := proto.Marshal(s)
	if err != nil {
		return err
	}
	return b.Set(store.StateKey(e.Token, seller), raw)
}

// tokens turns a token into a seller's by a byte at its end, and knows numbers
// of a range that is for fiction.
type tokens struct{}

func (tokens) FeedOf(seller string, t ledger.Token) ledger.FeedToken {
	t[16] ^= seller[0]
	return ledger.FeedToken(t)
}
func (tokens) TokenOf(seller string, f ledger.FeedToken) ledger.Token {
	f[16] ^= seller[0]
	return ledger.Token(f)
}
func (tokens) NumberOf(t ledger.Token) (string, error) {
	for n := range 100 {
		if memsource.TokenOf(n) == t {
			return fmt.Sprintf("+120255501%02d", n), nil
		}
	}
	return "", errors.New("no token of this ledger")
}

// world is a ledger in memory, projections in Pebble and the feed on a real
// embedded server.
type world struct {
	t       *testing.T
	source  *memsource.Source
	listing *listing.Projection
	runner  *runner.Runner
	stream  *JetStream
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldOf(t)
}

// newWorldOf has more projections.
func newWorldOf(t *testing.T, more ...projections.Projection) *world {
	t.Helper()
	w := &world{t: t, source: memsource.New(), listing: listing.New(), stream: openStream(t)}
	db, err := store.Open(filepath.Join(t.TempDir(), "db"), store.Options{CacheBytes: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	w.runner, err = runner.Open(db, w.source, append([]projections.Projection{states{}, w.listing}, more...), runner.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func openStream(t *testing.T) *JetStream {
	t.Helper()
	_, js := jstest.Start(t)
	s, err := OpenJetStream(t.Context(), js)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// background runs f until stop is called or the test ends.
func (w *world) background(f func(context.Context) error) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	var err error
	go func() { defer close(done); err = f(ctx) }()
	stop = func() error { cancel(); <-done; return err }
	w.t.Cleanup(func() { _ = stop() })
	return stop
}

// notice is told how far a publisher is.
type notice struct {
	mu      sync.Mutex
	at      ledger.Position
	changed chan struct{}
}

func newNotice() *notice { return &notice{changed: make(chan struct{})} }

func (n *notice) tell(at ledger.Position, _ time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.at = at
	close(n.changed)
	n.changed = make(chan struct{})
}

func (n *notice) wait(t *testing.T, at ledger.Position) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		n.mu.Lock()
		have, changed := n.at, n.changed
		n.mu.Unlock()
		if have >= at {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("published up to %d, waiting for %d", have, at)
		}
	}
}

// publish runs a publisher until everything in the ledger is published, then stops it.
func (w *world) publish(change func(*PublisherConfig)) *Publisher {
	w.t.Helper()
	p, n, stop := w.publisher(change)
	n.wait(w.t, w.source.Tail())
	if err := stop(); !errors.Is(err, context.Canceled) {
		w.t.Fatal(err)
	}
	return p
}

func (w *world) publisher(change func(*PublisherConfig)) (*Publisher, *notice, func() error) {
	n := newNotice()
	c := PublisherConfig{Source: w.source, State: w.runner, Listing: w.listing, Tokens: tokens{}, Stream: w.stream, Published: n.tell}
	if change != nil {
		change(&c)
	}
	p := NewPublisher(c)
	return p, n, w.background(p.Run)
}

// messages reads the whole stream.
func (w *world) messages() (out []*consentv1.FeedBatch) {
	w.t.Helper()
	_, last, err := w.stream.Tail(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for seq := uint64(1); seq <= last; seq++ {
		b, err := w.stream.at(w.t.Context(), seq)
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, b)
	}
	return out
}

// told is what a seller's messages say: the positions in order.
func told(batches []*consentv1.FeedBatch, seller string) (out []uint64) {
	for _, b := range batches {
		if b.GetSeller() != seller {
			continue
		}
		for _, u := range b.GetUpdates() {
			out = append(out, u.GetPosition())
		}
	}
	return out
}

func seller(id string) memsource.Declared {
	return memsource.Declared{Fact: &consentv1.Fact{Kind: &consentv1.Fact_SellerRegistered{SellerRegistered: &consentv1.SellerRegistered{Id: id}}}}
}

func revoked(token int, sellers ...string) memsource.Declared {
	return memsource.Declared{Token: memsource.TokenOf(token), Fact: &consentv1.Fact{
		Sellers: sellers, Kind: &consentv1.Fact_ConsentRevoked{ConsentRevoked: &consentv1.ConsentRevoked{}}}}
}

func erased(token int) memsource.Declared {
	return memsource.Declared{Token: memsource.TokenOf(token), Fact: &consentv1.Fact{
		Kind: &consentv1.Fact_PersonErased{PersonErased: &consentv1.PersonErased{}}}}
}

func asked(token int) memsource.Declared {
	return memsource.Declared{Token: memsource.TokenOf(token), Fact: &consentv1.Fact{
		Sellers: []string{"acme"}, Kind: &consentv1.Fact_ConsentRequested{ConsentRequested: &consentv1.ConsentRequested{}}}}
}

// story is a ledger of every shape of entry; want is what each seller is told.
func story(s *memsource.Source) (want map[string][]uint64) {
	s.Append(seller("acme"), seller("beta"), seller("corp"))                                // 1 2 3
	s.Append(revoked(1, "acme"), revoked(2, "beta", "acme"), revoked(1, ledger.All))        // 4 5 6
	s.Append(asked(1))                                                                      // 7
	s.Append(revoked(3), seller("dot"), revoked(4), erased(1), revoked(1, "dot", "nobody")) // 8 9 10 11 12
	return map[string][]uint64{
		"acme": {4, 5, 6, 8, 10, 11}, "beta": {5, 6, 8, 10, 11}, "corp": {6, 8, 10, 11},
		"dot": {10, 11, 12}, "nobody": {12},
	}
}

func (w *world) assertTold(want map[string][]uint64, batches []*consentv1.FeedBatch) {
	w.t.Helper()
	for s, positions := range want {
		got := told(batches, s)
		slices.Sort(got) // after a crash a run may be there twice
		if d := cmp.Diff(positions, slices.Compact(got)); d != "" {
			w.t.Errorf("%s: %s", s, d)
		}
	}
}
