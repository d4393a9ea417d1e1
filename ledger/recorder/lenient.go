package recorder

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// UnmarshalJSON reads protojson strictly: an unknown name is an error, because a
// misspelt expiry would make a grant last for ever. Only a stop is never rejected
// for form: what of it can be read counts, and the whole of it goes to the sealed
// `unread`.
func UnmarshalJSON(data []byte, m proto.Message) error {
	err := protojson.Unmarshal(data, m)
	if err == nil {
		return nil
	}
	if req, ok := m.(*consentv1.RecordRequest); ok {
		proto.Reset(req)
		if salvage(data, req); ledger.IsStop(req.GetFact()) {
			req.Fact.Unread = strings.ToValidUTF8(string(data), "\uFFFD")
			return nil
		}
		proto.Reset(req)
	}
	if !utf8.Valid(data) {
		return errors.New("the JSON is not UTF-8")
	}
	return errors.New(cleanJSONError(err))
}

// salvage reads what it can, one field after another. A field it cannot read is
// left out, which in a stop means everything.
func salvage(data []byte, req *consentv1.RecordRequest) {
	var doc struct {
		Fact          map[string]json.RawMessage
		DefaultRegion json.RawMessage
	}
	// Bytes that are not UTF-8 become U+FFFD. A broken document leaves no fact.
	if json.Unmarshal(bytes.ToValidUTF8(data, []byte("\uFFFD")), &doc) != nil {
		return
	}
	merge(req, `{"defaultRegion":`, doc.DefaultRegion, `}`)
	kinds := (&consentv1.Fact{}).ProtoReflect().Descriptor().Oneofs().ByName("kind").Fields()
	for _, name := range slices.Sorted(maps.Keys(doc.Fact)) {
		value := doc.Fact[name]
		if kinds.ByJSONName(name) == nil && kinds.ByName(protoreflect.Name(name)) == nil {
			merge(req, fmt.Sprintf(`{"fact":{%q:`, name), value, `}}`)
			continue
		}
		merge(req, fmt.Sprintf(`{"fact":{%q:`, name), []byte(`{}`), `}}`)
		var body map[string]json.RawMessage
		if json.Unmarshal(value, &body) != nil {
			continue // the kind alone says that it is a stop
		}
		for _, inner := range slices.Sorted(maps.Keys(body)) {
			merge(req, fmt.Sprintf(`{"fact":{%q:{%q:`, name, inner), body[inner], `}}}`)
		}
	}
}

// merge adds one field to a request if all of it can be read: of a list with an
// unknown channel the known ones alone would be less than was said. A bare number
// may stand for a text.
func merge(req *consentv1.RecordRequest, before string, value []byte, after string) {
	for _, text := range []string{string(value), `"` + string(value) + `"`} {
		part := &consentv1.RecordRequest{}
		if protojson.Unmarshal([]byte(before+text+after), part) == nil {
			proto.Merge(req, part)
			return
		}
	}
}

// nameDigitsMax bounds the digits of an unknown name that is quoted: with more it
// may be a phone number, however it is written.
const nameDigitsMax = 4

// cleanJSONError keeps protojson's position and reason but never its quotation of
// the value, which may be a phone number.
func cleanJSONError(err error) string {
	text := strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\u00a0", " "), "proto: ")
	if i := strings.Index(text, "invalid value for "); i >= 0 {
		if j := strings.LastIndex(text, ": "); j > i {
			return text[:j]
		}
	}
	if i := strings.Index(text, "unknown field"); i >= 0 {
		if countDigits(text[i:]) > nameDigitsMax {
			return text[:i] + "unknown field"
		}
		return text
	}
	if i := strings.Index(text, "syntax error"); i >= 0 {
		if j := strings.Index(text[i:], "): "); j >= 0 {
			return text[i : i+j+1]
		}
		return "syntax error"
	}
	return "the JSON does not fit the message"
}

func countDigits(s string) (n int) {
	for _, r := range s {
		if unicode.IsDigit(r) {
			n++
		}
	}
	return n
}
