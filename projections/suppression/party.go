package suppression

import (
	"slices"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// PartyState is what a fact that names a party says of the party, whatever the
// number: its requests to be left alone, and what lifts them. nil: nothing.
func PartyState(in Input) *State {
	if len(in.Fact.GetPartyKey()) == 0 {
		return nil
	}
	s := stateOf(in)
	out := &State{Kept: s.GetKept(), DncAdded: s.GetDncAdded(), DncRemoved: s.GetDncRemoved()}
	for _, r := range s.GetRevoked() {
		if r.GetKind() != KindInvalidated {
			out.Revoked = append(out.Revoked, r)
		}
	}
	if len(out.Kept)+len(out.DncAdded)+len(out.DncRemoved)+len(out.Revoked) == 0 {
		return nil
	}
	return out
}

// Parties are the keys of the parties the number belongs to, sorted.
func (v View) Parties() (keys [][]byte) {
	for _, s := range v.halves() {
		keys = append(keys, s.GetParties()...)
	}
	slices.SortFunc(keys, slices.Compare)
	return slices.CompactFunc(keys, slices.Equal)
}

// PartyDnc gives the newest request to be left alone that a party of this number
// made about any of its numbers and that covers the question: an addition to the
// Do-Not-Call list or a revocation. An addition is lifted by a strictly later
// removal: of the party, of this number, or of the number it was about for just
// that one. With grantOverrides a grant for this number lifts either, as in Dnc.
// If the number has a party whose requests were not loaded, it is KindPartyUnknown.
func (v View) PartyDnc(q Question, n Need, grantOverrides bool) (Prohibition, bool) {
	if !v.PartyLoaded && len(v.Seller.GetParties())+len(v.All.GetParties()) > 0 {
		return Prohibition{Kind: KindPartyUnknown}, true
	}
	removals := v.all()
	for _, p := range v.Party {
		removals = append(removals, p.all()...)
	}
	newest, found := Prohibition{}, false
	look := func(about View, removals []*State) {
		if p, ok := about.newestRequest(removals, q, n); ok {
			newest, found = later(newest, found, p)
		}
	}
	for _, p := range v.Party {
		look(p, removals)
	}
	for _, number := range v.PartyNumbers {
		look(number, append(number.all(), removals...))
	}
	if !found || grantOverrides && v.heldAfter(q, n, newest.latest()) {
		return Prohibition{}, false
	}
	return newest, true
}

// newestRequest gives the newest request of a party, or about one of its numbers,
// that stands.
func (v View) newestRequest(removals []*State, q Question, n Need) (newest Prohibition, found bool) {
	newest, found = v.newest(revoked(), func(r *consentv1.ProhibitionRegister) bool {
		return r.GetKind() != KindInvalidated && v.counts(q, n, r)
	})
	added, listed := v.newest(dncAdded(), func(r *consentv1.ProhibitionRegister) bool {
		return q.forbiddenBy(r.GetProgramme(), r.GetCells()) && !removedAfter(removals, q, r.GetTime().GetLatest())
	})
	if !listed {
		return newest, found
	}
	return later(newest, found, added)
}

// removedAfter tells whether a removal covers the question, has happened, and is
// strictly later than an addition.
func removedAfter(states []*State, q Question, latest int64) bool {
	for _, s := range states {
		for _, r := range s.GetDncRemoved() {
			if q.liftedBy(r.GetProgramme(), r.GetCells()) && q.has(r.GetTime().GetLatest()) && r.GetTime().GetEarliest() > latest {
				return true
			}
		}
	}
	return false
}
