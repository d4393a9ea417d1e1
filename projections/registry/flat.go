package registry

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

const (
	// lineBytesMax is the longest line that is looked at; a number needs 12.
	// Longer ones are malformed and never held in memory.
	lineBytesMax = 64

	// malformedLinesMax is how many malformed lines are named.
	malformedLinesMax = 100

	// malformedShareMax is the share of malformed lines above which a file is
	// refused, in parts of the whole: one in a hundred. A file that is worse is
	// probably of another format, and half a list is no list.
	malformedShareMax = 100

	// fileBytesMax bounds what comes out of one file, a packed one above all. All
	// ten-digit numbers that exist would fill 77 GB; the national list fills 3.
	fileBytesMax = 16 << 30
)

// ErrMalformed: too many lines of a file cannot be read. Nothing of the list is
// loaded.
var ErrMalformed = errors.New("registry: the file is not a flat list of ten-digit numbers")

// ErrTooLarge: a file holds more than a list can.
var ErrTooLarge = errors.New("registry: the file is larger than a list can be")

// Lines is what was found in a file besides numbers.
type Lines struct {
	// Read counts all lines that are not blank.
	Read uint64
	// Malformed counts those that hold no number.
	Malformed uint64
	// MalformedLines are the line numbers of the first 100 of them, from 1.
	MalformedLines []uint64
}

// ParseFlat reads the FTC's flat full list: one number a line, as `NPA,NXXXXXX`
// or as ten digits, with LF or CRLF, without a header (the form of 2003 and the
// form of today). Blanks around a line and a byte order mark are ignored, and so
// are blank lines. It gives each number to add as E.164 digits without the plus,
// in the order of the file, and holds one line at a time.
//
// The result counts what could not be read; more than one line in a hundred is
// ErrMalformed. The error of add ends it.
func ParseFlat(r io.Reader, add func(number uint64) error) (Lines, error) {
	var (
		out  Lines
		line uint64
		in   = bufio.NewReaderSize(&bounded{r: r, left: fileBytesMax}, 64<<10)
	)
	if bom, err := in.Peek(3); err == nil && string(bom) == "\xef\xbb\xbf" {
		if _, err := in.Discard(3); err != nil {
			return out, err
		}
	}
	for {
		text, long, err := nextLine(in)
		if err != nil && !errors.Is(err, io.EOF) {
			return out, fmt.Errorf("registry: line %d: %w", line+1, err)
		}
		end := err != nil
		if end && len(text) == 0 && !long {
			return out, out.check()
		}
		line++
		if text = trimBlanks(text); len(text) > 0 || long {
			out.Read++
			n, ok := parseLine(text)
			if !ok || long {
				out.malformed(line)
			} else if err := add(n); err != nil {
				return out, err
			}
		}
		if end {
			return out, out.check()
		}
	}
}

// nextLine gives the next line without its LF. Of a line that does not fit the
// buffer, only that it is long.
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

func trimBlanks(b []byte) []byte {
	blank := func(c byte) bool { return c == ' ' || c == '\t' || c == '\r' }
	for len(b) > 0 && blank(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && blank(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

// parseLine reads `NPA,NXXXXXX` or ten digits. Area and exchange codes begin with
// 2 to 9 in the North American Numbering Plan.
func parseLine(b []byte) (uint64, bool) {
	if len(b) == 11 && b[3] == ',' {
		area, ok := digits(b[:3])
		rest, ok2 := digits(b[4:])
		if !ok || !ok2 {
			return 0, false
		}
		return national(area*1e7 + rest)
	}
	if len(b) != 10 {
		return 0, false
	}
	n, ok := digits(b)
	if !ok {
		return 0, false
	}
	return national(n)
}

func national(n uint64) (uint64, bool) {
	if n/1e9 < 2 || n/1e6%10 < 2 {
		return 0, false
	}
	return 1e10 + n, true
}

func digits(b []byte) (n uint64, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, true
}

func (l *Lines) malformed(line uint64) {
	l.Malformed++
	if len(l.MalformedLines) < malformedLinesMax {
		l.MalformedLines = append(l.MalformedLines, line)
	}
}

func (l *Lines) check() error {
	if l.Malformed*malformedShareMax > l.Read {
		return fmt.Errorf("%w: %d of %d lines cannot be read, the first of them line %d",
			ErrMalformed, l.Malformed, l.Read, l.MalformedLines[0])
	}
	return nil
}

// bounded reads at most left bytes and then fails, where io.LimitReader would
// quietly end: the rest of a list is not nothing.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, ErrTooLarge
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	return n, err
}
