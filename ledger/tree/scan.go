package tree

import (
	"bytes"
	"encoding/hex"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Field numbers of consent.v1.Commit and consent.v1.Entry that the tree reads.
const (
	commitFirst   = 1
	commitEntries = 2

	entryPosition   = 1
	entryRecordedAt = 2
	entryID         = 3
	entryPerson     = 6
	entryPersonSeq  = 7
	entryPersonPrev = 8
	entryFact       = 9

	timeSeconds = 1
	timeNanos   = 2
)

// Fault is one thing in the stream that cannot be: it names the message, and as far
// as they can be read the position and the person. It unwraps to ledger.ErrDamaged.
type Fault struct {
	Seq      uint64
	Position ledger.Position // 0: unknown
	// Person is whose chain it concerns; zero: unknown, or nobody's.
	Person  ledger.PersonID
	Problem string
}

func (f *Fault) Error() string {
	s := fmt.Sprintf("%s: message %d", ledger.ErrDamaged, f.Seq)
	if f.Position > 0 {
		s += fmt.Sprintf(", position %d", f.Position)
	}
	if !f.Person.IsZero() {
		s += ", person " + hex.EncodeToString(f.Person[:])
	}
	return s + ": " + f.Problem
}

// Unwrap makes errors.Is(err, ledger.ErrDamaged) true.
func (f *Fault) Unwrap() error { return ledger.ErrDamaged }

// leaf is what the tree takes of one entry. Its slices lie in the message.
type leaf struct {
	hash     ledger.Hash
	position ledger.Position
	seconds  int64
	nanos    int32
	person   []byte
	seq      uint64
	prev     []byte
	// quiet: no answer about anybody hangs on it.
	quiet bool
}

// quietKinds are the fields of a Fact whose kind changes no answer: who started,
// what was committed to, what was given out.
var quietKinds = func() map[protowire.Number]bool {
	out := map[protowire.Number]bool{}
	kinds := (&consentv1.Fact{}).ProtoReflect().Descriptor().Oneofs().ByName("kind").Fields()
	for _, name := range []protoreflect.Name{"writer_started", "directory_committed", "attempts_anchored", "export_produced"} {
		out[kinds.ByName(name).Number()] = true
	}
	return out
}()

// quietFact tells whether a fact has a quiet kind. What cannot be read is not quiet.
func quietFact(raw []byte) (quiet bool) {
	loud := false
	for len(raw) > 0 {
		n, kind, size := protowire.ConsumeTag(raw)
		if size < 0 {
			return false
		}
		value := protowire.ConsumeFieldValue(n, kind, raw[size:])
		if value < 0 {
			return false
		}
		raw = raw[size+value:]
		quiet, loud = quiet || quietKinds[n], loud || (n >= firstKind && !quietKinds[n])
	}
	return quiet && !loud
}

// firstKind is the lowest field of a Fact that is a kind.
const firstKind = 20

// scan reads a commit without decoding what the tree has no use for, an eighth of
// the work. Its demands are stricter than protobuf's: no field it reads may come
// twice, so that nobody else can read another value from the same bytes.
func scan(m ledger.Message, out []leaf) ([]leaf, error) {
	first, seen := uint64(0), false
	err := fields(m.Data, func(n protowire.Number, v uint64, b []byte) error {
		switch n {
		case commitFirst:
			if seen || len(out) > 0 {
				return fmt.Errorf("its first position stands twice, or behind an entry")
			}
			first, seen = v, true
		case commitEntries:
			l, err := scanEntry(b)
			if err != nil {
				return fmt.Errorf("entry %d: %w", len(out), err)
			}
			if want := ledger.Position(first) + ledger.Position(len(out)); l.position != want {
				return fmt.Errorf("entry %d is position %d where %d is due", len(out), l.position, want)
			}
			out = append(out, l)
		default:
			return fmt.Errorf("field %d", n)
		}
		return nil
	})
	if err == nil && (first == 0 || len(out) == 0) {
		err = fmt.Errorf("no entry")
	}
	if err != nil {
		return nil, &Fault{Seq: m.Seq, Position: ledger.Position(first), Problem: "no commit: " + err.Error()}
	}
	return out, nil
}

func scanEntry(raw []byte) (l leaf, err error) {
	if len(raw) > ledger.EntryBytesMax {
		return l, fmt.Errorf("%d bytes, at most %d are possible", len(raw), ledger.EntryBytesMax)
	}
	l.hash = ledger.LeafHash(raw)
	var id []byte
	last := protowire.Number(0)
	err = fields(raw, func(n protowire.Number, v uint64, b []byte) error {
		if n == entryFact && len(l.person) == 0 {
			l.quiet = quietFact(b)
		}
		if n > entryPersonPrev {
			return nil
		}
		if n <= last {
			return fmt.Errorf("field %d stands behind field %d", n, last)
		}
		last = n
		switch n {
		case entryPosition:
			l.position = ledger.Position(v)
		case entryRecordedAt:
			return l.scanTime(b)
		case entryID:
			id = b
		case entryPerson:
			l.person = b
		case entryPersonSeq:
			l.seq = v
		case entryPersonPrev:
			l.prev = b
		}
		return nil
	})
	if err == nil && (len(id) != len(ledger.EntryID{}) || l.position == 0 || (len(l.person) != 0 && len(l.person) != len(ledger.PersonID{}))) {
		err = fmt.Errorf("position %d: its id or its person's has an impossible size", l.position)
	}
	return l, err
}

func (l *leaf) scanTime(b []byte) error {
	return fields(b, func(n protowire.Number, v uint64, _ []byte) error {
		switch n {
		case timeSeconds:
			l.seconds = int64(v)
		case timeNanos:
			l.nanos = int32(v)
		}
		return nil
	})
}

// before tells whether a was recorded before b.
func (l *leaf) before(b *leaf) bool {
	return l.seconds < b.seconds || (l.seconds == b.seconds && l.nanos < b.nanos)
}

// fields visits the fields of a message: v for numbers, b for bytes. Other kinds
// of fields do not occur in what is visited, and are refused.
func fields(raw []byte, visit func(n protowire.Number, v uint64, b []byte) error) error {
	for len(raw) > 0 {
		n, kind, size := protowire.ConsumeTag(raw)
		if size < 0 {
			return protowire.ParseError(size)
		}
		raw = raw[size:]
		var v uint64
		var b []byte
		switch kind {
		case protowire.VarintType:
			v, size = protowire.ConsumeVarint(raw)
		case protowire.BytesType:
			b, size = protowire.ConsumeBytes(raw)
		default:
			return fmt.Errorf("field %d has wire type %d", n, kind)
		}
		if size < 0 {
			return protowire.ParseError(size)
		}
		raw = raw[size:]
		if err := visit(n, v, b); err != nil {
			return err
		}
	}
	return nil
}

// end is where a person's chain ends.
type end struct {
	seq  uint64
	leaf ledger.Hash
}

// follows tells whether an entry is the next of its person's chain.
func (e end) follows(l *leaf) bool {
	if e.seq == 0 {
		return l.seq == 1 && len(l.prev) == 0
	}
	return l.seq == e.seq+1 && bytes.Equal(l.prev, e.leaf[:])
}
