package store

import (
	"bytes"
	"encoding/binary"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// Reference names one call of one seller: the first bytes of a keyed hash.
type Reference [16]byte

// AttemptKey is the key of one call to a token in a seller's name, which holds no
// zero byte.
func AttemptKey(t ledger.Token, seller string, r Reference) []byte {
	return key(SpaceAttempt, t[:], []byte(seller), []byte{0}, r[:])
}

// ParseAttemptKey undoes AttemptKey.
func ParseAttemptKey(k []byte) (t ledger.Token, seller string, r Reference, err error) {
	b, err := bodyFrom(SpaceAttempt, k, len(t)+1+len(r))
	if err != nil {
		return t, "", r, err
	}
	id, ref := b[len(t):len(b)-len(r)-1], b[len(b)-len(r)-1:]
	if ref[0] != 0 || bytes.IndexByte(id, 0) >= 0 {
		return t, "", r, badKey(SpaceAttempt, k)
	}
	return ledger.Token(b[:len(t)]), string(id), Reference(ref[1:]), nil
}

// AttemptRange is the range of all calls to a token in a seller's name.
func AttemptRange(t ledger.Token, seller string) (lo, hi []byte) {
	return PrefixRange(key(SpaceAttempt, t[:], []byte(seller), []byte{0}))
}

// AttemptRefKey is the key by which a call is found from its reference.
func AttemptRefKey(r Reference) []byte { return key(SpaceAttemptRef, r[:]) }

// ParseAttemptRefKey undoes AttemptRefKey.
func ParseAttemptRefKey(k []byte) (r Reference, err error) {
	err = readID(r[:], SpaceAttemptRef, k)
	return r, err
}

// AttemptAgeKey is the key of a call by its instant, in nanoseconds since 1970.
func AttemptAgeKey(ns uint64, r Reference) []byte { return key(SpaceAttemptAge, u64(ns), r[:]) }

// ParseAttemptAgeKey undoes AttemptAgeKey.
func ParseAttemptAgeKey(k []byte) (ns uint64, r Reference, err error) {
	b, err := body(SpaceAttemptAge, k, 8+len(r))
	if err != nil {
		return 0, r, err
	}
	return binary.BigEndian.Uint64(b), Reference(b[8:]), nil
}

// AttemptAgeRange is the range of all calls before an instant.
func AttemptAgeRange(before uint64) (lo, hi []byte) {
	lo, _ = SpaceRange(SpaceAttemptAge)
	return lo, key(SpaceAttemptAge, u64(before))
}
