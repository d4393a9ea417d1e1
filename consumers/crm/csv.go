package crm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// The two columns the rejects file adds. They are ignored on reading, so that a
// corrected rejects file can be imported as it is.
const (
	columnRejectedLine   = "rejected_line"
	columnRejectedReason = "rejected_reason"
)

const unused field = -1 // a column nobody reads

// csvSource reads CSV after RFC 4180. encoding/csv was refused: it lets one
// unclosed quote swallow the rest of the file, and a record grow without bound;
// here such a row is an error of its own line and reading goes on with the next.
// On well-formed input the two agree (FuzzSplit).
type csvSource struct {
	lines  *lineReader
	comma  byte
	header []string
	fields []field            // by column
	names  [fieldCount]string // the file's name of each field
	m      *mapping
	b      *builder // learns of rows that are odd
}

func newCSVSource(in io.Reader, m *mapping, b *builder) (*csvSource, error) {
	s := &csvSource{lines: newLineReader(in), comma: m.comma, m: m, b: b}
	_, raw, rowErr, err := s.record()
	switch {
	case err == io.EOF:
		return nil, errors.New("the file is empty; it needs a header row that names its columns")
	case err != nil:
		return nil, err
	case rowErr != nil:
		return nil, fmt.Errorf("header: %w", rowErr)
	}
	if err := notText(raw[0]); err != nil {
		return nil, err
	}
	s.header = raw
	return s, s.readHeader()
}

// notText tells by the first bytes, or by what UTF-16 is full of, that a file is no
// text that could be read.
func notText(first string) error {
	switch {
	case strings.HasPrefix(first, "\xff\xfe"), strings.HasPrefix(first, "\xfe\xff"):
		return errors.New("the file is UTF-16; save it as CSV UTF-8")
	case strings.HasPrefix(first, "PK\x03\x04"):
		return errors.New("the file is a ZIP or an Excel file; unpack it, or save it as CSV UTF-8")
	case strings.HasPrefix(first, "\x1f\x8b"), strings.HasPrefix(first, "\x28\xb5\x2f\xfd"):
		return errors.New("the file is packed by gzip or zstd; unpack it first")
	case strings.Contains(first, "\x00"):
		return errors.New("the file is UTF-16, or no text at all; save it as CSV UTF-8")
	}
	return nil
}

func (s *csvSource) readHeader() error {
	from := map[field]string{}
	hasNumber := false
	for i, name := range s.header {
		if !utf8.ValidString(name) {
			return fmt.Errorf("header: column %d is not valid UTF-8; save the file as CSV UTF-8", i+1)
		}
		f, err := s.m.column(name)
		if err != nil {
			return s.explain(err)
		}
		s.fields = append(s.fields, f)
		if f == unused {
			continue
		}
		if earlier, doubled := from[f]; doubled {
			return fmt.Errorf("header: columns %q and %q both give %s; ignore one of them with --map", earlier, name, fieldNames[f])
		}
		if _, constant := s.m.set[f]; constant {
			return fmt.Errorf("header: column %q gives %s, and so does set in the map; ignore the column or drop the constant", name, fieldNames[f])
		}
		from[f] = name
		s.names[f] = strings.TrimSpace(name)
		hasNumber = hasNumber || f == fNumber
	}
	if !hasNumber {
		return errors.New("header: no column gives number; name it `number`, or map it with --map")
	}
	if _, ok := from[fKind]; !ok && s.m.set[fKind] == "" {
		return errors.New("header: no column gives kind; name it `kind`, or set it with --map")
	}
	return nil
}

// explain adds the usual cause of a header that is one long name.
func (s *csvSource) explain(err error) error {
	if len(s.header) == 1 {
		for _, d := range []struct{ sep, name string }{{";", "semicolons"}, {"\t", "tabs"}, {"|", "bars"}} {
			if strings.Contains(s.header[0], d.sep) {
				return fmt.Errorf("header: the columns seem to be separated by %s; say so with `delimiter` in --map", d.name)
			}
		}
	}
	return fmt.Errorf("header: %w", err)
}

func (s *csvSource) next(v *values) (int, []string, *RowError, error) {
	line, raw, rowErr, err := s.record()
	if err != nil {
		return line, raw, nil, err
	}
	fields := raw
	if rowErr != nil && len(raw) == 1 {
		fields = strings.Split(raw[0], string(s.comma)) // quotes as ordinary characters
	}
	for f, constant := range s.m.set {
		v[f] = constant
	}
	for i, text := range fields[:min(len(fields), len(s.fields))] {
		f := s.fields[i]
		if !utf8.ValidString(text) {
			if rowErr == nil {
				rowErr = &RowError{Field: s.header[i], Problem: fmt.Sprintf("is not valid UTF-8 (column %d)", i+1), Fix: "save the file as CSV UTF-8"}
			}
			text = valid(text)
		}
		if f != unused {
			v[f] = s.m.value(f, unguard(text))
		}
	}
	if rowErr != nil && isStop(v) {
		s.b.odd, rowErr = valid(strings.Join(raw, string(s.comma))), nil
	}
	return line, raw, rowErr, nil
}

// valid replaces what is not UTF-8.
func valid(text string) string { return strings.ToValidUTF8(text, "\ufffd") }

// record reads one row; blank lines are skipped. A row that cannot be read is
// given back as its first line alone; whatever follows that line is read anew.
func (s *csvSource) record() (int, []string, *RowError, error) {
	for {
		text, line, err := s.lines.line()
		if err == errLineTooLong {
			return line, []string{string(text)}, tooLong(), nil
		}
		if err != nil {
			return line, nil, nil, err
		}
		if len(text) == 0 {
			continue
		}
		if bytes.IndexByte(text, '"') < 0 {
			raw := strings.Split(string(text), string(s.comma))
			return line, raw, s.checkWidth(raw), nil
		}
		return s.quotedRecord(text, line)
	}
}

// quotedRecord reads a row with quotes in it, which may go on over several lines.
func (s *csvSource) quotedRecord(first []byte, line int) (int, []string, *RowError, error) {
	mark := s.lines.mark()
	chunk := bytes.Clone(first)
	for {
		raw, state := split(chunk, s.comma, len(s.fields))
		var bad *RowError
		switch state {
		case splitWhole:
			if bad = s.checkWidth(raw); bad == nil {
				s.lines.release()
				return line, raw, nil, nil
			}
		case splitBroken:
			bad = &RowError{Problem: "has a quote inside a quoted field", Fix: `write a quote in a quoted field twice: ""`}
		case splitOpen:
			more, _, err := s.lines.line()
			if err == nil && len(chunk)+1+len(more) <= RecordBytesMax {
				chunk = append(append(chunk, '\n'), more...)
				continue
			}
			if err != nil && err != io.EOF && err != errLineTooLong {
				return line, nil, nil, err
			}
			bad = &RowError{Problem: "opens a quote that is never closed", Fix: "close it; the lines after this one were read on their own"}
		}
		s.lines.reset(mark)
		return line, []string{string(first)}, bad, nil
	}
}

func (s *csvSource) checkWidth(raw []string) *RowError {
	if s.fields == nil || len(raw) == len(s.fields) {
		return nil
	}
	return &RowError{Problem: fmt.Sprintf("has %d fields, the header has %d", len(raw), len(s.fields)), Fix: "put fields with commas in quotes"}
}

type splitState int

const (
	splitWhole  splitState = iota
	splitOpen              // ends inside quotes
	splitBroken            // something follows a closing quote
)

// split cuts a record into its fields. A quote in a field that does not begin
// with one is an ordinary character (5" pipe).
// width is how many fields there should be.
func split(text []byte, comma byte, width int) (fields []string, state splitState) {
	fields = make([]string, 0, width)
	for {
		if len(text) == 0 || text[0] != '"' {
			end := bytes.IndexByte(text, comma)
			if end < 0 {
				return append(fields, string(text)), splitWhole
			}
			fields, text = append(fields, string(text[:end])), text[end+1:]
			continue
		}
		value, rest, closed := quoted(text[1:])
		if !closed {
			return nil, splitOpen
		}
		fields = append(fields, value)
		switch {
		case len(rest) == 0:
			return fields, splitWhole
		case rest[0] != comma:
			return nil, splitBroken
		}
		text = rest[1:]
	}
}

// quoted reads up to the closing quote.
func quoted(text []byte) (value string, rest []byte, closed bool) {
	var b strings.Builder
	for {
		end := bytes.IndexByte(text, '"')
		if end < 0 {
			return "", nil, false
		}
		b.Write(text[:end])
		text = text[end+1:]
		if len(text) == 0 || text[0] != '"' {
			return b.String(), text, true
		}
		b.WriteByte('"')
		text = text[1:]
	}
}

func tooLong() *RowError {
	return &RowError{Problem: fmt.Sprintf("is longer than %d bytes", RecordBytesMax), Fix: "keep recordings and documents elsewhere and give their reference"}
}
