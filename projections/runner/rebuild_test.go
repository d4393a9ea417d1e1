package runner

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/projections/internal/memsource"
)

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
