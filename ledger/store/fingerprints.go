package store

import (
	"sync"
	"sync/atomic"

	"github.com/RoaringBitmap/roaring/v2"
)

// fingerprintShards is by the first byte: one bitmap with tens of thousands of
// containers would move them all for each new one.
const fingerprintShards = 256

// Fingerprints remember 32 bits of keys that are as good as random, so that a
// look-up that would find nothing costs no read: about two bytes a key, and one miss
// in 430 goes to the database at 10 million keys. They never forget; one too many
// costs a look-up. Safe for concurrent use.
type Fingerprints struct {
	ready  atomic.Bool
	shards [fingerprintShards]struct {
		mu  sync.RWMutex
		set *roaring.Bitmap
	}
}

// NewFingerprints makes an empty set, in which any key may be until Ready is called.
func NewFingerprints() *Fingerprints {
	f := &Fingerprints{}
	for i := range f.shards {
		f.shards[i].set = roaring.New()
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
	s.set.Add(key)
	s.mu.Unlock()
}

// MayHold is false only if the key was certainly never added.
func (f *Fingerprints) MayHold(key uint32) bool {
	if !f.ready.Load() {
		return true
	}
	s := &f.shards[key>>24]
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.set.Contains(key)
}
