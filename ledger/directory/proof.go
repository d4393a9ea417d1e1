package directory

import (
	"encoding/binary"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// Proof shows what a tree holds for one key: the hashes beside its path, and what
// stands where the path ends. That is the key's record, nothing, or another key
// that is alone there. A path has one end only, so under one root a key has one
// answer, however the tree was made.
type Proof struct {
	// Siblings are the hashes beside the path, from the root down.
	Siblings []ledger.Hash
	// Found is the key's record; zero if it has none.
	Found Record
	// Other is who stands there instead; nil if nobody does.
	Other *Other
}

// Other is another key and what its record hashes to, which says nothing about it.
type Other struct {
	Key   Key
	Value ledger.Hash
}

// How a path ends: the second byte of a proof.
const (
	endNothing = 0
	endOther   = 1
	endFound   = 2
)

// proofFormat is the first byte of a proof.
const proofFormat = 1

// headBytes are format, end, and the number of siblings.
const headBytes = 4

// Encode gives the proof's one encoding.
func (p Proof) Encode() []byte {
	b := make([]byte, 0, headBytes+32*len(p.Siblings)+64)
	b = append(b, proofFormat, p.end())
	b = binary.BigEndian.AppendUint16(b, uint16(len(p.Siblings)))
	for _, s := range p.Siblings {
		b = append(b, s[:]...)
	}
	switch {
	case p.Other != nil:
		return append(append(b, p.Other.Key[:]...), p.Other.Value[:]...)
	case p.Found.Count > 0:
		return p.Found.Append(b)
	}
	return b
}

func (p Proof) end() byte {
	switch {
	case p.Other != nil:
		return endOther
	case p.Found.Count > 0:
		return endFound
	}
	return endNothing
}

// DecodeProof reads a proof; any bytes that Encode does not give are refused.
func DecodeProof(b []byte) (p Proof, err error) {
	if len(b) < headBytes || b[0] != proofFormat {
		return p, form("no proof of format %d", proofFormat)
	}
	end, n, rest := b[1], int(binary.BigEndian.Uint16(b[2:])), b[headBytes:]
	if n > depthMax || len(rest) < n*32 {
		return p, form("a proof of %d hashes in %d bytes", n, len(b))
	}
	for ; n > 0; n-- {
		p.Siblings, rest = append(p.Siblings, ledger.Hash(rest[:32])), rest[32:]
	}
	switch {
	case end == endNothing && len(rest) == 0:
	case end == endOther && len(rest) == 64:
		p.Other = &Other{Key(rest[:32]), ledger.Hash(rest[32:])}
	case end == endFound && len(rest) == recordBytes:
		if p.Found, err = DecodeRecord(rest); err == nil && (p.Found.Count == 0 || uint64(p.Found.Last) < p.Found.Count) {
			err = form("a record of %d entries up to position %d", p.Found.Count, p.Found.Last)
		}
	default:
		return p, form("a proof that ends in way %d with %d bytes", end, len(rest))
	}
	return p, err
}

// Check gives the record that a tree of this root holds for the key: the zero
// record if it holds none. ErrRefuted if the proof does not lead to the root.
func (p Proof) Check(root ledger.Hash, k Key) (Record, error) {
	depth := len(p.Siblings)
	if depth > depthMax {
		return Record{}, form("a path of %d hashes", depth)
	}
	var h ledger.Hash
	switch {
	case p.Other != nil:
		if p.Other.Key == k || !p.Other.Key.shares(k, depth) {
			return Record{}, refuted("the key shown cannot stand where the number's path ends")
		}
		h = leafHash(p.Other.Key, p.Other.Value)
	case p.Found.Count > 0:
		h = Leaf(k, p.Found).Hash
	}
	for depth--; depth >= 0; depth-- {
		if k.bit(depth) == 0 {
			h = nodeHash(h, p.Siblings[depth])
		} else {
			h = nodeHash(p.Siblings[depth], h)
		}
	}
	if h != root {
		return Record{}, refuted("the proof does not lead to the directory's root")
	}
	return p.Found, nil
}
