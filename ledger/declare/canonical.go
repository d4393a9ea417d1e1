package declare

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// canonicalForm is the version byte of the form below. Later versions only add
// fields, so that a fact declared today has the same bytes for ever.
const canonicalForm = 1

// Canonical gives canonical form 1 of a declared fact: the version byte, then
// each declared non-default field in ascending number as u32 number, u32 length
// and bytes. Lists are sorted and deduplicated, times are UTC nanoseconds as
// int64, messages recurse. The caller has put the number into E.164 and cleared
// what only the writer sets. Protobuf's own "deterministic" bytes are not
// canonical across versions, hence this. All integers are big-endian. Nil for a
// fact that holds text that is not UTF-8.
func Canonical(f *consentv1.Fact) []byte {
	s := newSurvey()
	defer s.free()
	if err := s.of(f); err != nil {
		return nil
	}
	return bytes.Clone(s.canonical)
}

// survey looks at every field of a fact once: it makes the canonical form and
// notes what has to be looked at again with more care. It reads the fact's wire
// bytes, whose encoding is generated code; walking the fact by reflection three
// times was a seventh of an import.
type survey struct {
	wire      []byte
	canonical []byte
	// strange: there are fields this version does not know.
	strange bool
	// doubtful: a text may be one that checkStrings takes exception to.
	doubtful bool
	elems    [][]byte // of the list at hand; reused
}

var surveys = sync.Pool{New: func() any { return &survey{} }}

func newSurvey() *survey { return surveys.Get().(*survey) }

// surveyBytesMax is what a survey keeps for the next fact: one huge fact must not
// stay in memory for ever.
const surveyBytesMax = 1 << 16

func (s *survey) free() {
	if cap(s.wire)+cap(s.canonical) <= surveyBytesMax {
		clear(s.elems)
		surveys.Put(s)
	}
}

// of surveys a fact. The error is an *ledger.InvalidError: it cannot be stored.
func (s *survey) of(f *consentv1.Fact) (err error) {
	s.strange, s.doubtful = false, false
	if s.wire, err = (proto.MarshalOptions{}).MarshalAppend(s.wire[:0], f); err != nil {
		return &ledger.InvalidError{Field: "fact", Problem: "holds text that is not UTF-8", Fix: "write texts in UTF-8", Inbox: ledger.IsStop(f)}
	}
	s.canonical = s.message(append(s.canonical[:0], canonicalForm), factShape(), s.wire)
	return nil
}

// seen is one field as it stands in the wire bytes.
type seen struct {
	is    *fieldShape
	n     uint64 // of a varint
	value []byte // of anything with a length
}

// fieldsSeen is how many fields of one message are read without an allocation.
const fieldsSeen = 16

// message appends the canonical form of a message.
func (s *survey) message(b []byte, m *shape, wire []byte) []byte {
	var room [fieldsSeen]seen
	fields := s.read(room[:0], m, wire)
	for i := 0; i < len(fields); {
		f := fields[i].is
		end := i + 1
		for end < len(fields) && fields[end].is == f {
			end++
		}
		if end > i+1 && !f.list {
			s.strange = true // twice what there can be once: it stands among the unknown
		}
		b = binary.BigEndian.AppendUint32(b, f.number)
		at := len(b)
		b = append(b, 0, 0, 0, 0)
		if f.list {
			b = s.list(b, fields[i:end])
		} else {
			s.text(f, fields[i].value)
			b = s.scalar(b, fields[i])
		}
		binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at-4))
		i = end
	}
	return b
}

// read gives the fields of a message in ascending order.
func (s *survey) read(fields []seen, m *shape, wire []byte) []seen {
	inOrder := true
	for len(wire) > 0 {
		number, typ, n := protowire.ConsumeTag(wire)
		if n < 0 {
			panic(fmt.Errorf("declare: own wire bytes cannot be read: %w", protowire.ParseError(n)))
		}
		size := protowire.ConsumeFieldValue(number, typ, wire[n:])
		if size < 0 {
			panic(fmt.Errorf("declare: own wire bytes cannot be read: %w", protowire.ParseError(size)))
		}
		value := wire[n : n+size]
		wire = wire[n+size:]
		f := m.field(number)
		switch {
		case f == nil, typ == protowire.VarintType && f.sized(), typ == protowire.BytesType && !f.sized() && !f.list,
			typ != protowire.VarintType && typ != protowire.BytesType:
			s.strange = true
			continue
		case typ == protowire.VarintType:
			v, _ := protowire.ConsumeVarint(value)
			fields = append(fields, seen{is: f, n: v})
		default:
			v, _ := protowire.ConsumeBytes(value)
			fields = append(fields, seen{is: f, value: v})
		}
		if k := len(fields); k > 1 && fields[k-2].is.number > f.number {
			inOrder = false
		}
	}
	if !inOrder {
		slices.SortStableFunc(fields, func(a, b seen) int { return int(a.is.number) - int(b.is.number) })
	}
	return fields
}

// list appends each element with its length, sorted, without duplicates.
func (s *survey) list(b []byte, fields []seen) []byte {
	if len(fields) == 1 && fields[0].is.sized() {
		return s.element(b, fields[0]) // nothing to sort
	}
	from := len(b)
	for _, f := range fields {
		if f.is.sized() || f.value == nil {
			b = s.element(b, f)
			continue
		}
		for packed := f.value; len(packed) > 0; {
			v, n := protowire.ConsumeVarint(packed)
			if n < 0 {
				panic(fmt.Errorf("declare: own wire bytes cannot be read: %w", protowire.ParseError(n)))
			}
			b, packed = s.element(b, seen{is: f.is, n: v}), packed[n:]
		}
	}
	return s.sort(b, from)
}

// element appends one element behind its length.
func (s *survey) element(b []byte, f seen) []byte {
	at := len(b)
	b = s.scalar(append(b, 0, 0, 0, 0), f)
	binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at-4))
	return b
}

// sort puts the elements of b[from:] in order, each once.
func (s *survey) sort(b []byte, from int) []byte {
	s.elems = s.elems[:0]
	inOrder := true
	for rest := b[from:]; len(rest) > 0; {
		n := 4 + int(binary.BigEndian.Uint32(rest))
		s.elems = append(s.elems, rest[4:n])
		rest = rest[n:]
		if k := len(s.elems); k > 1 && bytes.Compare(s.elems[k-2], s.elems[k-1]) >= 0 {
			inOrder = false
		}
	}
	if inOrder {
		return b
	}
	own := bytes.Clone(b[from:]) // the elements lie where the result goes
	for i, at := 0, 0; i < len(s.elems); i++ {
		n := len(s.elems[i])
		s.elems[i] = own[at+4 : at+4+n]
		at += 4 + n
	}
	slices.SortFunc(s.elems, bytes.Compare)
	b = b[:from]
	for _, e := range slices.CompactFunc(s.elems, bytes.Equal) {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(e))), e...)
	}
	return b
}

// scalar appends one value without its length.
func (s *survey) scalar(b []byte, f seen) []byte {
	switch f.is.form {
	case formBytes:
		return append(b, f.value...)
	case formBool:
		return append(b, byte(f.n))
	case formEnum:
		return binary.BigEndian.AppendUint32(b, uint32(f.n))
	case formTime:
		return appendTime(b, f.value)
	case formMessage:
		return s.message(b, f.is.message, f.value)
	default:
		return binary.BigEndian.AppendUint64(b, f.n)
	}
}

// appendTime appends a google.protobuf.Timestamp as nanoseconds.
func appendTime(b, wire []byte) []byte {
	var sec, nanos int64
	for len(wire) > 0 {
		number, typ, n := protowire.ConsumeTag(wire)
		size := protowire.ConsumeFieldValue(number, typ, wire[max(n, 0):])
		if n < 0 || size < 0 {
			panic("declare: own wire bytes of a time cannot be read")
		}
		if v, ok := protowire.ConsumeVarint(wire[n:]); ok > 0 && typ == protowire.VarintType {
			switch number {
			case 1:
				sec = int64(v)
			case 2:
				nanos = int64(int32(v))
			}
		}
		wire = wire[n+size:]
	}
	return binary.BigEndian.AppendUint64(b, uint64(sec*1e9+nanos))
}

// text notes a string that checkStrings may take exception to.
func (s *survey) text(f *fieldShape, v []byte) {
	switch {
	case !f.text:
	case f.clear:
		s.doubtful = s.doubtful || len(v) > clearStringBytesMax || numberLike(v)
	default:
		s.doubtful = s.doubtful || len(v) > PersonalFieldBytesMax
	}
}
