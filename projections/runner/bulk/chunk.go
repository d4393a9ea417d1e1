package bulk

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/consent-ledger/consent-ledger/projections"
)

// chunk is part of a tape in memory, to be sorted. It is reused from one to the next.
type chunk struct {
	buf    []byte
	sets   []set
	ranges []keyRange
	values [][]byte
}

// set is one opSet of a chunk: where it is, which is also its age, and the first
// bytes of its key that tell tokens apart, so that sorting seldom looks further.
type set struct {
	prefix uint64
	at     int
}

// keyRange is one opDeleteRange: it takes away what is older than it.
type keyRange struct {
	start, end []byte
	at         int
}

// load reads blocks until a number of bytes is reached and gives the blocks left.
func (c *chunk) load(s *scratch, blocks []extent, bytesMax int) (left []extent, err error) {
	c.buf, c.sets, c.ranges = c.buf[:0], c.sets[:0], c.ranges[:0]
	for len(blocks) > 0 && (len(c.buf) == 0 || len(c.buf)+int(blocks[0].len) <= bytesMax) {
		if c.buf, err = s.read(blocks[0], c.buf); err != nil {
			return nil, err
		}
		blocks = blocks[1:]
	}
	c.sort()
	return blocks, nil
}

// sort orders sets by key, then age, and ranges by start.
func (c *chunk) sort() {
	for at := 0; at < len(c.buf); {
		op, a, b, end := next(c.buf, at)
		if op == opDeleteRange {
			c.ranges = append(c.ranges, keyRange{a, b, at})
		} else {
			c.sets = append(c.sets, set{prefixOf(a), at})
		}
		at = end
	}
	slices.SortFunc(c.sets, func(a, b set) int {
		if a.prefix != b.prefix {
			return cmp.Compare(a.prefix, b.prefix)
		}
		return cmp.Or(bytes.Compare(c.key(a), c.key(b)), cmp.Compare(a.at, b.at))
	})
	slices.SortFunc(c.ranges, func(a, b keyRange) int {
		return cmp.Or(bytes.Compare(a.start, b.start), cmp.Compare(a.at, b.at))
	})
}

func (c *chunk) key(s set) []byte {
	_, key, _, _ := next(c.buf, s.at)
	return key
}

// prefixOf are the first eight bytes of the token; all keys of a partition are of one
// space. Zeros stand for what is missing, which keeps the order.
func prefixOf(key []byte) uint64 {
	if len(key) >= versionAt+8 {
		return binary.BigEndian.Uint64(key[versionAt:])
	}
	var b [8]byte
	copy(b[:], key[versionAt:])
	return binary.BigEndian.Uint64(b[:])
}

// each visits the keys that are left, in order, each with its one value.
func (c *chunk) each(p projections.Joined, visit func(key, value []byte) error) error {
	erased := newEraser(c.ranges)
	for i := 0; i < len(c.sets); {
		key := c.key(c.sets[i])
		since := erased.upTo(key)
		c.values = c.values[:0]
		for ; i < len(c.sets); i++ {
			_, k, v, _ := next(c.buf, c.sets[i].at)
			if !bytes.Equal(k, key) {
				break
			}
			if c.sets[i].at > since {
				c.values = append(c.values, v)
			}
		}
		if len(c.values) == 0 {
			continue
		}
		value, err := joined(p, c.values)
		if err != nil {
			return err
		}
		if err := visit(key, value); err != nil {
			return err
		}
	}
	return nil
}

// joined is the one value of several, or of one.
func joined(p projections.Joined, values [][]byte) ([]byte, error) {
	if len(values) == 1 {
		return values[0], nil
	}
	return p.Join(values)
}

// eraser walks ranges beside ascending keys.
type eraser struct {
	ahead []keyRange // by start
	open  []keyRange // that begin at or before the last key, and may still cover
}

func newEraser(byStart []keyRange) *eraser { return &eraser{ahead: byStart} }

// upTo gives the age of the youngest range that covers a key, -1 if there is none:
// what is not younger is gone. Keys must ascend.
func (e *eraser) upTo(key []byte) int {
	for len(e.ahead) > 0 && bytes.Compare(e.ahead[0].start, key) <= 0 {
		e.open, e.ahead = append(e.open, e.ahead[0]), e.ahead[1:]
	}
	if len(e.open) == 0 {
		return -1
	}
	e.open = slices.DeleteFunc(e.open, func(r keyRange) bool { return bytes.Compare(r.end, key) <= 0 })
	at := -1
	for _, r := range e.open {
		at = max(at, r.at)
	}
	return at
}
