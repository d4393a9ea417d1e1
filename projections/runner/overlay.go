package runner

import (
	"bytes"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/consent-ledger/consent-ledger/ledger/store"
)

// overlay is the projections.Batch of one projection: its writes since the last
// commit over the database. It is used by one goroutine.
//
// Entries of many commits meet here, so that a token that occurs a hundred times
// in a batch costs one read and one write of the database.
type overlay struct {
	db     store.Reader
	spaces []byte
	known  *known

	// points holds what was written after the ranges that cover it; a nil value
	// is a deletion.
	points map[string][]byte
	// ranges were deleted, in any order: a write after it is in points again.
	ranges []keyRange
	bytes  int
	sorted []string // reused between batches
}

type keyRange struct{ start, end []byte }

func (r keyRange) covers(key []byte) bool {
	return bytes.Compare(r.start, key) <= 0 && bytes.Compare(key, r.end) < 0
}

func newOverlay(db store.Reader, spaces []byte, k *known) *overlay {
	return &overlay{db: db, spaces: spaces, known: k, points: map[string][]byte{}}
}

// Get implements projections.Batch.
func (o *overlay) Get(key []byte) ([]byte, error) {
	if err := o.own(key); err != nil {
		return nil, err
	}
	if v, ok := o.points[string(key)]; ok {
		return v, nil
	}
	if o.erased(key) || !o.known.mayHave(key) {
		return nil, nil
	}
	return o.db.Get(key)
}

// Set implements projections.Batch.
func (o *overlay) Set(key, value []byte) error {
	if value == nil {
		value = []byte{} // nil stands for a deletion here
	}
	return o.write(key, value)
}

// Delete implements projections.Batch.
func (o *overlay) Delete(key []byte) error { return o.write(key, nil) }

func (o *overlay) write(key, value []byte) error {
	if err := o.own(key); err != nil {
		return err
	}
	o.points[string(key)] = value
	o.bytes += len(key) + len(value)
	return nil
}

// DeleteRange implements projections.Batch.
func (o *overlay) DeleteRange(start, end []byte) error {
	if err := o.own(start); err != nil {
		return err
	}
	r := keyRange{start, end}
	for k := range o.points {
		if r.covers([]byte(k)) {
			delete(o.points, k)
		}
	}
	o.ranges = append(o.ranges, r)
	o.bytes += len(start) + len(end)
	return nil
}

// Scan implements projections.Batch. If the database cannot be read the scan
// ends early and the commit of the batch fails (store.Reader.Scan).
func (o *overlay) Scan(start, end []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		own := o.pointsIn(keyRange{start, end})
		for k, v := range o.db.Scan(start, end) {
			for len(own) > 0 && own[0] < string(k) {
				if !o.yieldOwn(own[0], yield) {
					return
				}
				own = own[1:]
			}
			if len(own) > 0 && own[0] == string(k) || o.erased(k) {
				continue // the own one comes next, or nothing does
			}
			if !yield(k, v) {
				return
			}
		}
		for _, k := range own {
			if !o.yieldOwn(k, yield) {
				return
			}
		}
	}
}

func (o *overlay) yieldOwn(key string, yield func([]byte, []byte) bool) bool {
	v := o.points[key]
	return v == nil || yield([]byte(key), v)
}

// pointsIn gives the written and deleted keys of a range, sorted.
func (o *overlay) pointsIn(r keyRange) []string {
	var out []string
	for k := range o.points {
		if r.covers([]byte(k)) {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}

func (o *overlay) erased(key []byte) bool {
	for _, r := range o.ranges {
		if r.covers(key) {
			return true
		}
	}
	return false
}

// own refuses keys of other projections: these fold at the same time, so that
// even a read would depend on who is faster.
func (o *overlay) own(key []byte) error {
	if len(key) == 0 || !slices.Contains(o.spaces, key[0]) {
		return fmt.Errorf("key outside the spaces %x of this projection", o.spaces)
	}
	return nil
}

// flush moves everything to a batch of the store and empties the overlay. The
// known set learns of keys here, before they become visible.
func (o *overlay) flush(b *store.Batch) error {
	// Ranges first: what is in points was written after the range that covers it.
	for _, r := range o.ranges {
		if err := b.DeleteRange(r.start, r.end); err != nil {
			return err
		}
	}
	// In order, because the memtable takes sorted keys faster than sorting costs.
	o.sorted = slices.AppendSeq(o.sorted[:0], maps.Keys(o.points))
	slices.Sort(o.sorted)
	var key []byte
	for _, k := range o.sorted {
		v := o.points[k]
		key = append(key[:0], k...)
		if v == nil {
			if err := b.Delete(key); err != nil {
				return err
			}
			continue
		}
		o.known.add(key)
		if err := b.Set(key, v); err != nil {
			return err
		}
	}
	o.reset()
	return nil
}

func (o *overlay) reset() {
	clear(o.points)
	o.ranges, o.bytes = nil, 0
}
