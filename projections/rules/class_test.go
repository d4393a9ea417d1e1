package rules

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/consent-ledger/consent-ledger/projections/rules/places"
	"github.com/consent-ledger/consent-ledger/projections/suppression"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// What Classes does with each field of what Decide may know. A new field fails
// TestClassesKnowEveryField until somebody has said here which of the three it is,
// and made it so.
const (
	ofQuestion = "the same for every number of a question"
	ofClass    = "tells classes apart"
	ofRecord   = "something on record: of a shape, or the number is decided by itself"
)

var (
	inputFields = map[string]string{
		"Seller": ofQuestion, "Programme": ofQuestion, "Campaign": ofQuestion, "Channel": ofQuestion, "Purpose": ofQuestion, "Subject": ofQuestion,
		"Sector": ofQuestion, "Marketing": ofQuestion, "OptOutNotice": ofQuestion, "CallReference": ofQuestion, "At": ofQuestion,
		"Distrusted": ofQuestion, "Paused": ofQuestion, "PausedSince": ofQuestion, "Emergencies": ofQuestion, "Position": ofQuestion, "Tzdata": ofQuestion,
		"Places": ofClass, "Unassigned": ofClass, "Registries": ofClass, "AttemptsKnown": ofClass,
		"View": ofRecord, "Areas": ofRecord, "Attempts": ofRecord,
	}
	answerFields = map[string]string{"Registry": ofClass, "Loaded": ofClass, "VersionDate": ofClass, "Listed": ofClass, "Since": ofClass}
	// PartyLoaded says how much was looked up, and means nothing without a party.
	viewFields = map[string]string{"Seller": ofRecord, "All": ofRecord, "Party": ofRecord, "PartyNumbers": ofRecord, "PartyLoaded": ofQuestion}
)

func TestClassesKnowEveryField(t *testing.T) {
	for _, c := range []struct {
		of     any
		fields map[string]string
	}{{Input{}, inputFields}, {RegistryAnswer{}, answerFields}, {suppression.View{}, viewFields}} {
		typ := reflect.TypeOf(c.of)
		if typ.NumField() != len(c.fields) {
			t.Errorf("%s has %d fields, %d are known here", typ, typ.NumField(), len(c.fields))
		}
		for i := range typ.NumField() {
			if c.fields[typ.Field(i).Name] == "" {
				t.Errorf("%s.%s: say here what Classes does with it, and see to it in class.go", typ, typ.Field(i).Name)
			}
		}
	}
}

// someone is a number about which every list has spoken.
func someone() Input {
	return Input{Places: places.OfNumber("+12125550100").Places, Unassigned: true, AttemptsKnown: true,
		Registries: []RegistryAnswer{{Registry: "us_national_dnc", Loaded: true, VersionDate: "2026-01-02", Listed: true, Since: "2025-12-02"}}}
}

// classOf is what tells the number of an input apart.
func classOf(in *Input) Number {
	return Number{Places: in.Places, Unassigned: in.Unassigned, AttemptsKnown: in.AttemptsKnown, Lists: ListsOwn, Registries: in.Registries}
}

// TestClassesTellApart changes every field, one at a time: what belongs to the class
// makes another one, what is on record is not remembered without its shape.
func TestClassesTellApart(t *testing.T) {
	made := 0
	var c Classes[int]
	class := func(in Input) (v int, remembered bool) {
		n := classOf(&in)
		if v, ok := c.Get(&n); ok {
			return v, true
		}
		made++
		c.Put(&n, &in, Span{}, made)
		_, remembered = c.Get(&n)
		return made, remembered
	}
	first, ok := class(someone())
	if again, _ := class(someone()); !ok || again != first {
		t.Fatalf("the same number is of the classes %d and %d", first, again)
	}
	try := func(field, kind string, in Input) {
		t.Helper()
		n := classOf(&in)
		switch kind {
		case ofClass:
			if got, ok := class(in); !ok || got == first {
				t.Errorf("%s: another value is of the same class", field)
			}
		case ofRecord:
			c = Classes[int]{}
			c.Put(&n, &in, Span{}, 1)
			if _, ok := c.Get(&n); ok {
				t.Errorf("%s: something is on record, and the number is of a stranger's class", field)
			}
			first, _ = class(someone())
		}
	}
	change(t, reflect.TypeFor[Input](), func(field string, set func(reflect.Value)) {
		in := someone()
		if field == "Registries" || field == "View" {
			return // below, field by field
		}
		set(reflect.ValueOf(&in).Elem())
		try(field, inputFields[field], in)
	})
	change(t, reflect.TypeFor[RegistryAnswer](), func(field string, set func(reflect.Value)) {
		in := someone()
		set(reflect.ValueOf(&in.Registries[0]).Elem())
		try(field, answerFields[field], in)
	})
	change(t, reflect.TypeFor[suppression.View](), func(field string, set func(reflect.Value)) {
		in := someone()
		set(reflect.ValueOf(&in.View).Elem())
		try(field, viewFields[field], in)
	})
	more := someone()
	more.Registries = append(more.Registries, RegistryAnswer{Registry: "us_in_dnc"})
	try("one more list", ofClass, more)
	none := someone()
	none.Registries = nil
	try("no list", ofClass, none)
}

// TestPersonsNeedTheirSpan: of a person what is remembered holds within the span, and beside a
// shape neither party nor attempts are remembered.
func TestPersonsNeedTheirSpan(t *testing.T) {
	in := someone()
	in.View.Seller = &consentv1.SuppressionState{}
	shape := suppression.Shape{Key: []byte("key"), Instants: []int64{0, 5, 9}}
	n := classOf(&in)
	n.Shape = &shape
	var c Classes[string]
	c.Put(&n, &in, Span{[]int64{0, 4, 9}, []int64{0, 6, 9}}, "first")
	c.Put(&n, &in, Span{[]int64{0, 7, 9}, []int64{0, 8, 9}}, "second")
	for ns, want := range map[int64]string{3: "", 4: "first", 6: "first", 7: "second", 8: "second"} {
		shape.Instants[1] = ns
		if got, ok := c.Get(&n); got != want || ok != (want != "") {
			t.Errorf("%d: %q, want %q", ns, got, want)
		}
	}
	shape.Instants = []int64{0, 5}
	if got, ok := c.Get(&n); ok {
		t.Errorf("fewer instants, and %q", got)
	}
	shape = suppression.Shape{Key: []byte("other"), Instants: []int64{0, 5, 9}}
	span := Span{[]int64{0, 5, 9}, []int64{0, 5, 9}}
	for _, spoil := range []func(*Input){
		func(in *Input) { in.View.Party = []suppression.View{{}} },
		func(in *Input) { in.View.PartyNumbers = []suppression.View{{}} },
		func(in *Input) { in.Attempts = []Attempt{{}} },
		func(in *Input) { in.AttemptsKnown = !in.AttemptsKnown },
		func(in *Input) { in.Unassigned = !in.Unassigned },
		func(in *Input) { in.Registries = nil },
	} {
		spoilt := in
		spoil(&spoilt)
		if c.Put(&n, &spoilt, span, "spoilt"); c.persons != nil {
			if _, ok := c.Get(&n); ok {
				t.Error("more than the class was decided about, and it is remembered")
			}
		}
	}
}

// instantsRead are the steps of this package that touch an instant on record, by function and
// field, and how often. A new one fails TestEveryInstantIsNoted until somebody has seen to it that
// it compares the instant with others on record or with that of the question and does nothing
// else, or notes what it does (DecideSpan), and has said so here.
var instantsRead = map[string]int{
	"companyDNC Latest":   2, // a term, which notes; and an order
	"deadline Latest":     1, // not while noting
	"coolingOff Latest":   1, // a term
	"byConsent Until":     1, // until when an answer is good is not promised
	"consents Until":      1, // the same
	"consents Latest":     1, // an order: later than the nanosecond before is not before
	"emergencies Until":   3, // of a declaration
	"nanos Unix":          2,
	"nanos UnixNano":      1,
	"stamp Unix":          1,
	"fits Earliest":       5, // orders, and two windows, which note
	"stoppedSince Latest": 1, // an order
	"ported Latest":       1,
	"ported Earliest":     2, // an order, and a window
	"confirm Earliest":    3, // notes; attempts are in no class
	"latest Latest":       1, // an order among locations
	"ends Wake":           1, // notes
	"lasts Wake":          1, // until when an answer is good is not promised
}

// TestEveryInstantIsNoted counts them.
func TestEveryInstantIsNoted(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range f.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			ast.Inspect(fn, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok && slices.Contains([]string{"Earliest", "Latest", "Until", "Wake", "AsOf", "Unix", "UnixNano"}, s.Sel.Name) {
					got[fn.Name.Name+" "+s.Sel.Name]++
				}
				return true
			})
		}
	}
	if diff := cmp.Diff(instantsRead, got); diff != "" {
		t.Errorf("instants are read otherwise than is known here (-) to be right:\n%s", diff)
	}
}

// change gives, for each field of a struct, something that gives it another value.
func change(t *testing.T, typ reflect.Type, visit func(field string, set func(reflect.Value))) {
	t.Helper()
	for i := range typ.NumField() {
		visit(typ.Field(i).Name, func(v reflect.Value) {
			v = v.Field(i)
			switch x := v.Addr().Interface().(type) {
			case *string:
				*x += "x"
			case *bool:
				*x = !*x
			case *time.Time:
				*x = x.Add(time.Hour)
			case *[]places.Place:
				*x = places.OfNumber("+13125550100").Places
			case *[]string:
				*x = append(*x, "US-NY-061")
			case *[]Attempt:
				*x = append(*x, Attempt{})
			case *[]Emergency:
				*x = append(*x, Emergency{})
			case *[]suppression.View:
				*x = append(*x, suppression.View{})
			case **suppression.State:
				*x = &suppression.State{}
			case *func(string) bool:
				*x = func(string) bool { return true }
			case *consentv1.Channel:
				*x++
			case *consentv1.Purpose:
				*x++
			default:
				if v.CanInt() {
					v.SetInt(v.Int() + 1)
				} else if v.CanUint() {
					v.SetUint(v.Uint() + 1)
				} else {
					t.Fatalf("%s: a type this test does not know", typ.Field(i).Name)
				}
			}
		})
	}
}
