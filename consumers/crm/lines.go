package crm

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// errLineTooLong: the line was skipped up to its end; reading goes on behind it.
var errLineTooLong = errors.New("crm: a line is too long")

// keptOfLongLine is how much of a line that is too long is given back.
const keptOfLongLine = 1024

// lineReader gives lines without their ends (\n or \r\n) and can go back to a
// mark. A byte order mark at the start of the file is skipped.
type lineReader struct {
	in   *bufio.Reader
	no   int    // lines given so far
	hold bool   // between mark and release or reset
	held []byte // what was read since the mark; its reader bounds it
	back []byte // whole lines to be read again before in
	buf  []byte // a line longer than in's buffer
}

func newLineReader(in io.Reader) *lineReader {
	l := &lineReader{in: bufio.NewReaderSize(in, 256<<10)}
	if bom, _ := l.in.Peek(3); string(bom) == "\xef\xbb\xbf" {
		l.in.Discard(3)
	}
	return l
}

// mark begins to hold what is read.
func (l *lineReader) mark() int {
	l.held, l.hold = l.held[:0], true
	return l.no
}

// release forgets the mark.
func (l *lineReader) release() { l.hold = false }

// reset makes the lines read since the mark come again.
func (l *lineReader) reset(mark int) {
	l.no, l.hold = mark, false
	l.back = append(bytes.Clone(l.held), l.back...)
}

// line gives the next line, valid until the next call, and its number. The last
// line needs no end. Of a line that is too long it gives the beginning, with
// errLineTooLong.
func (l *lineReader) line() (text []byte, no int, err error) {
	text, err = l.raw()
	if len(text) == 0 || (err != nil && err != io.EOF && err != errLineTooLong) {
		return nil, l.no, err
	}
	l.no++
	if l.hold {
		l.held = append(l.held, text...)
	}
	text = bytes.TrimSuffix(text, []byte("\n"))
	text = bytes.TrimSuffix(text, []byte("\r"))
	if err == io.EOF {
		err = nil // the next call says so
	}
	return text, l.no, err
}

// raw reads one line with its end.
func (l *lineReader) raw() ([]byte, error) {
	if len(l.back) > 0 {
		end := bytes.IndexByte(l.back, '\n') + 1
		if end == 0 {
			end = len(l.back)
		}
		line := l.back[:end:end]
		l.back = l.back[end:]
		return line, nil
	}
	line, err := l.in.ReadSlice('\n')
	if err != bufio.ErrBufferFull {
		return line, err
	}
	l.buf = append(l.buf[:0], line...)
	for err == bufio.ErrBufferFull {
		line, err = l.in.ReadSlice('\n')
		if len(l.buf)+len(line) > RecordBytesMax {
			return l.skip(err)
		}
		l.buf = append(l.buf, line...)
	}
	return l.buf, err
}

// skip reads on to the end of a line that is too long.
func (l *lineReader) skip(err error) ([]byte, error) {
	for err == bufio.ErrBufferFull {
		_, err = l.in.ReadSlice('\n')
	}
	if err != nil && err != io.EOF {
		return nil, err
	}
	return append(l.buf[:keptOfLongLine], '\n'), errLineTooLong
}
