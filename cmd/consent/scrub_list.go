package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/consent-ledger/consent-ledger/consumers/crm"
)

// listReader reads the rows of a list. encoding/csv was refused: one bad quote
// ends it, and an unclosed one swallows the rest of the list. Here such a row is
// one bad row, and reading goes on with the next line.
type listReader struct {
	in    *bufio.Reader
	back  [][]byte // lines to be read again before in
	line  int      // lines given so far
	width int      // fields of the header; 0 until it is read
}

// listRow is one row. One with a problem must not be asked about: its fields may
// stand in the wrong columns.
type listRow struct {
	fields  []string
	line    int // of its beginning, from 1
	problem string
}

func newListReader(in io.Reader) *listReader {
	return &listReader{in: bufio.NewReaderSize(in, 1<<20)}
}

// header reads the first row. What follows is meant by it, so it must be sound.
func (l *listReader) header() ([]string, error) {
	if start, _ := l.in.Peek(3); bytes.Equal(start, []byte("\xef\xbb\xbf")) {
		_, _ = l.in.Discard(3) // they were peeked at
	} else if bytes.HasPrefix(start, []byte("\xff\xfe")) || bytes.HasPrefix(start, []byte("\xfe\xff")) {
		return nil, usagef("the list is UTF-16; save it as CSV UTF-8")
	}
	row, err := l.next()
	switch {
	case errors.Is(err, io.EOF):
		return nil, errors.New("the list is empty: it has no header")
	case err != nil:
		return nil, fmt.Errorf("read the header: %w", err)
	case row.problem != "":
		return nil, usagef("the header %s", row.problem)
	}
	l.width = len(row.fields)
	return row.fields, checkListHeader(row.fields)
}

func checkListHeader(header []string) error {
	if len(header) == 1 && strings.ContainsAny(header[0], ";\t|") {
		return usagef("the columns seem to be separated by something else than commas; save the list as CSV with commas")
	}
	var ours []string
	for i, name := range header {
		switch {
		case strings.Contains(name, "\r"):
			return usagef("the lines end with CR alone, as old spreadsheets write them; save the list as CSV UTF-8")
		case !utf8.ValidString(name):
			return usagef("column %d of the header is not valid UTF-8; save the list as CSV UTF-8", i+1)
		case digitsIn(name) >= digitsOfNumber:
			return usagef("column %d of the first row looks like a phone number; the first row must name the columns: put a line such as `phone` above it", i+1)
		case slices.Contains(scrubColumns, plainColumn(name)):
			ours = append(ours, printable(name))
		}
	}
	if ours != nil {
		return usageError(&hinted{fmt.Errorf("the list has columns that the scrub adds: %s", strings.Join(ours, ", ")),
			"was it scrubbed before? Take the list as it was, or delete or rename these columns"})
	}
	return nil
}

func plainColumn(name string) string {
	return strings.NewReplacer(" ", "_", "-", "_").Replace(strings.ToLower(strings.TrimSpace(name)))
}

// next gives the next row; blank lines are skipped. Of a row that cannot be read
// it gives the first line as one field; whatever follows that line is read anew.
func (l *listReader) next() (listRow, error) {
	for {
		text, err := l.read()
		if err != nil {
			return listRow{}, err
		}
		l.line++
		if text = trimEnd(text); len(text) == 0 {
			continue
		}
		row := listRow{line: l.line}
		if bytes.IndexByte(text, '"') < 0 {
			row.fields = strings.Split(string(text), ",")
		} else if row.fields, row.problem, err = l.quoted(text); err != nil {
			return listRow{}, err
		}
		if row.problem == "" && l.width > 0 && len(row.fields) > l.width {
			row.problem = fmt.Sprintf("has %d fields, the header has %d; put fields with commas in quotes", len(row.fields), l.width)
		}
		return row, nil
	}
}

// quoted reads a row with quotes in it, which may go on over several lines.
func (l *listReader) quoted(first []byte) (fields []string, problem string, err error) {
	chunk, more := bytes.Clone(first), [][]byte(nil)
	for {
		fields, state := splitRow(string(chunk))
		switch state {
		case rowWhole:
			l.line += len(more)
			return fields, "", nil
		case rowBroken:
			l.back = append(more, l.back...)
			return []string{string(first)}, `has a quote inside a quoted field; write it twice: ""`, nil
		}
		for closing := false; !closing; { // only a quote can end what a quote began
			text, err := l.read()
			if err != nil && !errors.Is(err, io.EOF) {
				return nil, "", err
			}
			if err == nil {
				more = append(more, text)
			}
			if err != nil || len(chunk)+len(text) > crm.RecordBytesMax {
				l.back = append(more, l.back...)
				return []string{string(first)}, "opens a quote that is never closed; close it", nil
			}
			chunk = append(append(chunk, '\n'), trimEnd(text)...)
			closing = bytes.IndexByte(text, '"') >= 0
		}
	}
}

// read gives one line with its end. The last one needs none.
func (l *listReader) read() ([]byte, error) {
	if len(l.back) > 0 {
		text := l.back[0]
		l.back = l.back[1:]
		return text, nil
	}
	text, err := l.in.ReadBytes('\n')
	if errors.Is(err, io.EOF) && len(text) > 0 {
		err = nil // the next call says so
	}
	return text, err
}

func trimEnd(text []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
}

type rowState int

const (
	rowWhole  rowState = iota
	rowOpen            // ends inside quotes
	rowBroken          // something follows a closing quote
)

// splitRow cuts a row into its fields after RFC 4180. A quote in a field that does
// not begin with one is an ordinary character (5" pipe).
func splitRow(text string) (fields []string, state rowState) {
	for {
		if !strings.HasPrefix(text, `"`) {
			field, rest, more := strings.Cut(text, ",")
			if fields = append(fields, field); !more {
				return fields, rowWhole
			}
			text = rest
			continue
		}
		end := 1
		for {
			at := strings.IndexByte(text[end:], '"')
			if at < 0 {
				return nil, rowOpen
			}
			if end += at + 1; !strings.HasPrefix(text[end:], `"`) {
				break
			}
			end++
		}
		fields = append(fields, strings.ReplaceAll(text[1:end-1], `""`, `"`))
		switch text = text[end:]; {
		case text == "":
			return fields, rowWhole
		case text[0] != ',':
			return nil, rowBroken
		}
		text = text[1:]
	}
}
