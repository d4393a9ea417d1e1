package store

import (
	"slices"
	"sync"
	"sync/atomic"
)

// fingerprintShards is by the first byte, pages by the second.
const fingerprintShards = 256

// Fingerprints remember 32 bits of keys that are as good as random, so that a
// look-up that would find nothing costs no read: two to three bytes a key, and one
// miss in 430 goes to the database at 10 million keys. They never forget; one too
// many costs a look-up. Safe for concurrent use.
//
// A bitmap of roaring took twice as long a look-up: it is made for keys that lie
// together, and these never do.
type Fingerprints struct {
	ready  atomic.Bool
	shards [fingerprintShards]struct {
		mu    sync.RWMutex
		pages []fingerprintPage // none before the first key
	}
}

// fingerprintPage holds the last 16 bits of keys that begin alike, sorted.
type fingerprintPage []uint16

// find tells where a key is or belongs. Keys are spread evenly, so that its place is
// known but for a few steps.
func (p fingerprintPage) find(key uint16) (at int, found bool) {
	at = len(p) * int(key) >> 16
	for at < len(p) && p[at] < key {
		at++
	}
	for at > 0 && p[at-1] >= key {
		at--
	}
	return at, at < len(p) && p[at] == key
}

// NewFingerprints makes an empty set, in which any key may be until Ready is called.
func NewFingerprints() *Fingerprints { return &Fingerprints{} }

// Ready says that every key there is has been added.
func (f *Fingerprints) Ready() { f.ready.Store(true) }

// Complete tells whether Ready was called.
func (f *Fingerprints) Complete() bool { return f.ready.Load() }

// Add remembers a key.
func (f *Fingerprints) Add(key uint32) {
	s := &f.shards[key>>24]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pages == nil {
		s.pages = make([]fingerprintPage, fingerprintShards)
	}
	p := &s.pages[byte(key>>16)]
	if at, found := p.find(uint16(key)); !found {
		*p = slices.Insert(*p, at, uint16(key))
	}
}

// MayHold is false only if the key was certainly never added.
func (f *Fingerprints) MayHold(key uint32) bool {
	if !f.ready.Load() {
		return true
	}
	s := &f.shards[key>>24]
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.pages == nil {
		return false
	}
	_, found := s.pages[byte(key>>16)].find(uint16(key))
	return found
}
