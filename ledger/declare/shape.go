package declare

import (
	"fmt"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// shape is what a survey needs to know of a message type.
type shape struct {
	low  [shapeLow]*fieldShape // by number, as nearly all are
	high map[protowire.Number]*fieldShape
}

const shapeLow = 128

func (m *shape) field(n protowire.Number) *fieldShape {
	if n < shapeLow {
		return m.low[n]
	}
	return m.high[n]
}

type form int

const (
	formNumber  form = iota // the unsigned kinds: u64
	formBool                // u8
	formEnum                // u32
	formBytes               // strings and bytes: as they are
	formTime                // i64, nanoseconds
	formMessage             // its own canonical form
)

type fieldShape struct {
	number  uint32
	form    form
	list    bool
	text    bool // one string
	clear   bool // stored as the caller wrote it
	message *shape
}

// sized tells whether a value stands behind its length.
func (f *fieldShape) sized() bool { return f.form >= formBytes }

// factShape is made once, from the contract that was compiled in.
var factShape = sync.OnceValue(func() *shape {
	return shapeOf((&consentv1.Fact{}).ProtoReflect().Descriptor(), map[protoreflect.FullName]*shape{})
})

func shapeOf(md protoreflect.MessageDescriptor, made map[protoreflect.FullName]*shape) *shape {
	if m := made[md.FullName()]; m != nil {
		return m
	}
	m := &shape{high: map[protowire.Number]*fieldShape{}}
	made[md.FullName()] = m
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		f := &fieldShape{number: uint32(fd.Number()), form: formOf(fd), list: fd.IsList()}
		if f.form == formMessage {
			f.message = shapeOf(fd.Message(), made)
		}
		f.text = fd.Kind() == protoreflect.StringKind && !f.list
		f.clear = f.text && inClear(fd)
		if fd.Number() < shapeLow {
			m.low[fd.Number()] = f
		} else {
			m.high[fd.Number()] = f
		}
	}
	return m
}

// formOf is how a field's values look in canonical form.
func formOf(fd protoreflect.FieldDescriptor) form {
	switch fd.Kind() {
	case protoreflect.StringKind, protoreflect.BytesKind:
		return formBytes
	case protoreflect.BoolKind:
		return formBool
	case protoreflect.EnumKind:
		return formEnum
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind, protoreflect.Int32Kind, protoreflect.Int64Kind:
		if !fd.IsMap() {
			return formNumber
		}
	case protoreflect.MessageKind:
		switch {
		case fd.IsMap():
		case fd.Message().FullName() == "google.protobuf.Timestamp":
			return formTime
		default:
			return formMessage
		}
	}
	panic(fmt.Sprintf("declare: %s: canonical form 1 says nothing about this kind of field", fd.FullName()))
}
