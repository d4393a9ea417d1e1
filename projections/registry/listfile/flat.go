package listfile

import (
	"bytes"
	"errors"
	"time"
)

// Flat is the FTC's flat full list: one number a line, as `NPA,NXXXXXX` or as ten
// digits, without a header (the form of today and the form of 2003). Blanks
// around a line are passed over.
type Flat struct{}

// Name implements Form.
func (Flat) Name() string { return "a flat list of ten-digit numbers" }

// Line implements Form.
func (Flat) Line(text []byte, _ bool) (Row, verdict, error) {
	n, rest, ok := northAmerican(trimBlanks(text))
	if !ok || len(rest) > 0 {
		return Row{}, bad, nil
	}
	return Row{Number: n}, good, nil
}

// northAmerican reads `NPA,NXXXXXX` or ten digits at the beginning of a line, up
// to its end or a comma. Area and exchange codes begin with 2 to 9 in the North
// American Numbering Plan.
func northAmerican(b []byte) (n uint64, rest []byte, ok bool) {
	size := 10
	if len(b) > 3 && b[3] == ',' {
		size = 11
	}
	if len(b) < size {
		return 0, nil, false
	}
	for i, c := range b[:size] {
		if c < '0' || c > '9' {
			if i == 3 && size == 11 {
				continue
			}
			return 0, nil, false
		}
		n = n*10 + uint64(c-'0')
	}
	return 1e10 + n, b[size:], n/1e9 >= 2 && n/1e6%10 >= 2
}

// Changes is the FTC's flat change list: the number in either form, the instant
// of the change and `A` for added or `D` for deleted, between commas:
// `818,5550103,2026-11-08T03:10:00,D`. Another letter refuses the file: what it
// means is not known, and half the changes are not the list.
type Changes struct{}

// Name implements Form.
func (Changes) Name() string { return "a flat change list (number, instant, A or D)" }

var errCode = errors.New("the change is neither A nor D; this is not the change list this version knows")

// Line implements Form.
func (Changes) Line(text []byte, _ bool) (Row, verdict, error) {
	n, rest, ok := northAmerican(trimBlanks(text))
	if !ok || len(rest) == 0 || rest[0] != ',' {
		return Row{}, bad, nil
	}
	at, code, ok := bytes.Cut(rest[1:], []byte{','})
	if !ok {
		return Row{}, bad, nil
	}
	when, ok := instant(trimBlanks(at))
	if !ok {
		return Row{}, bad, nil
	}
	removed, err := change(trimBlanks(code))
	if err != nil {
		return Row{}, bad, err
	}
	return Row{Number: n, Removed: removed, At: when.Unix()}, good, nil
}

// change reads what a change does.
func change(code []byte) (removed bool, err error) {
	switch string(bytes.ToUpper(code)) {
	case "A":
		return false, nil
	case "D":
		return true, nil
	}
	return false, errCode
}

// instants are how a change list may write when, after the day it begins with.
var instants = []string{"2006-01-02T15:04:05", "2006-01-02 15:04:05", time.RFC3339, "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04", "2006-01-02 15:04"}

// instant reads a day, with or without a time. Of a time in a form that is not known the
// day counts.
func instant(b []byte) (time.Time, bool) {
	if len(b) < len(time.DateOnly) {
		return time.Time{}, false
	}
	for _, form := range instants {
		if t, err := time.Parse(form, string(b)); err == nil {
			return t, true
		}
	}
	day, err := time.Parse(time.DateOnly, string(b[:len(time.DateOnly)]))
	return day, err == nil
}

// TPS is the licence file of the UK's TPS and CTPS, in both its forms: a code of 5
// and a remainder of 7, the one filled with blanks on its right, the other on its
// left (`01632 960123`, `0207 9460123`), or one field of 12 filled on its right
// (`02079460123 `). Numbers are British, with their leading zero.
type TPS struct{}

// Name implements Form.
func (TPS) Name() string { return "a TPS or CTPS licence file (12 characters a line)" }

// tpsWidth is the width of a line without its end.
const tpsWidth = 12

// Line implements Form. Some tools cut trailing blanks off, so a shorter line
// will do where it has an end; without one it may be half a number.
func (TPS) Line(text []byte, ended bool) (Row, verdict, error) {
	if len(text) > tpsWidth || !ended && len(text) < tpsWidth || len(text) == 0 || text[0] != '0' {
		return Row{}, bad, nil
	}
	n, digits, gaps := uint64(0), 0, 0
	for i, c := range text {
		switch {
		case c >= '0' && c <= '9':
			n, digits = n*10+uint64(c-'0'), digits+1
		case c == ' ':
			if i == 0 || text[i-1] != ' ' {
				gaps++
			}
		default:
			return Row{}, bad, nil
		}
	}
	if text[len(text)-1] == ' ' {
		gaps--
	}
	// The leading zero is none of the number; nine or ten digits follow.
	if gaps > 1 || digits < 10 || digits > 11 || n == 0 {
		return Row{}, bad, nil
	}
	if digits == 10 {
		return Row{Number: 44*1e9 + n}, good, nil
	}
	return Row{Number: 44*1e10 + n}, good, nil
}
