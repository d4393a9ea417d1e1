package rules

import (
	"reflect"
	"testing"
	"time"

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
	ofRecord   = "something on record: the number is decided by itself"
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

// TestClassesTellApart changes every field, one at a time: what belongs to the class
// makes another one, what is on record makes none.
func TestClassesTellApart(t *testing.T) {
	made := 0
	var c Classes[int]
	class := func(in Input) (int, bool) { return c.Get(&in, func() int { made++; return made }) }
	first, ok := class(someone())
	if again, _ := class(someone()); !ok || again != first {
		t.Fatalf("the same number is of the classes %d and %d", first, again)
	}
	try := func(field, kind string, in Input) {
		t.Helper()
		got, ok := class(in)
		switch {
		case kind == ofClass && (!ok || got == first):
			t.Errorf("%s: another value is of the same class", field)
		case kind == ofRecord && ok:
			t.Errorf("%s: something is on record, and the number is of a class", field)
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
