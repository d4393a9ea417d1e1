package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// Key spaces of every Pebble database of the program: the first byte of each
// key. Numbers are never reused; all integers are big-endian, so that byte
// order is number order. A token is 17 bytes (version byte and AES block).
//
// Database `index` (what the writer must know exactly; rebuilt from the streams):
//
//	space        key after the space byte          value
//	meta         name                              by name
//	idempotency  idempotency hash (16)             position, entry id, leaf, recorded_at, content
//	token        token (17)                        open flag, persons (16 each, oldest first)
//	person       person (16)                       sequence, head position, head leaf, wrapped keys (see index)
//	commit       first position (8)                stream sequence (8)
//	catalog      kind (1), id                      registered sellers, programmes, campaigns, sources
//	erased       person (16)                       position of its PersonErased
//
// Database `projections` (disposable):
//
//	meta         projection name                   version, applied position, leaf of the entry there
//	state        token, seller                     SuppressionState; seller `all` is everybody's
//	timeline     token, position (8)               entry's clear summary
//	listing      kind (1), id                      sellers, campaigns, sources, pauses
//	registrymeta registry id, 0x00, position (8)   one announced version
//	party        party key (16), seller            SuppressionState: what the person asked, whatever the number
//	partynumber  party key (16), token             empty: the party's numbers
//	numberparty  token, party key (16)             empty: the number's parties
//	pack         position (8)                      recorded_at, RulePackPublished
//	partyfact    party key (16), position (8)      recorded_at: what the party's state was folded from
//	attempt      token, seller, 0x00, ref. (16)    one call that counts, or was given up
//	attemptref   reference (16)                    token (17), seller, of its call
//	attemptage   instant in ns (8), ref. (16)      empty: calls by age, for dropping them
//	anchor       -                                 the last AttemptsAnchored
//
// Database `lists` (disposable):
//
//	shelfpage    book (32), number >> 21 (8)       sealed page of a set of numbers
//	shelfbook    book (32)                         the book is whole
//
// Database `tree` (rebuilt from the stream, its checkpoint from CONSENT_CHECKPOINTS):
//
//	meta         name                              by name
//	tile         level (1), index (8)              up to 256 hashes of 32 bytes
//	chain        person (16)                       sequence and leaf of the person's last entry
//	quiet        position (8)                      empty: no answer about anybody hangs on the entry there
//
// Database `mended` (what the stream has lost; no other place has it):
//
//	meta         name                              by name
//	damage       stream sequence (8)               what is wrong with the message, and whom it touches (see mend)
//	mended       position (8)                      the entry's exact bytes, from a copy
//	loss         sequence (8), stream              messages that a stream beside the ledger's has lost, from this one on
//
// Database `directory` (rebuilt from the stream):
//
//	meta         name                              by name
//	record       directory key (32)                count (8), last position (8), head (32) of a number
//	bucket       first 16 bits of a key (2)        hash (32) and keys (8) of its records; empty: to be hashed again
//	before       position (8)                      position (8) of the entry about the same number before it
const (
	SpaceMeta byte = 0x01

	SpaceIdempotency byte = 0x10
	SpaceToken       byte = 0x11
	SpacePerson      byte = 0x12
	SpaceCommit      byte = 0x13
	SpaceCatalog     byte = 0x15 // 0x14 held wrapped keys until they moved to their person
	SpaceErased      byte = 0x16

	SpaceState        byte = 0x20
	SpaceTimeline     byte = 0x21
	SpaceListing      byte = 0x22
	SpaceRegistryMeta byte = 0x24
	SpaceAttempt      byte = 0x25
	SpaceAttemptRef   byte = 0x26
	SpaceAttemptAge   byte = 0x27
	SpaceAnchor       byte = 0x28

	SpaceParty       byte = 0x30
	SpacePartyNumber byte = 0x31
	SpaceNumberParty byte = 0x32
	SpacePartyFact   byte = 0x33
	SpacePack        byte = 0x34

	SpaceShelfPage byte = 0x40
	SpaceShelfBook byte = 0x41

	SpaceTile  byte = 0x50
	SpaceChain byte = 0x51
	SpaceQuiet byte = 0x52

	SpaceRecord byte = 0x60
	SpaceBucket byte = 0x61
	SpaceBefore byte = 0x62

	SpaceDamage byte = 0x70
	SpaceMended byte = 0x71
	SpaceLoss   byte = 0x72
)

// ErrBadKey: the bytes are no key of the space they were read as. The database
// is damaged or of another version; every one but `mended` can be deleted and is
// built anew.
var ErrBadKey = errors.New("store: key does not belong to its space")

// SpaceRange is the range [lo, hi) of all keys of a space. The space 0xff is not
// used, so that the upper bound always exists.
func SpaceRange(space byte) (lo, hi []byte) { return []byte{space}, []byte{space + 1} }

// PrefixRange is the range [lo, hi) of all keys that begin with prefix, which
// must not consist of 0xff bytes alone. lo is prefix itself, not a copy.
func PrefixRange(prefix []byte) (lo, hi []byte) {
	hi = bytes.Clone(prefix)
	for i := len(hi) - 1; i >= 0; i-- {
		if hi[i]++; hi[i] != 0 {
			return prefix, hi[:i+1]
		}
	}
	return prefix, nil
}

// key joins a space and its parts into one slice of exactly the right size.
func key(space byte, parts ...[]byte) []byte {
	n := 1
	for _, p := range parts {
		n += len(p)
	}
	k := append(make([]byte, 0, n), space)
	for _, p := range parts {
		k = append(k, p...)
	}
	return k
}

// body is the key after its space byte, which must have exactly size bytes.
func body(space byte, k []byte, size int) ([]byte, error) {
	if len(k) != 1+size || k[0] != space {
		return nil, badKey(space, k)
	}
	return k[1:], nil
}

// bodyFrom is body of a key that ends with something of any length: size is the
// least it has.
func bodyFrom(space byte, k []byte, size int) ([]byte, error) {
	if len(k) < 1+size || k[0] != space {
		return nil, badKey(space, k)
	}
	return k[1:], nil
}

func badKey(space byte, k []byte) error {
	return fmt.Errorf("space 0x%02x, %d bytes: %w", space, len(k), ErrBadKey)
}

// readID reads a key that is one id, which is left alone if the key is none.
func readID(id []byte, space byte, k []byte) error {
	b, err := body(space, k, len(id))
	copy(id, b)
	return err
}

// number reads a key that is one number.
func number(space byte, k []byte) (uint64, error) {
	b, err := body(space, k, 8)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(b), nil
}

// position reads a key that is one position.
func position(space byte, k []byte) (ledger.Position, error) {
	n, err := number(space, k)
	return ledger.Position(n), err
}

// kindAndID reads a key that is a kind and an id.
func kindAndID(space byte, k []byte) (kind byte, id string, err error) {
	b, err := bodyFrom(space, k, 1)
	if err != nil {
		return 0, "", err
	}
	return b[0], string(b[1:]), nil
}

func u64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// MetaKey is the key of a named value.
func MetaKey(name string) []byte { return key(SpaceMeta, []byte(name)) }

// ParseMetaKey undoes MetaKey.
func ParseMetaKey(k []byte) (name string, err error) {
	b, err := bodyFrom(SpaceMeta, k, 1)
	return string(b), err
}
