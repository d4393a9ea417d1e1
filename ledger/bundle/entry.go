package bundle

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// Field numbers of Entry, SealedPart and Fact that proofs speak of.
const (
	fieldPosition = 1
	fieldRecorded = 2
	fieldPerson   = 6
	fieldSeq      = 7
	fieldPrev     = 8
	fieldFact     = 9
	fieldPersonal = 10

	fieldClass      = 1
	fieldField      = 2
	fieldCommitment = 4

	fieldSellers = 2

	fieldWording       = 51
	fieldWordingID     = 1
	fieldWordingSHA256 = 4

	fieldPack       = 52
	fieldPackSHA256 = 5
	fieldErased     = 61
	fieldDirectory  = 75
)

// head is what proofs speak of in an entry. It is read by hand, because protobuf
// takes the last of a field that is there twice and another reader might take the
// first: here that is refused.
type head struct {
	position ledger.Position
	recorded [2]uint64 // seconds since 1970 and nanoseconds
	person   []byte
	seq      uint64
	prev     []byte
	fact     []byte
	parts    []part
	raw      []byte
}

// part is a sealed part without what is sealed.
type part struct {
	class      uint64
	field      string
	commitment []byte
}

func readEntry(raw []byte) (h head, err error) {
	h.raw = raw
	once := func(n protowire.Number) bool { return n != fieldPersonal }
	err = eachField(raw, once, func(n protowire.Number, v uint64, b []byte) error {
		switch n {
		case fieldPosition:
			h.position = ledger.Position(v)
		case fieldRecorded:
			h.recorded, err = readInstant(b)
			return err
		case fieldPerson:
			h.person = b
		case fieldSeq:
			h.seq = v
		case fieldPrev:
			h.prev = b
		case fieldFact:
			h.fact = b
		case fieldPersonal:
			p, err := readPart(b)
			h.parts = append(h.parts, p)
			return err
		}
		return nil
	})
	return h, err
}

func readInstant(raw []byte) (at [2]uint64, err error) {
	once := func(protowire.Number) bool { return true }
	err = eachField(raw, once, func(n protowire.Number, v uint64, _ []byte) error {
		if n == 1 || n == 2 {
			at[n-1] = v
		}
		return nil
	})
	return at, err
}

func readPart(raw []byte) (p part, err error) {
	once := func(protowire.Number) bool { return true }
	err = eachField(raw, once, func(n protowire.Number, v uint64, b []byte) error {
		switch n {
		case fieldClass:
			p.class = v
		case fieldField:
			p.field = string(b)
		case fieldCommitment:
			p.commitment = b
		}
		return nil
	})
	return p, err
}

// only gives the one embedded message or bytes of a number in a message; nil if it
// is not there.
func only(raw []byte, want protowire.Number) (found []byte, err error) {
	once := func(n protowire.Number) bool { return n == want }
	err = eachField(raw, once, func(n protowire.Number, _ uint64, b []byte) error {
		if n == want {
			found = nonNil(b)
		}
		return nil
	})
	return found, err
}

// eachField visits the fields of a message: v is that of numbers, b that of bytes.
// once names those that may be there only once.
func eachField(raw []byte, once func(protowire.Number) bool, visit func(n protowire.Number, v uint64, b []byte) error) error {
	seen := map[protowire.Number]bool{}
	for len(raw) > 0 {
		n, kind, used := protowire.ConsumeTag(raw)
		if used < 0 {
			return form("an entry that is no protobuf")
		}
		raw = raw[used:]
		var v uint64
		var b []byte
		switch kind {
		case protowire.VarintType:
			v, used = protowire.ConsumeVarint(raw)
		case protowire.BytesType:
			b, used = protowire.ConsumeBytes(raw)
		case protowire.Fixed32Type:
			_, used = protowire.ConsumeFixed32(raw)
		case protowire.Fixed64Type:
			_, used = protowire.ConsumeFixed64(raw)
		default:
			used = -1
		}
		if used < 0 || seen[n] && once(n) {
			return form("an entry with a field cut off, twice, or of an unknown form")
		}
		seen[n], raw = true, raw[used:]
		if err := visit(n, v, b); err != nil {
			return err
		}
	}
	return nil
}
