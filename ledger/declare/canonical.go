package declare

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"

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
// canonical across versions, hence this. All integers are big-endian.
func Canonical(f *consentv1.Fact) []byte {
	return appendMessage(append(make([]byte, 0, 256), canonicalForm), f.ProtoReflect())
}

func appendMessage(b []byte, m protoreflect.Message) []byte {
	fields := make([]protoreflect.FieldDescriptor, 0, 12)
	m.Range(func(fd protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		fields = append(fields, fd)
		return true
	})
	slices.SortFunc(fields, func(a, b protoreflect.FieldDescriptor) int { return int(a.Number()) - int(b.Number()) })
	for _, fd := range fields {
		b = binary.BigEndian.AppendUint32(b, uint32(fd.Number()))
		at := len(b)
		b = append(b, 0, 0, 0, 0)
		if fd.IsList() {
			b = appendList(b, fd, m.Get(fd).List())
		} else {
			b = appendScalar(b, fd, m.Get(fd))
		}
		binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at-4))
	}
	return b
}

// appendList appends each element with its length, sorted, without duplicates.
func appendList(b []byte, fd protoreflect.FieldDescriptor, l protoreflect.List) []byte {
	elems := make([][]byte, l.Len())
	for i := range elems {
		elems[i] = appendScalar(nil, fd, l.Get(i))
	}
	slices.SortFunc(elems, bytes.Compare)
	for _, e := range slices.CompactFunc(elems, bytes.Equal) {
		b = binary.BigEndian.AppendUint32(b, uint32(len(e)))
		b = append(b, e...)
	}
	return b
}

func appendScalar(b []byte, fd protoreflect.FieldDescriptor, v protoreflect.Value) []byte {
	switch fd.Kind() {
	case protoreflect.StringKind:
		return append(b, v.String()...)
	case protoreflect.BytesKind:
		return append(b, v.Bytes()...)
	case protoreflect.BoolKind:
		if v.Bool() {
			return append(b, 1)
		}
		return append(b, 0)
	case protoreflect.EnumKind:
		return binary.BigEndian.AppendUint32(b, uint32(v.Enum()))
	case protoreflect.MessageKind:
		if fd.Message().FullName() == "google.protobuf.Timestamp" {
			return appendTimestamp(b, v.Message())
		}
		return appendMessage(b, v.Message())
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return binary.BigEndian.AppendUint64(b, math.Float64bits(v.Float()))
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind,
		protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return binary.BigEndian.AppendUint64(b, uint64(v.Int()))
	default: // the unsigned kinds; groups do not exist in proto3
		return binary.BigEndian.AppendUint64(b, v.Uint())
	}
}

func appendTimestamp(b []byte, m protoreflect.Message) []byte {
	fields := m.Descriptor().Fields()
	sec, nanos := m.Get(fields.ByNumber(1)).Int(), m.Get(fields.ByNumber(2)).Int()
	return binary.BigEndian.AppendUint64(b, uint64(sec*1e9+nanos))
}
