package suppression_test

import (
	"fmt"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/consent-ledger/consent-ledger/projections/suppression"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// onlyForbids tells whether a fact may close doors and never open one. A location,
// a line or a message somebody has read may do either.
func onlyForbids(in suppression.Input) bool {
	switch k := in.Fact.GetKind().(type) {
	case *consentv1.Fact_ConsentRevoked, *consentv1.Fact_ConsentInvalidated, *consentv1.Fact_DncAdded, *consentv1.Fact_ConsentRefused,
		*consentv1.Fact_NumberReassigned, *consentv1.Fact_PartyNumber:
		return true
	case *consentv1.Fact_PreferenceSet:
		return k.PreferenceSet.GetBlocked()
	case *consentv1.Fact_SubscriberClass:
		return k.SubscriberClass.GetSubscriber() != consentv1.SubscriberKind_SUBSCRIBER_KIND_CORPORATE
	case *consentv1.Fact_RelationshipRecorded:
		return k.RelationshipRecorded.GetPhase() == consentv1.RelationshipPhase_RELATIONSHIP_PHASE_END
	}
	return false
}

// doors are all by which a rule may let a contact through.
func doors(v suppression.View, q suppression.Question, n suppression.Need, overrides bool) map[string]bool {
	_, stopped := v.Revocation(q, n)
	_, dnc := v.Dnc(q, n, overrides)
	_, partyDnc := v.PartyDnc(q, n, overrides)
	class, known := v.Subscriber(q.At)
	blocked := false
	for _, p := range v.RegistryPreferences("in_ncpr", q) {
		blocked = blocked || p.Blocked
	}
	open := map[string]bool{
		"not revoked":  !stopped,
		"consent":      v.Consent(q, n).Held && !stopped && !dnc,
		"no party dnc": !partyDnc, "unlisted": !dnc, "unblocked": !blocked,
		"corporate": known && class == "corporate",
		"times":     len(v.TimeConsents(q)) > 0,
	}
	for _, r := range v.Relationships(q.At) {
		open[fmt.Sprintf("%s %v %v", r.Kind, r.OfferRelated == nil, r.OfferRelated != nil && *r.OfferRelated)] = true
	}
	maps.DeleteFunc(open, func(_ string, is bool) bool { return !is })
	return open
}

// TestStoppingIsAlwaysEasier: one more fact that forbids never opens a door.
func TestStoppingIsAlwaysEasier(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		facts := anyFacts(t)
		q, n := anyQuestion(t)
		overrides := rapid.Bool().Draw(t, "grants override")
		stop := rapid.Custom(anyFact).Filter(onlyForbids).Draw(t, "stop")
		view := func(facts ...suppression.Input) suppression.View {
			v := fold(facts...).View("acme")
			v.Party, v.PartyLoaded = partyStates(v, facts), true
			return v
		}
		v := view(facts...)
		before, after := doors(v, q, n, overrides), doors(view(append(facts, stop)...), q, n, overrides)
		for door := range after {
			if !before[door] {
				t.Fatalf("a stop opened a door: %s", door)
			}
		}
		v.PartyLoaded = false
		if _, blocked := v.PartyDnc(q, n, overrides); len(v.Parties()) > 0 && !blocked {
			t.Fatal("a party that was not loaded lets through")
		}
	})
}

// partyStates folds what the facts say of each party of a view.
func partyStates(v suppression.View, facts inputs) (out []suppression.View) {
	for _, key := range v.Parties() {
		states := suppression.States{}
		for _, in := range facts {
			if string(in.Fact.GetPartyKey()) == string(key) {
				for _, seller := range suppression.Sellers(in.Fact) {
					states[seller] = suppression.Join(states[seller], suppression.PartyState(in))
				}
			}
		}
		out = append(out, states.View("acme"))
	}
	return out
}

// TestErasureIsABarrier: what was folded before an erasure leaves no trace, the
// tie to a party included.
func TestErasureIsABarrier(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before, after := anyFacts(t), anyFacts(t)
		barrier := on(3, erased(), forNobody)
		with := fold(append(append(before, barrier), after...)...)
		without := fold(append(inputs{barrier}, after...)...)
		if diff := cmp.Diff(encodedIn(t, without), encodedIn(t, with)); diff != "" {
			t.Fatalf("an erasure left something:\n%s", diff)
		}
	})
}
