package suppression

import (
	"slices"
	"time"
)

// Wake gives the first instant after one at which something that is known begins
// to count, zero if there is none: facts of which only the day is known count from
// its end. Until then, and without new facts, no answer of the view changes but by
// terms and ends.
func (v View) Wake(at time.Time) (first time.Time) {
	now := unixNano(at)
	next := int64(0)
	note := func(ns int64) {
		if ns > now && (next == 0 || ns < next) {
			next = ns
		}
	}
	states := v.all()
	for _, p := range slices.Concat(v.Party, v.PartyNumbers) {
		states = append(states, p.all()...)
	}
	for _, s := range states {
		for _, g := range s.GetGrants() {
			note(g.GetTime().GetLatest())
		}
		for _, r := range s.GetDncRemoved() {
			note(r.GetTime().GetLatest())
		}
		for _, m := range slices.Concat(s.GetRelationships(), s.GetMarks()) {
			note(m.GetTime().GetEarliest())
			note(m.GetTime().GetLatest())
		}
		for _, p := range slices.Concat(s.GetTimeConsents(), s.GetPreferences()) {
			note(p.GetTime().GetLatest())
		}
	}
	return instantOrNone(next)
}
