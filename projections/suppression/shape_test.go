package suppression

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

var shapeAsked = time.Unix(0, 1000)

// shaped is a state with a grant, a stop and an erasure.
func shaped() *State {
	cells := func() *consentv1.Cells { return &consentv1.Cells{Purposes: []uint32{0, 4}} }
	return &State{
		Grants: []*consentv1.GrantRegister{{Programme: "all", Cells: cells(), Level: "express", Source: "crm", EvidenceHeld: true, WordingValid: true,
			Time: &consentv1.TimeSpan{Earliest: 100, Latest: 200}, Expires: 2000, Content: []byte("content")}},
		Revoked: []*consentv1.ProhibitionRegister{{Programme: "all", Cells: cells(), Kind: KindStop, Time: &consentv1.TimeSpan{Earliest: 300, Latest: 300}}},
		Marks: []*consentv1.MarkRegister{{Kind: MarkLineType, Value: "wireless", Aspect: "wireless", AsOf: 7,
			Time: &consentv1.TimeSpan{Earliest: 250, Latest: 250}}},
		Erased: &consentv1.TimeSpan{Earliest: 50, Latest: 60},
	}
}

func keyOf(t testing.TB, seller, all *State, at time.Time) string {
	t.Helper()
	var s Shaper
	raw := func(s *State) []byte {
		if s == nil {
			return nil
		}
		b, err := Encode(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	shape, ok := s.Of(raw(seller), raw(all), at)
	if !ok {
		t.Fatal("no shape")
	}
	return string(shape.Key)
}

// TestShapeKnowsAllButWhen: other instants in the same order are the same shape, and so is
// another content hash of a lone grant; everything else makes another.
func TestShapeKnowsAllButWhen(t *testing.T) {
	want := keyOf(t, shaped(), nil, shapeAsked)
	for name, change := range map[string]func(*State){
		"later":           func(s *State) { s.Grants[0].Time.Earliest = 150 },
		"an end far away": func(s *State) { s.Grants[0].Expires = 1 << 40 },
		"another content": func(s *State) { s.Grants[0].Content = []byte("other") },
		"erased earlier":  func(s *State) { s.Erased.Earliest = 1 },
	} {
		s := shaped()
		if change(s); keyOf(t, s, nil, shapeAsked) != want {
			t.Errorf("%s: another shape", name)
		}
	}
	for name, change := range map[string]func(*State){
		"the end has passed":      func(s *State) { s.Grants[0].Expires = 900 },
		"the end is now":          func(s *State) { s.Grants[0].Expires = 1000 },
		"no end":                  func(s *State) { s.Grants[0].Expires = 0 },
		"at the time of the stop": func(s *State) { s.Grants[0].Time.Latest = 300 },
		"after the stop":          func(s *State) { s.Revoked[0].Time = &consentv1.TimeSpan{Earliest: 20, Latest: 30} },
		"a level":                 func(s *State) { s.Grants[0].Level = "implied" },
		"no evidence":             func(s *State) { s.Grants[0].EvidenceHeld = false },
		"a source":                func(s *State) { s.Grants[0].Source = "web" },
		"a cell":                  func(s *State) { s.Grants[0].Cells.Purposes[1] = 8 },
		"a kind":                  func(s *State) { s.Revoked[0].Kind = KindReplied },
		"a value":                 func(s *State) { s.Marks[0].Value = "landline" },
		"a day it speaks about":   func(s *State) { s.Marks[0].AsOf = 8 },
		"not erased":              func(s *State) { s.Erased = nil },
		"before 1970":             func(s *State) { s.Erased.Earliest = -5 },
		"no content":              func(s *State) { s.Grants[0].Content = nil },
		"listed too":              func(s *State) { s.DncAdded = s.Revoked },
	} {
		s := shaped()
		if change(s); keyOf(t, s, nil, shapeAsked) == want {
			t.Errorf("%s: the same shape", name)
		}
	}
	if keyOf(t, nil, shaped(), shapeAsked) == want || keyOf(t, shaped(), &State{}, shapeAsked) == want {
		t.Error("towards whom is not told apart")
	}
	if keyOf(t, shaped(), nil, time.Unix(0, 260)) == want {
		t.Error("before the stop is not told apart")
	}
}

// TestShapeOfTies: of grants with contents their order is told.
func TestShapeOfTies(t *testing.T) {
	two := func(a, b string) string {
		s := shaped()
		second := proto.CloneOf(s.Grants[0])
		s.Grants[0].Content, second.Source, second.Content = []byte(a), "web", []byte(b)
		s.Grants = append(s.Grants, second)
		return keyOf(t, s, nil, shapeAsked)
	}
	if two("a", "b") != two("c", "d") {
		t.Error("the same order is another shape")
	}
	if two("a", "b") == two("b", "a") || two("a", "b") == two("a", "a") {
		t.Error("another order is the same shape")
	}
}

// TestShapeRefuses: what brings in more than the states, and what is no state.
func TestShapeRefuses(t *testing.T) {
	var s Shaper
	many := &State{}
	for i := range int64(300) {
		many.Marks = append(many.Marks, &consentv1.MarkRegister{Kind: "k", Time: &consentv1.TimeSpan{Earliest: i + 1}})
	}
	party, unread := &State{Parties: [][]byte{{1}}}, &State{Unclear: []*consentv1.UnclearRegister{{EntryId: []byte{1}, Opened: true, Time: &consentv1.TimeSpan{}}}}
	for _, state := range []*State{many, party, unread} {
		raw, err := Encode(state)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := s.Of(raw, nil, shapeAsked); ok {
			t.Errorf("a shape of %v", state)
		}
	}
	sound, err := Encode(shaped())
	if err != nil {
		t.Fatal(err)
	}
	for end := range sound {
		if _, ok := s.Of(sound[:end], nil, shapeAsked); ok {
			if _, err := Decode(sound[:end]); err != nil {
				t.Errorf("a shape of %d bytes of %d, which are no state", end, len(sound))
			}
		}
	}
}

// TestShapeOfALaterVersion: what is not known here is in the key as it stands.
func TestShapeOfALaterVersion(t *testing.T) {
	raw, err := Encode(shaped())
	if err != nil {
		t.Fatal(err)
	}
	var s Shaper
	register := func(when uint64) []byte {
		return protowire.AppendBytes(protowire.AppendTag(slices.Clone(raw), 16, protowire.BytesType), protowire.AppendVarint([]byte{8}, when))
	}
	first, ok := s.Of(register(10), nil, shapeAsked)
	if !ok {
		t.Fatal("no shape")
	}
	key := bytes.Clone(first.Key)
	if second, ok := s.Of(register(11), nil, shapeAsked); !ok || bytes.Equal(second.Key, key) {
		t.Error("registers of a later version are not told apart")
	}
}

// FuzzShape: bytes of one shape as a sound state's are a sound state.
func FuzzShape(f *testing.F) {
	raw, err := Encode(shaped())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw, raw)
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var s, u Shaper
		first, ok := s.Of(a, nil, shapeAsked)
		if _, err := Decode(a); err != nil || !ok {
			return
		}
		if second, ok := u.Of(b, nil, shapeAsked); ok && bytes.Equal(first.Key, second.Key) {
			if _, err := Decode(b); err != nil {
				t.Fatalf("one shape, and %x is a state and %x is not: %v", a, b, err)
			}
		}
	})
}

// TestShapesDoNotRun: two states written one after another are not another two.
func TestShapesDoNotRun(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		half := func(name string) *State {
			s := &State{}
			for range rapid.IntRange(0, 2).Draw(t, name) {
				s.Marks = append(s.Marks, &consentv1.MarkRegister{Kind: rapid.SampledFrom([]string{"a", "b", "ab"}).Draw(t, "kind"),
					Value: rapid.SampledFrom([]string{"", "a"}).Draw(t, "value"), Time: &consentv1.TimeSpan{Earliest: 5, Latest: 5}})
			}
			return s
		}
		a, b, c, d := half("a"), half("b"), half("c"), half("d")
		same := proto.Equal(a, c) && proto.Equal(b, d)
		var x, y Shaper
		raw := func(s *State) []byte { b, _ := Encode(s); return append([]byte{}, b...) }
		first, _ := x.Of(raw(a), raw(b), shapeAsked)
		second, _ := y.Of(raw(c), raw(d), shapeAsked)
		if bytes.Equal(first.Key, second.Key) != same {
			t.Fatalf("%v %v and %v %v: same %t", a, b, c, d, same)
		}
	})
}
