package bulk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"sync/atomic"
)

// blockBytes is how much a tape gathers before it writes. There are up to 1,024
// tapes, so this is also what bounds their memory: 64 MiB.
const blockBytes = 64 << 10

// errTorn: a block of the scratch file is not what was written. The fold must
// begin anew, which a restart does.
var errTorn = errors.New("scratch file is damaged; start again, and look at the disk if it happens twice")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// scratch is a file of blocks, written once each, at any place. Safe for
// concurrent use.
type scratch struct {
	f   *os.File
	end atomic.Int64
}

// extent is where a block lies.
type extent struct {
	at  int64
	len uint32
	sum uint32
}

func (s *scratch) write(b []byte) (extent, error) {
	x := extent{at: s.end.Add(int64(len(b))) - int64(len(b)), len: uint32(len(b)), sum: crc32.Checksum(b, castagnoli)}
	if _, err := s.f.WriteAt(b, x.at); err != nil {
		return x, fmt.Errorf("scratch file: %w; make room, then start again", err)
	}
	return x, nil
}

// read appends a block to a slice.
func (s *scratch) read(x extent, to []byte) ([]byte, error) {
	n := len(to)
	to = append(to, make([]byte, x.len)...)
	if _, err := s.f.ReadAt(to[n:], x.at); err != nil {
		return nil, fmt.Errorf("scratch file: %w", err)
	}
	if crc32.Checksum(to[n:], castagnoli) != x.sum {
		return nil, errTorn
	}
	return to, nil
}

// Kinds of operations on a tape: a byte, then two slices behind their lengths.
const (
	opSet         byte = iota // key, value
	opDeleteRange             // start, end
)

// tape is a sequence of operations in the order in which they were made. It is for one
// goroutine at a time. Operations never straddle blocks.
type tape struct {
	s      *scratch
	buf    []byte
	blocks []extent
	bytes  int64 // of all operations
}

func (t *tape) add(op byte, a, b []byte) error {
	before := len(t.buf)
	t.buf = append(t.buf, op)
	t.buf = append(binary.AppendUvarint(t.buf, uint64(len(a))), a...)
	t.buf = append(binary.AppendUvarint(t.buf, uint64(len(b))), b...)
	t.bytes += int64(len(t.buf) - before)
	if len(t.buf) < blockBytes {
		return nil
	}
	return t.flush()
}

func (t *tape) flush() error {
	if len(t.buf) == 0 {
		return nil
	}
	x, err := t.s.write(t.buf)
	if err != nil {
		return err
	}
	t.blocks, t.buf = append(t.blocks, x), t.buf[:0]
	return nil
}

// next reads one operation and gives where the one after it begins. The bytes come
// from a block whose sum was right, so they are what add wrote.
func next(b []byte, at int) (op byte, x, y []byte, end int) {
	op, at = b[at], at+1
	x, at = slice(b, at)
	y, at = slice(b, at)
	return op, x, y, at
}

func slice(b []byte, at int) ([]byte, int) {
	n, w := binary.Uvarint(b[at:])
	at += w
	return b[at : at+int(n) : at+int(n)], at + int(n)
}
