package feed

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/ledger/stream"
	"github.com/consent-ledger/consent-ledger/projections"
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
		if err := b.DeleteRange(store.StateRange(e.Token)); err != nil {
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
	e, err := stream.StartEmbedded(stream.EmbeddedOptions{Dir: t.TempDir(), CipherKey: "test", AdminKey: "test", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	nc, err := e.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close(); e.Close(context.Background()) })
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for _, cfg := range stream.Pinned(stream.Provision{LedgerID: "test", Replicas: 1}) {
		if cfg.Name == stream.FeedStream {
			if _, err := js.CreateStream(t.Context(), cfg); err != nil {
				t.Fatal(err)
			}
		}
	}
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

func TestEachSellerIsToldItsChanges(t *testing.T) {
	w := newWorld(t)
	want := story(w.source)
	w.background(w.runner.Run)
	p := w.publish(nil)
	if p.Published() != w.source.Tail() {
		t.Error(p.Published())
	}
	got := w.messages()
	for s, positions := range want {
		if d := cmp.Diff(positions, told(got, s)); d != "" {
			t.Errorf("%s: %s", s, d)
		}
	}
	last := ledger.Position(0)
	for _, b := range got {
		if ledger.Position(b.GetThroughPosition()) < last {
			t.Error("a run ends before an earlier one")
		}
		last = ledger.Position(b.GetThroughPosition())
	}
}

func TestAnUpdateIsTheWholeState(t *testing.T) {
	w := newWorld(t)
	w.background(w.runner.Run)
	w.source.Append(seller("acme"))
	w.source.Append(revoked(1, "acme"), revoked(1))
	w.publish(nil)
	w.source.Append(revoked(1, "acme"))
	w.publish(nil)
	w.source.Append(erased(1))
	w.publish(nil)

	reg := func(at ...int64) *consentv1.SuppressionState {
		s := &consentv1.SuppressionState{}
		for _, p := range at {
			s.Revoked = append(s.Revoked, &consentv1.ProhibitionRegister{Time: &consentv1.TimeSpan{Latest: p}})
		}
		return s
	}
	want := []*consentv1.FeedUpdate{
		{Position: 2, SellerState: reg(2), AllState: reg(3), Cause: "consent_revoked"},
		{Position: 3, SellerState: reg(2), AllState: reg(3), Cause: "consent_revoked"},
		{Position: 4, SellerState: reg(2, 4), AllState: reg(3), Cause: "consent_revoked"},
		{Position: 5, AllState: &consentv1.SuppressionState{Erased: &consentv1.TimeSpan{Earliest: 5}}, Cause: "person_erased", Erased: true},
	}
	var got []*consentv1.FeedUpdate
	for _, b := range w.messages() {
		got = append(got, b.GetUpdates()...)
	}
	if d := cmp.Diff(want, got, protocmp.Transform(), protocmp.IgnoreFields(&consentv1.FeedUpdate{}, "token", "recorded_at")); d != "" {
		t.Error(d)
	}
	for _, u := range got {
		if tok := (tokens{}).FeedOf("acme", memsource.TokenOf(1)); !slices.Equal(u.GetToken(), tok[:]) {
			t.Error("not the seller's token")
		}
	}
}

// faulty is a stream that fails once, after some messages.
type faulty struct {
	Stream
	after  int
	stored bool // the message arrives, its acknowledgement does not
	failed bool
}

func (f *faulty) Publish(ctx context.Context, seller string, b []byte, last uint64) (uint64, error) {
	if f.after--; f.after >= 0 || f.failed {
		return f.Stream.Publish(ctx, seller, b, last)
	}
	f.failed = true
	if f.stored {
		if _, err := f.Stream.Publish(ctx, seller, b, last); err != nil {
			return 0, err
		}
	}
	return 0, ledger.ErrNoAnswer
}

// TestCrashBetweenSellers cuts a run after each of its messages, with the next
// one stored or not, and lets the publisher go on or another one take over.
func TestCrashBetweenSellers(t *testing.T) {
	for after := range 6 {
		for _, stored := range []bool{false, true} {
			for _, bytesMax := range []int{0, 1} {
				t.Run(fmt.Sprintf("after %d, stored %t, bytes %d", after, stored, bytesMax), func(t *testing.T) {
					w := newWorld(t)
					want := story(w.source)
					w.background(w.runner.Run)
					if err := w.runner.WaitApplied(t.Context(), w.source.Tail()); err != nil {
						t.Fatal(err)
					}
					w.publish(func(c *PublisherConfig) {
						c.Stream, c.BatchBytesMax = &faulty{Stream: w.stream, after: after, stored: stored}, bytesMax
					})
					w.assertTold(want, w.messages())
				})
			}
		}
	}
}

// dying ends its publisher after some messages, as a crash would.
type dying struct {
	Stream
	after int
	die   context.CancelFunc
}

func (d *dying) Publish(ctx context.Context, seller string, b []byte, last uint64) (uint64, error) {
	if d.after--; d.after < 0 {
		d.die()
		return 0, ctx.Err()
	}
	return d.Stream.Publish(ctx, seller, b, last)
}

func TestAnotherPublisherFinishesTheRun(t *testing.T) {
	for after := range 12 {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			w := newWorld(t)
			want := story(w.source)
			w.background(w.runner.Run)
			ctx, die := context.WithCancel(t.Context())
			defer die()
			p := NewPublisher(PublisherConfig{Source: w.source, State: w.runner, Listing: w.listing, Tokens: tokens{},
				Stream: &dying{Stream: w.stream, after: after, die: die}, BatchBytesMax: 1,
				Published: func(at ledger.Position, _ time.Time) {
					if at == w.source.Tail() {
						die()
					}
				}})
			if err := p.Run(ctx); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			w.source.Append(revoked(5)) // a change behind the run that was cut
			for s := range want {
				if s != "nobody" {
					want[s] = append(want[s], 13)
				}
			}
			w.publish(nil)
			w.assertTold(want, w.messages())
		})
	}
}

func TestTwoPublishersLoseNothing(t *testing.T) {
	w := newWorld(t)
	w.background(w.runner.Run)
	w.source.Append(seller("acme"), seller("beta"))
	small := func(c *PublisherConfig) { c.RunEntriesMax = 1 }
	_, one, _ := w.publisher(small)
	_, two, _ := w.publisher(small)
	want := map[string][]uint64{}
	for i := range 30 {
		at := uint64(w.source.Append(revoked(i)))
		want["acme"], want["beta"] = append(want["acme"], at), append(want["beta"], at)
	}
	one.wait(t, w.source.Tail())
	two.wait(t, w.source.Tail())
	w.assertTold(want, w.messages())
}

func TestThePublisherWaitsForTheProjections(t *testing.T) {
	w := newWorld(t)
	want := story(w.source)
	_, n, _ := w.publisher(nil) // the runner is not even started
	w.background(w.runner.Run)
	n.wait(t, w.source.Tail())
	w.assertTold(want, w.messages())
}

func TestTheProjectionsMayBeAhead(t *testing.T) {
	w := newWorld(t)
	w.background(w.runner.Run)
	want := story(w.source)
	if err := w.runner.WaitApplied(t.Context(), w.source.Tail()); err != nil {
		t.Fatal(err)
	}
	w.publish(nil)
	w.assertTold(want, w.messages())
	if err := w.runner.Rebuild(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	w.publish(nil) // nothing to do, and nothing repeated
	if d := cmp.Diff(want["acme"], told(w.messages(), "acme")); d != "" {
		t.Error(d)
	}
}

func TestPublisherEndsWithWhatItReads(t *testing.T) {
	w := newWorld(t)
	w.background(w.runner.Run)
	w.source.AppendRaw(memsource.NewEntry(1, seller("acme")))
	w.source.AppendRaw(memsource.NewEntry(3, revoked(1)))
	p := NewPublisher(PublisherConfig{Source: w.source, State: w.runner, Listing: w.listing, Tokens: tokens{}, Stream: w.stream})
	if err := p.Run(t.Context()); err == nil {
		t.Error("a gap was published over")
	}
}

// manualTicks is a heartbeat clock that a test moves.
func manualTicks() (chan time.Time, func(time.Duration) (<-chan time.Time, func())) {
	c := make(chan time.Time)
	return c, func(time.Duration) (<-chan time.Time, func()) { return c, func() {} }
}

// reader takes one response after the other.
type reader struct {
	t    *testing.T
	next func() (*consentv1.SubscribeResponse, error, bool)
}

func (w *world) subscribe(p *Publisher, q Request) (r *reader, ticks chan<- time.Time) {
	w.t.Helper()
	c, source := manualTicks()
	s := NewSubscriber(SubscriberConfig{State: w.runner, Listing: w.listing, Tokens: tokens{}, Stream: w.stream, Published: p.Published, Ticks: source})
	next, stop := iter.Pull2(s.Subscribe(w.t.Context(), q))
	w.t.Cleanup(stop)
	return &reader{w.t, next}, c
}

func (r *reader) response() *consentv1.SubscribeResponse {
	r.t.Helper()
	got, err, ok := r.next()
	if err != nil || !ok {
		r.t.Fatal(err, ok)
	}
	return got
}

func (r *reader) updates(n int) (out []*consentv1.FeedUpdate) {
	r.t.Helper()
	for range n {
		u := r.response().GetUpdate()
		if u == nil {
			r.t.Fatal("no update")
		}
		out = append(out, u)
	}
	return out
}

func positionsOf(us []*consentv1.FeedUpdate) (out []uint64) {
	for _, u := range us {
		out = append(out, u.GetPosition())
	}
	return out
}

func TestSubscribeFromAPosition(t *testing.T) {
	w := newWorld(t)
	want := story(w.source)
	w.background(w.runner.Run)
	p, n, _ := w.publisher(func(c *PublisherConfig) { c.RunEntriesMax = 1 })
	n.wait(t, w.source.Tail())
	for from := ledger.Position(1); from < w.source.Tail(); from++ {
		r, _ := w.subscribe(p, Request{Seller: "acme", From: from})
		var expected []uint64
		for _, at := range want["acme"] {
			if at > uint64(from) {
				expected = append(expected, at)
			}
		}
		if d := cmp.Diff(expected, positionsOf(r.updates(len(expected)))); d != "" {
			t.Errorf("from %d: %s", from, d)
		}
	}
	r, ticks := w.subscribe(p, Request{Seller: "acme", From: w.source.Tail()})
	go func() { ticks <- memsource.Start }()
	h := r.response().GetHeartbeat()
	if h.GetPosition() != uint64(w.source.Tail()) || !h.GetAt().AsTime().Equal(memsource.Start) {
		t.Error(h)
	}
	at := w.source.Append(revoked(9, "beta"), revoked(9, "acme"))
	if u := r.updates(1)[0]; u.GetPosition() != uint64(at) {
		t.Error(u)
	}
}

func TestSubscribeFromTheStart(t *testing.T) {
	w := newWorld(t)
	w.background(w.runner.Run)
	story(w.source)
	p, n, _ := w.publisher(nil)
	n.wait(t, w.source.Tail())
	r, ticks := w.subscribe(p, Request{Seller: "acme", Reveal: true})
	numbers := map[string]bool{}
	for _, u := range r.updates(4) { // tokens 1 (erased), 2, 3, 4
		if u.GetPosition() != uint64(w.source.Tail()) || u.GetCause() != "" {
			t.Error(u)
		}
		numbers[u.GetNumber()] = u.GetErased()
	}
	want := map[string]bool{"": true, "+12025550102": false, "+12025550103": false, "+12025550104": false}
	if d := cmp.Diff(want, numbers); d != "" {
		t.Error(d)
	}
	end := r.response().GetSnapshotEnd()
	if end.GetPosition() != uint64(w.source.Tail()) || end.GetStates() != 4 {
		t.Error(end)
	}
	// A change for another seller only: the heartbeat says that we are complete.
	at := w.source.Append(revoked(50, "beta"))
	n.wait(t, at)
	go func() { ticks <- memsource.Start }()
	if h := r.response().GetHeartbeat(); h.GetPosition() != uint64(at) {
		t.Error(h)
	}
	at = w.source.Append(revoked(51))
	if u := r.updates(1)[0]; u.GetPosition() != uint64(at) || u.GetNumber() != "+12025550151" {
		t.Error(u)
	}
}

// TestNoNumberOfWhoWasErasedSince: an update that is older than the erasure is
// sent as it was, but without the number.
func TestNoNumberOfWhoWasErasedSince(t *testing.T) {
	w := newWorld(t)
	w.background(w.runner.Run)
	w.source.Append(seller("acme"))
	w.source.Append(revoked(1, "acme"), revoked(2, "acme"))
	w.publish(nil)
	w.source.Append(erased(1), revoked(1, "acme"))
	p := w.publish(nil)
	if err := w.runner.WaitApplied(t.Context(), w.source.Tail()); err != nil {
		t.Fatal(err)
	}
	type told struct {
		Position uint64
		Number   string
		Erased   bool
	}
	r, _ := w.subscribe(p, Request{Seller: "acme", From: 1, Reveal: true})
	var got []told
	for _, u := range r.updates(4) {
		got = append(got, told{u.GetPosition(), u.GetNumber(), u.GetErased()})
	}
	want := []told{{2, "", false}, {3, "+12025550102", false}, {4, "", true}, {5, "", true}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestNoNumberOfWhoIsErasedDuringASnapshot: the snapshot is of the moment it
// began; the numbers it reveals are not.
func TestNoNumberOfWhoIsErasedDuringASnapshot(t *testing.T) {
	w := newWorld(t)
	w.background(w.runner.Run)
	w.source.Append(seller("acme"))
	w.source.Append(revoked(1), revoked(2), revoked(3))
	p := w.publish(nil)
	r, _ := w.subscribe(p, Request{Seller: "acme", Reveal: true})
	first := r.updates(1)[0]
	if first.GetNumber() == "" {
		t.Fatal("a number is missing")
	}
	at := w.source.Append(erased(1), erased(2), erased(3))
	if err := w.runner.WaitApplied(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	for _, u := range r.updates(2) {
		if u.GetNumber() != "" || u.GetPosition() != first.GetPosition() {
			t.Errorf("position %d, number given: %v", u.GetPosition(), u.GetNumber() != "")
		}
	}
}

func TestFromBeforeTheSellerBeginsWithASnapshot(t *testing.T) {
	w := newWorld(t)
	w.background(w.runner.Run)
	w.source.Append(seller("acme"), revoked(1), revoked(2))
	w.source.Append(seller("late"))
	p, n, _ := w.publisher(nil)
	n.wait(t, w.source.Tail())
	r, _ := w.subscribe(p, Request{Seller: "late", From: 2})
	r.updates(2)
	if r.response().GetSnapshotEnd().GetStates() != 2 {
		t.Error("what was revoked for all before the seller came is missing")
	}
}

// TestHeartbeatNeverPromisesWhatWasNotSent holds messages back from the reader
// while the publisher goes on.
func TestHeartbeatNeverPromisesWhatWasNotSent(t *testing.T) {
	w := newWorld(t)
	w.background(w.runner.Run)
	w.source.Append(seller("acme"))
	p, n, _ := w.publisher(nil)
	at := w.source.Append(revoked(1, "acme"))
	n.wait(t, at)
	sent := []*consentv1.SubscribeResponse{}
	s := NewSubscriber(SubscriberConfig{State: w.runner, Listing: w.listing, Tokens: tokens{}, Stream: w.stream, Published: p.Published})
	sub := subscription{Subscriber: s, q: Request{Seller: "acme"}, last: 1, whole: 1, send: func(r *consentv1.SubscribeResponse) error {
		sent = append(sent, r)
		return nil
	}}
	if err := sub.heartbeat(t.Context(), memsource.Start); err != nil {
		t.Fatal(err)
	}
	batch := w.messages()[0]
	batch.More = true // its run goes on
	if err := errors.Join(sub.sendBatch(t.Context(), batch), sub.heartbeat(t.Context(), memsource.Start)); err != nil {
		t.Fatal(err)
	}
	batch.More = false // published again, and whole
	if err := errors.Join(sub.sendBatch(t.Context(), batch), sub.heartbeat(t.Context(), memsource.Start)); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range sent {
		if h := r.GetHeartbeat(); h != nil {
			got = append(got, fmt.Sprint("heartbeat ", h.GetPosition()))
		} else {
			got = append(got, fmt.Sprint("update ", r.GetUpdate().GetPosition()))
		}
	}
	if d := cmp.Diff([]string{"heartbeat 1", "update 2", "heartbeat 1", "heartbeat 2"}, got); d != "" {
		t.Error(d)
	}
}

func TestUnknownSellerHasNoFeed(t *testing.T) {
	w := newWorld(t)
	w.background(w.runner.Run)
	p := NewPublisher(PublisherConfig{})
	r, _ := w.subscribe(p, Request{Seller: "nobody"})
	if _, err, _ := r.next(); !errors.Is(err, ErrNoSeller) {
		t.Error(err)
	}
}

func TestSubscriptionEndsWithItsContext(t *testing.T) {
	w := newWorld(t)
	w.background(w.runner.Run)
	w.source.Append(seller("acme"))
	if err := w.runner.WaitApplied(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	s := NewSubscriber(SubscriberConfig{State: w.runner, Listing: w.listing, Tokens: tokens{}, Stream: w.stream,
		Published: func() ledger.Position { return 0 }})
	ctx, cancel := context.WithCancel(t.Context())
	var err error
	for r, e := range s.Subscribe(ctx, Request{Seller: "acme"}) {
		if err = e; r.GetSnapshotEnd() != nil {
			cancel()
		}
	}
	cancel()
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func FuzzDecode(f *testing.F) {
	data, err := marshal(&consentv1.FeedBatch{Seller: "acme", FromPosition: 1, ThroughPosition: 2,
		Updates: []*consentv1.FeedUpdate{{Position: 2, Token: make([]byte, 17)}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := decode(data, 1)
		if err != nil {
			return
		}
		if b.GetFromPosition() == 0 || b.GetThroughPosition() < b.GetFromPosition() {
			t.Error("a run that is none")
		}
		for _, u := range b.GetUpdates() {
			_ = ledger.FeedToken(u.GetToken()) // must not panic
		}
	})
}
