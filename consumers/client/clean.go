package client

import (
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// cleaned gives the facts with U+FFFD for what is not UTF-8: the contract's
// strings can hold nothing else, and a stop must not be lost for a byte of its
// words. Facts that need it are copied; the slice is the caller's if none does.
func cleaned(facts []*consentv1.Fact) []*consentv1.Fact {
	out := facts
	for i, f := range facts {
		if sendable(f) {
			continue
		}
		if &out[0] == &facts[0] {
			out = append([]*consentv1.Fact(nil), facts...)
		}
		out[i] = proto.CloneOf(f)
		cleanStrings(out[i].ProtoReflect())
	}
	return out
}

// buffers spare sendable an allocation a fact.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// bufferBytesMax is what stays in memory for the next fact.
const bufferBytesMax = 1 << 16

// sendable tells whether a message can be encoded, which is whether every string
// of it is UTF-8. Encoding is generated code, and faster than a walk of our own.
func sendable(m proto.Message) bool {
	b := buffers.Get().(*[]byte)
	out, err := proto.MarshalOptions{}.MarshalAppend((*b)[:0], m)
	if cap(out) <= bufferBytesMax {
		*b = out
		buffers.Put(b)
	}
	return err == nil
}

// cleanStrings replaces in place what is not UTF-8. Of two map keys that become
// the same one stays.
func cleanStrings(m protoreflect.Message) {
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsList():
			for i := range v.List().Len() {
				v.List().Set(i, cleanValue(v.List().Get(i)))
			}
		case fd.IsMap():
			v.Map().Range(func(k protoreflect.MapKey, e protoreflect.Value) bool {
				v.Map().Clear(k)
				v.Map().Set(cleanValue(k.Value()).MapKey(), cleanValue(e))
				return true
			})
		case fd.Message() != nil:
			cleanStrings(v.Message())
		default:
			m.Set(fd, cleanValue(v))
		}
		return true
	})
}

func cleanValue(v protoreflect.Value) protoreflect.Value {
	switch x := v.Interface().(type) {
	case string:
		return protoreflect.ValueOfString(strings.ToValidUTF8(x, "\ufffd"))
	case protoreflect.Message:
		cleanStrings(x)
	}
	return v
}

// unsent tells of a failed request whether it could not be encoded: then nothing
// left this program, whatever code the failure carries.
func unsent(msg any, err error) error {
	m, ok := msg.(proto.Message)
	if err == nil || !ok {
		return err
	}
	if _, merr := proto.Marshal(m); merr == nil {
		return err
	}
	return &Error{Kind: ErrInvalid, Code: "INVALID", Message: "the request cannot be encoded, so nothing was sent", Hint: "write texts in UTF-8", cause: err}
}
