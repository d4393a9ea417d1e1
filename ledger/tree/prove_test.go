package tree

import (
	"errors"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/proof"
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

// TestSince: a checkpoint signed earlier is led on from, and one that is no beginning of
// this tree, or is larger, is damage.
func TestSince(t *testing.T) {
	m := newMade(10)
	for range 20 {
		m.commit(7)
	}
	s := newStand(t, m.messages)
	tr := s.whole()
	defer s.close(tr)
	c, _ := tr.Published()
	p := tr.Prover(c)
	for size := int64(1); size <= c.Size; size += 13 {
		root, err := tr.root(size)
		if err != nil {
			t.Fatal(err)
		}
		earlier := proof.Checkpoint{Size: size, Root: root}
		path, err := p.Since(earlier)
		if err != nil || tlog.CheckTree(path, c.Size, c.Root, size, root) != nil {
			t.Fatalf("since %d: %v", size, err)
		}
		earlier.Root[3] ^= 1
		if _, err := p.Since(earlier); !errors.Is(err, ledger.ErrDamaged) {
			t.Errorf("another root of %d entries: %v", size, err)
		}
	}
	for _, size := range []int64{0, c.Size + 1} {
		if _, err := p.Since(proof.Checkpoint{Size: size, Root: c.Root}); !errors.Is(err, ledger.ErrDamaged) {
			t.Errorf("a checkpoint of %d entries: %v", size, err)
		}
	}
}
