package store

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Fingerprints are kept in buckets by their first 16 bits, each a sorted list of
// the other 16; locks are by the first 8.
const (
	fingerprintLocks   = 1 << 8
	fingerprintBuckets = 1 << 16
)

// Fingerprints remember 32 bits of keys that are as good as random, so that a
// look-up that would find nothing costs no read: two to three bytes a key, and one
// miss in 430 goes to the database at 10 million keys. They never forget; one too
// many costs a look-up. Safe for concurrent use.
type Fingerprints struct {
	ready   atomic.Bool
	locks   [fingerprintLocks]sync.RWMutex
	buckets [fingerprintBuckets][]uint16
}

// NewFingerprints makes an empty set, in which any key may be until Ready is called.
func NewFingerprints() *Fingerprints { return &Fingerprints{} }

// Ready says that every key there is has been added.
func (f *Fingerprints) Ready() { f.ready.Store(true) }

// Complete tells whether Ready was called.
func (f *Fingerprints) Complete() bool { return f.ready.Load() }

// Add remembers a key.
func (f *Fingerprints) Add(key uint32) {
	l := &f.locks[key>>24]
	l.Lock()
	b := &f.buckets[key>>16]
	if i, found := slices.BinarySearch(*b, uint16(key)); !found {
		*b = slices.Insert(*b, i, uint16(key))
	}
	l.Unlock()
}

// MayHold is false only if the key was certainly never added.
func (f *Fingerprints) MayHold(key uint32) bool {
	if !f.ready.Load() {
		return true
	}
	l := &f.locks[key>>24]
	l.RLock()
	_, found := slices.BinarySearch(f.buckets[key>>16], uint16(key))
	l.RUnlock()
	return found
}
