package scrub

import "bytes"

// span is one field in the text of its row, with its quotes.
type span struct {
	begin, end int
	quoted     bool
}

// value is the field without its quotes.
func (s span) value(text []byte) []byte {
	if !s.quoted {
		return text[s.begin:s.end]
	}
	return bytes.ReplaceAll(text[s.begin+1:s.end-1], []byte(`""`), []byte(`"`))
}

type rowState int

const (
	rowWhole  rowState = iota
	rowOpen            // ends inside quotes
	rowBroken          // something follows a closing quote
)

// splitter cuts a row into its fields after RFC 4180. A quote in a field that does not
// begin with one is an ordinary character (5" pipe).
type splitter struct {
	fields []span
	at     int // where the field begins that is not whole
	seen   int // to where its closing quote was looked for; 0: not at all
}

// split cuts a row, or goes on with one that was open and has more text now: what was
// looked at is not looked at again, or a row of a hundred thousand lines would take hours.
func (s *splitter) split(text []byte) rowState {
	for {
		if s.seen == 0 && (s.at == len(text) || text[s.at] != '"') {
			n := bytes.IndexByte(text[s.at:], ',')
			if n < 0 {
				s.fields = append(s.fields, span{begin: s.at, end: len(text)})
				return rowWhole
			}
			s.fields = append(s.fields, span{begin: s.at, end: s.at + n})
			s.at += n + 1
			continue
		}
		end, closed := closingQuote(text, max(s.seen, s.at+1))
		if !closed {
			s.seen = end
			return rowOpen
		}
		s.fields = append(s.fields, span{begin: s.at, end: end, quoted: true})
		switch {
		case end == len(text):
			return rowWhole
		case text[end] != ',':
			return rowBroken
		}
		s.at, s.seen = end+1, 0
	}
}

// closingQuote gives where a quoted field ends, from a place within it.
func closingQuote(text []byte, from int) (end int, closed bool) {
	for end = from; ; end++ {
		n := bytes.IndexByte(text[end:], '"')
		if n < 0 {
			return len(text), false
		}
		if end += n + 1; end == len(text) || text[end] != '"' {
			return end, true
		}
	}
}

// splitRow cuts a row by itself.
func splitRow(text []byte) ([]span, rowState) {
	var s splitter
	state := s.split(text)
	return s.fields, state
}

// fieldsOf gives the fields of a row that is whole.
func fieldsOf(text []byte) (out []string) {
	spans, _ := splitRow(text)
	for _, s := range spans {
		out = append(out, string(s.value(text)))
	}
	return out
}

// formula tells whether a spreadsheet would compute a cell instead of showing it
// (OWASP, CSV injection). A number with its sign is one too, but can do no harm, and
// the column of phone numbers is full of them.
func formula(cell []byte) bool {
	if len(cell) == 0 {
		return false
	}
	switch cell[0] {
	case '=', '@', '\t', '\r':
		return true
	case '+', '-':
		for _, c := range cell[1:] {
			if (c < '0' || c > '9') && c != ' ' && c != '-' && c != '.' && c != '(' && c != ')' {
				return true
			}
		}
	}
	return false
}

// appendNeutral appends the fields of a row with an apostrophe before each that a
// spreadsheet would compute.
func appendNeutral(dst, text []byte) []byte {
	spans, state := splitRow(text)
	if state != rowWhole {
		return append(dst, text...)
	}
	for i, s := range spans {
		if i > 0 {
			dst = append(dst, ',')
		}
		field := text[s.begin:s.end]
		if formula(s.value(text)) {
			if s.quoted {
				dst, field = append(dst, '"'), field[1:]
			}
			dst = append(dst, '\'')
		}
		dst = append(dst, field...)
	}
	return dst
}

// appendCell appends a cell of our own: quoted where that is needed, and never a formula.
func appendCell(dst, cell []byte) []byte {
	neutral := formula(cell) || len(cell) > 0 && (cell[0] == '+' || cell[0] == '-')
	quote := bytes.ContainsAny(cell, "\",\r\n") || neutral
	if quote {
		dst = append(dst, '"')
	}
	if neutral {
		dst = append(dst, '\'')
	}
	for _, c := range cell {
		if c == '"' {
			dst = append(dst, '"')
		}
		dst = append(dst, c)
	}
	if quote {
		dst = append(dst, '"')
	}
	return dst
}
