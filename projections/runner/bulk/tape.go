package bulk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/s2"
)

// blockBytesDefault is how much a tape gathers before it writes. There are up to
// 1,024 tapes of server projections, so this is also what bounds their memory: 32 MiB.
const blockBytesDefault = 32 << 10

// errTorn: a block of the scratch file is not what was written. The fold must
// begin anew, which a restart does.
var errTorn = errors.New("scratch file is damaged; start again, and look at the disk if it happens twice")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// scratch is a file of compressed blocks, written once each, at any place. Safe for
// concurrent use.
type scratch struct {
	f   *os.File
	end atomic.Int64
	// room holds *[]byte to compress into and read into.
	room sync.Pool
	// blockBytes is how much goes into a block, but for what is larger itself.
	blockBytes int
}

func newScratch(f *os.File, blockBytes int) *scratch {
	return &scratch{f: f, blockBytes: blockBytes, room: sync.Pool{New: func() any { return new([]byte) }}}
}

// extent is where a block lies.
type extent struct {
	at   int64
	disk uint32 // its size there
	len  uint32 // what it holds
	sum  uint32 // of the bytes on disk
}

func (s *scratch) write(b []byte) (extent, error) {
	room := s.room.Get().(*[]byte)
	defer s.room.Put(room)
	*room = s2.Encode((*room)[:cap(*room)], b)
	x := extent{disk: uint32(len(*room)), len: uint32(len(b)), sum: crc32.Checksum(*room, castagnoli)}
	x.at = s.end.Add(int64(x.disk)) - int64(x.disk)
	if _, err := s.f.WriteAt(*room, x.at); err != nil {
		return x, fmt.Errorf("scratch file: %w; make room, then start again", err)
	}
	return x, nil
}

// read appends what a block holds to a slice.
func (s *scratch) read(x extent, to []byte) ([]byte, error) {
	room := s.room.Get().(*[]byte)
	defer s.room.Put(room)
	*room = slices.Grow((*room)[:0], int(x.disk))[:x.disk]
	if _, err := s.f.ReadAt(*room, x.at); err != nil {
		return nil, fmt.Errorf("scratch file: %w", err)
	}
	if crc32.Checksum(*room, castagnoli) != x.sum {
		return nil, errTorn
	}
	n := len(to)
	to = slices.Grow(to, int(x.len))[:n+int(x.len)]
	if _, err := s2.Decode(to[n:], *room); err != nil {
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
	if len(t.buf) < t.s.blockBytes {
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
