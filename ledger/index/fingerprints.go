package index

import (
	"context"
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/consent-ledger/consent-ledger/ledger/store"
)

// fingerprintShards is by the first byte: one bitmap with tens of thousands of
// containers would move them all for each new one.
const fingerprintShards = 256

// fingerprints remember the first 32 bits of keys, which are random, so that a
// look-up that would find nothing costs no read: two bytes a key in memory, and
// one miss in 430 goes to the database at 10 million keys. Safe for concurrent use.
type fingerprints struct {
	ready  atomic.Bool
	shards [fingerprintShards]fingerprintShard
}

type fingerprintShard struct {
	mu  sync.RWMutex
	set *roaring.Bitmap
}

func newFingerprints() *fingerprints {
	f := &fingerprints{}
	for i := range f.shards {
		f.shards[i].set = roaring.New()
	}
	return f
}

func (f *fingerprints) add(key []byte) {
	s := &f.shards[key[0]]
	s.mu.Lock()
	s.set.Add(binary.BigEndian.Uint32(key))
	s.mu.Unlock()
}

// mayHold is false only if the key was never added. Until all are loaded it is
// true for every key.
func (f *fingerprints) mayHold(key []byte) bool {
	if !f.ready.Load() {
		return true
	}
	s := &f.shards[key[0]]
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.set.Contains(binary.BigEndian.Uint32(key))
}

// loadFingerprints reads all keys once. What is written meanwhile adds itself. If
// it fails the index stays right and slow.
func (ix *Index) loadFingerprints(ctx context.Context) {
	for _, l := range []struct {
		space byte
		skip  int // bytes of the key before its random part
		into  *fingerprints
	}{
		{store.SpaceIdempotency, 1, ix.events},
		{store.SpaceToken, 2, ix.tokens},
		{store.SpacePerson, 1, ix.persons},
		{store.SpaceKey, 1, ix.persons},
	} {
		lo, hi := store.SpaceRange(l.space)
		err := ix.db.Each(lo, hi, func(k, _ []byte) error {
			if len(k) < l.skip+4 {
				return store.ErrBadKey
			}
			l.into.add(k[l.skip:])
			return ctx.Err()
		})
		if err != nil {
			if ctx.Err() == nil {
				ix.log.Warn("index: fingerprints did not load; every look-up reads the database", "error", err)
			}
			return
		}
		l.into.ready.Store(l.space != store.SpacePerson) // persons are whole with their keys only
	}
}
