package proof

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// SmallTree is a Merkle tree (RFC 9162 section 2.1) in memory, for the leaves of a
// commit or of some messages; the maths is tlog's. The zero SmallTree has no leaf. It
// may be read by many goroutines once nobody adds to it.
type SmallTree struct {
	size   int64
	hashes []tlog.Hash
}

// Size is how many leaves it has.
func (t *SmallTree) Size() int { return int(t.size) }

// Add appends a leaf.
func (t *SmallTree) Add(leaf ledger.Hash) error {
	hashes, err := tlog.StoredHashesForRecordHash(t.size, tlog.Hash(leaf), tlog.HashReaderFunc(t.read))
	if err != nil {
		return fmt.Errorf("proof: %w", err)
	}
	t.hashes, t.size = append(t.hashes, hashes...), t.size+1
	return nil
}

// Root is the hash over all leaves.
func (t *SmallTree) Root() (tlog.Hash, error) {
	h, err := tlog.TreeHash(t.size, tlog.HashReaderFunc(t.read))
	if err != nil {
		return h, fmt.Errorf("proof: %w", err)
	}
	return h, nil
}

// prove gives a leaf and its path.
func (t *SmallTree) prove(i int) (ledger.Hash, tlog.RecordProof, error) {
	path, err := tlog.ProveRecord(t.size, int64(i), tlog.HashReaderFunc(t.read))
	if err != nil {
		return ledger.Hash{}, nil, fmt.Errorf("proof: %w", err)
	}
	return ledger.Hash(t.hashes[tlog.StoredHashIndex(0, int64(i))]), path, nil
}

func (t *SmallTree) read(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		if at < 0 || at >= int64(len(t.hashes)) {
			return nil, fmt.Errorf("proof: no hash %d in a tree of %d leaves", at, t.size)
		}
		out[i] = t.hashes[at]
	}
	return out, nil
}
