package store

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
)

// BenchmarkGetMany reads a thousand of 300,000 states, as a message of a scrub
// does: one after another, and in one pass.
func BenchmarkGetMany(b *testing.B) {
	db, err := Open(filepath.Join(b.TempDir(), "db"), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	const states = 300_000
	key := func(i uint64) []byte {
		k := binary.BigEndian.AppendUint64([]byte{SpaceState, 1}, i*0x9e3779b97f4a7c15)
		return append(append(k, k[2:]...), "acme"...)
	}
	value := make([]byte, 80)
	for i := uint64(0); i < states; {
		batch := db.NewBatch()
		for range 10_000 {
			if err := batch.Set(key(i), value); err != nil {
				b.Fatal(err)
			}
			i++
		}
		if err := batch.Commit(false); err != nil {
			b.Fatal(err)
		}
		if i%100_000 == 0 {
			if err := db.Flush(); err != nil {
				b.Fatal(err)
			}
		}
	}
	snap := db.Snapshot()
	defer snap.Close()
	r := rand.New(rand.NewPCG(1, 2))
	draw := func() (keys [][]byte) {
		for range 1000 {
			keys = append(keys, key(r.Uint64N(states)))
		}
		slices.SortFunc(keys, bytes.Compare)
		return keys
	}
	b.Run("get", func(b *testing.B) {
		for b.Loop() {
			for _, k := range draw() {
				if v, err := snap.Get(k); err != nil || v == nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("many", func(b *testing.B) {
		for b.Loop() {
			n := 0
			if err := snap.GetMany(draw(), func(int, []byte) error { n++; return nil }); err != nil || n != 1000 {
				b.Fatal(n, err)
			}
		}
	})
}
