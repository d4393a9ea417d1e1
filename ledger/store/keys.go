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
//	meta         projection name                   version, applied position, stream sequence
//	state        token, seller                     SuppressionState; seller `all` is everybody's
//	timeline     token, position (8)               entry's clear summary
//	listing      kind (1), id                      sellers, campaigns, sources, pauses
//	registrymeta registry id, 0x00, position (8)   one announced version
//	party        party key (16), seller            SuppressionState: what the person asked, whatever the number
//	partynumber  party key (16), token             empty: the party's numbers
//	numberparty  token, party key (16)             empty: the number's parties
//	pack         position (8)                      recorded_at, RulePackPublished
//	partyfact    party key (16), position (8)      recorded_at: what the party's state was folded from
//	attempt      token, seller, 0x00, reference (16)  one call that counts, or was given up
//	attemptref   reference (16)                    token (17), seller, of its call
//	attemptage   instant in ns (8), reference (16) empty: calls by age, for dropping them
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
// is damaged or of another version; it can be deleted and is built anew.
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

// body is the key after its space byte, which must have the size given; a
// negative size asks for at least that many bytes.
func body(space byte, k []byte, size int) ([]byte, error) {
	if len(k) == 0 || k[0] != space || (size >= 0 && len(k)-1 != size) || (size < 0 && len(k)-1 < -size) {
		return nil, fmt.Errorf("space 0x%02x, %d bytes: %w", space, len(k), ErrBadKey)
	}
	return k[1:], nil
}

// number reads a key that is one number.
func number(space byte, k []byte) (uint64, error) {
	b, err := body(space, k, 8)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(b), nil
}

func u64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// MetaKey is the key of a named value.
func MetaKey(name string) []byte { return key(SpaceMeta, []byte(name)) }

// ParseMetaKey undoes MetaKey.
func ParseMetaKey(k []byte) (name string, err error) {
	b, err := body(SpaceMeta, k, -1)
	return string(b), err
}

// IdempotencyBytes is how much of an idempotency hash is its key: 2^-128 is no
// chance, and the rest would only cost room.
const IdempotencyBytes = 16

// IdempotencyKey is the key of what an idempotency hash stands for.
func IdempotencyKey(h [IdempotencyBytes]byte) []byte { return key(SpaceIdempotency, h[:]) }

// ParseIdempotencyKey undoes IdempotencyKey.
func ParseIdempotencyKey(k []byte) (h [IdempotencyBytes]byte, err error) {
	b, err := body(SpaceIdempotency, k, IdempotencyBytes)
	copy(h[:], b)
	return h, err
}

// TokenKey is the key of the persons who held a number.
func TokenKey(t ledger.Token) []byte { return key(SpaceToken, t[:]) }

// ParseTokenKey undoes TokenKey.
func ParseTokenKey(k []byte) (t ledger.Token, err error) {
	b, err := body(SpaceToken, k, len(t))
	copy(t[:], b)
	return t, err
}

// PersonKey is the key of a person's head and wrapped keys.
func PersonKey(p ledger.PersonID) []byte { return key(SpacePerson, p[:]) }

// ParsePersonKey undoes PersonKey.
func ParsePersonKey(k []byte) (p ledger.PersonID, err error) {
	b, err := body(SpacePerson, k, len(p))
	copy(p[:], b)
	return p, err
}

// ErasedKey is the key of an erased person.
func ErasedKey(p ledger.PersonID) []byte { return key(SpaceErased, p[:]) }

// ParseErasedKey undoes ErasedKey.
func ParseErasedKey(k []byte) (p ledger.PersonID, err error) {
	b, err := body(SpaceErased, k, len(p))
	copy(p[:], b)
	return p, err
}

// CommitKey is the key of the commit whose first entry is at first.
func CommitKey(first ledger.Position) []byte { return key(SpaceCommit, u64(uint64(first))) }

// ParseCommitKey undoes CommitKey.
func ParseCommitKey(k []byte) (first ledger.Position, err error) {
	b, err := body(SpaceCommit, k, 8)
	if err != nil {
		return 0, err
	}
	return ledger.Position(binary.BigEndian.Uint64(b)), nil
}

// KeyID names one drawn key of a person.
type KeyID = [8]byte

// PersonBucketRange is the range of all persons of a bucket, the first 12 bits of
// the person id.
func PersonBucketRange(bucket uint16) (lo, hi []byte) {
	at := func(n uint16) []byte { return key(SpacePerson, []byte{byte(n >> 4), byte(n << 4)}) }
	if bucket >= 0x0fff {
		_, hi = SpaceRange(SpacePerson)
		return at(0x0fff), hi
	}
	return at(bucket), at(bucket + 1)
}

// CatalogKey is the key of something registered. The kind is the package's own
// enumeration; ids of programmes are seller, 0x00, programme.
func CatalogKey(kind byte, id string) []byte { return key(SpaceCatalog, []byte{kind}, []byte(id)) }

// ParseCatalogKey undoes CatalogKey.
func ParseCatalogKey(k []byte) (kind byte, id string, err error) {
	return parseKindID(SpaceCatalog, k)
}

// StateKey is the key of the state of a token towards a seller.
func StateKey(t ledger.Token, seller string) []byte { return key(SpaceState, t[:], []byte(seller)) }

// ParseStateKey undoes StateKey.
func ParseStateKey(k []byte) (t ledger.Token, seller string, err error) {
	b, err := body(SpaceState, k, -len(t))
	if err != nil {
		return t, "", err
	}
	return ledger.Token(b[:len(t)]), string(b[len(t):]), nil
}

// StateRange is the range of all states of a token.
func StateRange(t ledger.Token) (lo, hi []byte) { return PrefixRange(key(SpaceState, t[:])) }

// TimelineKey is the key of an entry in a token's timeline.
func TimelineKey(t ledger.Token, at ledger.Position) []byte {
	return key(SpaceTimeline, t[:], u64(uint64(at)))
}

// ParseTimelineKey undoes TimelineKey.
func ParseTimelineKey(k []byte) (t ledger.Token, at ledger.Position, err error) {
	b, err := body(SpaceTimeline, k, len(t)+8)
	if err != nil {
		return t, 0, err
	}
	return ledger.Token(b[:len(t)]), ledger.Position(binary.BigEndian.Uint64(b[len(t):])), nil
}

// TimelineRange is the range of a token's whole timeline.
func TimelineRange(t ledger.Token) (lo, hi []byte) { return PrefixRange(key(SpaceTimeline, t[:])) }

// ListingKey is the key of a listed thing. The kind is the projection's own
// enumeration.
func ListingKey(kind byte, id string) []byte { return key(SpaceListing, []byte{kind}, []byte(id)) }

// ParseListingKey undoes ListingKey.
func ParseListingKey(k []byte) (kind byte, id string, err error) {
	return parseKindID(SpaceListing, k)
}

func parseKindID(space byte, k []byte) (kind byte, id string, err error) {
	b, err := body(space, k, -1)
	if err != nil {
		return 0, "", err
	}
	return b[0], string(b[1:]), nil
}

// Book names a set of numbers on the shelf.
type Book = [32]byte

// ShelfPageKey is the key of one page of a book; page is number >> 21.
func ShelfPageKey(b Book, page uint64) []byte { return key(SpaceShelfPage, b[:], u64(page)) }

// ParseShelfPageKey undoes ShelfPageKey.
func ParseShelfPageKey(k []byte) (b Book, page uint64, err error) {
	raw, err := body(SpaceShelfPage, k, len(b)+8)
	if err != nil {
		return b, 0, err
	}
	return Book(raw[:len(b)]), binary.BigEndian.Uint64(raw[len(b):]), nil
}

// ShelfPageRange is the range of all pages of a book.
func ShelfPageRange(b Book) (lo, hi []byte) { return PrefixRange(key(SpaceShelfPage, b[:])) }

// ShelfBookKey is the key that says a book is whole.
func ShelfBookKey(b Book) []byte { return key(SpaceShelfBook, b[:]) }

// ParseShelfBookKey undoes ShelfBookKey.
func ParseShelfBookKey(k []byte) (b Book, err error) {
	raw, err := body(SpaceShelfBook, k, len(b))
	copy(b[:], raw)
	return b, err
}

// RecordKey is the key of a number's record in the directory.
func RecordKey(k ledger.Hash) []byte { return key(SpaceRecord, k[:]) }

// ParseRecordKey undoes RecordKey.
func ParseRecordKey(k []byte) (h ledger.Hash, err error) {
	b, err := body(SpaceRecord, k, len(h))
	copy(h[:], b)
	return h, err
}

// BucketKey is the key of the hash of all records whose keys begin with bucket.
func BucketKey(bucket uint16) []byte {
	return key(SpaceBucket, binary.BigEndian.AppendUint16(nil, bucket))
}

// ParseBucketKey undoes BucketKey.
func ParseBucketKey(k []byte) (bucket uint16, err error) {
	b, err := body(SpaceBucket, k, 2)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint16(b), nil
}

// BeforeKey is the key of what came before an entry about the same number.
func BeforeKey(at ledger.Position) []byte { return key(SpaceBefore, u64(uint64(at))) }

// ParseBeforeKey undoes BeforeKey.
func ParseBeforeKey(k []byte) (ledger.Position, error) {
	n, err := number(SpaceBefore, k)
	return ledger.Position(n), err
}

// RegistryMetaKey is the key of what is known of a registry's versions.
func RegistryMetaKey(registry string) []byte { return key(SpaceRegistryMeta, []byte(registry)) }

// ParseRegistryMetaKey undoes RegistryMetaKey.
func ParseRegistryMetaKey(k []byte) (registry string, err error) {
	b, err := body(SpaceRegistryMeta, k, -1)
	return string(b), err
}

// PartyID is the key of a person with several numbers.
type PartyID = [ledger.PartyKeyBytes]byte

// PartyStateKey is the key of the state of a party towards a seller.
func PartyStateKey(p PartyID, seller string) []byte { return key(SpaceParty, p[:], []byte(seller)) }

// PartyNumberKey is the key of a number of a party.
func PartyNumberKey(p PartyID, t ledger.Token) []byte { return key(SpacePartyNumber, p[:], t[:]) }

// ParsePartyNumberKey undoes PartyNumberKey.
func ParsePartyNumberKey(k []byte) (p PartyID, t ledger.Token, err error) {
	b, err := body(SpacePartyNumber, k, len(p)+len(t))
	if err != nil {
		return p, t, err
	}
	return PartyID(b[:len(p)]), ledger.Token(b[len(p):]), nil
}

// PartyNumberRange is the range of all numbers of a party.
func PartyNumberRange(p PartyID) (lo, hi []byte) { return PrefixRange(key(SpacePartyNumber, p[:])) }

// NumberPartyKey is the key of a party of a number.
func NumberPartyKey(t ledger.Token, p PartyID) []byte { return key(SpaceNumberParty, t[:], p[:]) }

// ParseNumberPartyKey undoes NumberPartyKey.
func ParseNumberPartyKey(k []byte) (t ledger.Token, p PartyID, err error) {
	b, err := body(SpaceNumberParty, k, len(t)+len(p))
	if err != nil {
		return t, p, err
	}
	return ledger.Token(b[:len(t)]), PartyID(b[len(t):]), nil
}

// NumberPartyRange is the range of all parties of a number.
func NumberPartyRange(t ledger.Token) (lo, hi []byte) {
	return PrefixRange(key(SpaceNumberParty, t[:]))
}

// PartyFactKey is the key of a fact of a party's state.
func PartyFactKey(p PartyID, at ledger.Position) []byte {
	return key(SpacePartyFact, p[:], u64(uint64(at)))
}

// ParsePartyFactKey undoes PartyFactKey.
func ParsePartyFactKey(k []byte) (p PartyID, at ledger.Position, err error) {
	b, err := body(SpacePartyFact, k, len(p)+8)
	if err != nil {
		return p, 0, err
	}
	return PartyID(b[:len(p)]), ledger.Position(binary.BigEndian.Uint64(b[len(p):])), nil
}

// PartyFactRange is the range of all facts of a party's state.
func PartyFactRange(p PartyID) (lo, hi []byte) { return PrefixRange(key(SpacePartyFact, p[:])) }

// PackKey is the key of a published rule pack.
func PackKey(at ledger.Position) []byte { return key(SpacePack, u64(uint64(at))) }

// ParsePackKey undoes PackKey.
func ParsePackKey(k []byte) (ledger.Position, error) {
	b, err := body(SpacePack, k, 8)
	if err != nil {
		return 0, err
	}
	return ledger.Position(binary.BigEndian.Uint64(b)), nil
}

// Reference names one call of one seller: the first bytes of a keyed hash.
type Reference [16]byte

// AttemptKey is the key of one call to a token in a seller's name, which holds no
// zero byte.
func AttemptKey(t ledger.Token, seller string, r Reference) []byte {
	return key(SpaceAttempt, t[:], []byte(seller), []byte{0}, r[:])
}

// ParseAttemptKey undoes AttemptKey.
func ParseAttemptKey(k []byte) (t ledger.Token, seller string, r Reference, err error) {
	b, err := body(SpaceAttempt, k, -(len(t) + 1 + len(r)))
	if err != nil {
		return t, "", r, err
	}
	id, ref := b[len(t):len(b)-len(r)-1], b[len(b)-len(r)-1:]
	if ref[0] != 0 || bytes.IndexByte(id, 0) >= 0 {
		return t, "", r, fmt.Errorf("space 0x%02x, %d bytes: %w", SpaceAttempt, len(k), ErrBadKey)
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
	b, err := body(SpaceAttemptRef, k, len(r))
	copy(r[:], b)
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

// AnchorKey is the key of the last anchor.
func AnchorKey() []byte { return key(SpaceAnchor) }

// TileKey is the key of one tile of the Merkle tree.
func TileKey(level byte, index uint64) []byte { return key(SpaceTile, []byte{level}, u64(index)) }

// ParseTileKey undoes TileKey.
func ParseTileKey(k []byte) (level byte, index uint64, err error) {
	b, err := body(SpaceTile, k, 9)
	if err != nil {
		return 0, 0, err
	}
	return b[0], binary.BigEndian.Uint64(b[1:]), nil
}

// ChainKey is the key of the end of a person's chain, as the tree read it.
func ChainKey(p ledger.PersonID) []byte { return key(SpaceChain, p[:]) }

// ParseChainKey undoes ChainKey.
func ParseChainKey(k []byte) (p ledger.PersonID, err error) {
	b, err := body(SpaceChain, k, len(p))
	copy(p[:], b)
	return p, err
}

// QuietKey is the key of an entry that no answer hangs on.
func QuietKey(at ledger.Position) []byte { return key(SpaceQuiet, u64(uint64(at))) }

// ParseQuietKey undoes QuietKey.
func ParseQuietKey(k []byte) (ledger.Position, error) {
	n, err := number(SpaceQuiet, k)
	return ledger.Position(n), err
}

// DamageKey is the key of what is wrong with a message.
func DamageKey(seq uint64) []byte { return key(SpaceDamage, u64(seq)) }

// ParseDamageKey undoes DamageKey.
func ParseDamageKey(k []byte) (seq uint64, err error) { return number(SpaceDamage, k) }

// MendedKey is the key of an entry's bytes from a copy.
func MendedKey(at ledger.Position) []byte { return key(SpaceMended, u64(uint64(at))) }

// ParseMendedKey undoes MendedKey.
func ParseMendedKey(k []byte) (ledger.Position, error) {
	n, err := number(SpaceMended, k)
	return ledger.Position(n), err
}

// LossKey is the key of what a stream beside the ledger's has lost from a sequence on.
func LossKey(stream string, seq uint64) []byte { return key(SpaceLoss, u64(seq), []byte(stream)) }

// ParseLossKey undoes LossKey.
func ParseLossKey(k []byte) (stream string, seq uint64, err error) {
	b, err := body(SpaceLoss, k, -8)
	if err != nil {
		return "", 0, err
	}
	return string(b[8:]), binary.BigEndian.Uint64(b), nil
}
