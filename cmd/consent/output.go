package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Forms of output. The table is for people and may change; the others are a contract.
const (
	outTable = "table"
	outJSON  = "json"  // one document, indented
	outJSONL = "jsonl" // one line each
)

func (g *globals) checkOutput() error {
	switch g.output {
	case "", outTable, outJSON, outJSONL:
		return nil
	}
	return usagef("-o %q is not known; it takes table, json or jsonl", g.output)
}

// human tells whether people read the output.
func (g *globals) human() bool { return g.output == "" || g.output == outTable }

// document writes one JSON document in the form asked for.
func (g *globals) document(w io.Writer, doc []byte) error {
	if g.output == outJSONL {
		_, err := w.Write(append(doc, '\n'))
		return err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, doc, "", "  "); err != nil {
		return err
	}
	b.WriteByte('\n')
	_, err := w.Write(b.Bytes())
	return err
}

// list writes documents: as one array, or a line each.
func (g *globals) list(w io.Writer, docs [][]byte) error {
	if g.output == outJSONL {
		for _, d := range docs {
			if err := g.document(w, d); err != nil {
				return err
			}
		}
		return nil
	}
	all := append([]byte{'['}, bytes.Join(docs, []byte(","))...)
	return g.document(w, append(all, ']'))
}

// jsonOf is encoding/json without HTML escapes, for values that are no messages.
func jsonOf(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// table writes rows in columns, the first one as the header. What others wrote
// into a cell cannot steer the terminal.
func table(w io.Writer, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i := range row {
			row[i] = printable(row[i])
		}
		fmt.Fprintln(t, strings.TrimRight(strings.Join(row, "\t"), "\t"))
	}
	return t.Flush()
}

// printable replaces control characters.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '·'
		}
		return r
	}, s)
}

// shown is a time as people read it, in UTC; empty if there is none.
func shown(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().UTC().Format("2006-01-02 15:04:05Z")
}

// instant reads a flag that must name one instant.
func instant(flag, text string) (*timestamppb.Timestamp, error) {
	if text == "" {
		return nil, nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return nil, usagef("--%s: %q is no instant; write it like 2026-03-01T09:30:00Z or 2026-03-01T09:30:00-05:00", flag, text)
	}
	return timestamppb.New(t), nil
}

// moment reads when something happened: an instant, or else a text that the
// server resolves to a day or refuses.
func moment(text string) (at *timestamppb.Timestamp, on string) {
	text = strings.TrimSpace(text)
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		if at = timestamppb.New(t); at.CheckValid() == nil {
			return at, ""
		}
	}
	return nil, text
}

// digitsOfNumber is from how many digits on a text may be somebody's number.
const digitsOfNumber = 7

// safe is what a caller typed, fit for an error: nothing that could be a phone number.
func safe(s string) string {
	if digitsIn(s) >= digitsOfNumber {
		return "…"
	}
	return printable(s)
}

func digitsIn(s string) (n int) {
	for _, r := range s {
		if unicode.IsDigit(r) {
			n++
		}
	}
	return n
}

// numberLike is nine digits or more, however they are grouped. What is matched
// before it is none: ids, hashes, instants, addresses of machines, and words that
// end in digits, as folders do.
var numberLike = regexp.MustCompile(`\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b` +
	`|\b[0-9a-f]{32,64}\b` +
	`|\p{L}{2}[\p{L}\p{Nd}_-]*` +
	`|\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d)` +
	`|\b\d{1,3}(?:\.\d{1,3}){3}\b` +
	`|\+?\(?\p{Nd}(?:[-. ()/\x{00a0}]*\p{Nd}){8,}`)

// masked is an error's text without what could be a phone number.
func masked(text string) string {
	return numberLike.ReplaceAllStringFunc(text, func(s string) string {
		letters := strings.IndexFunc(s, unicode.IsLetter) >= 0
		if letters || uuid.Validate(s) == nil || net.ParseIP(s) != nil || strings.Contains(s, ":") {
			return s
		}
		return "…"
	})
}
