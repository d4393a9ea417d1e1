package crm

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// A line of JSON that nobody can parse may hold a stop all the same. These
// patterns look for one in its text; what they find too much blocks a contact,
// what they find too little stands in the rejects file.
var (
	member      = regexp.MustCompile(`["']?([\pL_][\pL0-9_ -]*)["']?\s*[:=]\s*["'\[]*([^"',}\]]*)`)
	sourceForm  = regexp.MustCompile(`^[a-z0-9_-]{1,64}$`)
	dateLike    = regexp.MustCompile(`\d{4}-\d\d-\d\d([T ]?[\d:.]+)?`)
	numberLike  = regexp.MustCompile(`\+?\(?\d[\d ()./-]{5,}\d`)
	spreadsheet = regexp.MustCompile(`^[+']?\d+([.,]\d+)?[eE]\+?\d+$|^[+']?\d{7,}[.,]0+$`)
)

// Digits of a text that may be a phone number (E.164 has at most 15).
const (
	numberDigitsMin = 7
	numberDigitsMax = 15
)

// stopInText makes a revocation of everything of a line that cannot be read, if
// it names a stop; nil if it does not. Of several numbers it takes none: without
// one the server puts the line before a person.
func (s *jsonlSource) stopInText(text []byte) *consentv1.Fact {
	found := s.membersInText(text)
	if !s.namesStop(string(text), &found) {
		return nil
	}
	f := &consentv1.Fact{
		Number: found[fNumber],
		Source: found[fSource],
		Kind:   &consentv1.Fact_ConsentRevoked{ConsentRevoked: &consentv1.ConsentRevoked{}},
	}
	if f.Number == "" {
		f.Number = onlyNumber(string(text))
	}
	if !sourceForm.MatchString(f.Source) {
		f.Source = s.m.set[fSource]
	}
	// The line's own event id is left alone: what stands under it may be another
	// fact, and a conflict would lose the stop.
	return f
}

// membersInText finds what looks like members with names we know. Two different
// numbers are none.
func (s *jsonlSource) membersInText(text []byte) (found values) {
	for f, constant := range s.m.set {
		found[f] = constant
	}
	numbers := map[string]bool{}
	for _, hit := range member.FindAllSubmatch(text, -1) {
		f, err := s.m.column(string(hit[1]))
		if err != nil || f == unused {
			continue
		}
		value := strings.TrimSpace(unescape(string(hit[2])))
		switch {
		case value == "":
		case f == fNumber:
			numbers[value] = true
			found[f] = value
		case f == fKind && kinds[plain(found[f])].stop: // the first stop stays
		default:
			found[f] = s.m.value(f, value)
		}
	}
	if len(numbers) > 1 {
		found[fNumber] = ""
	}
	return found
}

// namesStop tells whether a text names a stop: a kind of ours wherever it
// stands, or the words of one. Words alone do not count in a line of another
// kind: a grant may well quote how to opt out.
func (s *jsonlSource) namesStop(text string, found *values) bool {
	lower := strings.ToLower(text)
	other := false
	for name, spec := range kinds {
		if !strings.Contains(lower, name) && !strings.Contains(lower, strings.ReplaceAll(name, "_", "")) {
			continue
		}
		if spec.stop {
			return true
		}
		other = other || strings.Contains(name, "_") // `ported` is in too many words
	}
	if other {
		return false
	}
	_, _, ok := resolveKind(found)
	return ok
}

// onlyNumber gives what looks like a phone number, if one thing does.
func onlyNumber(text string) string {
	only := ""
	for _, hit := range numberLike.FindAllString(dateLike.ReplaceAllString(text, "|"), -1) {
		switch n := countDigits(hit); {
		case n < numberDigitsMin || n > numberDigitsMax || hit == only:
		case only != "":
			return ""
		default:
			only = hit
		}
	}
	return only
}

func countDigits(s string) (n int) {
	for i := range len(s) {
		if s[i] >= '0' && s[i] <= '9' {
			n++
		}
	}
	return n
}

// unescape reads the escapes of JSON; a text with wrong ones stays as it is.
func unescape(text string) string {
	var out string
	if json.Unmarshal([]byte(`"`+text+`"`), &out) != nil {
		return text
	}
	return out
}

// stopInFact reads a fact that protojson refuses, one field after another; nil
// if it is no stop. A field that cannot be read is left out, which in a stop
// means everything: of a list with an unknown channel the known ones alone would
// be less than was said. Of several kinds the stop counts.
func stopInFact(text json.RawMessage) *consentv1.Fact {
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &members) != nil {
		return nil
	}
	f := &consentv1.Fact{}
	oneof := f.ProtoReflect().Descriptor().Oneofs().ByName("kind").Fields()
	for _, name := range slices.Sorted(maps.Keys(members)) {
		kind := oneof.ByJSONName(name)
		if kind == nil {
			kind = oneof.ByName(protoreflect.Name(name))
		}
		switch {
		case kind == nil:
			mergeMember(f, fmt.Sprintf(`{%q:`, name), members[name], `}`)
		case kinds[string(kind.Name())].stop && kindOf(f) == "":
			mergeStop(f, name, members[name])
		}
	}
	if kindOf(f) == "" {
		return nil
	}
	return f
}

func mergeStop(f *consentv1.Fact, name string, body json.RawMessage) {
	mergeMember(f, fmt.Sprintf(`{%q:`, name), []byte(`{}`), `}`)
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) != nil {
		return // the kind alone says that it is a stop
	}
	for _, inner := range slices.Sorted(maps.Keys(members)) {
		mergeMember(f, fmt.Sprintf(`{%q:{%q:`, name, inner), members[inner], `}}`)
	}
}

// mergeMember adds one field if all of it can be read. A bare number may stand
// for a text.
func mergeMember(f *consentv1.Fact, before string, value []byte, after string) {
	for _, text := range []string{string(value), `"` + string(value) + `"`} {
		part := &consentv1.Fact{}
		if protojson.Unmarshal([]byte(before+text+after), part) == nil {
			proto.Merge(f, part)
			return
		}
	}
}
