package bulk

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/projections"
)

// run is a chunk that was sorted and written again, because its partition does not
// fit into memory: ascending keys, one value each, and the ranges that take away
// what older runs have.
type run struct {
	tape
	ranges []keyRange
}

// newRun writes the sorted form of a chunk. Only ranges stay in memory: an erasure
// is rare, and its range is two keys.
func newRun(s *scratch, c *chunk, p projections.Joined, age int) (*run, error) {
	r := &run{tape: tape{s: s}}
	for _, x := range c.ranges {
		r.ranges = append(r.ranges, keyRange{bytes.Clone(x.start), bytes.Clone(x.end), age})
	}
	if err := c.each(p, func(key, value []byte) error { return r.add(opSet, key, value) }); err != nil {
		return nil, err
	}
	err := r.flush()
	r.buf = nil
	return r, err
}

// merge visits the keys of several runs, oldest first, in order, each with its
// one value.
func merge(s *scratch, runs []*run, p projections.Joined, visit func(key, value []byte) error) error {
	cursors, erasers := make([]cursor, len(runs)), make([]*eraser, len(runs))
	for i, r := range runs {
		cursors[i] = cursor{s: s, left: r.blocks}
		erasers[i] = newEraser(r.ranges)
		if err := cursors[i].step(); err != nil {
			return err
		}
	}
	var key []byte
	var values [][]byte
	for {
		least := smallest(cursors)
		if least == nil {
			return nil
		}
		key, values = append(key[:0], least...), values[:0]
		for i := range cursors {
			if erasers[i].upTo(key) >= 0 {
				values = values[:0] // this run's range is younger than all runs before it
			}
			if bytes.Equal(cursors[i].key, key) {
				values = append(values, bytes.Clone(cursors[i].value))
				if err := cursors[i].step(); err != nil {
					return err
				}
			}
		}
		if len(values) == 0 {
			continue
		}
		value, err := joined(p, values)
		if err != nil {
			return err
		}
		if err := visit(key, value); err != nil {
			return err
		}
	}
}

// smallest is the least key of all cursors, nil if all are at their end.
func smallest(cursors []cursor) (key []byte) {
	for i := range cursors {
		if k := cursors[i].key; k != nil && (key == nil || bytes.Compare(k, key) < 0) {
			key = k
		}
	}
	return key
}

// cursor reads a run, a block at a time.
type cursor struct {
	s          *scratch
	left       []extent
	buf        []byte
	at         int
	key, value []byte // nil at the end
}

func (c *cursor) step() (err error) {
	if c.at == len(c.buf) {
		c.key, c.value, c.at = nil, nil, 0
		if len(c.left) == 0 {
			c.buf = nil
			return nil
		}
		if c.buf, err = c.s.read(c.left[0], c.buf[:0]); err != nil {
			return err
		}
		c.left = c.left[1:]
	}
	_, c.key, c.value, c.at = next(c.buf, c.at)
	return nil
}

// table writes the keys of some partitions, which follow one another, to one
// table; none if everything in them was erased.
func (f *Fold) table(j *job, c *chunk, wrote func(key []byte)) (err error) {
	var t *store.Table
	for _, tp := range j.tapes {
		err := f.sorted(tp, j.p, c, func(key, value []byte) (err error) {
			if t == nil {
				if t, err = f.tables.Create(); err != nil {
					return err
				}
			}
			wrote(key)
			return t.Set(key, value)
		})
		if err != nil {
			return errors.Join(fmt.Errorf("projection %s: %w", j.p.Name(), err), t.Close())
		}
	}
	return t.Close()
}

// sorted visits the keys of a partition in order. What is larger than a chunk is
// sorted in pieces, which are written and then read side by side.
func (f *Fold) sorted(t *tape, p projections.Joined, c *chunk, visit func(key, value []byte) error) error {
	blocks, err := c.load(f.scratch, t.blocks, f.chunkBytes)
	if err != nil || len(blocks) == 0 {
		if err == nil {
			err = c.each(p, visit)
		}
		return err
	}
	var runs []*run
	for {
		r, err := newRun(f.scratch, c, p, len(runs))
		if err != nil {
			return err
		}
		if runs = append(runs, r); len(blocks) == 0 {
			return merge(f.scratch, runs, p, visit)
		}
		if blocks, err = c.load(f.scratch, blocks, f.chunkBytes); err != nil {
			return err
		}
	}
}
