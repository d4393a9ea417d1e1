package crm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// jsonlSource reads one JSON object a line: {"kind": …} with the names of the
// CSV columns, or {"fact": …} in protojson, as the API takes it.
type jsonlSource struct {
	lines *lineReader
	m     *mapping
	b     *builder // takes whole facts

	tooLong []byte // the beginning of a first line that is too long
}

// newJSONLSource refuses a file of one object over many lines: read line by line,
// each of its stops would lose its number.
func newJSONLSource(in io.Reader, m *mapping, b *builder) (*jsonlSource, error) {
	s := &jsonlSource{lines: newLineReader(in), m: m, b: b}
	mark := s.lines.mark()
	first, _, err := s.lines.line()
	if err == errLineTooLong {
		s.tooLong = bytes.Clone(first)
	} else if err != nil && err != io.EOF {
		return nil, err
	}
	switch string(bytes.TrimSpace(first)) {
	case "[", "{", "[{":
		return nil, errors.New("the file is JSON over several lines; write one object a line: jq -c '.[]' for a list, jq -c . for objects")
	}
	if s.tooLong == nil {
		s.lines.reset(mark)
	} else {
		s.lines.release()
	}
	return s, nil
}

func (s *jsonlSource) next(v *values) (int, []string, *RowError, error) {
	for {
		text, line, err := s.line()
		if err == errLineTooLong {
			raw := string(text)
			return line, []string{raw}, s.salvage([]byte(valid(raw)), tooLong()), nil
		}
		if err != nil {
			return line, nil, nil, err
		}
		if len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		return line, []string{string(text)}, s.object(text, v), nil
	}
}

func (s *jsonlSource) line() ([]byte, int, error) {
	if first := s.tooLong; first != nil {
		s.tooLong = nil
		return first, 1, errLineTooLong
	}
	return s.lines.line()
}

func (s *jsonlSource) object(text []byte, v *values) *RowError {
	var rowErr *RowError
	if at := firstInvalid(text); at >= 0 {
		rowErr = &RowError{Problem: fmt.Sprintf("is not valid UTF-8 (byte %d)", at+1), Fix: "write the file as UTF-8"}
		text = []byte(valid(string(text)))
	}
	var members map[string]any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&members); err != nil || members == nil {
		return s.salvage(text, &RowError{Problem: "is no JSON object" + jsonOffset(err), Fix: "write one object a line"})
	}
	if _, err := d.Token(); err != io.EOF {
		return s.salvage(text, &RowError{Problem: "has more than one JSON value", Fix: "write one object a line"})
	}
	if _, ok := members["fact"]; ok {
		return s.fact(text, members, rowErr)
	}
	for f, constant := range s.m.set {
		v[f] = constant
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if bad := s.member(name, members[name], v); bad != nil && rowErr == nil {
			rowErr = bad
		}
	}
	if rowErr == nil {
		return nil
	}
	if isStop(v) {
		s.b.odd = string(text)
		return nil
	}
	if _, known := kinds[plain(v[fKind])]; known {
		return rowErr
	}
	return s.salvage(text, rowErr)
}

// salvage keeps a stop that stands in a line nobody can read; without one the
// line is an error.
func (s *jsonlSource) salvage(text []byte, rowErr *RowError) *RowError {
	f := s.stopInText(text)
	if f == nil {
		return rowErr
	}
	s.b.whole, s.b.odd = f, string(text)
	return nil
}

func (s *jsonlSource) member(name string, value any, v *values) *RowError {
	f, err := s.m.column(name)
	if err != nil {
		return &RowError{Problem: err.Error()}
	}
	if f == unused {
		return nil
	}
	text, ok := scalar(value)
	if list, isList := value.([]any); isList {
		parts := make([]string, len(list))
		ok = true
		for i := range list {
			part, fine := scalar(list[i])
			parts[i], ok = part, ok && fine
		}
		text = strings.Join(parts, ";")
	}
	if !ok {
		return &RowError{Field: fieldNames[f], Problem: "is an object", Fix: "write a string, a number, true, false or a list of strings"}
	}
	if text != "" {
		v[f] = s.m.value(f, text)
	}
	return nil
}

// scalar gives a JSON value as the text a CSV column would hold.
func scalar(value any) (string, bool) {
	switch x := value.(type) {
	case nil:
		return "", true
	case string:
		return x, true
	case json.Number:
		return x.String(), true
	case bool:
		return fmt.Sprint(x), true
	}
	return "", false
}

// fact takes a whole fact. The library's error is not passed on, because it
// quotes values.
func (s *jsonlSource) fact(text []byte, members map[string]any, rowErr *RowError) *RowError {
	var outer struct {
		Fact json.RawMessage `json:"fact"`
	}
	if err := json.Unmarshal(text, &outer); err != nil {
		return s.salvage(text, &RowError{Problem: "is no JSON object", Fix: "write one object a line"})
	}
	if rowErr == nil && len(members) != 1 {
		rowErr = &RowError{Problem: "has other members beside fact", Fix: "put everything inside fact"}
	}
	f := &consentv1.Fact{}
	if err := protojson.Unmarshal(outer.Fact, f); err != nil {
		rowErr = &RowError{Field: "fact", Problem: "is no Fact in protojson", Fix: "see proto/consent/v1/fact.proto; unknown fields are refused"}
		if f = stopInFact(outer.Fact); f == nil {
			return s.salvage(text, rowErr)
		}
	}
	if rowErr != nil {
		if !kinds[kindOf(f)].stop {
			return rowErr
		}
		s.b.odd = string(text)
	}
	s.b.whole = f
	return nil
}

// kindOf names a fact's kind; empty if it has none.
func kindOf(f *consentv1.Fact) string {
	m := f.ProtoReflect()
	if fd := m.WhichOneof(m.Descriptor().Oneofs().ByName("kind")); fd != nil {
		return string(fd.Name())
	}
	return ""
}

func jsonOffset(err error) string {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Sprintf(" (byte %d)", syntax.Offset)
	}
	return ""
}

// firstInvalid is the offset of the first byte that is not UTF-8, -1 if all is.
func firstInvalid(text []byte) int {
	if utf8.Valid(text) {
		return -1
	}
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}
