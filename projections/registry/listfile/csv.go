package listfile

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/consent-ledger/consent-ledger/ledger/phone"
)

// CSV is any list with a column of numbers, a record a line. A first line that
// holds no number names the columns; a file of numbers alone needs none.
type CSV struct {
	// Column is the name of the column of numbers, whatever its case; empty: the
	// only column, or one of a usual name.
	Column string
	// ChangeColumn, for a change list, is the name of the column that says A
	// (added) or D (deleted).
	ChangeColumn string
	// Comma separates columns; 0: a comma, or a semicolon or tab if the first
	// line has those and no comma.
	Comma byte
	// Region is that of numbers without a country code, ISO 3166; empty: such
	// numbers cannot be read.
	Region string

	begun          bool
	column, change int
	width          int // columns of the first line
}

// A column of numbers is known unasked by one of these names, or by a word of it. If
// two are, neither is taken: numbers of the other would look unlisted.
var (
	usualNames = []string{"number", "phonenumber", "telephonenumber"}
	usualWords = []string{"phone", "telephone", "msisdn", "mobile", "cell", "cellphone"}
)

// digitsOfNumber is from how many digits on a text may be somebody's number.
const digitsOfNumber = 7

// ErrColumn: the column of numbers cannot be told.
var ErrColumn = errors.New("the column of numbers is not known")

// Name implements Form.
func (*CSV) Name() string { return "a CSV list of numbers" }

// Line implements Form.
func (c *CSV) Line(text []byte, _ bool) (Row, verdict, error) {
	if !c.begun {
		c.begun = true
		if c.Comma == 0 {
			c.Comma = guessComma(text)
		}
		if header, err := c.header(text); header || err != nil {
			return Row{}, nothing, err
		}
	}
	fields, ok := c.split(text)
	if !ok || c.column >= len(fields) || c.change >= len(fields) || c.shifted(fields) {
		return Row{}, bad, nil
	}
	n, ok := c.number(fields[c.column])
	if !ok {
		return Row{}, bad, nil
	}
	row := Row{Number: n}
	if c.change >= 0 {
		var err error
		if row.Removed, err = change(trimBlanks(fields[c.change])); err != nil {
			return Row{}, bad, err
		}
	}
	return row, good, nil
}

func guessComma(text []byte) byte {
	for _, c := range []byte{',', ';', '\t'} {
		if bytes.IndexByte(text, c) >= 0 {
			return c
		}
	}
	return ','
}

// header reads the first line. It tells whether that was one.
func (c *CSV) header(text []byte) (bool, error) {
	c.column, c.change = -1, -1
	fields, ok := c.split(text)
	if !ok {
		return false, fmt.Errorf("%w: the first line cannot be read", ErrColumn)
	}
	c.width = len(fields)
	named := c.Column != "" || c.ChangeColumn != ""
	if !named && len(fields) == 1 {
		c.column = 0
		return digitsIn(fields[0]) < digitsOfNumber, nil
	}
	for i, f := range fields {
		name := strings.ToLower(string(trimBlanks(f)))
		if c.isColumn(name) {
			if c.column >= 0 {
				return true, fmt.Errorf("%w: two columns could be it; name one with --column", ErrColumn)
			}
			c.column = i
		}
		if c.ChangeColumn != "" && name == strings.ToLower(c.ChangeColumn) {
			c.change = i
		}
	}
	if c.column < 0 {
		return true, fmt.Errorf("%w: no column of the first line has its name; name it with --column", ErrColumn)
	}
	if c.ChangeColumn != "" && c.change < 0 {
		return true, errors.New("no column of the first line has the name given with --change-column")
	}
	return true, nil
}

func (c *CSV) isColumn(name string) bool {
	if c.Column != "" {
		return name == strings.ToLower(c.Column)
	}
	words := strings.FieldsFunc(name, func(r rune) bool { return r == ' ' || r == '_' || r == '-' })
	return slices.Contains(usualNames, strings.Join(words, "")) || slices.ContainsFunc(words, func(w string) bool { return slices.Contains(usualWords, w) })
}

// shifted tells that a line has more columns than the first one, so that something stood
// in the place of the number: `Doe, Ann` without quotes. Separators at the end are no columns.
func (c *CSV) shifted(fields [][]byte) bool {
	return len(fields) > c.width && slices.ContainsFunc(fields[c.width:], func(f []byte) bool { return !blank(f) })
}

func digitsIn(text []byte) (n int) {
	for _, b := range text {
		if b >= '0' && b <= '9' {
			n++
		}
	}
	return n
}

// split separates the fields of a line; quotes are looked at where there are any. Of a
// line whose quotes are not those of CSV (5" pipe), each is an ordinary character, if that
// leaves as many columns as the first line has.
func (c *CSV) split(text []byte) (fields [][]byte, ok bool) {
	if bytes.IndexByte(text, '"') < 0 {
		return bytes.Split(text, []byte{c.Comma}), true
	}
	r := csv.NewReader(bytes.NewReader(text))
	r.Comma = rune(c.Comma)
	record, err := r.Read()
	if err != nil && c.width > 0 {
		r = csv.NewReader(bytes.NewReader(text))
		r.Comma, r.LazyQuotes, r.FieldsPerRecord = rune(c.Comma), true, c.width
		record, err = r.Read()
	}
	if err != nil {
		return nil, false
	}
	for _, f := range record {
		fields = append(fields, []byte(f))
	}
	return fields, true
}

// number reads one cell as every other number is read.
func (c *CSV) number(cell []byte) (uint64, bool) {
	cell = trimBlanks(cell)
	if c.Region == "" && (len(cell) == 0 || cell[0] != '+') {
		return 0, false // to guess a country would list somebody else
	}
	n, err := phone.Parse(string(cell), c.Region)
	if err != nil {
		return 0, false
	}
	return Digits([]byte(strings.TrimPrefix(n.E164, "+")))
}
