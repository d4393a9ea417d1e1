package tree

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// edge is the right edge of a tree: the last complete subtree of each level. It is
// all that the next leaf and the root need. The zero edge is the empty tree.
type edge struct {
	size  int64
	nodes [64]node
	one   [1]tlog.Hash
}

// node is the root of a complete subtree.
type node struct {
	index int64 // tlog's storage index
	hash  tlog.Hash
}

// add adds a leaf and gives the hashes it completes: hashes[i] is of level i. They
// are valid until the next call.
func (e *edge) add(h ledger.Hash) ([]tlog.Hash, error) {
	if e.size%2 == 0 { // every other leaf completes nothing but itself
		e.one[0] = tlog.Hash(h)
		e.nodes[0] = node{tlog.StoredHashIndex(0, e.size), e.one[0]}
		e.size++
		return e.one[:], nil
	}
	hashes, err := tlog.StoredHashesForRecordHash(e.size, tlog.Hash(h), tlog.HashReaderFunc(e.left))
	if err != nil {
		return nil, fmt.Errorf("tree: %w", err)
	}
	for level, h := range hashes {
		e.nodes[level] = node{tlog.StoredHashIndex(level, e.size>>level), h}
	}
	e.size++
	return hashes, nil
}

// left gives the left neighbours of a new leaf's subtrees, highest level first.
func (e *edge) left(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		n := e.nodes[len(indexes)-1-i]
		if n.index != at {
			return nil, fmt.Errorf("hash %d is not at the edge of a tree of %d leaves", at, e.size)
		}
		out[i] = n.hash
	}
	return out, nil
}

// root is the tree's.
func (e *edge) root() (tlog.Hash, error) { return tlog.TreeHash(e.size, tlog.HashReaderFunc(e.any)) }

// any gives nodes of the edge by their index.
func (e *edge) any(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		level, _ := tlog.SplitStoredHashIndex(at)
		if e.nodes[level].index != at {
			return nil, fmt.Errorf("hash %d is not at the edge of a tree of %d leaves", at, e.size)
		}
		out[i] = e.nodes[level].hash
	}
	return out, nil
}

// load begins with the first size leaves of a stored tree.
func (e *edge) load(size int64, r tlog.HashReader) error {
	*e = edge{size: size}
	for level := range e.nodes {
		n := size >> level
		if n&1 == 0 {
			continue
		}
		at := tlog.StoredHashIndex(level, n-1)
		h, err := r.ReadHashes([]int64{at})
		if err != nil {
			return err
		}
		e.nodes[level] = node{at, h[0]}
	}
	return nil
}
