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

// changer gathers the rows of a change list. Of several about one number the latest
// counts, by the instants that they say and in whatever order they stand; where these do
// not tell, the number is listed.
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

// flush takes the rows over. Of those taken over before, no instant is kept: what they
// or these add stays.
func (c *changer) flush() {
	slices.SortFunc(c.pending, byNumberThenTime)
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
	c.added = *c.added.edit(setOf(plus), nil)
	c.removed = *c.removed.edit(setOf(minus), nil).edit(nil, &c.added)
	c.pending = c.pending[:0]
}

// byNumberThenTime puts what counts of a number last.
func byNumberThenTime(a, b listfile.Row) int {
	return cmp.Or(cmp.Compare(a.Number, b.Number), cmp.Compare(a.At, b.At), listedLast(a, b))
}

func listedLast(a, b listfile.Row) int {
	switch {
	case a.Removed == b.Removed:
		return 0
	case a.Removed:
		return -1
	}
	return 1
}

func (c *changer) done() (added, removed *Set) {
	c.flush()
	return &c.added, &c.removed
}
