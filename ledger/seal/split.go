package seal

import (
	"fmt"
	"strconv"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Part is one personal field of a fact in clear.
type Part struct {
	Class consentv1.PersonalClass
	Field string // path of field numbers in Fact, joined by dots: "1", "24.3"
	Value []byte
}

// plan says where a message type holds personal fields. Lists and maps are not
// looked into: the contract forbids the option there, and a test walks it.
type plan struct {
	personal []field
	nested   []field                                   // outside a oneof
	oneofs   []protoreflect.OneofDescriptor            // with messages that have a plan
	members  map[protoreflect.FieldNumber]field        // of those oneofs
	byField  map[string][]protoreflect.FieldDescriptor // path -> steps; only in the root
}

type field struct {
	fd    protoreflect.FieldDescriptor
	class consentv1.PersonalClass
	path  string
	plan  *plan
}

// factPlan is made once, from the contract that was compiled in.
var factPlan = sync.OnceValue(func() *plan {
	root := &plan{byField: map[string][]protoreflect.FieldDescriptor{}}
	root.fill((&consentv1.Fact{}).ProtoReflect().Descriptor(), "", nil, root.byField)
	return root
})

// fill walks a message type and tells whether there is anything personal in it.
func (p *plan) fill(md protoreflect.MessageDescriptor, prefix string, steps []protoreflect.FieldDescriptor,
	byField map[string][]protoreflect.FieldDescriptor) bool {
	p.members = map[protoreflect.FieldNumber]field{}
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		f := field{fd: fd, class: ClassOf(fd), path: prefix + strconv.Itoa(int(fd.Number()))}
		here := append(steps[:len(steps):len(steps)], fd)
		switch {
		case f.class != consentv1.PersonalClass_PERSONAL_CLASS_UNSPECIFIED:
			p.personal = append(p.personal, f)
			byField[f.path] = here
		case fd.Kind() != protoreflect.MessageKind || fd.IsList() || fd.IsMap():
		default:
			f.plan = &plan{}
			if f.plan.fill(fd.Message(), f.path+".", here, byField) {
				p.nest(f)
			}
		}
	}
	return len(p.personal)+len(p.nested)+len(p.members) > 0
}

func (p *plan) nest(f field) {
	of := f.fd.ContainingOneof()
	if of == nil || of.IsSynthetic() {
		p.nested = append(p.nested, f)
		return
	}
	p.members[f.fd.Number()] = f
	for _, o := range p.oneofs {
		if o == of {
			return
		}
	}
	p.oneofs = append(p.oneofs, of)
}

// ClassOf is the personal class of a field of the contract.
func ClassOf(fd protoreflect.FieldDescriptor) consentv1.PersonalClass {
	return proto.GetExtension(fd.Options(), consentv1.E_Personal).(consentv1.PersonalClass)
}

// Split takes the personal fields out of a fact: a clone without them, and the
// parts in the order of the contract. The fact itself is not changed.
func Split(f *consentv1.Fact) (clear *consentv1.Fact, parts []Part) {
	clear = proto.CloneOf(f)
	return clear, Take(clear)
}

// Take does the same to the fact itself, which afterwards is the clear part.
func Take(f *consentv1.Fact) []Part {
	return factPlan().take(f.ProtoReflect(), make([]Part, 0, partsUsual))
}

// partsUsual is how many personal fields most facts have at most.
const partsUsual = 4

func (p *plan) take(m protoreflect.Message, parts []Part) []Part {
	for _, f := range p.personal {
		if m.Has(f.fd) {
			parts = append(parts, Part{Class: f.class, Field: f.path, Value: valueBytes(f.fd, m.Get(f.fd))})
			m.Clear(f.fd)
		}
	}
	for _, f := range p.nested {
		if m.Has(f.fd) {
			parts = f.plan.take(m.Mutable(f.fd).Message(), parts)
		}
	}
	for _, o := range p.oneofs {
		if fd := m.WhichOneof(o); fd != nil {
			if f, ok := p.members[fd.Number()]; ok {
				parts = f.plan.take(m.Mutable(fd).Message(), parts)
			}
		}
	}
	return parts
}

func valueBytes(fd protoreflect.FieldDescriptor, v protoreflect.Value) []byte {
	if fd.Kind() == protoreflect.StringKind {
		return []byte(v.String())
	}
	return v.Bytes()
}

// Restore puts opened parts back into the clear fact, in place: the inverse of
// Split. An error if a part names no personal field of its class, or one of a
// message the fact does not have; the fact may then be half restored.
func Restore(f *consentv1.Fact, parts []Part) error {
	for _, p := range parts {
		steps := factPlan().byField[p.Field]
		if len(steps) == 0 || ClassOf(steps[len(steps)-1]) != p.Class {
			return fmt.Errorf("seal: field %q is no personal field of class %s", p.Field, p.Class)
		}
		m, last := f.ProtoReflect(), len(steps)-1
		for _, fd := range steps[:last] {
			if !m.Has(fd) {
				return fmt.Errorf("seal: field %q: the fact has no %s", p.Field, fd.Name())
			}
			m = m.Mutable(fd).Message()
		}
		v := protoreflect.ValueOfBytes(p.Value)
		if steps[last].Kind() == protoreflect.StringKind {
			v = protoreflect.ValueOfString(string(p.Value))
		}
		m.Set(steps[last], v)
	}
	return nil
}
