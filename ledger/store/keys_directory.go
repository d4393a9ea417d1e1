package store

import (
	"encoding/binary"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// RecordKey is the key of a number's record in the directory.
func RecordKey(k ledger.Hash) []byte { return key(SpaceRecord, k[:]) }

// ParseRecordKey undoes RecordKey.
func ParseRecordKey(k []byte) (h ledger.Hash, err error) {
	err = readID(h[:], SpaceRecord, k)
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
	return position(SpaceBefore, k)
}
