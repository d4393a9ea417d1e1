package ledger

import (
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Whoever follows the ledger decodes every entry of it, and most of the bytes are
// sealed parts that nobody will look into. So the messages around the fact are read
// here by hand and share the bytes they came in. What this file does not know or
// expect it leaves to package proto, which alone decides what is an error: a
// message means the same on both ways. Entries are written by hand too, for the
// writer is waited for.

// unmarshalCommit reads a commit. Its entries share data.
func unmarshalCommit(data []byte, c *consentv1.Commit) error {
	if quickCommit(data, c) {
		return nil
	}
	proto.Reset(c)
	return proto.Unmarshal(data, c)
}

func quickCommit(data []byte, c *consentv1.Commit) bool {
	return eachField(data, func(num protowire.Number, n uint64, b []byte) bool {
		switch {
		case num == 1 && b == nil:
			c.FirstPosition = n
		case num == 2 && b != nil:
			c.Entries = append(c.Entries, b)
		default:
			return false
		}
		return true
	})
}

// unmarshalEntry reads an entry. All its bytes but those of the fact share raw.
func unmarshalEntry(raw []byte) (*consentv1.Entry, error) {
	e := &consentv1.Entry{}
	if quickEntry(raw, e) {
		return e, nil
	}
	e = &consentv1.Entry{}
	return e, proto.Unmarshal(raw, e)
}

func quickEntry(raw []byte, e *consentv1.Entry) bool {
	return eachField(raw, func(num protowire.Number, n uint64, b []byte) bool {
		if (num == 1 || num == 7) != (b == nil) {
			return false
		}
		switch num {
		case 1:
			e.Position = n
		case 2:
			return e.RecordedAt == nil && quickTime(b, e)
		case 3:
			e.EntryId = b
		case 4:
			e.Idempotency = b
		case 5:
			e.Content = b
		case 6:
			e.Person = b
		case 7:
			e.PersonSeq = n
		case 8:
			e.PersonPrev = b
		case 9:
			if e.Fact != nil { // two of them would be merged
				return false
			}
			e.Fact = &consentv1.Fact{}
			return proto.Unmarshal(b, e.Fact) == nil
		case 10:
			s := &consentv1.SealedPart{}
			e.Personal = append(e.Personal, s)
			return quickPart(b, s)
		case 11:
			e.Token = b
		default:
			return false
		}
		return true
	})
}

func quickTime(raw []byte, e *consentv1.Entry) bool {
	t := &timestamppb.Timestamp{}
	e.RecordedAt = t
	return eachField(raw, func(num protowire.Number, n uint64, b []byte) bool {
		switch {
		case num == 1 && b == nil:
			t.Seconds = int64(n)
		case num == 2 && b == nil:
			t.Nanos = int32(n)
		default:
			return false
		}
		return true
	})
}

func quickPart(raw []byte, s *consentv1.SealedPart) bool {
	return eachField(raw, func(num protowire.Number, n uint64, b []byte) bool {
		if (num == 1) != (b == nil) {
			return false
		}
		switch num {
		case 1:
			s.Class = consentv1.PersonalClass(n)
		case 2:
			s.Field = string(b)
			return utf8.Valid(b)
		case 3:
			s.KeyId = b
		case 4:
			s.Commitment = b
		case 5:
			s.Sealed = b
		case 6:
			s.File = b
		default:
			return false
		}
		return true
	})
}

// eachField visits the fields of a message: numbers with b nil, bytes with b not
// nil. It is false if visit is, and for anything that is neither.
func eachField(raw []byte, visit func(num protowire.Number, n uint64, b []byte) bool) bool {
	for len(raw) > 0 {
		num, kind, w := protowire.ConsumeTag(raw)
		if w < 0 {
			return false
		}
		raw = raw[w:]
		var n uint64
		var b []byte
		switch kind {
		case protowire.VarintType:
			n, w = protowire.ConsumeVarint(raw)
		case protowire.BytesType:
			b, w = protowire.ConsumeBytes(raw)
		default:
			return false
		}
		if w < 0 || !visit(num, n, b[:len(b):len(b)]) {
			return false
		}
		raw = raw[w:]
	}
	return true
}

// AppendEntry appends an entry as proto.Marshal would write it, without asking for the
// size of every part of it first. Unknown fields of the entry itself are left out.
func AppendEntry(b []byte, e *consentv1.Entry) ([]byte, error) {
	b = appendNumber(b, 1, e.GetPosition())
	if t := e.GetRecordedAt(); t != nil {
		var at [2 * (1 + 10)]byte
		b = appendBytes(b, 2, appendNumber(appendNumber(at[:0], 1, uint64(t.GetSeconds())), 2, uint64(t.GetNanos())), true)
	}
	b = appendBytes(b, 3, e.GetEntryId(), false)
	b = appendBytes(b, 4, e.GetIdempotency(), false)
	b = appendBytes(b, 5, e.GetContent(), false)
	b = appendBytes(b, 6, e.GetPerson(), false)
	b = appendNumber(b, 7, e.GetPersonSeq())
	b = appendBytes(b, 8, e.GetPersonPrev(), false)
	if f := e.GetFact(); f != nil {
		var err error
		b = protowire.AppendVarint(protowire.AppendTag(b, 9, protowire.BytesType), uint64(proto.Size(f)))
		if b, err = (proto.MarshalOptions{UseCachedSize: true}).MarshalAppend(b, f); err != nil {
			return nil, err
		}
	}
	for _, p := range e.GetPersonal() {
		b = appendPart(b, p)
	}
	return appendBytes(b, 11, e.GetToken(), false), nil
}

func appendPart(b []byte, p *consentv1.SealedPart) []byte {
	size := 0
	if p.GetClass() != 0 {
		size += protowire.SizeTag(1) + protowire.SizeVarint(uint64(p.GetClass()))
	}
	for _, n := range [...]int{len(p.GetField()), len(p.GetKeyId()), len(p.GetCommitment()), len(p.GetSealed()), len(p.GetFile())} {
		if n > 0 {
			size += protowire.SizeTag(2) + protowire.SizeBytes(n)
		}
	}
	b = protowire.AppendVarint(protowire.AppendTag(b, 10, protowire.BytesType), uint64(size))
	b = appendNumber(b, 1, uint64(p.GetClass()))
	if f := p.GetField(); f != "" {
		b = protowire.AppendString(protowire.AppendTag(b, 2, protowire.BytesType), f)
	}
	b = appendBytes(b, 3, p.GetKeyId(), false)
	b = appendBytes(b, 4, p.GetCommitment(), false)
	b = appendBytes(b, 5, p.GetSealed(), false)
	return appendBytes(b, 6, p.GetFile(), false)
}

func appendNumber(b []byte, num protowire.Number, n uint64) []byte {
	if n == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), n)
}

// appendBytes leaves out what is empty, unless it is a message that is there.
func appendBytes(b []byte, num protowire.Number, v []byte, there bool) []byte {
	if len(v) == 0 && !there {
		return b
	}
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), v)
}
