package directory

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/consent-ledger/consent-ledger/ledger"
)

const (
	bucketLabel = "consent.v1/directory-bucket"

	tagToken     = 0x06
	tagTokenNode = 0x07

	// tokenDepth is how many hashes lead from a token to the token key: there are
	// 65,536 tokens.
	tokenDepth = 16
	// tokensKept is how many nodes half way up are kept; what lies below one is made
	// again for a path.
	tokensKept = 1 << (tokenDepth / 2)
)

// BucketOf is which of the tokens is a number's. Anybody can tell; no operator can
// choose.
func BucketOf(number string) uint16 {
	h := sha256.Sum256(append([]byte(bucketLabel), number...))
	return binary.BigEndian.Uint16(h[:])
}

// Tokens is the tree over all directory tokens of a ledger. Its root is the token key:
// it fixes every token beforehand, and a path shows one of them without the others. So
// a number has one token, and with it one key, that anybody can check.
//
// Refused: a token for each number, of which only an expert with the secret can tell
// that it is the one (any made-up token proves a number absent); a verifiable random
// function (elliptic curves by hand, 0.1 ms a number); places by the number alone (who
// reads the disk could try all numbers against them). The price: who is shown a number
// can make the keys of all numbers of its bucket, one in 65,536 of all.
type Tokens struct {
	of   func(bucket uint16) ledger.DirectoryToken
	half []ledger.Hash // nodes half way up, from left to right
}

// NewTokens makes the tree: of gives the token of a bucket, the same for ever.
func NewTokens(of func(bucket uint16) ledger.DirectoryToken) *Tokens {
	t := &Tokens{of: of, half: make([]ledger.Hash, tokensKept)}
	for i := range t.half {
		t.half[i] = rise(t.leaves(i), nil, 0)
	}
	return t
}

// leaves are those below a node half way up.
func (t *Tokens) leaves(node int) []ledger.Hash {
	out := make([]ledger.Hash, tokensKept)
	for i := range out {
		out[i] = tokenHash(t.of(uint16(node*tokensKept + i)))
	}
	return out
}

// rise gives the node over a power of two of hashes; what stands beside the way from
// the one at an index goes into path, from below, if that is not nil.
func rise(level []ledger.Hash, path *[]ledger.Hash, at int) ledger.Hash {
	for len(level) > 1 {
		if path != nil {
			*path = append(*path, level[at^1])
		}
		above := make([]ledger.Hash, len(level)/2)
		for i := range above {
			above[i] = tokenNode(level[2*i], level[2*i+1])
		}
		level, at = above, at/2
	}
	return level[0]
}

// Key is the token key: the root.
func (t *Tokens) Key() ledger.Hash { return rise(t.half, nil, 0) }

// Path leads from a number's token to the token key: the hashes beside the way, from
// below.
func (t *Tokens) Path(number string) []ledger.Hash {
	b := int(BucketOf(number))
	path := make([]ledger.Hash, 0, tokenDepth)
	rise(t.leaves(b/tokensKept), &path, b%tokensKept)
	rise(t.half, &path, b/tokensKept)
	return path
}

// checkToken tells whether a token is the one that the token key fixes for a number.
func checkToken(key ledger.Hash, number string, t ledger.DirectoryToken, path []ledger.Hash) error {
	if len(path) != tokenDepth {
		return form("a path of %d hashes from a token, and not %d", len(path), tokenDepth)
	}
	h, at := tokenHash(t), BucketOf(number)
	for _, beside := range path {
		if at&1 == 0 {
			h = tokenNode(h, beside)
		} else {
			h = tokenNode(beside, h)
		}
		at >>= 1
	}
	if h != key {
		return refuted("the token is not the number's: it does not lead to the token key")
	}
	return nil
}

func tokenHash(t ledger.DirectoryToken) ledger.Hash {
	var b [1 + len(t)]byte
	b[0] = tagToken
	copy(b[1:], t[:])
	return sha256.Sum256(b[:])
}

func tokenNode(l, r ledger.Hash) ledger.Hash {
	var b [1 + 2*len(l)]byte
	b[0] = tagTokenNode
	copy(b[1:], l[:])
	copy(b[1+len(l):], r[:])
	return sha256.Sum256(b[:])
}
