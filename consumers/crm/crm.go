// Package crm imports consent events from files that customer systems export:
// CSV and JSON lines, with a mapping from their columns to ours.
//
// It reads a file as a stream, in constant memory, and yields one fact or one
// error a row; a bad row never costs the rows beside it. It does not read phone
// numbers: they go to the server as they stand, because only there an
// unreadable stop can be put before a person.
//
// What permits is read strictly: an unknown word is an error that says what to
// write. What forbids is read as widely as it could mean (promise 10): an
// unknown word widens the scope to everything and is kept, sealed, in the fact's
// unread field. So is every value for which a kind has no use: nothing a source
// said is dropped. A stop is not even lost to a broken row: whatever of it can be
// told apart is taken, and the row as it came is kept in unread.
package crm

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// RecordBytesMax bounds one row, so that memory is bounded whatever the file holds.
const RecordBytesMax = 4 << 20

// Format is how a file is written.
type Format int

const (
	// CSV is comma-separated with a header row (RFC 4180).
	CSV Format = iota
	// JSONL is one JSON object a line.
	JSONL
)

// FormatOf tells the format from a file's name: .jsonl, .ndjson and .json are
// JSONL, everything else CSV.
func FormatOf(name string) Format {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".jsonl", ".ndjson", ".json":
		return JSONL
	}
	return CSV
}

// Options say how a file is read. All of them but Format are part of the event
// ids of rows that bring none (ids.go).
type Options struct {
	// Format of the file.
	Format Format
	// Map renames columns and words; nil: the file speaks our own.
	Map *Map
	// DefaultRegion will be given to the server for numbers without a country code.
	DefaultRegion string
	// Historical marks every fact as taken over from older records.
	Historical bool
	// File is the SHA-256 of the whole file, as FileHash gives it. NewReader
	// needs it, because ids must not depend on where a pipe was cut.
	File [sha256.Size]byte
}

// Row is one row of a file: a fact, or what is wrong.
type Row struct {
	// Line is the line of the file on which the row begins, from 1.
	Line int
	// Fact is as declared, number unread. Nil if Err is set.
	Fact *consentv1.Fact
	// Raw holds the fields as they came, for the rejects file; for JSONL the
	// line is the only field. It may hold personal data.
	Raw []string
	// Err is why there is no fact.
	Err *RowError
}

// RowError says what is wrong with one row. It never repeats a value that could
// be a phone number.
type RowError struct {
	// Line of the file, from 1.
	Line int
	// Field is the column as the file names it; empty if it is the whole row.
	Field string
	// Problem says what is wrong.
	Problem string
	// Fix says what to do.
	Fix string
}

func (e *RowError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Reason()) }

// Reason is the error without its line.
func (e *RowError) Reason() string {
	s := e.Problem
	if e.Field != "" {
		s = e.Field + ": " + s
	}
	if e.Fix != "" {
		s += "; " + e.Fix
	}
	return s
}

// ErrChanged: the file is no longer the one whose hash went into its event ids.
// Rows read so far are recorded under ids of the old content: nothing is lost,
// but the same file again would not recognise them.
var ErrChanged = errors.New("crm: the file changed while it was read")

// source yields raw rows.
type source interface {
	// next gives the next row as values by field, or a row error; io.EOF at the end.
	next(v *values) (line int, raw []string, rowErr *RowError, err error)
}

// Reader reads the rows of one file. Not safe for concurrent use.
type Reader struct {
	src    source
	b      builder
	ids    idMaker
	hash   *hashingReader
	header []string
	close  func() error
}

// NewReader reads a file's header and refuses it whole, before any row, if a
// column is unknown, missing or doubled.
func NewReader(in io.Reader, o Options) (*Reader, error) {
	m, err := o.Map.compile()
	if err != nil {
		return nil, err
	}
	r := &Reader{hash: newHashingReader(in, o.File), ids: newIDMaker(o)}
	r.b = builder{historical: o.Historical, layouts: m.layouts, zone: m.zone}
	switch o.Format {
	case JSONL:
		src, err := newJSONLSource(r.hash, m, &r.b)
		if err != nil {
			return nil, err
		}
		r.src, r.header = src, []string{"record"}
	default:
		src, err := newCSVSource(r.hash, m, &r.b)
		if err != nil {
			return nil, err
		}
		r.src, r.header = src, src.header
		r.b.names = src.names
	}
	return r, nil
}

// Open opens a file: a first pass hashes it, a second one reads it. The format
// is told by the name. Close it.
func Open(path string, o Options) (*Reader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r, err := openFile(f, path, o)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	r.close = f.Close
	return r, nil
}

func openFile(f *os.File, path string, o Options) (*Reader, error) {
	var err error
	if o.File, err = FileHash(f); err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	o.Format = FormatOf(path)
	return NewReader(f, o)
}

// Close closes what Open opened.
func (r *Reader) Close() error {
	if r.close == nil {
		return nil
	}
	return r.close()
}

// Header is the names of the columns as the file has them; for JSONL one column
// named record.
func (r *Reader) Header() []string { return r.header }

// Bytes is how much of the file has been read, for progress.
func (r *Reader) Bytes() int64 { return r.hash.bytes }

// Next gives the next row. io.EOF ends the file; any other error means that the
// rest of it cannot be read.
func (r *Reader) Next() (Row, error) {
	r.b.values = values{}
	line, raw, rowErr, err := r.src.next(&r.b.values)
	if err == io.EOF {
		if err := r.hash.unchanged(); err != nil {
			return Row{}, err
		}
	}
	if err != nil {
		return Row{}, err
	}
	row := Row{Line: line, Raw: raw, Err: rowErr}
	if row.Err == nil {
		row.Fact, row.Err = r.b.build()
	}
	if row.Err != nil {
		row.Err.Line, row.Fact = line, nil
		return row, nil
	}
	if row.Fact.EventId == "" {
		row.Fact.EventId = r.ids.of(line)
	}
	return row, nil
}
