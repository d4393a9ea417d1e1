package runner

import (
	"encoding/binary"
	"errors"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// metaBytes is the size of a stored meta record.
const metaBytes = 4 + 8 + len(ledger.Hash{})

// errBadMeta: the record is damaged; the projection is folded anew.
var errBadMeta = errors.New("no meta record of a projection")

// meta says how far a projection in the store is; it commits with the state it
// speaks about. Stored as version (4), position (8), leaf (32).
type meta struct {
	version uint32
	applied ledger.Position
	// leaf is the leaf hash of the entry at applied: it tells whether the ledger
	// read today is the one this state was folded from.
	leaf ledger.Hash
}

func (m meta) encode() []byte {
	b := make([]byte, 0, metaBytes)
	b = binary.BigEndian.AppendUint32(b, m.version)
	b = binary.BigEndian.AppendUint64(b, uint64(m.applied))
	return append(b, m.leaf[:]...)
}

func decodeMeta(b []byte) (meta, error) {
	if len(b) != metaBytes {
		return meta{}, errBadMeta
	}
	return meta{
		version: binary.BigEndian.Uint32(b),
		applied: ledger.Position(binary.BigEndian.Uint64(b[4:])),
		leaf:    ledger.Hash(b[12:]),
	}, nil
}
