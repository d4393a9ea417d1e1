package registry

import (
	"maps"
	"slices"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/projections/registry/listfile"
	"github.com/consent-ledger/consent-ledger/projections/rules"
)

// list is one registry. Versions are newest first.
type list struct {
	registry string
	all      []*linked // every version ever announced
	inUse    []*linked // those that answer something now, or are awaited
}

// Snapshot is everything known at one position. It never changes.
type Snapshot struct {
	// Position is what it is true at.
	Position ledger.Position

	lists     []list // sorted by registry
	history   history
	published uint64 // counts up whenever lists change
}

// history tells what a version changed.
type history interface {
	// changed tells what version v changed of a number, against the one it
	// follows. known is false if that has not been worked out yet.
	changed(v *linked, number uint64) (added, removed, known bool)
}

// newSnapshot keeps of all known versions those that answer something, and those
// whose numbers are awaited. A version is let go only for a newer one that is
// whole: until then it answers those whom the newer one is not for.
func newSnapshot(at ledger.Position, known []*listVersion, sets map[ledger.Hash]*numbers, dates map[ledger.Position]*firstSeen, h history) *Snapshot {
	byRegistry := map[string][]*listVersion{}
	for _, v := range known {
		byRegistry[v.registry] = append(byRegistry[v.registry], v)
	}
	s := &Snapshot{Position: at, history: h}
	for _, id := range slices.Sorted(maps.Keys(byRegistry)) {
		all := link(byRegistry[id], sets, dates)
		s.lists = append(s.lists, list{id, all, inUse(all)})
	}
	return s
}

func inUse(all []*linked) (out []*linked) {
	for _, v := range all {
		if !slices.ContainsFunc(out, func(newer *linked) bool { return newer.supersedes(v) }) {
			out = append(out, v)
		}
	}
	return out
}

// versions in use, by registry, newest first.
func (s *Snapshot) versions() []*linked {
	var out []*linked
	for _, l := range s.lists {
		out = append(out, l.inUse...)
	}
	return out
}

func (s *Snapshot) uses(object ledger.Hash) bool {
	return slices.ContainsFunc(s.versions(), func(v *linked) bool { return v.numbers != nil && v.object == object })
}

// missing are the versions in use whose numbers are not here, newest first.
func (s *Snapshot) missing() []*linked {
	return slices.DeleteFunc(s.versions(), func(v *linked) bool { return !v.usable() || v.numbers != nil })
}

// AppendAnswers appends what each registry says about a number, given as E.164
// digits without the plus, to a seller, at an instant: the newest usable version
// that the seller is licensed for, that covers the number, and that is not of a
// later day than the instant (one day of grace, because days begin earlier
// elsewhere). Without such a version, and while the numbers of that version are
// not here, the registry's answer is that none is loaded: an older version does
// not know who has joined the list since. Registries that were never announced
// give no answer, which means the same.
//
// About the present it reads memory alone. About an instant before the newest
// version it reads the shelf: what the versions since have changed is undone.
func (s *Snapshot) AppendAnswers(dst []rules.RegistryAnswer, number uint64, seller string, at time.Time) []rules.RegistryAnswer {
	return s.AppendAnswersAsOf(dst, number, seller, at, time.Time{})
}

// AppendAnswersAsOf is AppendAnswers from what was recorded by asOf; zero: all.
func (s *Snapshot) AppendAnswersAsOf(dst []rules.RegistryAnswer, number uint64, seller string, at, asOf time.Time) []rules.RegistryAnswer {
	for i := range s.lists {
		dst = append(dst, s.lists[i].answer(s.history, number, seller, at, asOf))
	}
	return dst
}

// answer about the present comes from the versions in use. The first of them that
// is not for the instant, but for the seller and the number, makes it a question
// about the past, where versions no longer in use count too.
func (l *list) answer(h history, number uint64, seller string, at, asOf time.Time) rules.RegistryAnswer {
	latest := at.Add(24 * time.Hour)
	for _, v := range l.inUse {
		if !v.usable() || !v.licensed(seller) || !v.covers(number) {
			continue
		}
		if v.day.After(latest) || !asOf.IsZero() && v.recorded.After(asOf) {
			return l.past(h, number, seller, latest, asOf)
		}
		if v.numbers == nil {
			break
		}
		a := rules.RegistryAnswer{Registry: l.registry, Loaded: true, VersionDate: v.date, Listed: v.numbers.set.Contains(number)}
		if a.Listed {
			a.Since = v.first.since(number)
		}
		return a
	}
	return rules.RegistryAnswer{Registry: l.registry}
}

// past answers from the newest version that was there: from what a later version
// in use says, undoing what each version in between has changed.
func (l *list) past(h history, number uint64, seller string, latest, asOf time.Time) rules.RegistryAnswer {
	none := rules.RegistryAnswer{Registry: l.registry}
	for _, v := range l.all {
		if !v.usable() || !v.licensed(seller) || !v.covers(number) || v.day.After(latest) || !asOf.IsZero() && v.recorded.After(asOf) {
			continue
		}
		listed, known := l.undo(h, v, number)
		if !known {
			return none
		}
		a := rules.RegistryAnswer{Registry: l.registry, Loaded: true, VersionDate: v.date, Listed: listed}
		if listed {
			a.Since = sinceBefore(h, v, number)
		}
		return a
	}
	return none
}

// undo tells whether a number was on version v.
func (l *list) undo(h history, v *linked, number uint64) (listed, known bool) {
	for _, u := range l.inUse {
		if u.numbers == nil || !u.covers(number) || !follows(u, v) {
			continue
		}
		listed = u.numbers.set.Contains(number)
		for w := u; w != v; w = w.previous {
			added, removed, known := h.changed(w, number)
			if !known {
				return false, false
			}
			listed = (listed && !added) || removed
		}
		return listed, true
	}
	return false, false
}

// follows tells whether u comes after v in one chain, or is v.
func follows(u, v *linked) bool {
	for ; u != nil; u = u.previous {
		if u == v {
			return true
		}
	}
	return false
}

// sinceBefore finds when a number that version v lists came on the list.
func sinceBefore(h history, v *linked, number uint64) string {
	for w := v; w.previous != nil; w = w.previous {
		switch added, _, known := h.changed(w, number); {
		case !known:
			return ""
		case added:
			return dayAfter(w.previous.day)
		}
	}
	return ""
}

// dayAfter is the first day on which a listing that a version does not have yet
// can have been published.
func dayAfter(day time.Time) string { return day.AddDate(0, 0, 1).Format(time.DateOnly) }

// ParseNumber reads E.164 with its plus into the digits this package works with.
func ParseNumber(e164 string) (uint64, bool) {
	if len(e164) < 2 || len(e164) > 16 || e164[0] != '+' {
		return 0, false
	}
	return listfile.Digits([]byte(e164[1:]))
}
