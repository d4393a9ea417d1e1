// Package e2e follows one event through the whole house.
package e2e

import (
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
	"github.com/consent-ledger/consent-ledger/test/testenv"
)

const number = "+12125550143"

func smsMarketing() *consentv1.Scope {
	return &consentv1.Scope{Channels: []consentv1.Channel{consentv1.Channel_CHANNEL_SMS}, Purposes: []consentv1.Purpose{consentv1.Purpose_PURPOSE_MARKETING}}
}

func grant(id string, at time.Time) *consentv1.Fact {
	return &consentv1.Fact{Number: number, Sellers: []string{"acme"}, Source: "crm", EventId: id, OccurredAt: timestamppb.New(at),
		Kind: &consentv1.Fact_ConsentGranted{ConsentGranted: &consentv1.ConsentGranted{Level: "express_written", Scope: smsMarketing(),
			Evidence: &consentv1.Evidence{Method: "web_form", Words: "I agree"}}}}
}

// question is about the next noon in New York, when texts may be sent; all that is
// known now counts.
func question() *consentv1.Question {
	now := time.Now().UTC()
	noon := time.Date(now.Year(), now.Month(), now.Day(), 17, 0, 0, 0, time.UTC)
	if !noon.After(now.Add(time.Minute)) {
		noon = noon.AddDate(0, 0, 1)
	}
	return &consentv1.Question{Number: "(212) 555-0143", Seller: "acme", Channel: consentv1.Channel_CHANNEL_SMS, Purpose: consentv1.Purpose_PURPOSE_MARKETING,
		At: timestamppb.New(noon)}
}

func TestGrantRevokeLateGrant(t *testing.T) {
	e := testenv.New(t)
	e.Seller("acme")
	hour := time.Now().Add(-time.Hour)
	verdict := func(want consentv1.Verdict, code string) {
		t.Helper()
		d := e.Check(question())
		if d.GetVerdict() != want || (code != "" && d.GetReasons()[0].GetCode() != code) {
			t.Fatalf("got %v", d)
		}
	}
	verdict(consentv1.Verdict_VERDICT_BLOCK, "CONSENT_MISSING")
	e.Must(grant("g1", hour))
	verdict(consentv1.Verdict_VERDICT_ALLOW, "")
	e.Must(&consentv1.Fact{Number: number, Source: "sms-gateway", EventId: "s1", Sellers: []string{"acme"},
		Kind: &consentv1.Fact_ConsentRevoked{ConsentRevoked: &consentv1.ConsentRevoked{Words: "STOP"}}})
	verdict(consentv1.Verdict_VERDICT_BLOCK, "CONSENT_REVOKED")
	e.Must(grant("g2", hour.Add(time.Minute)))
	verdict(consentv1.Verdict_VERDICT_BLOCK, "CONSENT_REVOKED")
	e.Restart()
	verdict(consentv1.Verdict_VERDICT_BLOCK, "CONSENT_REVOKED")
	e.Must(grant("g3", time.Now()))
	verdict(consentv1.Verdict_VERDICT_ALLOW, "")
}

func TestFeedFollows(t *testing.T) {
	e := testenv.New(t)
	e.Seller("acme")
	e.Must(grant("g1", time.Now().Add(-time.Hour)))
	st, err := e.Feed.Subscribe(t.Context(), connect.NewRequest(&consentv1.SubscribeRequest{Seller: "acme", Reveal: true}))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	next := func() *consentv1.SubscribeResponse {
		t.Helper()
		for st.Receive() {
			if st.Msg().GetHeartbeat() == nil {
				return st.Msg()
			}
		}
		t.Fatal(st.Err())
		return nil
	}
	if b := next().GetBlocked(); b == nil || b.GetEverybody() || len(b.GetTokens()) > 0 {
		t.Fatalf("whom to block comes first: %v", b)
	}
	if u := next().GetUpdate(); u.GetNumber() != number {
		t.Fatalf("snapshot: %v", u)
	}
	if end := next().GetSnapshotEnd(); end.GetStates() != 1 {
		t.Fatalf("snapshot end: %v", end)
	}
	r := e.Must(&consentv1.Fact{Number: number, Source: "crm", EventId: "s1", Sellers: []string{"acme"},
		Kind: &consentv1.Fact_ConsentRevoked{ConsentRevoked: &consentv1.ConsentRevoked{}}})
	if u := next().GetUpdate(); u.GetPosition() != r.GetPosition() || u.GetCause() != "consent_revoked" || len(u.GetSellerState().GetRevoked()) != 1 {
		t.Fatalf("update: %v", u)
	}
}
