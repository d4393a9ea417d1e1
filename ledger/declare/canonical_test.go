package declare

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// TestSurveyAgreesWithReflection: facts of every kind have the canonical form that
// reflection gives them, and no string that checkStrings objects to is overlooked.
func TestSurveyAgreesWithReflection(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := &consentv1.Fact{}
		fill(t, f.ProtoReflect(), 0)
		if want, got := reflected([]byte{canonicalForm}, f.ProtoReflect()), Canonical(f); !bytes.Equal(want, got) {
			t.Fatalf("canonical form of %v is\n%x, want\n%x", f, got, want)
		}
		s := newSurvey()
		if err := s.of(f); err != nil {
			t.Fatal(err)
		}
		if want := objectionable(f); s.doubtful != want || s.strange {
			t.Fatalf("doubtful %t and strange %t, want %t and false: %v", s.doubtful, s.strange, want, f)
		}
	})
}

// TestSurveySeesUnknownFields at any depth, whatever their number and wire type.
func TestSurveySeesUnknownFields(t *testing.T) {
	for name, unknown := range map[string][]byte{
		"of a new number":     protowire.AppendVarint(protowire.AppendTag(nil, 1900, protowire.VarintType), 1),
		"of a low number":     protowire.AppendVarint(protowire.AppendTag(nil, 127, protowire.VarintType), 1),
		"of another type":     protowire.AppendVarint(protowire.AppendTag(nil, 2, protowire.VarintType), 1),
		"of a fixed type":     protowire.AppendFixed64(protowire.AppendTag(nil, 3, protowire.Fixed64Type), 1),
		"a group":             protowire.AppendTag(protowire.AppendTag(nil, 77, protowire.StartGroupType), 77, protowire.EndGroupType),
		"the scope once more": protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), nil),
	} {
		g := &consentv1.ConsentGranted{Scope: &consentv1.Scope{}, Evidence: &consentv1.Evidence{Method: "web"}}
		g.ProtoReflect().SetUnknown(unknown)
		f := &consentv1.Fact{Source: "crm", Kind: &consentv1.Fact_ConsentGranted{ConsentGranted: g}}
		s := newSurvey()
		if err := s.of(f); err != nil || !s.strange {
			t.Errorf("an unknown field %s is not seen (%v)", name, err)
		}
		dropUnknown(f.ProtoReflect())
		if err := s.of(f); err != nil || s.strange {
			t.Errorf("an unknown field %s is still there (%v)", name, err)
		}
	}
}

// TestTextThatIsNotUTF8 is refused before it can reach an entry.
func TestTextThatIsNotUTF8(t *testing.T) {
	s := newSurvey()
	if err := s.of(&consentv1.Fact{Source: "\xff"}); err == nil {
		t.Error("taken")
	}
}

func fill(t *rapid.T, m protoreflect.Message, depth int) {
	texts := rapid.SampledFrom([]string{"", "a", "b", "12345678", "1-2 3.4_5(6)7/8+9", strings.Repeat("x", clearStringBytesMax+1),
		strings.Repeat("é", PersonalFieldBytesMax/2+1)})
	scalar := func(fd protoreflect.FieldDescriptor) protoreflect.Value {
		switch fd.Kind() {
		case protoreflect.StringKind:
			return protoreflect.ValueOfString(texts.Draw(t, "text"))
		case protoreflect.BytesKind:
			return protoreflect.ValueOfBytes(rapid.SliceOfN(rapid.Byte(), 0, 3).Draw(t, "bytes"))
		case protoreflect.BoolKind:
			return protoreflect.ValueOfBool(rapid.Bool().Draw(t, "bool"))
		case protoreflect.EnumKind:
			return protoreflect.ValueOfEnum(protoreflect.EnumNumber(rapid.Int32Range(-1, 12).Draw(t, "enum")))
		case protoreflect.Uint32Kind:
			return protoreflect.ValueOfUint32(rapid.Uint32().Draw(t, "u32"))
		case protoreflect.Uint64Kind:
			return protoreflect.ValueOfUint64(rapid.Uint64().Draw(t, "u64"))
		case protoreflect.Int32Kind:
			return protoreflect.ValueOfInt32(rapid.Int32().Draw(t, "i32"))
		default:
			return protoreflect.ValueOfInt64(rapid.Int64().Draw(t, "i64"))
		}
	}
	for i := range m.Descriptor().Fields().Len() {
		fd := m.Descriptor().Fields().Get(i)
		switch {
		case fd.ContainingOneof() != nil && !fd.ContainingOneof().IsSynthetic() && rapid.IntRange(0, 9).Draw(t, "member") > 0:
		case rapid.IntRange(0, 2).Draw(t, "set") == 0 || depth > 4:
		case fd.IsList():
			l := m.Mutable(fd).List()
			for range rapid.IntRange(0, 4).Draw(t, "elements") {
				if fd.Message() != nil {
					fill(t, l.AppendMutable().Message(), depth+1)
				} else {
					l.Append(scalar(fd))
				}
			}
		case fd.Message() != nil:
			fill(t, m.Mutable(fd).Message(), depth+1)
		default:
			m.Set(fd, scalar(fd))
		}
	}
}

// objectionable asks the walk that the survey spares.
func objectionable(f *consentv1.Fact) (any bool) {
	walkStrings(f.ProtoReflect(), func(_ protoreflect.Message, fd protoreflect.FieldDescriptor, v string) {
		if inClear(fd) {
			any = any || len(v) > clearStringBytesMax || numberLike(v)
		} else {
			any = any || len(v) > PersonalFieldBytesMax
		}
	})
	return any
}

// reflected is canonical form 1 written a second time, by reflection.
func reflected(b []byte, m protoreflect.Message) []byte {
	var fields []protoreflect.FieldDescriptor
	m.Range(func(fd protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		fields = append(fields, fd)
		return true
	})
	slices.SortFunc(fields, func(a, b protoreflect.FieldDescriptor) int { return int(a.Number()) - int(b.Number()) })
	behindLength := func(b, value []byte) []byte {
		return append(binary.BigEndian.AppendUint32(b, uint32(len(value))), value...)
	}
	for _, fd := range fields {
		b = binary.BigEndian.AppendUint32(b, uint32(fd.Number()))
		if !fd.IsList() {
			b = behindLength(b, reflectedScalar(fd, m.Get(fd)))
			continue
		}
		var elems [][]byte
		for i := range m.Get(fd).List().Len() {
			elems = append(elems, reflectedScalar(fd, m.Get(fd).List().Get(i)))
		}
		slices.SortFunc(elems, bytes.Compare)
		var list []byte
		for _, e := range slices.CompactFunc(elems, bytes.Equal) {
			list = behindLength(list, e)
		}
		b = behindLength(b, list)
	}
	return b
}

func reflectedScalar(fd protoreflect.FieldDescriptor, v protoreflect.Value) []byte {
	switch fd.Kind() {
	case protoreflect.StringKind:
		return []byte(v.String())
	case protoreflect.BytesKind:
		return v.Bytes()
	case protoreflect.BoolKind:
		if v.Bool() {
			return []byte{1}
		}
		return []byte{0}
	case protoreflect.EnumKind:
		return binary.BigEndian.AppendUint32(nil, uint32(v.Enum()))
	case protoreflect.MessageKind:
		if fd.Message().FullName() == "google.protobuf.Timestamp" {
			f := v.Message().Descriptor().Fields()
			return binary.BigEndian.AppendUint64(nil, uint64(v.Message().Get(f.ByNumber(1)).Int()*1e9+v.Message().Get(f.ByNumber(2)).Int()))
		}
		return reflected(nil, v.Message())
	case protoreflect.Int32Kind, protoreflect.Int64Kind:
		return binary.BigEndian.AppendUint64(nil, uint64(v.Int()))
	default:
		return binary.BigEndian.AppendUint64(nil, v.Uint())
	}
}
