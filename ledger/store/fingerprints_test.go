package store

import (
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// TestFingerprintsNeverForget: whatever was added is found, and before all was
// added everything may be there; keys may lie together or spread.
func TestFingerprintsNeverForget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f, model := NewFingerprints(), map[uint32]bool{}
		key := rapid.OneOf(rapid.Uint32(), rapid.Uint32Range(0, 300), rapid.Uint32Range(0x7ffffff0, 0x80000010),
			rapid.SampledFrom([]uint32{0, 0xffff, 0x10000, 0xffffffff}))
		for _, k := range rapid.SliceOfN(key, 0, 400).Draw(t, "keys") {
			f.Add(k)
			model[k] = true
		}
		early, may := key.Draw(t, "early"), [1]bool{}
		if f.MayHoldMany([]uint32{early}, may[:]); !may[0] || !f.MayHold(early) {
			t.Fatal("taken for absent before all keys were added")
		}
		f.Ready()
		for k := range model {
			if !f.MayHold(k) {
				t.Fatalf("%#x is forgotten", k)
			}
		}
		if k := key.Draw(t, "other"); f.MayHold(k) != model[k] {
			t.Fatalf("%#x: may be there %t, want %t", k, f.MayHold(k), model[k])
		}
		many := rapid.SliceOfN(rapid.OneOf(key, rapid.SampledFrom(append(slices.Collect(maps.Keys(model)), 5))), 0, 300).Draw(t, "many")
		found := make([]bool, len(many))
		f.MayHoldMany(many, found)
		for i, k := range many {
			if found[i] != model[k] {
				t.Fatalf("%#x among many: may be there %t, want %t", k, found[i], model[k])
			}
		}
	})
}

// TestFingerprintsInACrowd: keys that others add meanwhile hide none.
func TestFingerprintsInACrowd(t *testing.T) {
	f := NewFingerprints()
	f.Ready()
	var g sync.WaitGroup
	for caller := range uint64(4) {
		g.Go(func() {
			r := rand.New(rand.NewPCG(caller, 1))
			for range 20_000 {
				k := r.Uint32() & 0x00ffffff // one shard
				if f.Add(k); !f.MayHold(k) {
					t.Errorf("%#x is forgotten", k)
				}
			}
		})
	}
	g.Wait()
}

// BenchmarkFingerprints asks for keys of which one in two is there, among ten million.
func BenchmarkFingerprints(b *testing.B) {
	f, r := NewFingerprints(), rand.New(rand.NewPCG(1, 2))
	var there []uint32
	for i := range 10_000_000 {
		k := r.Uint32()
		if f.Add(k); i%8 == 0 {
			there = append(there, k)
		}
	}
	f.Ready()
	for i := 0; b.Loop(); i++ {
		k := r.Uint32()
		if i%2 == 0 {
			k = there[i%len(there)]
		}
		if !f.MayHold(k) && i%2 == 0 {
			b.Fatal("forgotten")
		}
	}
}

// BenchmarkFingerprintsMany asks for ten thousand at once.
func BenchmarkFingerprintsMany(b *testing.B) {
	f, r := NewFingerprints(), rand.New(rand.NewPCG(1, 2))
	for range 10_000_000 {
		f.Add(r.Uint32())
	}
	f.Ready()
	keys, may := make([]uint32, 10_000), make([]bool, 10_000)
	for b.Loop() {
		for i := range keys {
			keys[i] = r.Uint32()
		}
		f.MayHoldMany(keys, may)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(keys)), "ns/key")
}
