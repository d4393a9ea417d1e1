package tree

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
)

// TestScrubTiles: whatever is wrong with tiles that are full, each is found and made
// again byte for byte, and only of what leads to the signed root.
func TestScrubTiles(t *testing.T) {
	m := newMade(51)
	for range 70 {
		m.commit(1000)
	}
	m.commit(123)
	s := newStand(t, m.messages)
	tr := s.whole()
	defer s.close(tr)
	stream := func(_ context.Context, first ledger.Position, n int) (out []ledger.Hash, err error) {
		for at := int(first); at < int(first)+n && at <= len(m.leaves); at++ {
			out = append(out, ledger.Hash(m.leaves[at-1]))
		}
		return out, nil
	}
	altered := func(ctx context.Context, first ledger.Position, n int) ([]ledger.Hash, error) {
		out, err := stream(ctx, first, n)
		if len(out) > 7 {
			out[7][0] ^= 1
		}
		return out, err
	}
	rested := 0
	rest := func(n int) error { rested += n; return nil }
	if healed, err := tr.ScrubTiles(t.Context(), stream, rest); err != nil || healed != 0 || rested != 274*tileBytes {
		t.Fatalf("whole tiles: %d healed, %d bytes, %v", healed, rested, err)
	}
	get := func(k []byte) []byte {
		raw, err := tr.db.Get(k)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Clone(raw)
	}
	set := func(k, v []byte) {
		b := tr.db.NewBatch()
		var err error
		if v == nil {
			err = b.Delete(k)
		} else {
			err = b.Set(k, v)
		}
		if err := errors.Join(err, b.Commit(true)); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		level byte
		n     uint64
		spoil func(data []byte) []byte
	}{
		"a bit of the first":          {0, 0, func(d []byte) []byte { d[3] ^= 1; return d }},
		"two bits of one":             {0, 200, func(d []byte) []byte { d[40] ^= 1; d[8000] ^= 4; return d }},
		"one gone":                    {0, 100, func([]byte) []byte { return nil }},
		"one cut":                     {0, 272, func(d []byte) []byte { return d[:4096] }},
		"a bit of a tile above":       {1, 0, func(d []byte) []byte { d[100*32] ^= 1; return d }},
		"two bits of a tile above":    {1, 0, func(d []byte) []byte { d[0] ^= 1; d[255*32+31] ^= 1; return d }},
		"a bit of the topmost":        {2, 0, func(d []byte) []byte { d[5] ^= 1; return d }},
		"a bit of a tile at the edge": {1, 1, func(d []byte) []byte { d[33] ^= 1; return d }},
	} {
		t.Run(name, func(t *testing.T) {
			k := store.TileKey(tc.level, tc.n)
			whole := get(k)
			set(k, tc.spoil(bytes.Clone(whole)))
			if tc.level == 0 {
				spoilt := get(k)
				if healed, err := tr.ScrubTiles(t.Context(), altered, rest); healed != 0 || !errors.Is(err, ledger.ErrDamaged) {
					t.Errorf("made of altered entries: %v", err)
				}
				if !bytes.Equal(get(k), spoilt) {
					t.Error("altered entries were taken")
				}
			}
			healed, err := tr.ScrubTiles(t.Context(), stream, rest)
			if err != nil || healed == 0 || !bytes.Equal(get(k), whole) {
				t.Fatalf("%d healed: %v", healed, err)
			}
			if healed, err := tr.ScrubTiles(t.Context(), stream, rest); err != nil || healed != 0 {
				t.Errorf("again: %d healed, %v", healed, err)
			}
		})
	}
}

// TestProves: an entry whose leaf the tree's disk has spoilt is right all the same, and
// one that was altered is not.
func TestProves(t *testing.T) {
	m := newMade(52)
	m.commit(600)
	s := newStand(t, m.messages)
	tr := s.whole()
	defer s.close(tr)
	k := store.TileKey(0, 1)
	data, err := tr.db.Get(k)
	if err != nil {
		t.Fatal(err)
	}
	data = bytes.Clone(data)
	data[10*32] ^= 1
	b := tr.db.NewBatch()
	if err := errors.Join(b.Set(k, data), b.Commit(true)); err != nil {
		t.Fatal(err)
	}
	right := ledger.Hash(m.leaves[266])
	if ok, err := tr.Proves(267, right); err != nil || !ok {
		t.Errorf("the entry is right: %t %v", ok, err)
	}
	right[0] ^= 1
	if ok, err := tr.Proves(267, right); err != nil || ok {
		t.Errorf("another entry: %t %v", ok, err)
	}
	if ok, err := tr.Proves(601, right); err != nil || ok {
		t.Errorf("beyond what is signed: %t %v", ok, err)
	}
}
