package keeper

import (
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/directory"
)

// TestAbout: whatever was lost, the directory knows whose it was, and whose it was
// not, from its records alone.
func TestAbout(t *testing.T) {
	f := newFake()
	l := start(t, f, f.config(filepath.Join(t.TempDir(), "directory")))
	for i := range 200 {
		f.append(i%7, system, i%23, (i*i)%31, i%7)
	}
	if err := l.commit(0).Close(); err != nil {
		t.Fatal(err)
	}
	want := map[ledger.Position]directory.Key{}
	for number, events := range f.events {
		for _, e := range events {
			want[e.Position] = keyOf(f, number)
		}
	}
	applied := l.k.Status().Applied
	rapid.Check(t, func(rt *rapid.T) {
		lost := rapid.SliceOfNDistinct(rapid.Uint64Range(1, uint64(applied)+3), 1, 40, rapid.ID[uint64]).Draw(rt, "lost")
		positions := make([]ledger.Position, len(lost))
		for i, at := range lost {
			positions[i] = ledger.Position(at)
		}
		about, through, err := l.k.About(t.Context(), positions)
		if err != nil || through < applied {
			rt.Fatalf("through %d, not %d: %v", through, applied, err)
		}
		for _, at := range positions {
			got, found := about[at]
			key, is := want[at]
			if found != is || got != key {
				rt.Fatalf("position %d: %x %t, want %x %t", at, got, found, key, is)
			}
		}
	})
}
