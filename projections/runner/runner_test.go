package runner

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/ledgertest"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/projections"
	"github.com/consent-ledger/consent-ledger/projections/internal/memsource"
	"github.com/consent-ledger/consent-ledger/projections/timeline"
)

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
		ledgertest.CopyOpen(t, filepath.Join(dir, "db"), filepath.Join(left, "db"))

		again := start(t, openDB(t, left), s, o, nil, all()...)
		again.wait(s.Tail())
		if d := cmp.Diff(want, again.hash()); d != "" {
			rt.Fatal(d)
		}
	})
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
