package calendar

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"
)

// Calendar knows the holidays of one jurisdiction. It is safe for concurrent use.
// A nil Calendar has none.
type Calendar struct {
	// ID, Title, Citation and Confidence are as written.
	ID, Title, Citation, Confidence string

	includes []*Calendar
	rules    []rule
	// years are reckoned on first use and then kept: from cachedFrom on.
	years [cachedYears]atomic.Pointer[year]
}

const (
	cachedFrom  = 1970
	cachedYears = 130
)

// rule is one row of a calendar.
type rule struct {
	name             string
	when             *when
	dates            []Date // instead of when
	from, to         Date
	every            string // "", even, odd
	exceptYears      []int
	saturday, sunday shift
	keepActual       bool
}

// shift is what happens to a holiday that falls on a Saturday or a Sunday.
type shift string

const (
	shiftNone   shift = "none"      // nothing
	shiftFriday shift = "friday"    // the Friday before it
	shiftMonday shift = "monday"    // the Monday after it
	shiftBoth   shift = "both"      // both of them
	shiftFree   shift = "next_free" // the next day from Monday to Friday that is no holiday yet
)

var shifts = []shift{shiftNone, shiftFriday, shiftMonday, shiftBoth, shiftFree}

// year holds the holidays of one year: which gives for each day of the year the
// number of its name, 0 for none.
type year struct {
	first Date
	which [366]uint16
	names []string
}

// Holiday tells whether a date is a holiday, and its name. A substitute day is one
// too; its name says "(observed)".
func (c *Calendar) Holiday(d Date) (name string, is bool) {
	if c == nil {
		return "", false
	}
	y := c.year(d)
	n := y.which[d-y.first]
	return y.names[n], n > 0
}

// nextDays bounds how far Next looks: longer than the two years between general
// elections.
const nextDays = 3 * 366

// Next is the first holiday after a date, within three years.
func (c *Calendar) Next(d Date) (next Date, name string, ok bool) {
	if c == nil {
		return 0, "", false
	}
	for next = d + 1; next < d+nextDays; next++ {
		if name, ok = c.Holiday(next); ok {
			return next, name, true
		}
	}
	return 0, "", false
}

// Year lists the holidays of a year in order, for people who check a calendar.
func (c *Calendar) Year(y int) (out []Named) {
	for d := On(y, 1, 1); d < On(y+1, 1, 1); d++ {
		if name, is := c.Holiday(d); is {
			out = append(out, Named{d, name})
		}
	}
	return out
}

// Named is a holiday on its date.
type Named struct {
	Date Date
	Name string
}

// BusinessDay tells whether a date is one of Monday to Friday and no holiday.
func (c *Calendar) BusinessDay(d Date) bool {
	if w := d.Weekday(); w == time.Saturday || w == time.Sunday {
		return false
	}
	_, holiday := c.Holiday(d)
	return !holiday
}

// AddBusinessDays is the n-th business day after a date: the day after receipt is
// the first that can count. Less than one gives the date itself.
func AddBusinessDays(from Date, n int, c *Calendar) Date {
	for ; n > 0; n-- {
		for from++; !c.BusinessDay(from); from++ {
		}
	}
	return from
}

// year finds the table a date is in.
func (c *Calendar) year(d Date) *year {
	y, _, _ := d.Civil()
	i := y - cachedFrom
	if i < 0 || i >= cachedYears {
		return c.reckon(y)
	}
	kept := c.years[i].Load()
	if kept == nil {
		kept = c.reckon(y)
		c.years[i].Store(kept)
	}
	return kept
}

// reckon makes the table of a year. Where two holidays fall on one day, the
// calendar's own comes before those it includes, and the earlier row first.
func (c *Calendar) reckon(y int) *year {
	out := &year{first: On(y, 1, 1), names: []string{""}}
	end := On(y+1, 1, 1)
	for _, h := range c.around(y) {
		if h.Date < out.first || h.Date >= end || out.which[h.Date-out.first] > 0 {
			continue
		}
		out.which[h.Date-out.first] = uint16(len(out.names))
		out.names = append(out.names, h.Name)
	}
	return out
}

// around gives the holidays of a year, and some of its neighbours', because a
// substitute day may fall into the year before or after.
func (c *Calendar) around(y int) []Named {
	var out, included []Named
	taken := map[Date]bool{}
	for _, other := range c.includes {
		included = append(included, other.around(y)...)
	}
	for _, h := range included {
		taken[h.Date] = true
	}
	var shifted []moving
	for i := y - 1; i <= y+1; i++ {
		for r := range c.rules {
			for _, d := range c.rules[r].in(i) {
				to := c.rules[r].shiftOf(d)
				if to != shiftNone {
					shifted = append(shifted, moving{Named{d, c.rules[r].name}, to})
				}
				if to == shiftNone || c.rules[r].keepActual {
					out = append(out, Named{d, c.rules[r].name})
					taken[d] = true
				}
			}
		}
	}
	// The earlier holiday chooses its free day first: Christmas before Boxing Day.
	slices.SortStableFunc(shifted, func(a, b moving) int { return cmp.Compare(a.Date, b.Date) })
	for _, m := range shifted {
		for _, d := range m.substitutes(taken) {
			out = append(out, Named{d, m.Name + " (observed)"})
			taken[d] = true
		}
	}
	return append(out, included...)
}

// in gives the days of a rule that are reckoned with a year; with explicit dates,
// those that lie in it.
func (r *rule) in(y int) (out []Date) {
	days := r.dates
	if r.when != nil {
		days = []Date{r.when.in(y)}
	}
	for _, d := range days {
		dy, _, _ := d.Civil()
		odd := dy%2 != 0
		switch {
		case r.when == nil && dy != y,
			d < r.from || d > r.to,
			r.every == "even" && odd, r.every == "odd" && !odd,
			slices.Contains(r.exceptYears, dy):
		default:
			out = append(out, d)
		}
	}
	return out
}

func (r *rule) shiftOf(d Date) shift {
	switch d.Weekday() {
	case time.Saturday:
		return r.saturday
	case time.Sunday:
		return r.sunday
	}
	return shiftNone
}

// moving is a holiday on a weekend, and what happens to it.
type moving struct {
	Named
	to shift
}

func (m moving) substitutes(taken map[Date]bool) []Date {
	friday := m.Date - 1
	if m.Date.Weekday() == time.Sunday {
		friday--
	}
	monday := friday + 3
	switch m.to {
	case shiftFriday:
		return []Date{friday}
	case shiftMonday:
		return []Date{monday}
	case shiftBoth:
		return []Date{friday, monday}
	case shiftFree:
		d := monday
		for taken[d] || d.Weekday() == time.Saturday || d.Weekday() == time.Sunday {
			d++
		}
		return []Date{d}
	}
	return nil
}
