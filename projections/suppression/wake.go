package suppression

import (
	"time"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
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
	v.wake(note)
	for _, parties := range [...][]View{v.Party, v.PartyNumbers} {
		for _, p := range parties {
			p.wake(note)
		}
	}
	return instantOrNone(next)
}

// wake tells at which instants what is known begins to count.
func (v View) wake(note func(ns int64)) {
	for _, s := range v.halves() {
		for _, g := range s.GetGrants() {
			note(g.GetTime().GetLatest())
		}
		for _, r := range s.GetDncRemoved() {
			note(r.GetTime().GetLatest())
		}
		for _, evidence := range [...][]*consentv1.MarkRegister{s.GetRelationships(), s.GetMarks()} {
			for _, m := range evidence {
				note(m.GetTime().GetEarliest())
				note(m.GetTime().GetLatest())
			}
		}
		for _, wishes := range [...][]*consentv1.PreferenceRegister{s.GetTimeConsents(), s.GetPreferences()} {
			for _, p := range wishes {
				note(p.GetTime().GetLatest())
			}
		}
	}
}
