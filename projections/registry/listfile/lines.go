// Package listfile reads the files in which registries publish their lists. It
// knows forms of files and nothing of the ledger: bytes in, numbers out.
//
//	lines.go    lines of any file, counted, bounded, the malformed ones named
//	flat.go     the FTC's full and change lists, the UK's TPS and CTPS
//	csv.go      any other list: a column of numbers
//	archive.go  a list in a zip, and what is no list in a zip
//	name.go     what the FTC's file names say
//
// Every reader holds one line at a time. What cannot be read is counted and
// named by its line; too much of it, or a file cut off in the middle of a line,
// refuses the file.
package listfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

const (
	// lineBytesMax is the longest line that is looked at. Longer ones are
	// malformed and never held in memory.
	lineBytesMax = 4096

	// malformedLinesMax is how many malformed lines are named.
	malformedLinesMax = 100

	// BadShareDefault is the share of malformed lines, in percent, above which a
	// file is refused: it is probably of another form, and half a list is no list.
	BadShareDefault = 1

	// fileBytesMax bounds what comes out of one file, a packed one above all. All
	// ten-digit numbers that exist would fill 77 GB; the national list fills 3.
	fileBytesMax = 16 << 30
)

var (
	// ErrMalformed: too many lines of a file cannot be read. Nothing of the list
	// is loaded.
	ErrMalformed = errors.New("the file is not")

	// ErrTruncated: the file ends within a line: the rest is missing. Nothing of
	// the list is loaded.
	ErrTruncated = errors.New("the file is cut off")

	// ErrTooLarge: a file holds more than a list can.
	ErrTooLarge = errors.New("the file is larger than a list can be")
)

// Lines is what was found in a file besides numbers.
type Lines struct {
	// Read counts all lines that are not blank, headers excepted.
	Read uint64
	// Malformed counts those that hold no number.
	Malformed uint64
	// MalformedLines are the line numbers of the first 100 of them, from 1.
	MalformedLines []uint64
}

// Row is one number of a list.
type Row struct {
	// Number is the E.164 digits without the plus.
	Number uint64
	// Removed: a change list takes the number off. Otherwise it is listed.
	Removed bool
	// At is when it changed, in seconds since 1970, as the change list writes it;
	// 0: it does not say.
	At int64
}

// Form is how the lines of a file are read.
type Form interface {
	// Name completes the sentence "the file is not …".
	Name() string
	// Line reads one line, which is not blank and has no line end. ended: it had
	// one. An error refuses the whole file.
	Line(text []byte, ended bool) (Row, verdict, error)
}

// verdict is what a line turned out to be.
type verdict int

const (
	bad     verdict = iota // it cannot be read
	good                   // a row
	nothing                // no row, and none was meant: a header
)

// Read reads a list and hands over each row, in the order of the file; the error
// of add ends it. More malformed lines than badShareMax, in percent of all, are
// ErrMalformed. A byte order mark and blank lines are passed over; lines end with
// LF or CRLF.
func Read(r io.Reader, form Form, badShareMax float64, add func(Row) error) (Lines, error) {
	var out Lines
	in := bufio.NewReaderSize(&bounded{r: r, left: fileBytesMax, err: ErrTooLarge}, 256<<10)
	if bom, err := in.Peek(3); err == nil && string(bom) == "\xef\xbb\xbf" {
		if _, err := in.Discard(3); err != nil {
			return out, err
		}
	}
	if bom, err := in.Peek(2); err == nil && (string(bom) == "\xff\xfe" || string(bom) == "\xfe\xff") {
		return out, fmt.Errorf("%w %s: it is UTF-16; save it as UTF-8", ErrMalformed, form.Name())
	}
	for line := uint64(1); ; line++ {
		text, long, err := nextLine(in)
		if err != nil && !errors.Is(err, io.EOF) {
			return out, fmt.Errorf("line %d: %w", line, err)
		}
		ended := err == nil
		if n := len(text); n > 0 && text[n-1] == '\r' {
			text = text[:n-1]
		}
		if !blank(text) || long {
			if err := out.line(line, text, long, ended, form, add); err != nil {
				return out, err
			}
		}
		if !ended {
			return out, out.check(form, badShareMax)
		}
	}
}

func (l *Lines) line(no uint64, text []byte, long, ended bool, form Form, add func(Row) error) error {
	row, v, err := Row{}, bad, error(nil)
	if !long {
		row, v, err = form.Line(text, ended)
	}
	switch {
	case err != nil:
		return fmt.Errorf("line %d: %w", no, err)
	case v == good:
		l.Read++
		return add(row)
	case v == nothing:
		return nil
	case !ended && !long && l.Read > 0:
		return fmt.Errorf("%w: it ends within line %d", ErrTruncated, no)
	}
	l.Read++
	l.Malformed++
	if len(l.MalformedLines) < malformedLinesMax {
		l.MalformedLines = append(l.MalformedLines, no)
	}
	return nil
}

// check tells whether too much of the file could not be read.
func (l *Lines) check(form Form, badShareMax float64) error {
	if float64(l.Malformed)*100 > badShareMax*float64(l.Read) {
		return fmt.Errorf("%w %s: %d of %d lines cannot be read, the first of them line %d",
			ErrMalformed, form.Name(), l.Malformed, l.Read, l.MalformedLines[0])
	}
	return nil
}

// Join adds what was found in another file of the same list.
func (l *Lines) Join(other Lines) {
	l.Read += other.Read
	l.Malformed += other.Malformed
	n := min(len(other.MalformedLines), malformedLinesMax-len(l.MalformedLines))
	l.MalformedLines = append(l.MalformedLines, other.MalformedLines[:n]...)
}

// nextLine gives the next line without its LF. Of a line that does not fit, only
// that it is long.
func nextLine(in *bufio.Reader) (text []byte, long bool, err error) {
	text, err = in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = in.ReadSlice('\n')
		}
		return nil, true, err
	}
	if n := len(text); n > 0 && text[n-1] == '\n' {
		text = text[:n-1]
	}
	if len(text) > lineBytesMax {
		return nil, true, err
	}
	return text, false, err
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' }

func blank(b []byte) bool {
	for _, c := range b {
		if !isBlank(c) {
			return false
		}
	}
	return true
}

func trimBlanks(b []byte) []byte {
	for len(b) > 0 && isBlank(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isBlank(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

// bounded reads at most left bytes and then fails, where io.LimitReader would
// quietly end: the rest of a list is not nothing.
type bounded struct {
	r    io.Reader
	left int64
	err  error
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, b.err
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	return n, err
}
