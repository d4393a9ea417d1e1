package keeper

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/directory"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// fake is a ledger in memory: Source, Keys and Record of a keeper, and what a
// verifier would have. It takes one DirectoryCommitted for each position, as the
// writer does by its event id.
type fake struct {
	mu      sync.Mutex
	commits [][]*ledger.Entry
	tail    ledger.Position
	changed chan struct{}
	events  map[string][]directory.Event
	ids     map[string]*ledger.Entry // by event id
	lost    error                    // the next Record stores, and says this
}

func newFake() *fake {
	return &fake{changed: make(chan struct{}), events: map[string][]directory.Event{}, ids: map[string]*ledger.Entry{}}
}

const system = -1

// phone is the number of an index: of a country code that does not exist.
func phone(i int) string { return fmt.Sprintf("+999%09d", i) }

func exchange(i int) (x ledger.ExchangeToken) {
	x[0] = ledger.TokenVersion
	binary.BigEndian.PutUint64(x[1:], uint64(i)+1)
	return x
}

func (f *fake) Number(x ledger.ExchangeToken) (string, error) {
	return phone(int(binary.BigEndian.Uint64(x[1:]) - 1)), nil
}

func (f *fake) Directory(bucket uint16) ledger.DirectoryToken {
	sum := sha256.Sum256(binary.BigEndian.AppendUint16([]byte("token"), bucket))
	return ledger.DirectoryToken(append([]byte{ledger.TokenVersion}, sum[:16]...))
}

// append adds a commit of one entry for each index; system is about no number.
func (f *fake) append(about ...int) ledger.Position {
	f.mu.Lock()
	defer f.mu.Unlock()
	commit := make([]*ledger.Entry, len(about))
	for i, n := range about {
		commit[i] = f.entry(n, &consentv1.Fact{Source: "crm"})
	}
	f.add(commit)
	return f.tail
}

// entry makes the next entry. The caller holds mu.
func (f *fake) entry(about int, fact *consentv1.Fact) *ledger.Entry {
	f.tail++
	at := time.Date(2026, 5, 1, 0, 0, int(f.tail), 0, time.UTC)
	e := &ledger.Entry{Position: f.tail, RecordedAt: at, Msg: &consentv1.Entry{Position: uint64(f.tail), RecordedAt: timestamppb.New(at), Fact: fact}}
	e.Bytes, _ = proto.Marshal(e.Msg)
	e.Leaf = ledger.LeafHash(e.Bytes)
	if about != system {
		e.Exchange = exchange(about)
		e.Leaf = ledger.LeafHash(binary.BigEndian.AppendUint64(e.Bytes, uint64(about)))
		f.events[phone(about)] = append(f.events[phone(about)], directory.Event{Position: e.Position, Leaf: e.Leaf})
	}
	return e
}

func (f *fake) add(commit []*ledger.Entry) {
	f.commits = append(f.commits, commit)
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fake) acked() ledger.Position {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.tail
}

func (f *fake) record(_ context.Context, fact *consentv1.Fact) (ledger.Receipt, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e := f.ids[fact.GetEventId()]; e != nil {
		if !proto.Equal(e.Fact(), fact) {
			return ledger.Receipt{}, &ledger.ConflictError{Position: e.Position}
		}
		return ledger.Receipt{Position: e.Position, Duplicate: true}, nil
	}
	e := f.entry(system, fact)
	f.ids[fact.GetEventId()] = e
	f.add([]*ledger.Entry{e})
	if err := f.lost; err != nil {
		f.lost = nil
		return ledger.Receipt{}, err
	}
	return ledger.Receipt{Position: e.Position}, nil
}

// Entries is as strict as reader.Reader: a position beyond the tail is an error.
func (f *fake) Entries(ctx context.Context, after ledger.Position) iter.Seq2[[]*ledger.Entry, error] {
	return func(yield func([]*ledger.Entry, error) bool) {
		if after > f.acked() {
			yield(nil, fmt.Errorf("beyond the tail: %w", ledger.ErrNotFound))
			return
		}
		for i := 0; ; {
			f.mu.Lock()
			commits, changed := f.commits, f.changed
			f.mu.Unlock()
			for ; i < len(commits); i++ {
				c := commits[i]
				for len(c) > 0 && c[0].Position <= after {
					c = c[1:]
				}
				if len(c) > 0 && !yield(c, nil) {
					return
				}
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}
}

// at gives the stored bytes of an entry.
func (f *fake) at(p ledger.Position) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.commits {
		for _, e := range c {
			if e.Position == p {
				return e.Bytes
			}
		}
	}
	return nil
}

// naive is the root at a position, of everything at once.
func (f *fake) naive(at ledger.Position) directory.Statement {
	f.mu.Lock()
	defer f.mu.Unlock()
	var rs []directory.Placed
	s := directory.Statement{Covers: at, TokenKey: directory.NewTokens(f.Directory).Key()}
	for number, events := range f.events {
		r := directory.Record{}
		for _, e := range events {
			if e.Position <= at {
				r = r.Add(e)
			}
		}
		if r.Count > 0 {
			rs = append(rs, directory.Placed{Key: keyOf(f, number), Record: r})
			s.Entries += r.Count
		}
	}
	slices.SortFunc(rs, func(a, b directory.Placed) int { return a.Key.Compare(b.Key) })
	s.Root, s.Numbers = directory.Build(rs, 0).Hash, uint64(len(rs))
	return s
}

// life is one run of a keeper.
type life struct {
	t     testing.TB
	f     *fake
	k     *Keeper
	stop  context.CancelFunc
	ended chan error
	over  bool
}

func (f *fake) config(dir string) Config {
	return Config{Dir: dir, Ledger: [16]byte{3}, Source: f, Keys: f, Record: f.record, Acked: f.acked}
}

// start opens the keeper in dir and runs it.
func start(t testing.TB, f *fake, cfg Config, change ...func(*Keeper)) *life {
	t.Helper()
	k, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	k.batchWait = time.Millisecond
	for _, c := range change {
		c(k)
	}
	ctx, stop := context.WithCancel(context.Background())
	l := &life{t: t, f: f, k: k, stop: stop, ended: make(chan error, 1)}
	go func() { l.ended <- k.Run(ctx) }()
	t.Cleanup(func() { l.end() })
	return l
}

// end ends the run and gives its error; nil if it was told to end.
func (l *life) end() error {
	if l.over {
		return nil
	}
	l.over = true
	l.stop()
	err := <-l.ended
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	if cerr := l.k.Close(); cerr != nil {
		l.t.Error(cerr)
	}
	return err
}

// commit commits and proves everything about the numbers below n, as a stranger
// would check it.
func (l *life) commit(n int) *Committed {
	l.t.Helper()
	c, err := l.k.Commit(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	l.check(c, n)
	return c
}

func (l *life) check(c *Committed, n int) {
	l.t.Helper()
	want := l.f.naive(c.Statement.Covers)
	want.CoversRecordedAt = c.Statement.CoversRecordedAt
	if c.Statement != want {
		l.t.Fatalf("committed %+v, want %+v", c.Statement, want)
	}
	for i := range n {
		token, proof, err := c.Prove(phone(i))
		if err != nil {
			l.t.Fatal(err)
		}
		l.f.mu.Lock()
		events := slices.Clone(l.f.events[phone(i)])
		l.f.mu.Unlock()
		positions, err := c.Positions(phone(i))
		if err != nil {
			l.t.Fatal(err)
		}
		var want []ledger.Position
		for _, e := range events {
			if e.Position <= c.Statement.Covers {
				want = append(want, e.Position)
			}
		}
		if !slices.Equal(positions, want) {
			l.t.Fatalf("number %d: listed %v, want %v", i, positions, want)
		}
		a, err := directory.Verify(directory.Shown{Directory: l.f.at(c.Position), Number: phone(i), Token: token, Proof: proof, Events: events})
		if err != nil || a.Complete+a.Later != len(events) || a.Statement.Root != c.Statement.Root {
			l.t.Fatalf("number %d with %d events: %+v, %v", i, len(events), a, err)
		}
	}
}

func tempDir(t testing.TB) string { return filepath.Join(t.TempDir(), "directory") }
