package registry

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/klauspost/compress/zstd"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// The object of a list's numbers, format 1. It is written once and named by the
// SHA-256 of exactly these bytes; integers are little-endian.
//
//	magic    "CLREG\x00"                            6 bytes
//	version  1                                      1 byte
//	flags    0                                      1 byte
//	body     one zstd stream of:
//	  block* step   uvarint  block minus the block before, at least 1; of the first: block plus 1
//	         count  uvarint  1 to 4,096
//	         up to 255 numbers: their low 12 bits as uint16 each, ascending
//	         otherwise: a bitmap of 512 bytes, bit i%8 of byte i/8 is number i of the block
//	  end    0      uvarint
//	         total  uvarint  numbers in all blocks
//
// A block is number >> 12, a number the E.164 digits without the plus. Blocks
// ascend, so equal lists have equal bodies; the zstd bytes may differ between
// versions of the library, which only costs a second copy.
const (
	objectMagic   = "CLREG\x00"
	objectVersion = 1

	blockBits    = 12
	blockNumbers = 1 << blockBits
	blockBytes   = blockNumbers / 8
	arrayMax     = 255

	numberMax  = 1e15 - 1      // fifteen digits, ITU-T E.164
	numbersMax = 1_000_000_000 // a billion: four times the largest list there is
)

// ErrBadObject: the bytes are no list of this format, or not the ones that were
// named. Nothing of them is used.
var ErrBadObject = errors.New("registry: object of numbers is damaged")

// Set is the numbers of one version of a list. Once built it never changes and is
// safe for concurrent use.
type Set struct{ numbers *roaring64.Bitmap }

// Contains tells whether a number, as E.164 digits without the plus, is on the list.
func (s *Set) Contains(number uint64) bool { return s.numbers.Contains(number) }

// Len is how many numbers are on the list.
func (s *Set) Len() uint64 { return s.numbers.GetCardinality() }

// newSet makes a set that will not change any more.
func newSet(b *roaring64.Bitmap) *Set {
	b.RunOptimize()
	return &Set{b}
}

// Encode writes the object and gives the hash that names it.
func (s *Set) Encode(w io.Writer) (ledger.Hash, error) {
	sum := sha256.New()
	both := io.MultiWriter(w, sum)
	if _, err := both.Write([]byte(objectMagic + "\x01\x00")); err != nil {
		return ledger.Hash{}, fmt.Errorf("registry: write object: %w", err)
	}
	z, err := zstd.NewWriter(both, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return ledger.Hash{}, fmt.Errorf("registry: zstd: %w", err)
	}
	body := bufio.NewWriterSize(z, 64<<10)
	err = errors.Join(s.encodeBody(body), body.Flush(), z.Close())
	if err != nil {
		return ledger.Hash{}, fmt.Errorf("registry: write object: %w", err)
	}
	return ledger.Hash(sum.Sum(nil)), nil
}

func (s *Set) encodeBody(w *bufio.Writer) error {
	var (
		it    = s.numbers.Iterator()
		low   = make([]uint16, 0, blockNumbers)
		block uint64
		last  uint64 // the block before, plus 1
	)
	flush := func() error {
		if len(low) == 0 {
			return nil
		}
		err := writeBlock(w, block+1-last, low)
		last, low = block+1, low[:0]
		return err
	}
	for it.HasNext() {
		n := it.Next()
		if b := n >> blockBits; b != block {
			if err := flush(); err != nil {
				return err
			}
			block = b
		}
		low = append(low, uint16(n%blockNumbers))
	}
	if err := flush(); err != nil {
		return err
	}
	_, err := w.Write(binary.AppendUvarint([]byte{0}, s.Len()))
	return err
}

func writeBlock(w *bufio.Writer, step uint64, low []uint16) error {
	head := binary.AppendUvarint(binary.AppendUvarint(make([]byte, 0, 16), step), uint64(len(low)))
	if _, err := w.Write(head); err != nil {
		return err
	}
	if len(low) <= arrayMax {
		for _, n := range low {
			if _, err := w.Write([]byte{byte(n), byte(n >> 8)}); err != nil {
				return err
			}
		}
		return nil
	}
	var bitmap [blockBytes]byte
	for _, n := range low {
		bitmap[n/8] |= 1 << (n % 8)
	}
	_, err := w.Write(bitmap[:])
	return err
}

// Decode reads an object and checks every byte of it: the set it gives is the one
// that was named, whole. Any difference is ErrBadObject.
func Decode(r io.Reader, name ledger.Hash) (*Set, error) {
	sum := sha256.New()
	in := io.TeeReader(r, sum)
	head := make([]byte, len(objectMagic)+2)
	if _, err := io.ReadFull(in, head); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadObject, err)
	}
	if string(head[:len(objectMagic)]) != objectMagic || head[len(objectMagic)] != objectVersion || head[len(objectMagic)+1] != 0 {
		return nil, fmt.Errorf("%w: not a list of format %d", ErrBadObject, objectVersion)
	}
	z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(16<<20))
	if err != nil {
		return nil, fmt.Errorf("registry: zstd: %w", err)
	}
	defer z.Close()
	d := decoder{in: bufio.NewReaderSize(z, 64<<10), numbers: roaring64.New()}
	if err := d.run(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadObject, err)
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadObject, err)
	}
	if ledger.Hash(sum.Sum(nil)) != name {
		return nil, fmt.Errorf("%w: it does not match its name", ErrBadObject)
	}
	return newSet(d.numbers), nil
}

// decoder reads the body of an object.
type decoder struct {
	in      *bufio.Reader
	numbers *roaring64.Bitmap
	pending []uint64 // numbers not yet in the bitmap: it takes many at once much faster
	total   uint64
	next    uint64 // the last block read, plus 1
}

const pendingMax = 64 << 10

func (d *decoder) run() error {
	for {
		step, err := binary.ReadUvarint(d.in)
		if err != nil {
			return noEOF(err)
		}
		if step == 0 {
			return d.end()
		}
		if step > numberMax>>blockBits+1-d.next {
			return errors.New("block out of range")
		}
		d.next += step
		if err := d.block(); err != nil {
			return err
		}
	}
}

func (d *decoder) end() error {
	d.numbers.AddMany(d.pending)
	total, err := binary.ReadUvarint(d.in)
	if err != nil {
		return noEOF(err)
	}
	if total != d.total {
		return fmt.Errorf("%d numbers where %d were announced", d.total, total)
	}
	if _, err := d.in.ReadByte(); !errors.Is(err, io.EOF) {
		return errors.New("bytes after the end")
	}
	return nil
}

func (d *decoder) block() error {
	count, err := binary.ReadUvarint(d.in)
	if err != nil {
		return noEOF(err)
	}
	if d.total += count; count < 1 || count > blockNumbers || d.total > numbersMax {
		return errors.New("count out of range")
	}
	if len(d.pending)+blockNumbers > pendingMax {
		d.numbers.AddMany(d.pending)
		d.pending = d.pending[:0]
	}
	if count <= arrayMax {
		return d.array(int(count))
	}
	return d.bitmap(int(count))
}

func (d *decoder) array(count int) error {
	var buf [2 * arrayMax]byte
	b := buf[:2*count]
	if _, err := io.ReadFull(d.in, b); err != nil {
		return noEOF(err)
	}
	base, last := (d.next-1)<<blockBits, -1
	for ; len(b) > 0; b = b[2:] {
		n := int(binary.LittleEndian.Uint16(b))
		if n <= last || n >= blockNumbers {
			return errors.New("numbers do not ascend")
		}
		last = n
		d.pending = append(d.pending, base+uint64(n))
	}
	return d.inRange()
}

func (d *decoder) bitmap(count int) error {
	var buf [blockBytes]byte
	if _, err := io.ReadFull(d.in, buf[:]); err != nil {
		return noEOF(err)
	}
	base, found := (d.next-1)<<blockBits, 0
	for i, c := range buf {
		found += bits.OnesCount8(c)
		for ; c != 0; c &= c - 1 {
			d.pending = append(d.pending, base+uint64(i*8+bits.TrailingZeros8(c)))
		}
	}
	if found != count {
		return errors.New("bitmap does not hold its count")
	}
	return d.inRange()
}

func (d *decoder) inRange() error {
	if d.pending[len(d.pending)-1] > numberMax {
		return errors.New("number out of range")
	}
	return nil
}

// noEOF names an end of input in the middle of something what it is.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
