package suppression

import "slices"

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
// Do-Not-Call list or a revocation. A removal of the party or of this number lifts
// it if strictly later; with grantOverrides so does a grant, as in Dnc. If the
// number has a party whose requests were not loaded, it is KindPartyUnknown.
func (v View) PartyDnc(q Question, n Need, grantOverrides bool) (Prohibition, bool) {
	if !v.PartyLoaded && len(v.Seller.GetParties())+len(v.All.GetParties()) > 0 {
		return Prohibition{Kind: KindPartyUnknown}, true
	}
	newest, found := v.newestOfParty(q, n)
	if !found {
		return Prohibition{}, false
	}
	for _, s := range append(v.all(), v.Party...) {
		for _, r := range s.GetDncRemoved() {
			if q.liftedBy(r.GetProgramme(), r.GetCells()) && q.has(r.GetTime().GetLatest()) && r.GetTime().GetEarliest() > newest.latest() {
				return Prohibition{}, false
			}
		}
	}
	if grantOverrides && v.heldAfter(q, n, newest.latest()) {
		return Prohibition{}, false
	}
	return newest, true
}

// newestOfParty looks through the states of the party; clarifications count for
// the number they were given about.
func (v View) newestOfParty(q Question, n Need) (newest Prohibition, found bool) {
	for _, s := range v.Party {
		one := View{All: s}
		for _, r := range s.GetRevoked() {
			if r.GetKind() != KindInvalidated && one.counts(q, n, r) {
				newest, found = later(newest, found, prohibition(r.GetKind(), r.GetProgramme(), r.GetHistorical(), false, r.GetTime()))
			}
		}
		for _, r := range s.GetDncAdded() {
			if q.forbiddenBy(r.GetProgramme(), r.GetCells()) {
				newest, found = later(newest, found, prohibition(KindDnc, r.GetProgramme(), false, false, r.GetTime()))
			}
		}
	}
	return newest, found
}
