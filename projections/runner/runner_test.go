package runner

import (
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/projections"
	"github.com/consent-ledger/consent-ledger/projections/internal/memsource"
	"github.com/consent-ledger/consent-ledger/projections/listing"
	"github.com/consent-ledger/consent-ledger/projections/timeline"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errorsJoin = errors.Join

// tally counts the entries of each token, and an erasure takes it back to one:
// it reads before it writes, and it does not commute, so that an entry folded
// twice, left out or out of order shows.
type tally struct {
	version uint32
	poison  ledger.Position
}

var errPoison = errors.New("cannot be folded")

func (*tally) Name() string      { return "tally" }
func (p *tally) Version() uint32 { return p.version }
func (*tally) ByToken()          {}
func (*tally) Spaces() []byte    { return []byte{store.SpaceState} }
func (p *tally) Apply(b projections.Batch, e *ledger.Entry) error {
	if e.Position == p.poison {
		return errPoison
	}
	if e.Token.IsZero() {
		return nil
	}
	if e.Fact().GetPersonErased() != nil {
		if err := b.DeleteRange(store.StateRange(e.Token)); err != nil {
			return err
		}
	}
	key := store.StateKey(e.Token, ledger.All)
	old, err := b.Get(key)
	if err != nil {
		return err
	}
	var n uint64
	if old != nil {
		n = binary.BigEndian.Uint64(old)
	}
	return b.Set(key, binary.BigEndian.AppendUint64(nil, n*31+uint64(e.Position)))
}

func openDB(t testing.TB, dir string) *store.DB {
	t.Helper()
	db, err := store.Open(filepath.Join(dir, "db"), store.Options{CacheBytes: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// started is a runner that runs, and how to stop it.
type started struct {
	*Runner
	t    testing.TB
	stop func() error
}

func start(t testing.TB, db *store.DB, s projections.Source, o Options, change func(*Runner), ps ...projections.Projection) started {
	t.Helper()
	r, err := Open(db, s, ps, o)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(r)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	var result error
	go func() { defer close(done); result = r.Run(ctx) }()
	stop := func() error { cancel(); <-done; return result }
	t.Cleanup(func() { _ = stop() })
	return started{r, t, stop}
}

func (s started) wait(at ledger.Position) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.WaitApplied(ctx, at); err != nil {
		s.t.Fatal(err)
	}
}

func (s started) hash() map[string]ledger.Hash {
	s.t.Helper()
	h, err := s.StateHash(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	return h
}

func fact() *consentv1.Fact {
	return &consentv1.Fact{Sellers: []string{"acme"}, Kind: &consentv1.Fact_ConsentRevoked{ConsentRevoked: &consentv1.ConsentRevoked{}}}
}

func erasure() *consentv1.Fact {
	return &consentv1.Fact{Kind: &consentv1.Fact_PersonErased{PersonErased: &consentv1.PersonErased{}}}
}

func sellerFact(id string) memsource.Declared {
	return memsource.Declared{Fact: &consentv1.Fact{Kind: &consentv1.Fact_SellerRegistered{SellerRegistered: &consentv1.SellerRegistered{Id: id}}}}
}

// history fills a source: many facts about few tokens, erasures and system facts among them.
func history(commits, size int) *memsource.Source {
	s := memsource.New()
	n := 0
	for range commits {
		var c []memsource.Declared
		for range size {
			n++
			switch {
			case n%97 == 0:
				c = append(c, memsource.Declared{Token: memsource.TokenOf(n % 40), Fact: erasure()})
			case n%31 == 0:
				c = append(c, sellerFact("s"+string(rune('a'+n%7))))
			default:
				c = append(c, memsource.Declared{Token: memsource.TokenOf(n % 40), Fact: fact()})
			}
		}
		s.Append(c...)
	}
	return s
}

func all() []projections.Projection {
	return []projections.Projection{&tally{version: 1}, timeline.Projection{}, listing.New()}
}

func folded(t *testing.T, s *memsource.Source) map[string]ledger.Hash {
	t.Helper()
	r := start(t, openDB(t, t.TempDir()), s, Options{}, nil, all()...)
	r.wait(s.Tail())
	return r.hash()
}

func TestStateDoesNotDependOnBatches(t *testing.T) {
	s := history(40, 25)
	want := folded(t, s)
	if len(want) != 3 {
		t.Fatal(want)
	}
	whole := memsource.New() // one commit: all tokens are folded side by side
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var entries []*ledger.Entry
	for c := range s.Entries(ctx, 0) {
		if entries = append(entries, c...); len(entries) == int(s.Tail()) {
			break
		}
	}
	whole.AppendRaw(entries...)
	if d := cmp.Diff(want, folded(t, whole)); d != "" {
		t.Error("as one commit:", d)
	}
	for _, o := range []Options{{BatchEntriesMax: 1}, {BatchEntriesMax: 100}, {BatchBytesMax: 1}, {BatchEntriesMax: 1 << 20}} {
		r := start(t, openDB(t, t.TempDir()), s, o, nil, all()...)
		r.wait(s.Tail())
		if d := cmp.Diff(want, r.hash()); d != "" {
			t.Errorf("%+v: %s", o, d)
		}
	}
}

func TestRestartsGoOn(t *testing.T) {
	s, whole := memsource.New(), history(20, 10)
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for c := range whole.Entries(ctx, 0) {
		s.AppendRaw(c...)
		func() {
			db, err := store.Open(filepath.Join(dir, "db"), store.Options{})
			if err != nil {
				t.Fatal(err)
			}
			r := start(t, db, s, Options{}, nil, all()...)
			r.wait(s.Tail())
			if err := r.stop(); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}()
		if s.Tail() == whole.Tail() {
			break
		}
	}
	r := start(t, openDB(t, dir), s, Options{}, nil, all()...)
	r.wait(s.Tail())
	if d := cmp.Diff(folded(t, s), r.hash()); d != "" {
		t.Error(d)
	}
}

// TestCrashBetweenBatches stops before the commit of a batch, takes the files as
// a killed process leaves them, and goes on from there.
func TestCrashBetweenBatches(t *testing.T) {
	s := history(30, 10)
	want := folded(t, s)
	errCrash := errors.New("crash")
	rapid.Check(t, func(rt *rapid.T) {
		at := ledger.Position(rapid.Uint64Range(1, uint64(s.Tail())).Draw(rt, "crash at"))
		o := Options{BatchEntriesMax: rapid.IntRange(1, 60).Draw(rt, "batch")}
		dir := t.TempDir()
		db := openDB(t, dir)
		r := start(t, db, s, o, func(r *Runner) {
			r.testingOnlyBeforeCommit = func(p ledger.Position) error {
				if p >= at {
					return errCrash
				}
				return nil
			}
		}, all()...)
		if err := r.WaitApplied(context.Background(), s.Tail()); !errors.Is(err, errCrash) || !errors.Is(err, ErrStopped) {
			rt.Fatal(err)
		}
		left := t.TempDir()
		copyFiles(t, filepath.Join(dir, "db"), filepath.Join(left, "db"))

		again := start(t, openDB(t, left), s, o, nil, all()...)
		again.wait(s.Tail())
		if d := cmp.Diff(want, again.hash()); d != "" {
			rt.Fatal(d)
		}
	})
}

func copyFiles(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}

func TestWhatCannotBeUsedIsFoldedAnew(t *testing.T) {
	s := history(10, 10)
	for name, damage := range map[string]func(*testing.T, *store.DB){
		"no record":      func(t *testing.T, db *store.DB) { write(t, db, "tally", nil) },
		"damaged record": func(t *testing.T, db *store.DB) { write(t, db, "tally", []byte("x")) },
		"other version":  func(*testing.T, *store.DB) {},
	} {
		t.Run(name, func(t *testing.T) {
			db := openDB(t, t.TempDir())
			r := start(t, db, s, Options{}, nil, &tally{version: 1}, timeline.Projection{})
			r.wait(s.Tail())
			want := r.hash()
			_ = r.stop()
			damage(t, db)
			b := db.NewBatch() // a leftover that only a fresh start removes
			if err := errors.Join(b.Set(store.StateKey(memsource.TokenOf(7777), "x"), []byte("12345678")), b.Commit(false)); err != nil {
				t.Fatal(err)
			}
			again := start(t, db, s, Options{}, nil, &tally{version: 2}, timeline.Projection{})
			again.wait(s.Tail())
			if d := cmp.Diff(want, again.hash()); d != "" {
				t.Error(d)
			}
		})
	}
}

func write(t *testing.T, db *store.DB, name string, meta []byte) {
	t.Helper()
	b := db.NewBatch()
	err := b.Delete(store.MetaKey(name))
	if meta != nil {
		err = b.Set(store.MetaKey(name), meta)
	}
	if err := errors.Join(err, b.Commit(false)); err != nil {
		t.Fatal(err)
	}
}

func TestPoisonStopsAndIsNamed(t *testing.T) {
	s := history(3, 10)
	r := start(t, openDB(t, t.TempDir()), s, Options{BatchEntriesMax: 1}, nil, &tally{version: 1, poison: 15}, timeline.Projection{})
	err := r.WaitApplied(t.Context(), 30)
	if !errors.Is(err, ErrStopped) || !errors.Is(err, errPoison) {
		t.Fatal(err)
	}
	if want := "projection tally: entry 15: cannot be folded"; !strings.Contains(err.Error(), want) {
		t.Errorf("%q does not say %q", err, want)
	}
	// What was applied before stands, but is not to be answered from.
	if got := r.Applied(); got != 10 {
		t.Errorf("applied %d", got)
	}
	if err := r.Read(t.Context(), 1, func(View) error { return nil }); !errors.Is(err, ErrStopped) {
		t.Error(err)
	}
	if r.Err() == nil {
		t.Error("no error to show")
	}
}

func TestGapStops(t *testing.T) {
	entry := func(at ledger.Position) *ledger.Entry {
		return memsource.NewEntry(at, memsource.Declared{Token: memsource.TokenOf(1), Fact: fact()})
	}
	for name, commits := range map[string][][]*ledger.Entry{
		"between commits": {{entry(1), entry(2)}, {entry(4)}},
		"in a commit":     {{entry(1), entry(3)}},
		"at the start":    {{entry(2)}},
		"repeated":        {{entry(1), entry(2)}, {entry(2)}},
	} {
		t.Run(name, func(t *testing.T) {
			s := memsource.New()
			for _, c := range commits {
				s.AppendRaw(c...)
			}
			r := start(t, openDB(t, t.TempDir()), s, Options{}, nil, &tally{version: 1})
			if err := r.WaitApplied(t.Context(), 4); !errors.Is(err, ledger.ErrGap) {
				t.Error(err)
			}
		})
	}
}

func TestAnotherHistoryIsRefused(t *testing.T) {
	s, other := history(3, 10), memsource.New()
	for range s.Tail() {
		other.Append(memsource.Declared{Token: memsource.TokenOf(1), Fact: erasure()})
	}
	db := openDB(t, t.TempDir())
	r := start(t, db, s, Options{}, nil, all()...)
	r.wait(s.Tail())
	want := r.hash()
	_ = r.stop()

	wrong := start(t, db, other, Options{}, nil, all()...)
	if err := wrong.WaitApplied(t.Context(), 1); !errors.Is(err, ErrOtherHistory) {
		t.Error(err)
	}
	if wrong.Applied() != 0 {
		t.Error("answers were given from another ledger's state")
	}
	if d := cmp.Diff(want, wrong.hash()); d != "" {
		t.Error("it was changed:", d)
	}
}

func TestRebuild(t *testing.T) {
	s := history(30, 10)
	db := openDB(t, t.TempDir())
	r := start(t, db, s, Options{BatchEntriesMax: 1}, nil, all()...)
	r.wait(s.Tail())
	want := r.hash()
	b := db.NewBatch()
	if err := errors.Join(b.Set(store.StateKey(memsource.TokenOf(1), "x"), []byte("wrong")), b.Commit(false)); err != nil {
		t.Fatal(err)
	}

	var last Progress
	err := r.Read(t.Context(), s.Tail(), func(v View) error {
		err := r.Rebuild(t.Context(), func(p Progress) {
			if p.Folded < last.Folded {
				t.Errorf("progress from %d to %d", last.Folded, p.Folded)
			}
			last = p
		})
		// This view began before and sees none of it.
		got, err2 := v.Get(store.StateKey(memsource.TokenOf(1), "x"))
		if string(got) != "wrong" || v.Position != s.Tail() || !v.MayHaveState(memsource.TokenOf(1)) {
			t.Errorf("view changed under its reader: %q at %d", got, v.Position)
		}
		return errors.Join(err, err2)
	})
	if err != nil {
		t.Fatal(err)
	}
	if last.Folded < s.Tail() || last.Through != s.Tail() {
		t.Error(last)
	}
	if d := cmp.Diff(want, r.hash()); d != "" {
		t.Error(d)
	}
	if err := r.stop(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := r.Rebuild(t.Context(), nil); !errors.Is(err, ErrStopped) {
		t.Error(err)
	}
}

// TestViewsAreWhole reads while entries are folded and rebuilt: a view holds just
// what its position says.
func TestViewsAreWhole(t *testing.T) {
	s := memsource.New()
	token := memsource.TokenOf(3)
	r := start(t, openDB(t, t.TempDir()), s, Options{}, nil, timeline.Projection{})
	ctx, cancel := context.WithCancel(t.Context())
	writer := make(chan struct{})
	go func() {
		defer close(writer)
		for i := range 300 {
			at := s.Append(memsource.Declared{Token: token, Fact: fact()}, memsource.Declared{Token: token, Fact: fact()})
			if err := r.WaitApplied(ctx, at); err != nil {
				t.Error(err)
			}
			if i%100 == 50 {
				if err := r.Rebuild(ctx, nil); err != nil {
					t.Error(err)
				}
			}
		}
		cancel()
	}()
	for ctx.Err() == nil {
		floor := r.Applied()
		err := r.Read(ctx, floor, func(v View) error {
			items, _, err := timeline.Page(v, token, 0, 0)
			if len(items) != int(v.Position) || v.Position < floor {
				t.Errorf("at position %d (asked for %d): %d items", v.Position, floor, len(items))
			}
			return err
		})
		if err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	}
	<-writer
}

func TestWaitEndsWithItsContext(t *testing.T) {
	r := start(t, openDB(t, t.TempDir()), memsource.New(), Options{}, nil, timeline.Projection{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.WaitApplied(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestRunIsForOnce(t *testing.T) {
	r, err := Open(openDB(t, t.TempDir()), memsource.New(), nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := r.Run(t.Context()); err == nil {
		t.Error("a second Run")
	}
}

func TestSpacesHaveOneOwner(t *testing.T) {
	if _, err := Open(openDB(t, t.TempDir()), memsource.New(), []projections.Projection{&tally{}, &tally{}}, Options{}); err == nil {
		t.Error("two projections share a space")
	}
}

func TestKnownTokensAreLoaded(t *testing.T) {
	s := history(10, 10)
	db := openDB(t, t.TempDir())
	r := start(t, db, s, Options{}, nil, all()...)
	r.wait(s.Tail())
	unknown := memsource.TokenOf(99_999)
	check := func(r started) {
		t.Helper()
		err := r.Read(t.Context(), s.Tail(), func(v View) error {
			for n := range 40 {
				if tok := memsource.TokenOf(n); !v.MayHaveState(tok) {
					t.Errorf("token %d has state and is not known", n)
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	check(r)
	if r.known.Load().mayHave(store.StateKey(unknown, "")) {
		t.Error("an unknown token is known")
	}
	_ = r.stop()
	again := start(t, db, s, Options{}, nil, all()...)
	again.wait(s.Tail())
	check(again)
}
