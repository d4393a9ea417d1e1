package scrub

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/consent-ledger/consent-ledger/proto/gen/consent/v1/consentv1connect"
)

// Standard is the name of standard input and of standard output.
const Standard = "-"

// windowMax bounds the memory of decompressing zstd: that of `zstd --ultra -22`.
const windowMax = 128 << 20

// gzipLevel is a good deal faster than the usual 6 and hardly larger.
const gzipLevel = 3

// Files scrubs from one file into another, or Standard. Compressed input is
// recognised by its first bytes; output is compressed if its name ends in .gz or
// .zst. The file appears only when it is whole. Until then what is done lies beside it
// (see part), and the same call goes on from there. An empty out only counts.
func Files(ctx context.Context, decisions consentv1connect.DecisionServiceClient, in, out string, o Options) (*Summary, error) {
	o.setDefaults()
	src, err := openList(in, o.Stdin)
	if err != nil {
		return newSummary(), err
	}
	defer src.Close()
	progress := o.Progress
	o.Progress = func(_, _ int64, rows int) { progress(src.read.Load(), src.size, rows) }
	r := &run{Options: o, decisions: decisions, list: newList(src), sum: newSummary(), written: func(*batch) error { return nil }}
	r.list.size = o.batch
	header, err := r.list.header(o.Column, columns)
	if err != nil {
		return r.sum, err
	}
	switch out {
	case "":
		err = r.rows(ctx)
	case Standard:
		err = r.standard(ctx, src, header)
	default:
		err = r.file(ctx, src, header, out)
	}
	if s := r.sum; err == nil && 2*s.Invalid > s.Rows {
		o.Say(fmt.Sprintf("%d of %d rows have no number that can be read in column %q: is it the right one? Name another with --column", s.Invalid, s.Rows,
			r.list.name))
	}
	if err == nil && src.changed() {
		o.Say("the list was written to while it was read: what came late is not in it, and what went may be; scrub it again when it is whole")
	}
	return r.sum, err
}

// standard scrubs onto standard output.
func (r *run) standard(ctx context.Context, src *source, header *batch) error {
	if to, ok := r.Stdout.(*os.File); ok {
		if info, err := to.Stat(); err == nil && src.isFile(info) {
			return errOntoItself
		}
	}
	r.out = r.Stdout
	err := r.writeHeader(header)
	if err == nil {
		err = r.rows(ctx)
	}
	if err != nil {
		r.Say(fmt.Sprintf("%d rows were written before it broke off; standard output cannot be gone on with, so begin anew, or name a file for the output",
			r.sum.Rows))
	}
	return err
}

// file scrubs into a file.
func (r *run) file(ctx context.Context, src *source, header *batch, out string) (err error) {
	if err := src.apart(out); err != nil {
		return err
	}
	p, err := openPart(out, r, src.name != Standard)
	if err != nil {
		return err
	}
	defer func() { err = p.end(err) }()
	r.out, r.written = p, p.batchWritten
	if p.resumed() {
		err = p.resume(header)
	} else {
		err = p.begin(header)
	}
	if err != nil {
		return err
	}
	return r.rows(ctx)
}

// source is the list's file, decompressed.
type source struct {
	io.Reader
	name    string
	file    *os.File  // nil: standard input that is none
	size    int64     // of the file; -1: unknown
	written time.Time // last, by whom ever
	read    atomic.Int64
	closes  []func()
}

func openList(name string, stdin io.Reader) (*source, error) {
	s := &source{name: name, size: -1}
	raw := stdin
	if f, ok := stdin.(*os.File); ok && name == Standard {
		s.file = f
	}
	if name != Standard {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		raw, s.file = f, f
		s.closes = append(s.closes, func() { _ = f.Close() }) // it was only read
	}
	if s.file != nil {
		if info, err := s.file.Stat(); err == nil && info.Mode().IsRegular() {
			s.size, s.written = info.Size(), info.ModTime()
		}
	}
	var err error
	if s.Reader, err = s.decompressed(bufio.NewReaderSize(counting{raw, &s.read}, 1<<18)); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Close closes the file.
func (s *source) Close() {
	for _, c := range s.closes {
		c()
	}
}

var errOntoItself = &ListError{Problem: "the list would be replaced by its own scrub", Fix: "name another file for the output"}

// isFile tells whether something is the list's file.
func (s *source) isFile(other os.FileInfo) bool {
	if s.file == nil {
		return false
	}
	list, err := s.file.Stat()
	return err == nil && list.Mode().IsRegular() && os.SameFile(list, other)
}

// apart refuses an output that is the list itself, or anything but a file: it is put
// into its place when it is whole, which would put a file where a device was.
func (s *source) apart(out string) error {
	for _, path := range []string{out, out + partEnding} {
		there, err := os.Stat(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if s.isFile(there) {
			return errOntoItself
		}
		if !there.Mode().IsRegular() {
			return &ListError{Problem: path + " is there and is no file", Fix: "name a file, or - for standard output"}
		}
	}
	return nil
}

// changed tells whether the list's file is not what it was when it was opened.
func (s *source) changed() bool {
	if s.file == nil || s.size < 0 {
		return false
	}
	now, err := s.file.Stat()
	return err != nil || now.Size() != s.size || !now.ModTime().Equal(s.written)
}

// decompressed looks at the first bytes. Whatever a file claims, no more than a
// buffer or a window of it is in memory.
func (s *source) decompressed(in *bufio.Reader) (io.Reader, error) {
	start, _ := in.Peek(4) // a shorter file is none of these
	switch {
	case bytes.HasPrefix(start, []byte("\x1f\x8b")):
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		return cutOff{z, "gzip"}, nil
	case bytes.Equal(start, []byte("\x28\xb5\x2f\xfd")):
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(windowMax), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
		s.closes = append(s.closes, z.Close)
		return cutOff{z, "zstd"}, nil
	case bytes.Equal(start, []byte("PK\x03\x04")):
		return nil, &ListError{Problem: "the list is a ZIP or an Excel file", Fix: "unpack it, or save it as CSV UTF-8"}
	case bytes.HasPrefix(start, []byte("BZh")), bytes.Equal(start, []byte("\xfd7zX")):
		return nil, &ListError{Problem: "the list is compressed by something else than gzip and zstd", Fix: "decompress it and pipe it in: xz -dc LIST | consent scrub - OUT"}
	}
	return in, nil
}

// cutOff says in words that compressed data ends too early or is damaged.
type cutOff struct {
	in   io.Reader
	form string
}

func (c cutOff) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	switch {
	case err == nil || err == io.EOF:
		return n, err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return n, fmt.Errorf("the %s data is cut off: fetch the list again", c.form)
	}
	return n, fmt.Errorf("the %s data cannot be read: %w", c.form, err)
}

// counting counts what was read; the count may be read by others.
type counting struct {
	in io.Reader
	n  *atomic.Int64
}

func (c counting) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// pieceBytes is how much is written at once. A megabyte at a time took Linux 6.18 four to
// ten times as long, because it looked for pages as large.
const pieceBytes = 128 << 10

// pieces writes to another in pieces.
type pieces struct{ out io.Writer }

func (p pieces) Write(b []byte) (n int, err error) {
	for piece := range slices.Chunk(b, pieceBytes) {
		m, err := p.out.Write(piece)
		if n += m; err != nil {
			return n, err
		}
	}
	return n, nil
}

// frames compresses as a file's name says, in frames that stand for themselves, so
// that a file can be gone on with behind any of them.
type frames struct {
	out  io.Writer
	open func(io.Writer) (io.WriteCloser, error) // nil: not compressed
	now  io.WriteCloser                          // nil: between two frames
}

func newFrames(name string, out io.Writer) *frames {
	f := &frames{out: out}
	switch {
	case strings.HasSuffix(name, ".gz"):
		f.open = func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriterLevel(w, gzipLevel) }
	case strings.HasSuffix(name, ".zst"):
		f.open = func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1)) }
	}
	return f
}

func (f *frames) Write(p []byte) (n int, err error) {
	if f.open == nil {
		return f.out.Write(p)
	}
	if f.now == nil {
		if f.now, err = f.open(f.out); err != nil {
			return 0, err
		}
	}
	return f.now.Write(p)
}

// cut ends a frame.
func (f *frames) cut() error {
	if f.now == nil {
		return nil
	}
	err := f.now.Close()
	f.now = nil
	return err
}
