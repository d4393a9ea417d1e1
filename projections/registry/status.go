package registry

import (
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// Status describes one version in use or awaited, for pages, alerts and `doctor`.
type Status struct {
	Registry, VersionDate string
	Position              ledger.Position
	Publisher             string
	Subscription          string
	Licensees             []string // empty: all sellers
	Numbers               uint64
	Added, Removed        uint64 // against the version it follows
	// FollowsDate is the day of the version it follows; empty: none is known.
	FollowsDate string
	// ChangesUnknown: Added and Removed are not, because the version it follows was
	// recorded after it.
	ChangesUnknown bool
	// AreaCodes and CallingCode are what it covers; none and 0: everything.
	AreaCodes   []string
	CallingCode int
	// Asked is how many numbers a washed list covers; 0: it is none.
	Asked     uint64
	FetchedAt time.Time // zero: unknown
	// Whole tells whether the numbers are here; Problem why they never will be.
	Whole   bool
	Problem string
}

// Versions lists the versions in use or awaited, by registry, newest first.
func (s *Snapshot) Versions() []Status {
	var out []Status
	for _, v := range s.versions() {
		d := Status{Registry: v.registry, VersionDate: v.date, Position: v.position, Publisher: v.loaded.GetPublisher(), Subscription: v.loaded.GetSubscription(),
			Licensees: v.licensees, Numbers: v.loaded.GetRows(), Added: v.loaded.GetAdded(), Removed: v.loaded.GetRemoved(),
			AreaCodes: v.coverage.codes.areaCodes(), CallingCode: int(v.coverage.calling), Problem: firstOf(v.problem, v.broken)}
		if t := v.loaded.GetFetchedAt(); t != nil {
			d.FetchedAt = t.AsTime()
		}
		if v.previous != nil {
			d.FollowsDate = v.previous.date
			if d.ChangesUnknown = v.previous.position > v.position; d.ChangesUnknown {
				d.Added, d.Removed = 0, 0
			}
		}
		if v.numbers != nil {
			d.Whole, d.Numbers = true, v.numbers.set.Len()
			if v.washed {
				d.Asked = v.numbers.asked.Len()
			}
		}
		out = append(out, d)
	}
	return out
}

// AgeDays is how many days old the list is: its own day counts, not that on which
// it was fetched. ok is false if its day is none.
func (s Status) AgeDays(now time.Time) (days int, ok bool) {
	day, err := time.Parse(time.DateOnly, s.VersionDate)
	if err != nil {
		return 0, false
	}
	return max(0, int(now.UTC().Sub(day).Hours()/24)), true
}

// Numbers is the newest version in use of a list, as far as it is whole; nil: none.
func (s *Snapshot) Numbers(registry string) *Set {
	for _, v := range s.of(registry).inUse {
		if v.numbers != nil {
			return v.numbers.set
		}
	}
	return nil
}

// Bytes is what the numbers of all versions in use take in memory.
func (s *Snapshot) Bytes() (numbers, dates uint64) {
	for _, v := range s.versions() {
		if v.numbers != nil {
			numbers += v.numbers.set.Bytes()
			if v.numbers.asked != nil {
				numbers += v.numbers.asked.Bytes()
			}
		}
		if v.first != nil {
			dates += 8 * uint64(cap(v.first.entries))
		}
	}
	return numbers, dates
}
