package main

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/consumers/crm"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// messageJSON writes a message as the program's JSON: protojson's names, but bare
// words for enums and plain numbers for 64 bits. Fields are written even if they
// are empty; absent times are null. Left out are other absent messages, fields of a
// oneof that are not set, and empty personal fields: in an entry they are not empty
// but sealed. Bytes are base64.
func messageJSON(m proto.Message) []byte { return appendMessage(nil, m.ProtoReflect()) }

func appendMessage(b []byte, m protoreflect.Message) []byte {
	if t, ok := m.Interface().(*timestamppb.Timestamp); ok {
		return appendText(b, t.AsTime().UTC().Format(time.RFC3339Nano))
	}
	b = append(b, '{')
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		if !m.Has(fd) && (fd.HasPresence() && !isTime(fd) || fd.ContainingOneof() != nil || isPersonal(fd)) {
			continue
		}
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = append(appendText(b, fd.JSONName()), ':')
		b = appendField(b, fd, m)
	}
	return append(b, '}')
}

func isPersonal(fd protoreflect.FieldDescriptor) bool {
	return proto.HasExtension(fd.Options(), consentv1.E_Personal)
}

func isTime(fd protoreflect.FieldDescriptor) bool {
	return fd.Message() != nil && fd.Message().FullName() == "google.protobuf.Timestamp"
}

func appendField(b []byte, fd protoreflect.FieldDescriptor, m protoreflect.Message) []byte {
	v := m.Get(fd)
	switch {
	case fd.IsMap():
		return appendMap(b, fd, v.Map())
	case fd.IsList():
		b = append(b, '[')
		for i := range v.List().Len() {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendValue(b, fd, v.List().Get(i))
		}
		return append(b, ']')
	case fd.Message() != nil && !m.Has(fd):
		return append(b, "null"...)
	}
	return appendValue(b, fd, v)
}

// appendMap writes a map in the order of its keys.
func appendMap(b []byte, fd protoreflect.FieldDescriptor, m protoreflect.Map) []byte {
	var keys []string
	values := map[string]protoreflect.Value{}
	m.Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
		keys = append(keys, k.String())
		values[k.String()] = v
		return true
	})
	slices.Sort(keys)
	b = append(b, '{')
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendValue(append(appendText(b, k), ':'), fd.MapValue(), values[k])
	}
	return append(b, '}')
}

func appendValue(b []byte, fd protoreflect.FieldDescriptor, v protoreflect.Value) []byte {
	switch fd.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return appendMessage(b, v.Message())
	case protoreflect.EnumKind:
		return appendText(b, wordOf(fd.Enum(), v.Enum()))
	case protoreflect.BytesKind:
		return appendText(b, base64.StdEncoding.EncodeToString(v.Bytes()))
	case protoreflect.StringKind:
		return appendText(b, v.String())
	case protoreflect.BoolKind:
		return strconv.AppendBool(b, v.Bool())
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind, protoreflect.Fixed32Kind, protoreflect.Fixed64Kind:
		return strconv.AppendUint(b, v.Uint(), 10)
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return strconv.AppendFloat(b, v.Float(), 'g', -1, 64)
	default:
		return strconv.AppendInt(b, v.Int(), 10)
	}
}

func appendText(b []byte, s string) []byte {
	text, err := jsonOf(s)
	if err != nil {
		return append(b, `""`...) // a string always has a JSON form
	}
	return append(b, text...)
}

// wordOf is an enum's bare word: sms for CHANNEL_SMS. Verdicts keep their
// capitals, and one that is not stated is a BLOCK.
func wordOf(ed protoreflect.EnumDescriptor, n protoreflect.EnumNumber) string {
	if ed.FullName() == consentv1.Verdict(0).Descriptor().FullName() {
		if n == protoreflect.EnumNumber(consentv1.Verdict_VERDICT_ALLOW) {
			return "ALLOW"
		}
		return "BLOCK"
	}
	v := ed.Values().ByNumber(n)
	if n == 0 {
		return ""
	}
	if v == nil {
		return strconv.Itoa(int(n)) // of a later version
	}
	return strings.ToLower(strings.TrimPrefix(string(v.Name()), enumPrefix(ed)))
}

// words of an enum, in the order of the contract, without the one for "not stated".
func words(ed protoreflect.EnumDescriptor) []string {
	var out []string
	for i := range ed.Values().Len() {
		if v := ed.Values().Get(i); v.Number() != 0 {
			out = append(out, wordOf(ed, v.Number()))
		}
	}
	return out
}

// numberOf reads a bare word.
func numberOf(ed protoreflect.EnumDescriptor, word string) (protoreflect.EnumNumber, bool) {
	word = strings.NewReplacer(" ", "_", "-", "_").Replace(strings.ToLower(strings.TrimSpace(word)))
	for i := range ed.Values().Len() {
		if v := ed.Values().Get(i); v.Number() != 0 && strings.ToLower(wordOf(ed, v.Number())) == word {
			return v.Number(), true
		}
	}
	return 0, false
}

// enumPrefix is the prefix buf's STANDARD rules demand: MESSAGE_CLASS_ for MessageClass.
func enumPrefix(ed protoreflect.EnumDescriptor) string {
	var b strings.Builder
	for i, r := range string(ed.Name()) {
		if i > 0 && unicode.IsUpper(r) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToUpper(r))
	}
	return b.String() + "_"
}

// nearest finds the word that was probably meant; empty if none is near.
func nearest(word string, known []string) string {
	best, least := "", len(word)/3+2
	word = strings.ToLower(word)
	for _, k := range known {
		if len(word) > 3 && strings.HasPrefix(strings.ToLower(k), word) {
			return k
		}
		if d := crm.Distance(word, strings.ToLower(k)); d < least {
			best, least = k, d
		}
	}
	return best
}
