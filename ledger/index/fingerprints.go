package index

import (
	"context"
	"encoding/binary"

	"github.com/consent-ledger/consent-ledger/ledger/store"
)

// fingerprint is the first 32 bits of what in a key is random.
func fingerprint(key []byte) uint32 { return binary.BigEndian.Uint32(key) }

// loadFingerprints reads all keys once. What is written meanwhile adds itself. If
// it fails the index stays right and slow.
func (ix *Index) loadFingerprints(ctx context.Context) {
	for _, l := range []struct {
		space byte
		skip  int // bytes of the key before its random part
		into  *store.Fingerprints
	}{
		{store.SpaceIdempotency, 1, ix.events},
		{store.SpaceToken, 2, ix.tokens},
	} {
		lo, hi := store.SpaceRange(l.space)
		err := ix.db.Each(lo, hi, func(k, _ []byte) error {
			if len(k) < l.skip+4 {
				return store.ErrBadKey
			}
			l.into.Add(fingerprint(k[l.skip:]))
			return ctx.Err()
		})
		if err != nil {
			if ctx.Err() == nil {
				ix.log.Warn("index: fingerprints did not load; every look-up reads the database", "error", err)
			}
			return
		}
		l.into.Ready()
	}
}
