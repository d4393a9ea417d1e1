package registry

import (
	"cmp"
	"slices"

	"github.com/consent-ledger/consent-ledger/projections/registry/listfile"
)

// collector gathers numbers in any order.
type collector struct {
	set     *Set
	pending []uint64
}

// pendingMax is how many numbers are gathered before they are sorted into the set.
const pendingMax = 4 << 20

func (c *collector) add(n uint64) error {
	if c.pending = append(c.pending, n); len(c.pending) < pendingMax {
		return nil
	}
	_, err := c.done()
	return err
}

func (c *collector) done() (*Set, error) {
	if !slices.IsSorted(c.pending) {
		slices.Sort(c.pending)
	}
	if c.set == nil {
		c.set = &Set{}
	}
	c.set = c.set.edit(setOf(c.pending), nil)
	c.pending = c.pending[:0]
	if c.set.Len() > numbersMax {
		return nil, listfile.ErrTooLarge
	}
	return c.set, nil
}

// changer gathers the rows of a change list, of which the last about a number
// counts.
type changer struct {
	added, removed Set
	pending        []listfile.Row
}

func (c *changer) add(r listfile.Row) error {
	if c.pending = append(c.pending, r); len(c.pending) == pendingMax {
		c.flush()
	}
	return nil
}

func (c *changer) flush() {
	slices.SortStableFunc(c.pending, func(a, b listfile.Row) int { return cmp.Compare(a.Number, b.Number) })
	var plus, minus []uint64
	for i, r := range c.pending {
		switch {
		case i+1 < len(c.pending) && c.pending[i+1].Number == r.Number:
		case r.Removed:
			minus = append(minus, r.Number)
		default:
			plus = append(plus, r.Number)
		}
	}
	a, r := setOf(plus), setOf(minus)
	c.added, c.removed = *c.added.edit(a, r), *c.removed.edit(r, a)
	c.pending = c.pending[:0]
}

func (c *changer) done() (added, removed *Set) {
	c.flush()
	return &c.added, &c.removed
}
