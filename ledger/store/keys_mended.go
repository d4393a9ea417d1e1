package store

import (
	"encoding/binary"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// DamageKey is the key of what is wrong with a message.
func DamageKey(seq uint64) []byte { return key(SpaceDamage, u64(seq)) }

// ParseDamageKey undoes DamageKey.
func ParseDamageKey(k []byte) (seq uint64, err error) { return number(SpaceDamage, k) }

// MendedKey is the key of an entry's bytes from a copy.
func MendedKey(at ledger.Position) []byte { return key(SpaceMended, u64(uint64(at))) }

// ParseMendedKey undoes MendedKey.
func ParseMendedKey(k []byte) (ledger.Position, error) {
	return position(SpaceMended, k)
}

// LossKey is the key of what a stream beside the ledger's has lost from a sequence on.
func LossKey(stream string, seq uint64) []byte { return key(SpaceLoss, u64(seq), []byte(stream)) }

// ParseLossKey undoes LossKey.
func ParseLossKey(k []byte) (stream string, seq uint64, err error) {
	b, err := bodyFrom(SpaceLoss, k, 8)
	if err != nil {
		return "", 0, err
	}
	return string(b[8:]), binary.BigEndian.Uint64(b), nil
}
