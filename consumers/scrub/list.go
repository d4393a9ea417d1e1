package scrub

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// rowBytesMax bounds one row, so that memory is bounded whatever the file holds.
const rowBytesMax = 4 << 20

// batchRows is how many rows are asked about in one message; the contract takes 10,000.
const batchRows = 10_000

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// list reads the rows of a calling list. encoding/csv was refused: one bad quote
// ends it, an unclosed one swallows the rest of the list, and it gives fields where
// the bytes of a row are wanted as they are. Here such a row is one bad row, and reading
// goes on with the next line.
type list struct {
	in    *bufio.Reader
	ahead [][]byte // lines of in that a row looked at; those from again on are read again
	again int
	lines int      // lines given so far
	text  []byte   // of the row being read, with the ends of its lines
	split splitter // of that row

	size   int // rows of a batch
	width  int // fields of the header; 0 until it is read
	column int // of the numbers, from 0
	name   string
	end    string

	bytes int64 // read so far
	sum   uint32
}

// batch is rows as they were read, and their numbers.
type batch struct {
	text    []byte // every byte read, blank lines too
	rows    []row
	numbers []byte // each with a line feed behind it
	ends    []int  // of the numbers, where their line feeds are
	within  bool   // some number holds a line feed of its own
	bad     *badRow

	// After the batch: bytes and lines of the list, and the bytes' checksum.
	bytes int64
	lines int
	sum   uint32
}

// row is one row in its batch's text.
type row struct {
	begin, end int // without the end of its last line
	eol        int // bytes of that end
	cut        int // where our columns go
	missing    int // fields it has less than the header
	broken     bool
}

// badRow is the first row of a batch that cannot be asked about: its fields may
// stand in the wrong columns.
type badRow struct {
	line    int // of its beginning, from 1
	problem string
}

func newList(in io.Reader) *list {
	return &list{in: bufio.NewReaderSize(in, 1<<20), size: batchRows, end: "\n"}
}

// header reads the first row and finds the column of the numbers. What follows is
// meant by it, so it must be sound. The batch holds it as its only row.
func (l *list) header(column string, ours []string) (*batch, error) {
	b := &batch{}
	if start, _ := l.in.Peek(3); bytes.Equal(start, []byte(byteOrderMark)) {
		_, _ = l.in.Discard(3) // they were peeked at
		b.text = append(b.text, byteOrderMark...)
	} else if bytes.HasPrefix(start, []byte("\xff\xfe")) || bytes.HasPrefix(start, []byte("\xfe\xff")) {
		return nil, &ListError{Problem: "the list is UTF-16", Fix: "save it as CSV UTF-8"}
	}
	problem, err := l.next(b)
	switch {
	case errors.Is(err, io.EOF):
		return nil, errors.New("the list is empty: it has no header")
	case err != nil:
		return nil, fmt.Errorf("read the header: %w", err)
	case problem != "":
		return nil, &ListError{Problem: "the header " + problem}
	}
	r := b.rows[0]
	fields := fieldsOf(b.text[r.begin:r.end])
	l.width = len(fields)
	if r.eol == 2 {
		l.end = "\r\n"
	}
	if err := checkHeader(fields, ours); err != nil {
		return nil, err
	}
	if l.column, err = phoneColumn(fields, column); err != nil {
		return nil, err
	}
	l.name = safe(fields[l.column])
	b.rows[0].cut = r.end
	l.finish(b)
	return b, nil
}

const byteOrderMark = "\xef\xbb\xbf"

// skip goes on behind the bytes that were read before, and checks that they are
// the same.
func (l *list) skip(bytes int64, lines int, sum uint32) error {
	for l.bytes < bytes {
		chunk, err := l.in.Peek(int(min(bytes-l.bytes, 1<<16)))
		if len(chunk) == 0 {
			if err = orEOF(err); !errors.Is(err, io.EOF) {
				return err
			}
			return errOtherList
		}
		l.sum = crc32.Update(l.sum, castagnoli, chunk)
		n, _ := l.in.Discard(len(chunk)) // they were peeked at
		l.bytes += int64(n)
	}
	l.lines = lines
	if l.sum != sum || l.bytes != bytes {
		return errOtherList
	}
	return nil
}

func orEOF(err error) error {
	if err == nil {
		return io.EOF
	}
	return err
}

// batch reads the next rows into b. The error is io.EOF once there are none.
func (l *list) batch(b *batch) error {
	*b = batch{text: b.text[:0], rows: b.rows[:0], numbers: b.numbers[:0], ends: b.ends[:0]}
	for len(b.rows) < l.size && len(b.text) < rowBytesMax {
		line := l.lines + 1
		problem, err := l.next(b)
		if errors.Is(err, io.EOF) {
			l.finish(b)
			if len(b.rows) == 0 {
				return io.EOF
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the list: line %d: %w", line, err)
		}
		if problem != "" && b.bad == nil {
			b.bad = &badRow{line, problem}
		}
	}
	l.finish(b)
	return nil
}

// finish notes how far the list is after a batch.
func (l *list) finish(b *batch) {
	l.bytes += int64(len(b.text))
	l.sum = crc32.Update(l.sum, castagnoli, b.text)
	b.bytes, b.lines, b.sum = l.bytes, l.lines, l.sum
}

// next appends the next row to a batch, with its number; blank lines are no rows.
// Of a row that cannot be read it takes the first line; whatever follows that line
// is read anew.
func (l *list) next(b *batch) (problem string, err error) {
	for {
		text, err := l.read()
		if err != nil {
			return "", err
		}
		l.lines++
		content := trimEnd(text)
		if len(content) == 0 {
			b.text = append(b.text, text...)
			continue
		}
		r := row{begin: len(b.text), eol: len(text) - len(content)}
		if bytes.IndexByte(content, '"') < 0 {
			b.text = append(b.text, text...)
			r.end = r.begin + len(content)
			return l.plain(b, r, content), nil
		}
		return l.quoted(b, r, text)
	}
}

// plain adds a row without quotes.
func (l *list) plain(b *batch, r row, content []byte) (problem string) {
	at, fields, number := 0, 0, content[:0]
	r.cut = r.end
	for {
		end := bytes.IndexByte(content[at:], ',')
		field := content[at:]
		if end >= 0 {
			field = content[at : at+end]
		}
		if fields++; fields == l.column+1 {
			number = field
		}
		if end < 0 {
			break
		}
		if fields == l.width {
			r.cut = r.begin + at + end
		}
		at += end + 1
	}
	return l.add(b, r, fields, number)
}

// add adds a row with its number; of a bad row it is not known whose it would be.
func (l *list) add(b *batch, r row, fields int, number []byte) (problem string) {
	if l.width > 0 && fields > l.width {
		problem, number = fmt.Sprintf("has %d fields, the header has %d; put fields with commas in quotes", fields, l.width), nil
	}
	r.missing = max(0, l.width-fields)
	b.rows = append(b.rows, r)
	b.numbers = append(b.numbers, number...)
	b.ends = append(b.ends, len(b.numbers))
	b.numbers = append(b.numbers, '\n')
	return problem
}

// quoted adds a row with quotes in it, which may go on over several lines.
func (l *list) quoted(b *batch, r row, first []byte) (problem string, err error) {
	l.text = append(l.text[:0], first...)
	l.split = splitter{fields: l.split.fields[:0]}
	firstBytes, more := len(first), 0
	for {
		content := trimEnd(l.text)
		switch l.split.split(content) {
		case rowWhole:
			spans := l.split.fields
			l.lines += more
			r.eol, r.end = len(l.text)-len(content), r.begin+len(content)
			r.cut = r.end
			if l.width > 0 && len(spans) > l.width {
				r.cut = r.begin + spans[l.width-1].end
			}
			b.text = append(b.text, l.text...)
			var number []byte
			if l.column < len(spans) {
				number = spans[l.column].value(content)
			}
			b.within = b.within || bytes.IndexByte(number, '\n') >= 0
			return l.add(b, r, len(spans), number), nil
		case rowBroken:
			return l.broken(b, r, firstBytes, more, `has a quote inside a quoted field; write it twice: ""`), nil
		}
		for closing := false; !closing; { // only a quote can end what a quote began
			text, err := l.further()
			if err != nil && !errors.Is(err, io.EOF) {
				return "", err
			}
			if err == nil {
				more++
			}
			if err != nil || len(l.text)+len(text) > rowBytesMax {
				return l.broken(b, r, firstBytes, more, "opens a quote that is never closed; close it"), nil
			}
			l.text = append(l.text, text...)
			closing = bytes.IndexByte(text, '"') >= 0
		}
	}
}

// broken adds the first line of what cannot be read as one row. The others that were
// looked at are read again.
func (l *list) broken(b *batch, r row, firstBytes, more int, problem string) string {
	l.again -= more
	first := l.text[:firstBytes]
	content := trimEnd(first)
	b.text = append(b.text, first...)
	r.eol, r.end, r.broken = len(first)-len(content), r.begin+len(content), true
	r.cut = r.end
	l.add(b, r, 1, nil)
	return problem
}

// read gives one line with its end, valid until the next read. The last line needs no end.
func (l *list) read() ([]byte, error) {
	if l.again*2 >= len(l.ahead) { // those before are rows
		left := copy(l.ahead, l.ahead[l.again:])
		clear(l.ahead[left:])
		l.ahead, l.again = l.ahead[:left], 0
	}
	if l.again < len(l.ahead) {
		l.again++
		return l.ahead[l.again-1], nil
	}
	return l.line()
}

// further gives the line behind, of which it is not known yet to which row it belongs.
func (l *list) further() ([]byte, error) {
	if l.again == len(l.ahead) {
		text, err := l.line()
		if err != nil {
			return nil, err
		}
		l.ahead = append(l.ahead, bytes.Clone(text))
	}
	l.again++
	return l.ahead[l.again-1], nil
}

// line gives one line of the list.
func (l *list) line() ([]byte, error) {
	text, err := l.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		text, err = l.long(bytes.Clone(text))
	}
	if errors.Is(err, io.EOF) && len(text) > 0 {
		err = nil // the next call says so
	}
	return text, err
}

// long goes on with a line that does not fit into the buffer.
func (l *list) long(text []byte) ([]byte, error) {
	for {
		more, err := l.in.ReadSlice('\n')
		if len(text)+len(more) > rowBytesMax {
			return nil, &ListError{Problem: fmt.Sprintf("a line is longer than %d bytes", rowBytesMax), Fix: "is it a CSV file?"}
		}
		text = append(text, more...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return text, err
		}
	}
}

func trimEnd(text []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
}

// begin is where a number begins.
func (b *batch) begin(i int) int {
	if i == 0 {
		return 0
	}
	return b.ends[i-1] + 1
}

// empty tells whether a row has no number.
func (b *batch) empty(i int) bool { return b.begin(i) == b.ends[i] }

// ask puts the numbers into a request.
func (b *batch) ask(req *consentv1.ScrubRequest) {
	if req.Numbers, req.Lines = nil, b.numbers; b.within {
		req.Numbers, req.Lines = b.eachNumber(nil), nil
	}
}

// eachNumber appends the numbers as texts; what is no UTF-8 is marked, because no text of a
// message may hold it.
func (b *batch) eachNumber(dst []string) []string {
	all := string(b.numbers) // one copy for all
	sound := utf8.ValidString(all)
	for i, end := range b.ends {
		n := all[b.begin(i):end]
		if !sound {
			n = strings.ToValidUTF8(n, "\ufffd")
		}
		dst = append(dst, n)
	}
	return dst
}

// checkHeader refuses what would give a list that misleads.
func checkHeader(header, ours []string) error {
	if len(header) == 1 && strings.ContainsAny(header[0], ";\t|") {
		return &ListError{Problem: "the columns seem to be separated by something else than commas", Fix: "save the list as CSV with commas"}
	}
	var there []string
	for i, name := range header {
		switch {
		case strings.Contains(name, "\x00"):
			return &ListError{Problem: "the list is UTF-16, or no text at all", Fix: "save it as CSV UTF-8"}
		case strings.Contains(name, "\r"):
			return &ListError{Problem: "the lines end with CR alone, as old spreadsheets write them", Fix: "save the list as CSV UTF-8"}
		case !utf8.ValidString(name):
			return &ListError{Problem: fmt.Sprintf("column %d of the header is not valid UTF-8", i+1), Fix: "save the list as CSV UTF-8"}
		case digitsIn(name) >= digitsOfNumber:
			return &ListError{Problem: fmt.Sprintf("column %d of the first row looks like a phone number", i+1),
				Fix: "the first row must name the columns: put a line such as `phone` above it"}
		case slices.Contains(ours, plainColumn(name)):
			there = append(there, name)
		}
	}
	if there != nil {
		return &ListError{Problem: "the list has columns that the scrub adds: " + strings.Join(there, ", "),
			Fix: "was it scrubbed before? Take the list as it was, or delete or rename these columns"}
	}
	return nil
}

// usualNames are names under which the numbers stand, beside those with a usual word.
var usualNames = []string{"number", "phonenumber"}

// usualWords are words in the name of a column that holds phone numbers.
var usualWords = []string{"phone", "mobile", "msisdn", "telephone", "cell", "cellphone"}

// phoneColumn finds the column with the numbers: the one that is named; else the
// only one of a usual name or with a usual word in its name, or the only one there is.
// Of two it takes neither: the one may be listed where the other is not.
func phoneColumn(header []string, column string) (int, error) {
	shown := make([]string, len(header))
	var found []int
	for i, h := range header {
		shown[i] = safe(h) // a list without a header has numbers here
		if column != "" && plainColumn(h) == plainColumn(column) || column == "" && usual(h) {
			found = append(found, i)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1 && plainColumn(header[found[0]]) == plainColumn(header[found[1]]):
		return 0, &ListError{Problem: fmt.Sprintf("two columns are named %q", safe(plainColumn(header[found[0]]))), Fix: "rename the one without the numbers"}
	case len(found) > 1:
		return 0, &ListError{Problem: "several columns may hold the numbers", Fix: fmt.Sprintf("name one with --column; there are: %q", shown)}
	case column == "" && len(header) == 1:
		return 0, nil
	}
	return 0, &ListError{Problem: "no column holds the numbers, as far as the header says", Fix: fmt.Sprintf("name it with --column; there are: %q", shown)}
}

// usual tells whether a column of that name may hold the numbers.
func usual(name string) bool {
	plain := plainColumn(name)
	return slices.Contains(usualNames, plain) || slices.ContainsFunc(strings.Split(plain, "_"), func(w string) bool { return slices.Contains(usualWords, w) })
}

func plainColumn(name string) string {
	return strings.NewReplacer(" ", "_", "-", "_").Replace(strings.ToLower(strings.TrimSpace(name)))
}

// digitsOfNumber is from how many digits on a text may be somebody's number.
const digitsOfNumber = 7

func digitsIn(s string) (n int) {
	for _, r := range s {
		if unicode.IsDigit(r) {
			n++
		}
	}
	return n
}

// safe is a text of the list, fit for an error: nothing that could be a phone number.
func safe(s string) string {
	if digitsIn(s) >= digitsOfNumber {
		return "…"
	}
	return s
}
