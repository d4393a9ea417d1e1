package tree

import (
	"errors"
	"slices"
	"testing"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// TestProver: the paths of a Prover are those of Include, in whatever order they are
// asked for, and it proves neither another leaf nor a position beyond its checkpoint.
func TestProver(t *testing.T) {
	m := newMade(50)
	for range 20 {
		m.commit(37)
	}
	s := newStand(t, m.messages)
	tr := s.whole()
	defer s.close(tr)
	c, ok := tr.Published()
	if !ok || c.Size != int64(len(m.leaves)) {
		t.Fatalf("published: %v %v", c.Size, ok)
	}
	p := tr.Prover(c)
	for i := range m.leaves {
		at := ledger.Position((i*131)%len(m.leaves) + 1)
		want, err := tr.Include(at)
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.Path(at, ledger.Hash(m.leaves[at-1]))
		if err != nil || !slices.Equal(got, want.Path) {
			t.Fatalf("position %d: %v", at, err)
		}
	}
	if _, err := p.Path(3, ledger.Hash(m.leaves[3])); !errors.Is(err, ledger.ErrDamaged) {
		t.Errorf("another leaf: %v", err)
	}
	for _, at := range []ledger.Position{0, ledger.Position(len(m.leaves) + 1)} {
		if _, err := p.Path(at, ledger.Hash{}); !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("position %d: %v", at, err)
		}
	}
}
