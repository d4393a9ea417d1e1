package declare

import (
	"fmt"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// clearStringBytesMax bounds every string that is stored in clear.
const clearStringBytesMax = 256

// checkStrings looks at every string of a fact once. None may be too large, but
// for a stop's; and phone numbers stay out of what is stored in clear (promise 8):
// a string without a personal class may not be long or hold nine digits in a row.
// In what forbids such a string moves to the sealed `unread`; elsewhere it refuses
// the fact. The survey has looked before: it sends here only what may be one.
func (d *Declared) checkStrings() error {
	var bad *ledger.InvalidError
	walkStrings(d.Fact.ProtoReflect(), func(m protoreflect.Message, fd protoreflect.FieldDescriptor, v string) {
		if inClear(fd) {
			if len(v) <= clearStringBytesMax && !numberLike(v) {
				return
			}
			if ledger.NatureOf(d.Kind) == ledger.Forbids {
				m.Clear(fd)
				d.widened(string(fd.Name()), v)
				return
			}
			bad = first(bad, &ledger.InvalidError{Field: string(fd.Name()), Problem: "is too long or holds nine digits in a row, and it is stored in clear",
				Fix: "use a word; phone numbers belong in number alone"})
		} else if len(v) > PersonalFieldBytesMax && !d.Stop {
			bad = first(bad, &ledger.InvalidError{Field: string(fd.Name()), Problem: fmt.Sprintf("has %d bytes, at most %d are taken", len(v), PersonalFieldBytesMax),
				Fix: "keep the recording or document elsewhere and give its reference"})
		}
	})
	if bad != nil {
		return bad
	}
	return nil
}

func first(a, b *ledger.InvalidError) *ledger.InvalidError {
	if a != nil {
		return a
	}
	return b
}

// clearFields are the string fields of facts that are stored as the caller wrote
// them: neither personal nor the program's own.
var clearFields = sync.OnceValue(func() map[protoreflect.FieldDescriptor]bool {
	out, seen := map[protoreflect.FieldDescriptor]bool{}, map[protoreflect.FullName]bool{}
	var walk func(protoreflect.MessageDescriptor)
	walk = func(m protoreflect.MessageDescriptor) {
		if seen[m.FullName()] {
			return
		}
		seen[m.FullName()] = true
		for i := range m.Fields().Len() {
			fd := m.Fields().Get(i)
			switch fd.Kind() {
			case protoreflect.MessageKind:
				walk(fd.Message())
			case protoreflect.StringKind:
				out[fd] = !fd.IsList() && personalClass(fd) == 0 && !writtenByProgram(fd)
			}
		}
	}
	walk((&consentv1.Fact{}).ProtoReflect().Descriptor())
	return out
})

func inClear(fd protoreflect.FieldDescriptor) bool { return clearFields()[fd] }

// dropUnknown removes fields this version does not know, which would stand in
// clear and belong to no content hash, and tells whether there were any.
func dropUnknown(m protoreflect.Message) (any bool) {
	if any = len(m.GetUnknown()) > 0; any {
		m.SetUnknown(nil)
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.Kind() != protoreflect.MessageKind:
		case fd.IsList():
			for i := range v.List().Len() {
				any = dropUnknown(v.List().Get(i).Message()) || any
			}
		default:
			any = dropUnknown(v.Message()) || any
		}
		return true
	})
	return any
}

// unknownFields: one might have limited what a fact permits, so that is refused;
// what forbids is taken as far as it is known.
func (d *Declared) unknownFields() error {
	if ledger.NatureOf(d.Kind) == ledger.Permits {
		return &ledger.InvalidError{Field: "fact", Problem: "holds fields this version does not know", Fix: "send what consent/v1/fact.proto knows"}
	}
	d.Notices = append(d.Notices, "fields this version does not know were left out")
	return nil
}

// checkLists bounds the lists that an entry holds in clear, beside those of scopes.
func checkLists(f *consentv1.Fact) error {
	windows := f.GetPreferenceSet().GetWindows()
	if len(windows) > listMax || slices.ContainsFunc(windows, func(w *consentv1.TimeWindow) bool { return len(w.GetWeekdays()) > 7 }) {
		return &ledger.InvalidError{Field: "windows", Problem: fmt.Sprintf("are more than %d, or name more than seven weekdays", listMax),
			Fix: "join windows that touch"}
	}
	return nil
}

// writtenByProgram names clear strings that no caller chooses, or that were
// checked as an id before hashing.
func writtenByProgram(fd protoreflect.FieldDescriptor) bool {
	switch fd.FullName() {
	case "consent.v1.Fact.source", "consent.v1.WriterStarted.instance", "consent.v1.WriterStarted.version",
		"consent.v1.RulePackPublished.version":
		return true
	}
	return false
}

// walkStrings visits every set singular string field, nested ones included.
func walkStrings(m protoreflect.Message, visit func(protoreflect.Message, protoreflect.FieldDescriptor, string)) {
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsList() || fd.IsMap():
		case fd.Kind() == protoreflect.StringKind:
			visit(m, fd, v.String())
		case fd.Kind() == protoreflect.MessageKind && fd.Message().FullName() != "google.protobuf.Timestamp":
			walkStrings(v.Message(), visit)
		}
		return true
	})
}

func personalClass(fd protoreflect.FieldDescriptor) consentv1.PersonalClass {
	return proto.GetExtension(fd.Options(), consentv1.E_Personal).(consentv1.PersonalClass)
}

// numberLike tells whether a string holds nine digits or more with nothing but
// separators between them: it might be a phone number. Dates stay below.
func numberLike[text string | []byte](s text) bool {
	run := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			if run++; run >= 9 {
				return true
			}
		case c == ' ', c == '-', c == '.', c == '_', c == '(', c == ')', c == '/', c == '+':
		default:
			run = 0
		}
	}
	return false
}
