package seal

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// TestOnlySingularStringsAndBytesArePersonal walks the whole contract.
func TestOnlySingularStringsAndBytesArePersonal(t *testing.T) {
	found := 0
	files := (&consentv1.Fact{}).ProtoReflect().Descriptor().ParentFile()
	for i := range files.Messages().Len() {
		walk(files.Messages().Get(i), func(fd protoreflect.FieldDescriptor) {
			if ClassOf(fd) == 0 {
				return
			}
			found++
			if fd.IsList() || fd.IsMap() || (fd.Kind() != protoreflect.StringKind && fd.Kind() != protoreflect.BytesKind) {
				t.Errorf("%s is personal and no singular string or bytes field", fd.FullName())
			}
		})
	}
	if found < 20 {
		t.Errorf("only %d personal fields found", found)
	}
}

// TestPlanReachesEveryPersonalField: none hides behind a list, a map or a
// recursive message, where Split would not look.
func TestPlanReachesEveryPersonalField(t *testing.T) {
	var reach func(md protoreflect.MessageDescriptor, path []protoreflect.FullName)
	reach = func(md protoreflect.MessageDescriptor, path []protoreflect.FullName) {
		for i := range md.Fields().Len() {
			fd := md.Fields().Get(i)
			if fd.Message() == nil {
				continue
			}
			for _, p := range path {
				if p == fd.Message().FullName() {
					t.Fatalf("%s is recursive", fd.FullName())
				}
			}
			if fd.IsList() || fd.IsMap() {
				walk(fd.Message(), func(in protoreflect.FieldDescriptor) {
					if ClassOf(in) != 0 {
						t.Errorf("%s is personal inside the list %s", in.FullName(), fd.FullName())
					}
				})
				continue
			}
			reach(fd.Message(), append(path, fd.Message().FullName()))
		}
	}
	reach((&consentv1.Fact{}).ProtoReflect().Descriptor(), nil)
}

func walk(md protoreflect.MessageDescriptor, visit func(protoreflect.FieldDescriptor)) {
	for i := range md.Fields().Len() {
		visit(md.Fields().Get(i))
	}
}

func TestSplitAndRestore(t *testing.T) {
	whole := fullGrant()
	before := proto.CloneOf(whole)
	clear, parts := Split(whole)
	if d := cmp.Diff(before, whole, protocmp.Transform()); d != "" {
		t.Fatalf("Split changed its fact:\n%s", d)
	}
	var fields []string
	for _, p := range parts {
		fields = append(fields, p.Field)
	}
	if d := cmp.Diff([]string{"1", "4", "6", "21.4", "21.5.3", "21.5.4", "21.5.6", "21.5.9"}, fields); d != "" {
		t.Fatalf("fields (-want +got):\n%s", d)
	}
	text := clear.String()
	for _, secret := range []string{"5550143", "e-1", "A. P", "192.0.2.1", "yes", "2027-01-02"} {
		if strings.Contains(text, secret) {
			t.Errorf("%q stayed in clear", secret)
		}
	}
	if clear.GetConsentGranted().GetEvidence().GetMethod() != "web_form" {
		t.Error("a clear field is gone")
	}
	must(t, Restore(clear, parts))
	if d := cmp.Diff(before, clear, protocmp.Transform()); d != "" {
		t.Fatalf("Restore is not the inverse:\n%s", d)
	}
}

// TestSplitEveryField fills every kind's every personal field and wants all back.
func TestSplitEveryField(t *testing.T) {
	for path, steps := range factPlan().byField {
		f := &consentv1.Fact{}
		m, last := f.ProtoReflect(), len(steps)-1
		for _, fd := range steps[:last] {
			m = m.Mutable(fd).Message()
		}
		if steps[last].Kind() == protoreflect.BytesKind {
			m.Set(steps[last], protoreflect.ValueOfBytes([]byte("secret")))
		} else {
			m.Set(steps[last], protoreflect.ValueOfString("secret"))
		}
		clear, parts := Split(f)
		if len(parts) != 1 || parts[0].Field != path || string(parts[0].Value) != "secret" || strings.Contains(clear.String(), "secret") {
			t.Errorf("field %s: parts %v, clear %v", path, parts, clear)
		}
	}
}

func TestRestoreRefuses(t *testing.T) {
	number := consentv1.PersonalClass_PERSONAL_CLASS_NUMBER
	for name, p := range map[string]Part{
		"no field":            {Class: number, Field: "999"},
		"no personal field":   {Class: number, Field: "3"},
		"another class":       {Class: consentv1.PersonalClass_PERSONAL_CLASS_WORDS, Field: "1"},
		"another kind's part": {Class: consentv1.PersonalClass_PERSONAL_CLASS_WORDS, Field: "24.3"},
	} {
		if err := Restore(fullGrant(), []Part{p}); err == nil {
			t.Errorf("%s: restored", name)
		}
	}
}
