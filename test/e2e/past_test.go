package e2e

import (
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
	"github.com/consent-ledger/consent-ledger/test/testenv"
)

func TestPastQuestions(t *testing.T) {
	e := testenv.New(t)
	e.Seller("acme")
	granted := e.Must(grant("g1", time.Now().Add(-time.Hour)))
	paused := e.Must(&consentv1.Fact{Source: "test", EventId: "p", Sellers: []string{"acme"},
		Kind: &consentv1.Fact_ContactPaused{ContactPaused: &consentv1.ContactPaused{Reason: "storm"}}})
	e.Must(&consentv1.Fact{Source: "test", EventId: "r", Sellers: []string{"acme"},
		Kind: &consentv1.Fact_ContactResumed{ContactResumed: &consentv1.ContactResumed{Reason: "over"}}})
	if d := e.Check(question()); d.GetVerdict() != consentv1.Verdict_VERDICT_ALLOW {
		t.Fatalf("after the pause: %v", d)
	}
	q := question()
	q.At, q.AsOf = paused.GetRecordedAt(), paused.GetRecordedAt()
	if d := e.Check(q); d.GetVerdict() != consentv1.Verdict_VERDICT_BLOCK {
		t.Errorf("while it was paused: %v", d)
	}
	q.At, q.AsOf = question().At, granted.GetRecordedAt()
	if d := e.Check(q); d.GetVerdict() != consentv1.Verdict_VERDICT_ALLOW {
		t.Errorf("before the pause was known: %v", d)
	}
	for name, at := range map[string]time.Time{
		"year 1":    {},
		"year 2300": time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC),
		"year 9999": time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		for _, change := range []func(*consentv1.Question){
			func(q *consentv1.Question) { q.At = timestamppb.New(at) },
			func(q *consentv1.Question) { q.AsOf = timestamppb.New(at) },
		} {
			q := question()
			change(q)
			if _, err := e.Decision.Check(t.Context(), connect.NewRequest(&consentv1.CheckRequest{Question: q})); connect.CodeOf(err) != connect.CodeInvalidArgument {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestUnregisteredProgrammeIsNoWayRound(t *testing.T) {
	e := testenv.New(t)
	e.Seller("acme")
	e.Must(grant("g1", time.Now().Add(-time.Hour)))
	q := question()
	q.Programme = "newss"
	_, err := e.Decision.Check(t.Context(), connect.NewRequest(&consentv1.CheckRequest{Question: q}))
	if connect.CodeOf(err) != connect.CodeInvalidArgument || !strings.Contains(err.Error(), "programme") {
		t.Errorf("got %v", err)
	}
}

func TestCampaignKeepsItsMeaning(t *testing.T) {
	e := testenv.New(t)
	e.Seller("acme")
	campaign := func(id string, p consentv1.Purpose) *consentv1.RecordRequest {
		return &consentv1.RecordRequest{Fact: &consentv1.Fact{Source: "test", EventId: id, Kind: &consentv1.Fact_CampaignRegistered{
			CampaignRegistered: &consentv1.CampaignRegistered{Id: "spring", Seller: "acme", Channel: consentv1.Channel_CHANNEL_SMS, Purpose: p}}}}
	}
	e.Must(campaign("c1", consentv1.Purpose_PURPOSE_MARKETING).GetFact())
	e.Must(campaign("c2", consentv1.Purpose_PURPOSE_MARKETING).GetFact())
	_, err := e.Ledger.Record(t.Context(), connect.NewRequest(campaign("c3", consentv1.Purpose_PURPOSE_EMERGENCY)))
	if connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("a campaign with another meaning: %v", err)
	}
}
