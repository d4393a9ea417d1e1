package directory

import (
	"crypto/sha256"
	"sort"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// depthMax is how many bits a key has.
const depthMax = 8 * sha256.Size

// Subtree is a part of the tree: all keys with some first bits. A subtree without
// a key is 32 zero bytes; one with a single key is that key's leaf, however high it
// stands; any other is a node of two. So each set of records has one root, and
// the path of a key ends at one place.
type Subtree struct {
	Hash ledger.Hash
	Keys uint64
}

// Leaf is the subtree of one key.
func Leaf(k Key, r Record) Subtree { return Subtree{leafHash(k, r.value()), 1} }

func leafHash(k Key, value ledger.Hash) ledger.Hash {
	var b [1 + 32 + 32]byte
	b[0] = tagLeaf
	copy(b[1:], k[:])
	copy(b[33:], value[:])
	return sha256.Sum256(b[:])
}

func nodeHash(left, right ledger.Hash) ledger.Hash {
	var b [1 + 32 + 32]byte
	b[0] = tagNode
	copy(b[1:], left[:])
	copy(b[33:], right[:])
	return sha256.Sum256(b[:])
}

// Join makes a subtree of its two halves.
func Join(left, right Subtree) Subtree {
	switch {
	case left.Keys+right.Keys > 1:
		return Subtree{nodeHash(left.Hash, right.Hash), left.Keys + right.Keys}
	case left.Keys == 1:
		return left
	}
	return right
}

// Placed is a record in its place.
type Placed struct {
	Key    Key
	Record Record
}

// Build makes the subtree of records that are sorted by key, without two of one
// key, and have the first depth bits in common.
func Build(rs []Placed, depth int) Subtree {
	switch len(rs) {
	case 0:
		return Subtree{}
	case 1:
		return Leaf(rs[0].Key, rs[0].Record)
	}
	at := split(rs, depth)
	return Join(Build(rs[:at], depth+1), Build(rs[at:], depth+1))
}

// split finds the first record on the right side.
func split(rs []Placed, depth int) int {
	return sort.Search(len(rs), func(i int) bool { return rs[i].Key.bit(depth) == 1 })
}

// Path adds to p the way from a subtree down to where the key's path ends. rs are
// the subtree's records as for Build.
func (p *Proof) Path(k Key, rs []Placed, depth int) {
	for ; len(rs) > 1; depth++ {
		at := split(rs, depth)
		left, right := rs[:at], rs[at:]
		if k.bit(depth) == 1 {
			left, right = right, left
		}
		p.Siblings = append(p.Siblings, Build(right, depth+1).Hash)
		rs = left
	}
	if len(rs) == 1 {
		p.endAt(k, rs[0])
	}
}

// endAt says who is alone where the key's path ends.
func (p *Proof) endAt(k Key, r Placed) {
	if r.Key == k {
		p.Found = r.Record
		return
	}
	p.Other = &Other{r.Key, r.Record.value()}
}
