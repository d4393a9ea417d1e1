package registry

import (
	"encoding/binary"
	"iter"
	"math/bits"
	"slices"
)

const (
	blockBits    = 12
	blockNumbers = 1 << blockBits
	blockBytes   = blockNumbers / 8
	bitmapWords  = blockNumbers / 16
	arrayMax     = bitmapWords - 1

	// A page is the unit of sharing between versions and of storage: 512 blocks,
	// some two million numbers, a fifth of a North American area code.
	pageBits   = 9
	pageBlocks = 1 << pageBits

	numberMax  = 999_999_999_999_999 // fifteen digits, ITU-T E.164
	numbersMax = 1_000_000_000       // a billion: four times the largest list there is
)

// block is the members among 4,096 numbers, by their low 12 bits: ascending if
// there are fewer than 256, else a bitmap of 256 words, bit n%16 of word n/16.
// Either way it is at most 512 bytes; it is never changed once it is in a Set.
type block []uint16

// fullBlock is every block all of whose numbers are members.
var fullBlock = slices.Repeat(block{0xffff}, bitmapWords)

func (b block) has(low uint16) bool {
	if len(b) == bitmapWords {
		return (*[bitmapWords]uint16)(b)[low>>4&(bitmapWords-1)]>>(low&15)&1 != 0
	}
	lo, hi := 0, len(b)
	for lo < hi {
		if mid := int(uint(lo+hi) >> 1); b[mid] < low {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo < len(b) && b[lo] == low
}

func (b block) count() int {
	if len(b) < bitmapWords {
		return len(b)
	}
	n := 0
	for i := 0; i < bitmapWords; i += 4 {
		n += bits.OnesCount64(uint64(b[i]) | uint64(b[i+1])<<16 | uint64(b[i+2])<<32 | uint64(b[i+3])<<48)
	}
	return n
}

// each yields the low bits ascending.
func (b block) each(yield func(low uint16) bool) bool {
	if len(b) < bitmapWords {
		for _, low := range b {
			if !yield(low) {
				return false
			}
		}
		return true
	}
	for i, w := range b {
		for ; w != 0; w &= w - 1 {
			if !yield(uint16(i<<4 | bits.TrailingZeros16(w))) {
				return false
			}
		}
	}
	return true
}

// bitmap is a block being worked on.
type bitmap [bitmapWords]uint16

// load takes over a block.
func (m *bitmap) load(b block) {
	if len(b) == bitmapWords {
		copy(m[:], b)
		return
	}
	*m = bitmap{}
	m.add(b)
}

func (m *bitmap) add(b block) {
	if len(b) == bitmapWords {
		for i, w := range b {
			m[i] |= w
		}
		return
	}
	for _, low := range b {
		m[low>>4] |= 1 << (low & 15)
	}
}

func (m *bitmap) remove(b block) {
	if len(b) == bitmapWords {
		for i, w := range b {
			m[i] &^= w
		}
		return
	}
	for _, low := range b {
		m[low>>4] &^= 1 << (low & 15)
	}
}

// block gives what was worked out in its smallest form, nil if nothing is left.
func (m *bitmap) block() block {
	switch n := block(m[:]).count(); {
	case n == 0:
		return nil
	case n == blockNumbers:
		return fullBlock
	case n > arrayMax:
		return slices.Clone(block(m[:]))
	default:
		out := make(block, 0, n)
		block(m[:]).each(func(low uint16) bool { out = append(out, low); return true })
		return out
	}
}

// page is 512 blocks, of which it holds those that have members. Never changed
// once it is in a Set, so that versions of a list share what they have in common.
type page struct {
	present [pageBlocks / 64]uint64
	before  [pageBlocks / 64]uint16 // blocks present in the words before
	blocks  []block                 // those present, ascending
	numbers uint32
}

// block gives a block, nil if it has no members.
func (p *page) block(i uint64) block {
	w, bit := i/64%uint64(len(p.present)), uint64(1)<<(i%64)
	if p.present[w]&bit == 0 {
		return nil
	}
	return p.blocks[int(p.before[w])+bits.OnesCount64(p.present[w]&(bit-1))]
}

// each yields the blocks present, ascending, by their place in the page.
func (p *page) each(yield func(i uint64, b block) bool) {
	n := 0
	for w, word := range p.present {
		for ; word != 0; word &= word - 1 {
			if !yield(uint64(w*64+bits.TrailingZeros64(word)), p.blocks[n]) {
				return
			}
			n++
		}
	}
}

// put adds a block at the end of a page being built; nil is left out.
func (p *page) put(i uint64, b block) {
	if len(b) == 0 {
		return
	}
	p.present[i/64] |= 1 << (i % 64)
	p.blocks = append(p.blocks, b)
	p.numbers += uint32(b.count())
}

// done ends the building of a page.
func (p *page) done() *page {
	sum := 0
	for w, word := range p.present {
		p.before[w] = uint16(sum)
		sum += bits.OnesCount64(word)
	}
	p.blocks = slices.Clip(p.blocks)
	return p
}

// run is pages that lie close together: pages[i] is page first+i, nil if empty.
type run struct {
	first uint64
	pages []*page
}

// runGapMax is how many empty pages a run bears before another one begins.
const runGapMax = 1024

// Set is the numbers of one version of a list, as E.164 digits without the plus:
// a directory of pages over blocks of 4,096 numbers (block is number >> 12, page
// is number >> 21). It never changes and is safe for concurrent use; another
// version shares with it every page and block they have in common.
//
// A list over the North American plan takes some 1.3 bytes a number; a look-up
// reads three or four cache lines and allocates nothing.
type Set struct {
	runs    []run
	numbers uint64
}

// page gives a page, nil if it is empty.
func (s *Set) page(no uint64) *page {
	for i := range s.runs {
		if at := no - s.runs[i].first; at < uint64(len(s.runs[i].pages)) {
			return s.runs[i].pages[at]
		}
		if i == runsLinear {
			return s.pageFar(no)
		}
	}
	return nil
}

// runsLinear is up to how many runs are tried one after another. A list of one
// country has one run, of two countries two.
const runsLinear = 3

func (s *Set) pageFar(no uint64) *page {
	i, ok := slices.BinarySearchFunc(s.runs, no, func(r run, no uint64) int {
		switch {
		case r.first > no:
			return 1
		case no-r.first >= uint64(len(r.pages)):
			return -1
		}
		return 0
	})
	if !ok {
		return nil
	}
	return s.runs[i].pages[no-s.runs[i].first]
}

// block gives a block by number >> 12, nil if it has no members.
func (s *Set) block(no uint64) block {
	if p := s.page(no >> pageBits); p != nil {
		return p.block(no % pageBlocks)
	}
	return nil
}

// Contains tells whether a number is on the list.
func (s *Set) Contains(number uint64) bool {
	return s.block(number >> blockBits).has(uint16(number & (blockNumbers - 1)))
}

// batchNumbers is how many look-ups are under way at once: enough that the
// processor always has several cache lines to wait for, and no more than what
// stays in its first cache.
const batchNumbers = 256

// ContainsMany answers for many numbers at once: on[i] tells whether numbers[i]
// is on the list. Both have the same length. Neighbours in the same block cost
// one look into the directory, so ascending numbers are the fastest; numbers in
// any order still gain, because all blocks of a batch are found before the first
// is read.
func (s *Set) ContainsMany(numbers []uint64, on []bool) {
	var blocks [batchNumbers]block
	for len(numbers) > 0 {
		batch := numbers[:min(len(numbers), batchNumbers)]
		last, b := uint64(1)<<63, block(nil)
		for i, n := range batch {
			if no := n >> blockBits; no != last {
				last, b = no, s.block(no)
			}
			blocks[i] = b
		}
		out := on[:len(batch)]
		for i, n := range batch {
			out[i] = blocks[i].has(uint16(n & (blockNumbers - 1)))
		}
		numbers, on = numbers[len(batch):], on[len(batch):]
	}
}

// Len is how many numbers are on the list.
func (s *Set) Len() uint64 { return s.numbers }

// Bytes is what the set takes in memory, what it shares with others included.
func (s *Set) Bytes() uint64 {
	var n uint64
	for _, r := range s.runs {
		n += 32 + 8*uint64(len(r.pages))
	}
	for _, p := range s.eachPage {
		n += 8*pageBlocks/64 + 2*pageBlocks/64 + 32 + 24*uint64(cap(p.blocks))
		for _, b := range p.blocks {
			if &b[0] != &fullBlock[0] {
				n += 2 * uint64(cap(b))
			}
		}
	}
	return n
}

// eachPage yields the pages that are not empty, ascending.
func (s *Set) eachPage(yield func(no uint64, p *page) bool) {
	for _, r := range s.runs {
		for i, p := range r.pages {
			if p != nil && !yield(r.first+uint64(i), p) {
				return
			}
		}
	}
}

// All yields the numbers, ascending.
func (s *Set) All() iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for no, p := range s.eachPage {
			more := true
			p.each(func(i uint64, b block) bool {
				base := (no<<pageBits | i) << blockBits
				more = b.each(func(low uint16) bool { return yield(base | uint64(low)) })
				return more
			})
			if !more {
				return
			}
		}
	}
}

// setBuilder puts a set together from pages or blocks that ascend.
type setBuilder struct {
	set  Set
	no   uint64 // of the page being built
	open *page  // nil: none
}

// put adds a block; blocks ascend, and an empty one is left out.
func (a *setBuilder) put(block uint64, b block) {
	if no := block >> pageBits; a.open == nil || no != a.no {
		a.close()
		a.no, a.open = no, &page{}
	}
	a.open.put(block%pageBlocks, b)
}

// close ends the page being built.
func (a *setBuilder) close() {
	if a.open != nil {
		a.page(a.no, a.open.done())
		a.open = nil
	}
}

// page adds a whole page; pages ascend, and an empty one is left out.
func (a *setBuilder) page(no uint64, p *page) {
	if p == nil || len(p.blocks) == 0 {
		return
	}
	a.set.numbers += uint64(p.numbers)
	last := len(a.set.runs) - 1
	if last < 0 || no-a.set.runs[last].first-uint64(len(a.set.runs[last].pages)) > runGapMax {
		a.set.runs, last = append(a.set.runs, run{first: no}), last+1
	}
	r := &a.set.runs[last]
	for uint64(len(r.pages)) < no-r.first {
		r.pages = append(r.pages, nil)
	}
	r.pages = append(r.pages, p)
}

// done gives the set; the builder is used up.
func (a *setBuilder) done() *Set {
	a.close()
	for i := range a.set.runs {
		a.set.runs[i].pages = slices.Clip(a.set.runs[i].pages)
	}
	return &a.set
}

// setOf makes a set of numbers that ascend; equal ones may follow each other.
func setOf(numbers []uint64) *Set {
	var a setBuilder
	var m bitmap
	for len(numbers) > 0 {
		no, n := numbers[0]>>blockBits, 0
		for n < len(numbers) && numbers[n]>>blockBits == no {
			n++
		}
		if n > arrayMax {
			m = bitmap{}
			for _, v := range numbers[:n] {
				m[v>>4&(bitmapWords-1)] |= 1 << (v & 15)
			}
			a.put(no, m.block())
		} else {
			b := make(block, 0, n)
			for _, v := range numbers[:n] {
				if low := uint16(v & (blockNumbers - 1)); len(b) == 0 || b[len(b)-1] != low {
					b = append(b, low)
				}
			}
			a.put(no, b)
		}
		numbers = numbers[n:]
	}
	return a.done()
}

// appendBlock encodes a block: its step from the block before, its count, and its
// numbers or bitmap (see object.go).
func appendBlock(out []byte, step uint64, b block) []byte {
	out = binary.AppendUvarint(binary.AppendUvarint(out, step), uint64(b.count()))
	for _, w := range b {
		out = append(out, byte(w), byte(w>>8))
	}
	return out
}
