package registry

import "slices"

// edit gives the set with the numbers of plus added and those of minus taken
// out, which have none in common. Either may be nil. What neither touches is
// shared with s.
func (s *Set) edit(plus, minus *Set) *Set {
	var a setBuilder
	for no, pages := range zip(s, plus, minus) {
		if pages[1] == nil && pages[2] == nil {
			a.page(no, pages[0])
			continue
		}
		a.page(no, editPage(pages))
	}
	return a.done()
}

func editPage(pages [3]*page) *page {
	out, m := &page{}, bitmap{}
	for i, b := range zipBlocks(pages) {
		if len(b[1]) == 0 && len(b[2]) == 0 {
			out.put(i, b[0])
			continue
		}
		if len(b[0]) == 0 && len(b[2]) == 0 {
			out.put(i, b[1])
			continue
		}
		m.load(b[0])
		m.add(b[1])
		m.remove(b[2])
		out.put(i, m.block())
	}
	return out.done()
}

// compare gives what must be added to from and taken out of it to make it to,
// within what a mask covers. What they share is not looked at.
func compare(from, to *Set, within *mask) (added, removed *Set) {
	var plus, minus setBuilder
	for no, pages := range zip(from, to, nil) {
		if pages[0] == pages[1] {
			continue
		}
		for i, b := range zipBlocks(pages) {
			old, now := b[0], b[1]
			if len(old) == len(now) && len(old) > 0 && (&old[0] == &now[0] || slices.Equal(old, now)) {
				continue
			}
			at := no<<pageBits | i
			plus.put(at, within.block(at, without(now, old)))
			minus.put(at, within.block(at, without(old, now)))
		}
	}
	return plus.done(), minus.done()
}

// without gives the members of a that are not in b.
func without(a, b block) block {
	if len(a) == 0 || len(b) == 0 {
		return a
	}
	var m bitmap
	m.load(a)
	m.remove(b)
	return m.block()
}

// disjoint tells whether two sets have no number in common.
func disjoint(a, b *Set) bool {
	for _, pages := range zip(a, b, nil) {
		if pages[0] == nil || pages[1] == nil {
			continue
		}
		for _, blocks := range zipBlocks(pages) {
			if blocks[0].count() != without(blocks[0], blocks[1]).count() {
				return false
			}
		}
	}
	return true
}

// contains tells whether every number of b is in a.
func contains(a, b *Set) bool { return minus(b, a, nil).Len() == 0 }

// minus gives the numbers of a that are not in b, within what a mask covers. It
// looks at no more of b than lies beside a.
func minus(a, b *Set, within *mask) *Set {
	var out setBuilder
	for no, p := range a.eachPage {
		q := b.page(no)
		if p == q || within.passes(no<<(pageBits+blockBits), (no+1)<<(pageBits+blockBits)-1) {
			continue
		}
		for i, members := range p.each {
			at := no<<pageBits | i
			if q != nil {
				members = without(members, q.block(i))
			}
			out.put(at, within.block(at, members))
		}
	}
	return out.done()
}

// mask is the area codes of the North American plan that count; nil: everything.
type mask [1000]bool

// block keeps the members of a block that are covered.
func (m *mask) block(no uint64, b block) block {
	if m == nil || len(b) == 0 {
		return b
	}
	first, last := no<<blockBits, no<<blockBits|(blockNumbers-1)
	if first/1e10 == 1 && last/1e10 == 1 && areaCode(first) == areaCode(last) {
		if m[areaCode(first)] {
			return b
		}
		return nil
	}
	var kept bitmap
	b.each(func(low uint16) bool {
		if m.covers(first | uint64(low)) {
			kept[low>>4] |= 1 << (low & 15)
		}
		return true
	})
	return kept.block()
}

// passes tells whether none of the numbers from first to last counts, as far as
// that is seen at once: they are of one area code.
func (m *mask) passes(first, last uint64) bool {
	return m != nil && first/1e10 == 1 && last/1e10 == 1 && areaCode(first) == areaCode(last) && !m[areaCode(first)]
}

// covers tells whether a number counts.
func (m *mask) covers(number uint64) bool {
	return m == nil || number/1e10 == 1 && m[areaCode(number)]
}

// includes tells whether all that other covers is covered too.
func (m *mask) includes(other *mask) bool {
	if m == nil {
		return true
	}
	if other == nil {
		return false
	}
	for code, covered := range other {
		if covered && !m[code] {
			return false
		}
	}
	return true
}

// zip yields the pages of up to three sets side by side, ascending; a nil set is
// empty.
func zip(sets ...*Set) func(yield func(no uint64, pages [3]*page) bool) {
	return func(yield func(uint64, [3]*page) bool) {
		var cursors [3]cursor
		for i, s := range sets {
			if s != nil {
				cursors[i] = cursor{runs: s.runs}
			}
		}
		for {
			var pages [3]*page
			no, found := ^uint64(0), false
			for i := range cursors {
				if at, ok := cursors[i].peek(); ok {
					no, found = min(no, at), true
				}
			}
			if !found {
				return
			}
			for i := range cursors {
				if at, ok := cursors[i].peek(); ok && at == no {
					pages[i] = cursors[i].next()
				}
			}
			if !yield(no, pages) {
				return
			}
		}
	}
}

// cursor walks over the pages of a set that are not empty.
type cursor struct {
	runs []run
	at   int // in the first run
}

func (c *cursor) peek() (no uint64, ok bool) {
	for len(c.runs) > 0 {
		for pages := c.runs[0].pages; c.at < len(pages); c.at++ {
			if pages[c.at] != nil {
				return c.runs[0].first + uint64(c.at), true
			}
		}
		c.runs, c.at = c.runs[1:], 0
	}
	return 0, false
}

func (c *cursor) next() *page {
	p := c.runs[0].pages[c.at]
	c.at++
	return p
}

// zipBlocks yields the blocks of pages side by side, by their place in the page.
func zipBlocks(pages [3]*page) func(yield func(i uint64, blocks [3]block) bool) {
	return func(yield func(uint64, [3]block) bool) {
		for i := range uint64(pageBlocks) {
			var blocks [3]block
			some := false
			for k, p := range pages {
				if p != nil {
					blocks[k] = p.block(i)
					some = some || len(blocks[k]) > 0
				}
			}
			if some && !yield(i, blocks) {
				return
			}
		}
	}
}
