package runner

import (
	"context"
	"encoding/binary"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
)

// loadCheckKeys is after how many keys a load looks whether it is still wanted.
const loadCheckKeys = 1 << 14

// known is the resident set of tokens that may have suppression state, and of
// those that may have state towards all sellers, which is rare and asked for each
// time: 32 bits of each, which are as good as random. A token not in it has none,
// and that spares a look-up that would miss. It never forgets a token: one too
// many costs a look-up. A rebuild begins a new set, because whoever still reads a snapshot
// of before needs the old one. Safe for concurrent use.
type known struct {
	any *store.Fingerprints
	all *store.Fingerprints // towards all sellers
}

// newKnown makes an empty set; loaded says that the store is empty, too. Until it is
// loaded every token may have state.
func newKnown(loaded bool) *known {
	k := &known{store.NewFingerprints(), store.NewFingerprints()}
	if loaded {
		k.ready()
	}
	return k
}

func (k *known) ready() {
	k.any.Ready()
	k.all.Ready()
}

// fingerprint takes 32 bits of the token in a key of SpaceState, and tells whether
// the key is that of its state towards all sellers.
func fingerprint(key []byte) (f uint32, all, ok bool) {
	const tokenAt, versionBytes, sellerAt = 1, 1, 1 + len(ledger.Token{})
	if len(key) < sellerAt || key[0] != store.SpaceState {
		return 0, false, false
	}
	return binary.BigEndian.Uint32(key[tokenAt+versionBytes:]), string(key[sellerAt:]) == ledger.All, true
}

// fingerprintOf is that of all keys of a token.
func fingerprintOf(t ledger.Token) uint32 { return binary.BigEndian.Uint32(t[1:]) }

// add remembers the token of a key; keys of other spaces are ignored.
func (k *known) add(key []byte) {
	f, all, ok := fingerprint(key)
	if !ok {
		return
	}
	k.any.Add(f)
	if all {
		k.all.Add(f)
	}
}

// mayHave is false only if the store certainly does not have the key.
func (k *known) mayHave(key []byte) bool {
	f, all, ok := fingerprint(key)
	switch {
	case !ok:
		return true
	case all:
		return k.all.MayHold(f)
	}
	return k.any.MayHold(f)
}

// load reads all tokens of a snapshot. What is written after the snapshot was
// taken is added by the writer, so load may take its time beside it.
func (k *known) load(ctx context.Context, r store.Reader) error {
	n := 0
	lo, hi := store.SpaceRange(store.SpaceState)
	err := r.Each(lo, hi, func(key, _ []byte) error {
		k.add(key)
		if n++; n%loadCheckKeys == 0 {
			return ctx.Err()
		}
		return nil
	})
	if err != nil {
		return err
	}
	k.ready()
	return nil
}
