package store

import (
	"sync"
	"sync/atomic"

	"github.com/RoaringBitmap/roaring/v2"
)

const (
	// fingerprintShards is by the first byte: one bitmap with tens of thousands of
	// containers would move them all for each new one.
	fingerprintShards = 256
	// sieveBitsMin is the size of a shard's first sieve.
	sieveBitsMin = 1 << 10
)

// Fingerprints remember 32 bits of keys that are as good as random, so that a
// look-up that would find nothing costs no read: three to four bytes a key, and one miss
// in 430 goes to the database at 10 million keys. They never forget; one too many
// costs a look-up. Safe for concurrent use.
//
// In front of the exact set lies a sieve, one bit for all keys that begin alike: of
// ten keys that were never added it turns nine away for one look into memory.
type Fingerprints struct {
	ready  atomic.Bool
	shards [fingerprintShards]shard
}

type shard struct {
	sieve atomic.Pointer[sieve]
	mu    sync.RWMutex // guards set, and that nobody adds while the sieve grows
	set   *roaring.Bitmap
	keys  int // at most so many are in set
}

// sieve has a bit for each beginning of the 24 bits behind a shard's byte. Its size
// is a power of two.
type sieve struct {
	words []atomic.Uint64
	shift uint
}

func newSieve(bits int) *sieve {
	s := &sieve{words: make([]atomic.Uint64, bits/64), shift: 24}
	for n := 1; n < bits; n *= 2 {
		s.shift--
	}
	return s
}

func (s *sieve) place(key uint32) (word *atomic.Uint64, bit uint64) {
	at := key & (1<<24 - 1) >> s.shift
	return &s.words[at/64], 1 << (at % 64)
}

func (s *sieve) add(key uint32) {
	word, bit := s.place(key)
	word.Or(bit)
}

func (s *sieve) mayHold(key uint32) bool {
	word, bit := s.place(key)
	return word.Load()&bit != 0
}

// NewFingerprints makes an empty set, in which any key may be until Ready is called.
func NewFingerprints() *Fingerprints {
	f := &Fingerprints{}
	for i := range f.shards {
		f.shards[i].set = roaring.New()
		f.shards[i].sieve.Store(newSieve(sieveBitsMin))
	}
	return f
}

// Ready says that every key there is has been added.
func (f *Fingerprints) Ready() { f.ready.Store(true) }

// Complete tells whether Ready was called.
func (f *Fingerprints) Complete() bool { return f.ready.Load() }

// Add remembers a key.
func (f *Fingerprints) Add(key uint32) {
	s := &f.shards[key>>24]
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.set.CheckedAdd(key) {
		return
	}
	s.keys++
	sv := s.sieve.Load()
	if bits := len(sv.words) * 64; s.keys*8 > bits && sv.shift > 0 {
		sv = newSieve(2 * bits)
		for it := s.set.Iterator(); it.HasNext(); {
			sv.add(it.Next())
		}
		s.sieve.Store(sv)
		return
	}
	sv.add(key)
}

// MayHold is false only if the key was certainly never added.
func (f *Fingerprints) MayHold(key uint32) bool {
	if !f.ready.Load() {
		return true
	}
	s := &f.shards[key>>24]
	if !s.sieve.Load().mayHold(key) {
		return false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.set.Contains(key)
}
