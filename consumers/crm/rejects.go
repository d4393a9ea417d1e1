package crm

import (
	"encoding/csv"
	"io"
	"strconv"
)

// Rejects writes the rows that were not recorded: their columns as they came,
// then the line of the file and the reason. Corrected, the file can be imported
// as it is: the two columns are ignored. Not safe for concurrent use.
type Rejects struct {
	w     *csv.Writer
	width int
	rows  int
}

// NewRejects writes the header. The caller truncates the file first.
func NewRejects(w io.Writer, header []string) (*Rejects, error) {
	r := &Rejects{w: csv.NewWriter(w), width: len(header)}
	return r, r.write(header, columnRejectedLine, columnRejectedReason)
}

// Add writes one row.
func (r *Rejects) Add(row Row, reason string) error {
	r.rows++
	return r.write(row.Raw, strconv.Itoa(row.Line), reason)
}

// Rows is how many were written.
func (r *Rejects) Rows() int { return r.rows }

// Flush writes out what is buffered.
func (r *Rejects) Flush() error {
	r.w.Flush()
	return r.w.Error()
}

// write puts line and reason into their columns even if the row has fewer or
// more fields than the header; of more, the last ones follow behind.
func (r *Rejects) write(raw []string, line, reason string) error {
	out := make([]string, 0, max(r.width, len(raw))+2)
	for i := range r.width {
		text := ""
		if i < len(raw) {
			text = guard(raw[i])
		}
		out = append(out, text)
	}
	out = append(out, line, guard(reason))
	for _, text := range raw[min(r.width, len(raw)):] {
		out = append(out, guard(text))
	}
	return r.w.Write(out)
}

// guard keeps a spreadsheet from running a field as a formula (OWASP, CSV
// injection): an apostrophe in front shows as text.
func guard(text string) string {
	if text != "" && startsFormula(text[0]) {
		return "'" + text
	}
	return text
}

// unguard takes the apostrophe away again.
func unguard(text string) string {
	if len(text) > 1 && text[0] == '\'' && startsFormula(text[1]) {
		return text[1:]
	}
	return text
}

func startsFormula(c byte) bool {
	switch c {
	case '=', '+', '-', '@', '\t', '\r':
		return true
	}
	return false
}
