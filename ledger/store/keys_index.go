package store

import "github.com/consent-ledger/consent-ledger/ledger"

// IdempotencyBytes is how much of an idempotency hash is its key: 2^-128 is no
// chance, and the rest would only cost room.
const IdempotencyBytes = 16

// IdempotencyKey is the key of what an idempotency hash stands for.
func IdempotencyKey(h [IdempotencyBytes]byte) []byte { return key(SpaceIdempotency, h[:]) }

// ParseIdempotencyKey undoes IdempotencyKey.
func ParseIdempotencyKey(k []byte) (h [IdempotencyBytes]byte, err error) {
	err = readID(h[:], SpaceIdempotency, k)
	return h, err
}

// TokenKey is the key of the persons who held a number.
func TokenKey(t ledger.Token) []byte { return key(SpaceToken, t[:]) }

// ParseTokenKey undoes TokenKey.
func ParseTokenKey(k []byte) (t ledger.Token, err error) {
	err = readID(t[:], SpaceToken, k)
	return t, err
}

// PersonKey is the key of a person's head and wrapped keys.
func PersonKey(p ledger.PersonID) []byte { return key(SpacePerson, p[:]) }

// ParsePersonKey undoes PersonKey.
func ParsePersonKey(k []byte) (p ledger.PersonID, err error) {
	err = readID(p[:], SpacePerson, k)
	return p, err
}

// ErasedKey is the key of an erased person.
func ErasedKey(p ledger.PersonID) []byte { return key(SpaceErased, p[:]) }

// ParseErasedKey undoes ErasedKey.
func ParseErasedKey(k []byte) (p ledger.PersonID, err error) {
	err = readID(p[:], SpaceErased, k)
	return p, err
}

// CommitKey is the key of the commit whose first entry is at first.
func CommitKey(first ledger.Position) []byte { return key(SpaceCommit, u64(uint64(first))) }

// ParseCommitKey undoes CommitKey.
func ParseCommitKey(k []byte) (first ledger.Position, err error) {
	return position(SpaceCommit, k)
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
	return kindAndID(SpaceCatalog, k)
}
