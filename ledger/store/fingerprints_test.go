package store

import (
	"math/rand/v2"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// TestFingerprintsHoldWhatWasAdded: through every growth of the sieve each key that
// was added is found, and no other.
func TestFingerprintsHoldWhatWasAdded(t *testing.T) {
	f := NewFingerprints()
	if !f.MayHold(1) || f.Complete() {
		t.Error("before Ready a key is said not to be there")
	}
	f.Ready()
	const keys = 200_000
	key := func(i uint32) uint32 { return i * 2654435761 } // a permutation of 32 bits
	for i := range uint32(keys) {
		if f.Add(key(i)); !f.MayHold(key(i)) {
			t.Fatalf("key %d is not there", i)
		}
	}
	for i := range uint32(2 * keys) {
		if f.MayHold(key(i)) != (i < keys) {
			t.Fatalf("key %d of %d: %t", i, keys, f.MayHold(key(i)))
		}
	}
}

// TestFingerprintsModel: dense shards, where a sieve can grow no more, and edges.
func TestFingerprintsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f, model := NewFingerprints(), map[uint32]bool{}
		f.Ready()
		for _, k := range rapid.SliceOfN(rapid.Uint32(), 0, 3000).Draw(t, "keys") {
			f.Add(k)
			model[k] = true
		}
		base := rapid.Uint32().Draw(t, "run")
		for i := range uint32(2000) { // neighbours share a bit
			f.Add(base + i)
			model[base+i] = true
		}
		for k := range model {
			if !f.MayHold(k) || f.MayHold(k+1) != model[k+1] {
				t.Fatalf("key %x: %t, the next: %t", k, f.MayHold(k), f.MayHold(k+1))
			}
		}
	})
}

// TestFingerprintsWhileAdding: whoever was told that a key is added finds it.
func TestFingerprintsWhileAdding(t *testing.T) {
	f := NewFingerprints()
	f.Ready()
	added := make(chan uint32, 1024)
	var g sync.WaitGroup
	g.Go(func() {
		for i := range uint32(300_000) {
			k := i * 2654435761 & 0x03ffffff // few shards, so that they grow often
			f.Add(k)
			added <- k
		}
		close(added)
	})
	for k := range added {
		if !f.MayHold(k) {
			t.Fatalf("key %x is not there", k)
		}
	}
	g.Wait()
}

func BenchmarkFingerprintsStranger(b *testing.B) {
	f := NewFingerprints()
	f.Ready()
	for i := range uint32(1_000_000) {
		f.Add(i * 2654435761)
	}
	r := rand.New(rand.NewPCG(1, 2))
	there := 0
	for b.Loop() {
		if f.MayHold(r.Uint32()) {
			there++
		}
	}
	if there > b.N/100+1 {
		b.Fatalf("%d of %d are there", there, b.N)
	}
}
