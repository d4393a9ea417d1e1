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

// splitRow cuts a row into its fields after RFC 4180. A quote in a field that does
// not begin with one is an ordinary character (5" pipe). They use the room of others.
func splitRow(fields []span, text []byte) ([]span, rowState) {
	fields = fields[:0]
	for at := 0; ; {
		if at == len(text) || text[at] != '"' {
			n := bytes.IndexByte(text[at:], ',')
			if n < 0 {
				return append(fields, span{begin: at, end: len(text)}), rowWhole
			}
			fields = append(fields, span{begin: at, end: at + n})
			at += n + 1
			continue
		}
		end := at + 1
		for {
			n := bytes.IndexByte(text[end:], '"')
			if n < 0 {
				return fields, rowOpen
			}
			if end += n + 1; end == len(text) || text[end] != '"' {
				break
			}
			end++
		}
		fields = append(fields, span{begin: at, end: end, quoted: true})
		switch {
		case end == len(text):
			return fields, rowWhole
		case text[end] != ',':
			return fields, rowBroken
		}
		at = end + 1
	}
}

// fieldsOf gives the fields of a row that is whole.
func fieldsOf(text []byte) (out []string) {
	spans, _ := splitRow(nil, text)
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
	spans, state := splitRow(nil, text)
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
