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
	switch req := m.(type) {
	case *consentv1.RecordRequest:
		proto.Reset(req)
		if salvage(data, req); ledger.IsStop(req.GetFact()) {
			req.Fact.Unread = strings.ToValidUTF8(string(data), "\uFFFD")
			return nil
		}
		proto.Reset(req)
	case *consentv1.RecordStreamRequest:
		proto.Reset(req)
		if salvageRows(data, req) {
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
		Fact   map[string]json.RawMessage
		Region json.RawMessage `json:"defaultRegion"`
		Snake  json.RawMessage `json:"default_region"`
	}
	// Bytes that are not UTF-8 become U+FFFD. A broken document leaves no fact.
	if json.Unmarshal(bytes.ToValidUTF8(data, []byte("\uFFFD")), &doc) != nil {
		return
	}
	doubt := !readRegion(req, doc.Region, doc.Snake)
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
	if doubt && !strings.HasPrefix(strings.TrimSpace(req.GetFact().GetNumber()), "+") {
		// In another region it is another person's number: a person must read it.
		req.GetFact().Number = ""
	}
}

// readRegion reads the default region under both its names; false if it was said
// but cannot be read.
func readRegion(req *consentv1.RecordRequest, names ...json.RawMessage) bool {
	said := false
	for _, raw := range names {
		if text := string(raw); text == "" || text == "null" || text == `""` {
			continue
		}
		if said {
			req.DefaultRegion = "" // twice
			return false
		}
		said = true
		if json.Unmarshal(raw, &req.DefaultRegion) != nil {
			return false
		}
	}
	return true
}

// headBytesMax bounds what a stream message says beside its facts, which is read,
// and kept with a salvaged stop, once a row.
const headBytesMax = 1 << 10

// salvageRows reads a stream message row by row, as RecordRequests of its region. A
// row that cannot be read costs itself alone: it is a fact of no kind, which is
// refused, with what was said in its Unread. A dry run that cannot be told from a
// real one is not salvaged; with any other name unknown only the stops are.
func salvageRows(data []byte, req *consentv1.RecordStreamRequest) bool {
	var doc map[string]json.RawMessage
	var rows []json.RawMessage
	if json.Unmarshal(bytes.ToValidUTF8(data, []byte("\uFFFD")), &doc) != nil || json.Unmarshal(doc["facts"], &rows) != nil || len(rows) == 0 {
		return false
	}
	delete(doc, "facts")
	for _, name := range []string{"dryRun", "dry_run"} {
		if doc[name] != nil && (json.Unmarshal(doc[name], &req.DryRun) != nil || len(doc["dryRun"])*len(doc["dry_run"]) > 0) {
			return false
		}
		delete(doc, name)
	}
	head := ""
	for _, name := range slices.Sorted(maps.Keys(doc)) {
		head += fmt.Sprintf("%q:%s,", name, doc[name])
	}
	if len(head) > headBytesMax {
		head = `"defaultRegion":[],` // in doubt like any other that cannot be read
	}
	for _, raw := range rows {
		// A head that is wrong makes every row wrong, and salvages stops alone.
		row := &consentv1.RecordRequest{}
		if err := UnmarshalJSON(fmt.Appendf(nil, `{%s"fact":%s}`, head, raw), row); err != nil || row.GetFact() == nil {
			row = &consentv1.RecordRequest{Fact: &consentv1.Fact{Unread: string(raw)}}
		}
		if row.GetDefaultRegion() != "" {
			req.DefaultRegion = row.GetDefaultRegion()
		}
		req.Facts = append(req.Facts, row.GetFact())
	}
	return true
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
