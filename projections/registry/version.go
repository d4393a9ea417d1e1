package registry

import (
	"slices"
	"strconv"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/projections/registry/listfile"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// listVersion is one announced version of a list. It never changes.
type listVersion struct {
	registry  string
	date      string // YYYY-MM-DD
	day       time.Time
	object    ledger.Hash
	base      *ledger.Hash // what a change list changes; nil: not a change list
	baseDate  string
	washed    bool     // answers only about the numbers that were asked about
	licensees []string // sorted; empty: all sellers
	coverage  coverage
	position  ledger.Position
	recorded  time.Time
	loaded    *consentv1.RegistryLoaded
	problem   string // why it answers nothing; empty: it may
}

func newListVersion(at ledger.Position, recorded time.Time, m *consentv1.RegistryLoaded) *listVersion {
	v := &listVersion{
		registry: m.GetRegistry(), date: m.GetVersionDate(), position: at, recorded: recorded, washed: m.GetWashed(), loaded: m,
		licensees: sortedLicensees(m.GetLicensees()), coverage: coverageOf(m), baseDate: m.GetBaseVersionDate(),
	}
	var err error
	switch v.day, err = time.Parse(time.DateOnly, v.date); {
	case err != nil:
		v.problem = "its version date is no day, so its age is unknown"
	case CheckVersionDate(v.date, recorded) != nil:
		v.problem = "its version date was in the future when it was recorded, so its age is unknown"
	case len(m.GetObjectSha256()) != len(v.object):
		v.problem = "its object has no name"
	case v.baseDate != "" && len(m.GetBaseObjectSha256()) != len(v.object):
		v.problem = "it is a change list that does not name what it changes; load the full list"
	}
	copy(v.object[:], m.GetObjectSha256())
	if len(m.GetBaseObjectSha256()) == len(v.object) {
		v.base = (*ledger.Hash)(m.GetBaseObjectSha256())
	}
	return v
}

// sortedLicensees gives sellers in order; empty: all of them.
func sortedLicensees(sellers []string) []string {
	if slices.Contains(sellers, ledger.All) {
		return nil
	}
	return slices.Compact(slices.Sorted(slices.Values(sellers)))
}

// coverage is the numbers about which a list's silence means something: those of
// a country, of some of its area codes, or of a list that was washed.
type coverage struct {
	calling uint64 // calling code; 0: of all countries
	codes   *mask  // area codes in +1; nil: all
}

func coverageOf(m *consentv1.RegistryLoaded) coverage {
	c := coverage{calling: uint64(m.GetCallingCode())}
	if len(m.GetAreaCodes()) > 0 {
		c.calling, c.codes = 1, new(mask)
		for _, code := range m.GetAreaCodes() {
			if listfile.IsAreaCode(code) {
				n, _ := listfile.Digits([]byte(code))
				c.codes[n] = true
			}
		}
	}
	return c
}

func (c coverage) covers(number uint64) bool {
	switch c.calling {
	case 0:
		return true
	case 1:
		return number/1e10 == 1 && c.codes.covers(number)
	}
	for number > c.calling {
		number /= 10
	}
	return number == c.calling
}

func (c coverage) includes(other coverage) bool {
	return c.calling == 0 || c.calling == other.calling && c.codes.includes(other.codes)
}

// areaCodes lists the codes of a mask.
func (m *mask) areaCodes() []string {
	var out []string
	if m != nil {
		for code, covered := range m {
			if covered {
				out = append(out, strconv.Itoa(code))
			}
		}
	}
	return out
}

// areaCode is the area code of an eleven-digit number of the North American plan.
func areaCode(n uint64) int { return int(n / 1e7 % 1000) }

func (v *listVersion) licensed(seller string) bool {
	if len(v.licensees) == 0 {
		return true
	}
	_, ok := slices.BinarySearch(v.licensees, seller)
	return ok
}

// serves tells whether every seller of others is licensed; none means all.
func (v *listVersion) serves(others []string) bool {
	return len(v.licensees) == 0 ||
		len(others) > 0 && !slices.ContainsFunc(others, func(s string) bool { return !v.licensed(s) })
}

// older orders versions of one list: by day, then by position.
func (v *listVersion) older(than *listVersion) bool {
	if c := v.day.Compare(than.day); c != 0 {
		return c < 0
	}
	return v.position < than.position
}

// linked is a version among the others of its list: what it follows, and its
// numbers as far as they are here. It belongs to one Snapshot.
type linked struct {
	*listVersion
	// broken says why it answers nothing beside the version's own problem.
	broken string
	// previous is the version it follows: the newest older one that serves every
	// seller and covers every number that this one does. For a change list, the
	// one it changes.
	previous *linked
	numbers  *numbers
	first    *firstSeen // nil: not known yet
}

// numbers is what a version's object says; nil while it is not here.
type numbers struct {
	set   *Set
	asked *Set // of a washed list
}

func (v *linked) usable() bool { return v.problem == "" && v.broken == "" }

// covers tells whether the list's silence about a number means anything. What was
// asked of a washed list is known only when its numbers are here; until then it
// may be anything, and an awaited list blocks.
func (v *linked) covers(number uint64) bool {
	return v.coverage.covers(number) && (!v.washed || v.numbers == nil || v.numbers.asked.Contains(number))
}

// supersedes tells whether nobody can need w beside v, which is newer: v serves
// every seller and covers every number that w does.
func (v *linked) supersedes(w *linked) bool {
	if v.numbers == nil || !v.serves(w.licensees) || !v.coverage.includes(w.coverage) {
		return false
	}
	if !v.washed {
		return true
	}
	return w.washed && w.numbers != nil && contains(v.numbers.asked, w.numbers.asked)
}

// follows tells whether v can be told as what has changed since w, which is older.
func (v *listVersion) follows(w *listVersion) bool {
	return w.problem == "" && !v.washed && !w.washed && w.serves(v.licensees) && w.coverage.includes(v.coverage)
}

// link orders the versions of one list, newest first, and finds what each follows.
func link(known []*listVersion, sets map[ledger.Hash]*numbers, dates map[ledger.Position]*firstSeen) []*linked {
	all := make([]*linked, len(known))
	for i, v := range known {
		all[i] = &linked{listVersion: v, first: dates[v.position]}
		if v.problem == "" {
			all[i].numbers = sets[v.object]
		}
	}
	slices.SortFunc(all, func(a, b *linked) int {
		if a.older(b.listVersion) {
			return 1
		}
		return -1
	})
	for i := len(all) - 1; i >= 0; i-- {
		v := all[i]
		for _, w := range all[i+1:] {
			if w.broken == "" && v.follows(w.listVersion) && (v.base == nil || w.object == *v.base) {
				v.previous = w
				break
			}
		}
		if v.problem == "" && v.base != nil && v.previous == nil {
			v.broken = "it is a change list, and the version of " + v.baseDate + " it changes is not known here; load the full list"
			v.numbers = nil
		}
	}
	return all
}
