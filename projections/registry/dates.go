package registry

import (
	"slices"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// firstSeen is since when numbers are on a list, for those that came after the
// first version of it that was loaded: of the others that is not known. The day
// given is the day after the version before, because that is the earliest on
// which the listing can have been published: a later one would grant days of
// grace that the law does not.
//
// Each entry is number << 14 | days since 2010, ascending, one for a number. A
// number that has left the list may still be there; only listed ones are asked about.
type firstSeen struct {
	entries []uint64
	// of is the versions it was worked out from: another one that comes late between
	// them changes it.
	of []ledger.Position
}

// chain is a version and those before it, by position.
func chain(v *linked) (out []ledger.Position) {
	for ; v != nil; v = v.previous {
		out = append(out, v.position)
	}
	return out
}

const (
	dayBits = 14
	// datesMax is how many listings have their day in memory, the newest; of
	// older ones the day is unknown here, which counts as long ago. 8 bytes each.
	datesMax = 4 << 20
)

var dayZero = time.Date(2010, 1, 1, 0, 0, 0, 0, time.UTC)

// since gives the day of a listing, YYYY-MM-DD; empty: unknown.
func (f *firstSeen) since(number uint64) string {
	if f == nil || len(f.entries) == 0 {
		return ""
	}
	i, _ := slices.BinarySearch(f.entries, number<<dayBits)
	if i == len(f.entries) || f.entries[i]>>dayBits != number {
		return ""
	}
	return dayZero.AddDate(0, 0, int(f.entries[i]&(1<<dayBits-1))).Format(time.DateOnly)
}

// datesBuilder gathers days from the newest version back.
type datesBuilder struct{ entries []uint64 }

// add notes the numbers that came the day after a version. It tells whether there
// is room for more.
func (b *datesBuilder) add(before time.Time, added *Set) bool {
	days := int(before.Sub(dayZero).Hours()/24) + 1
	if days < 0 || days >= 1<<dayBits {
		return false
	}
	if uint64(len(b.entries))+added.Len() > datesMax {
		return false
	}
	for n := range added.All() {
		b.entries = append(b.entries, n<<dayBits|uint64(days))
	}
	return true
}

// done gives the days; of a number that came more than once, the newest.
func (b *datesBuilder) done(of []ledger.Position) *firstSeen {
	slices.Sort(b.entries) // of equal numbers the newest day is last
	out := b.entries[:0]
	for i, e := range b.entries {
		if i+1 < len(b.entries) && b.entries[i+1]>>dayBits == e>>dayBits {
			continue
		}
		out = append(out, e)
	}
	return &firstSeen{slices.Clip(out), of}
}
