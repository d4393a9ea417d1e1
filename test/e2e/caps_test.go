package e2e

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"connectrpc.com/connect"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
	"github.com/consent-ledger/consent-ledger/test/testenv"
)

// TestTheLastPermittedCall lets many dialers ask at once for calls of which French
// law permits four in thirty days (D223-9): just four hear ALLOW, a retry of one
// of these hears it again, and what one gives up another may have. Consent lifts
// the hours there and not the cap, so the answer does not hang on the time of day.
func TestTheLastPermittedCall(t *testing.T) {
	e := testenv.New(t)
	const number, dialers, permitted = "+33639980001", 12, 4
	e.Must(&consentv1.Fact{Source: "t", EventId: "seller", Kind: &consentv1.Fact_SellerRegistered{SellerRegistered: &consentv1.SellerRegistered{Id: "acme"}}})
	e.Must(&consentv1.Fact{Source: "t", EventId: "campaign", Kind: &consentv1.Fact_CampaignRegistered{CampaignRegistered: &consentv1.CampaignRegistered{
		Id: "calls", Seller: "acme", Channel: consentv1.Channel_CHANNEL_VOICE_LIVE, Purpose: consentv1.Purpose_PURPOSE_MARKETING}}})
	e.Must(&consentv1.Fact{Source: "t", EventId: "grant", Number: number, Sellers: []string{"acme"}, OccurredOn: "2026-09-01",
		Kind: &consentv1.Fact_ConsentGranted{ConsentGranted: &consentv1.ConsentGranted{Level: "opt_in",
			Evidence: &consentv1.Evidence{Method: "web_form", Words: "oui"},
			Scope: &consentv1.Scope{Programmes: []string{"all"},
				Channels: []consentv1.Channel{consentv1.Channel_CHANNEL_VOICE_LIVE},
				Purposes: []consentv1.Purpose{consentv1.Purpose_PURPOSE_MARKETING}}}}})
	reserve := func(ref string) *consentv1.ReserveResponse {
		res, err := e.Attempt.Reserve(t.Context(), connect.NewRequest(&consentv1.ReserveRequest{Reference: ref,
			Question: &consentv1.Question{Number: number, Campaign: "calls"}}))
		if err != nil {
			t.Errorf("%s: %v", ref, err)
			return nil
		}
		return res.Msg
	}
	allowed := func(r *consentv1.ReserveResponse) bool {
		return r.GetDecision().GetVerdict() == consentv1.Verdict_VERDICT_ALLOW
	}
	answers := make([]*consentv1.ReserveResponse, dialers)
	var asking sync.WaitGroup
	for i := range dialers {
		asking.Go(func() { answers[i] = reserve(fmt.Sprint("call-", i)) })
	}
	asking.Wait()
	var won []int
	for i, r := range answers {
		if allowed(r) {
			if won = append(won, i); !r.GetReserved() || len(r.GetDecision().GetCaps()) == 0 {
				t.Errorf("call-%d is allowed and not reserved: %v", i, r)
			}
			continue
		}
		if !slices.ContainsFunc(r.GetDecision().GetReasons(), func(x *consentv1.Reason) bool { return x.GetCode() == "FREQUENCY_CAP" }) {
			t.Errorf("call-%d is blocked for %v", i, r.GetDecision().GetReasons())
		}
	}
	if len(won) != permitted {
		t.Fatalf("%d calls are allowed, %d are permitted", len(won), permitted)
	}
	e.Restart() // what was reserved is on disk
	again := fmt.Sprint("call-", won[0])
	if r := reserve(again); !allowed(r) || !r.GetReserved() {
		t.Errorf("the retry of a reserved call: %v", r)
	}
	if r := reserve("late"); allowed(r) {
		t.Errorf("one call too many: %v", r)
	}
	if _, err := e.Attempt.Cancel(t.Context(), connect.NewRequest(&consentv1.CancelRequest{Reference: again, Campaign: "calls"})); err != nil {
		t.Fatal(err)
	}
	if r := reserve("late"); !allowed(r) {
		t.Errorf("a call that was given up still counts: %v", r.GetDecision())
	}
	if r := reserve("later"); allowed(r) {
		t.Errorf("one call too many after a cancellation: %v", r)
	}
}
