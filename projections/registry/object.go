package registry

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// The object of a list's numbers. It is written once and named by the SHA-256 of
// exactly these bytes; integers are little-endian.
//
//	magic    "CLREG\x00"                            6 bytes
//	form     1, 2 or 3                              1 byte
//	flags    0                                      1 byte
//	base     form 2: the object it changes         32 bytes
//	body     one zstd stream of the sets:
//	         form 1, a full list    its numbers
//	         form 2, a change list  the numbers it adds, then those it removes
//	         form 3, a washed list  the numbers listed, then all that were asked about
//	a set:
//	  block* step   uvarint  block minus the block before, at least 1; of the first: block plus 1
//	         count  uvarint  1 to 4,096
//	         up to 255 numbers: their low 12 bits as uint16 each, ascending
//	         otherwise: a bitmap of 512 bytes, bit i%8 of byte i/8 is number i of the block
//	  end    0      uvarint
//	         total  uvarint  numbers in all blocks
//
// A block is number >> 12, a number the E.164 digits without the plus. Blocks
// ascend, so equal lists have equal bodies; the zstd bytes may differ between
// versions of the library, which only costs a second copy. The base in the head
// of a change list makes its name stand for the whole chain, so an object's name
// says which numbers are on the list, whatever the form.
const objectMagic = "CLREG\x00"

// Form is what an object holds.
type Form byte

// Forms of an object.
const (
	FormFull   Form = 1
	FormChange Form = 2
	FormWash   Form = 3
)

// ErrBadObject: the bytes are no list of this format, or not the ones that were
// named. Nothing of them is used.
var ErrBadObject = errors.New("registry: object of numbers is damaged")

// Object is the content of a list's object.
type Object struct {
	Form Form
	// Base names what a change list changes.
	Base ledger.Hash
	// Numbers of a full or a washed list.
	Numbers *Set
	// Asked is all numbers that a washed list says anything about.
	Asked *Set
	// Added and Removed are what a change list changes: none of the former was on
	// the list, all of the latter were.
	Added, Removed *Set
}

func (o *Object) sets() []*Set {
	switch o.Form {
	case FormChange:
		return []*Set{o.Added, o.Removed}
	case FormWash:
		return []*Set{o.Numbers, o.Asked}
	}
	return []*Set{o.Numbers}
}

// Encode writes the object and gives the hash that names it.
func (o *Object) Encode(w io.Writer) (ledger.Hash, error) {
	sum := sha256.New()
	both := io.MultiWriter(w, sum)
	head := append([]byte(objectMagic), byte(o.Form), 0)
	if o.Form == FormChange {
		head = append(head, o.Base[:]...)
	}
	if _, err := both.Write(head); err != nil {
		return ledger.Hash{}, fmt.Errorf("registry: write object: %w", err)
	}
	z, err := zstd.NewWriter(both, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return ledger.Hash{}, fmt.Errorf("registry: zstd: %w", err)
	}
	body := bufio.NewWriterSize(z, 64<<10)
	for _, s := range o.sets() {
		if err := encodeSet(body, s); err != nil {
			return ledger.Hash{}, fmt.Errorf("registry: write object: %w", err)
		}
	}
	if err := errors.Join(body.Flush(), z.Close()); err != nil {
		return ledger.Hash{}, fmt.Errorf("registry: write object: %w", err)
	}
	return ledger.Hash(sum.Sum(nil)), nil
}

func encodeSet(w *bufio.Writer, s *Set) error {
	var err error
	last, buf := uint64(0), make([]byte, 0, blockBytes+16)
	for no, p := range s.eachPage {
		p.each(func(i uint64, b block) bool {
			at := no<<pageBits | i
			buf = appendBlock(buf[:0], at+1-last, b)
			last = at + 1
			_, err = w.Write(buf)
			return err == nil
		})
		if err != nil {
			return err
		}
	}
	_, err = w.Write(binary.AppendUvarint([]byte{0}, s.Len()))
	return err
}

// Decode reads an object and checks every byte of it: what it gives is what was
// named, whole. Any difference is ErrBadObject.
func Decode(r io.Reader, name ledger.Hash) (*Object, error) {
	sum := sha256.New()
	in := io.TeeReader(r, sum)
	o, err := decodeHead(in)
	if err != nil {
		return nil, err
	}
	z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(16<<20))
	if err != nil {
		return nil, fmt.Errorf("registry: zstd: %w", err)
	}
	defer z.Close()
	if err := o.decodeBody(bufio.NewReaderSize(z, 64<<10)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadObject, err)
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadObject, err)
	}
	if ledger.Hash(sum.Sum(nil)) != name {
		return nil, fmt.Errorf("%w: it does not match its name", ErrBadObject)
	}
	return o, nil
}

func decodeHead(in io.Reader) (*Object, error) {
	head := make([]byte, len(objectMagic)+2)
	if _, err := io.ReadFull(in, head); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadObject, err)
	}
	o := &Object{Form: Form(head[len(objectMagic)])}
	if string(head[:len(objectMagic)]) != objectMagic || o.Form < FormFull || o.Form > FormWash || head[len(objectMagic)+1] != 0 {
		return nil, fmt.Errorf("%w: not a list of a form this version knows", ErrBadObject)
	}
	if o.Form == FormChange {
		if _, err := io.ReadFull(in, o.Base[:]); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBadObject, err)
		}
	}
	return o, nil
}

func (o *Object) decodeBody(in *bufio.Reader) error {
	sets := make([]*Set, 0, 2)
	for range o.sets() {
		s, err := decodeSet(in)
		if err != nil {
			return err
		}
		sets = append(sets, s)
	}
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		return errors.New("bytes after the end")
	}
	switch o.Form {
	case FormChange:
		if o.Added, o.Removed = sets[0], sets[1]; !disjoint(o.Added, o.Removed) {
			return errors.New("a number is both added and removed")
		}
	case FormWash:
		if o.Numbers, o.Asked = sets[0], sets[1]; !contains(o.Asked, o.Numbers) {
			return errors.New("a number is listed that nobody asked about")
		}
	default:
		o.Numbers = sets[0]
	}
	return nil
}

// decoder reads the blocks of one set.
type decoder struct {
	in    *bufio.Reader
	set   setBuilder
	total uint64
	next  uint64 // the last block read, plus 1
}

func decodeSet(in *bufio.Reader) (*Set, error) {
	d := decoder{in: in}
	for {
		step, err := binary.ReadUvarint(d.in)
		if err != nil {
			return nil, noEOF(err)
		}
		if step == 0 {
			break
		}
		if err := d.block(step); err != nil {
			return nil, err
		}
	}
	total, err := binary.ReadUvarint(d.in)
	if err != nil {
		return nil, noEOF(err)
	}
	if total != d.total {
		return nil, fmt.Errorf("%d numbers where %d were announced", d.total, total)
	}
	return d.set.done(), nil
}

func (d *decoder) block(step uint64) error {
	if step > numberMax>>blockBits+1-d.next {
		return errors.New("block out of range")
	}
	d.next += step
	count, err := binary.ReadUvarint(d.in)
	if err != nil {
		return noEOF(err)
	}
	if d.total += count; count < 1 || count > blockNumbers || d.total > numbersMax {
		return errors.New("count out of range")
	}
	words := int(count)
	if count > arrayMax {
		words = bitmapWords
	}
	var buf [blockBytes]byte
	if _, err := io.ReadFull(d.in, buf[:2*words]); err != nil {
		return noEOF(err)
	}
	b, err := readBlock(buf[:2*words], int(count))
	if err != nil {
		return err
	}
	if d.next-1 == numberMax>>blockBits && b.last() > uint16(uint64(numberMax)&(blockNumbers-1)) {
		return errors.New("number out of range")
	}
	d.set.put(d.next-1, b)
	return nil
}

// page reads blocks to the end of the input: those of one page, whose first block
// has the number 0.
func (d *decoder) page() (*page, error) {
	for {
		step, err := binary.ReadUvarint(d.in)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if step == 0 || step > pageBlocks-d.next {
			return nil, errors.New("block out of range")
		}
		if err := d.block(step); err != nil {
			return nil, err
		}
	}
	if p := d.set.done().page(0); p != nil {
		return p, nil
	}
	return nil, errors.New("page without numbers")
}

// readBlock reads the words of a block and checks that they are one.
func readBlock(words []byte, count int) (block, error) {
	if count == blockNumbers {
		for _, c := range words {
			if c != 0xff {
				return nil, errors.New("bitmap does not hold its count")
			}
		}
		return fullBlock, nil
	}
	b := make(block, len(words)/2)
	for i := range b {
		b[i] = binary.LittleEndian.Uint16(words[2*i:])
	}
	if len(b) == bitmapWords {
		if b.count() != count {
			return nil, errors.New("bitmap does not hold its count")
		}
		return b, nil
	}
	for i, low := range b {
		if low >= blockNumbers || i > 0 && low <= b[i-1] {
			return nil, errors.New("numbers do not ascend")
		}
	}
	return b, nil
}

// last is the highest low bits of a block that is not empty.
func (b block) last() (low uint16) {
	b.each(func(n uint16) bool { low = n; return true })
	return low
}

// noEOF names an end of input in the middle of something what it is.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// hashName shows a hash in an error.
func hashName(h ledger.Hash) string { return hex.EncodeToString(h[:4]) }
