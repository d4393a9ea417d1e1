// Package directory makes it impossible to leave out an event of a number
// unnoticed: every number has one place in a tree, its whole history hangs on that
// place, and the tree's root is a fact of the ledger.
//
// This package is the maths and the formats: no database, no clock, no secret. What
// it proves and what not, and every byte of it, is in
// docs/reference/completeness.md. Package keeper beside it keeps the tree of a
// running ledger. directory.go is a number's key and record, tokens.go what makes the
// key the number's only one, tree.go the root,
// proof.go what shows a number's record under a root, statement.go the fact with
// the root, and verify.go everything together.
package directory

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// Format is the construction described in docs/reference/completeness.md. Another
// one gets another number, and old roots stay readable.
const Format = 1

// Labels and first bytes of what is hashed. They are for ever. Leaves and nodes of
// the tree over entries begin with 0x00 and 0x01.
const (
	keyLabel = "consent.v1/directory"

	tagLeaf    = 0x02
	tagNode    = 0x03
	tagHistory = 0x04
	tagRecord  = 0x05
)

var (
	// ErrForm: the bytes are not in the one form they must have. Nothing was checked.
	ErrForm = errors.New("directory: not in the form that docs/reference/completeness.md describes")

	// ErrRefuted: the form is right, and what is said is not so.
	ErrRefuted = errors.New("directory: refuted")
)

func form(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrForm, fmt.Sprintf(format, args...))
}

func refuted(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrRefuted, fmt.Sprintf(format, args...))
}

// Key is a number's place: the bits of the path from the root, highest first.
type Key [sha256.Size]byte

// KeyOf gives the key of a number in E.164 with its plus. It binds: no other number
// has this key. And it hides: without the token nobody can try numbers against it.
func KeyOf(number string, t ledger.DirectoryToken) Key {
	var buf [len(keyLabel) + len(t) + 16]byte
	b := append(append(append(buf[:0], keyLabel...), t[:]...), number...)
	return sha256.Sum256(b)
}

// bit is the bit of a key by which a subtree at a depth is split.
func (k Key) bit(depth int) byte { return k[depth/8] >> (7 - depth%8) & 1 }

// Compare orders keys as they lie in the tree, from left to right.
func (k Key) Compare(o Key) int { return bytes.Compare(k[:], o[:]) }

// shares tells whether two keys have the first n bits in common.
func (k Key) shares(o Key, n int) bool {
	whole := n / 8
	return bytes.Equal(k[:whole], o[:whole]) && (n%8 == 0 || (k[whole]^o[whole])>>(8-n%8) == 0)
}

// Record is everything about a number: how many entries, and a hash over all of
// them in order. The zero record is a number that was never heard of.
type Record struct {
	Count uint64          // entries
	Last  ledger.Position // of the newest
	Head  ledger.Hash     // SHA-256 over the head before it, its position and its leaf
}

// Event is one entry about a number, as far as completeness goes.
type Event struct {
	Position ledger.Position
	Leaf     ledger.Hash
}

// Add is the record with one more entry, which must come after all before it.
func (r Record) Add(e Event) Record {
	var b [1 + 32 + 8 + 32]byte
	b[0] = tagHistory
	copy(b[1:], r.Head[:])
	binary.BigEndian.PutUint64(b[33:], uint64(e.Position))
	copy(b[41:], e.Leaf[:])
	return Record{Count: r.Count + 1, Last: e.Position, Head: sha256.Sum256(b[:])}
}

// recordBytes is the size of a record's encoding: count, last position, head.
const recordBytes = 8 + 8 + 32

// Append adds the record's encoding to b.
func (r Record) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, r.Count)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Last))
	return append(b, r.Head[:]...)
}

// DecodeRecord undoes Append.
func DecodeRecord(b []byte) (r Record, err error) {
	if len(b) != recordBytes {
		return r, form("a record of %d bytes", len(b))
	}
	r.Count, r.Last = binary.BigEndian.Uint64(b), ledger.Position(binary.BigEndian.Uint64(b[8:]))
	r.Head = ledger.Hash(b[16:])
	return r, nil
}

// value hides a record from whoever is shown it only because another number is not
// there: the head is as good as random.
func (r Record) value() ledger.Hash {
	var buf [1 + recordBytes]byte
	return sha256.Sum256(r.Append(append(buf[:0], tagRecord)))
}
