package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"connectrpc.com/connect"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
	"github.com/consent-ledger/consent-ledger/test/testenv"
)

func campaign(e *testenv.Env) {
	e.Seller("acme")
	e.Must(&consentv1.Fact{Source: "test", EventId: "campaign", Kind: &consentv1.Fact_CampaignRegistered{CampaignRegistered: &consentv1.CampaignRegistered{
		Id: "spring", Seller: "acme", Channel: consentv1.Channel_CHANNEL_SMS, Purpose: consentv1.Purpose_PURPOSE_MARKETING, Subject: "roofs"}}})
}

// attempted is how many messages of attempts the projection holds.
func attempted(t *testing.T, e *testenv.Env) uint64 {
	t.Helper()
	res, err := e.Ledger.Doctor(t.Context(), connect.NewRequest(&consentv1.DoctorRequest{StateHash: true}))
	if err != nil {
		t.Fatal(err)
	}
	return res.Msg.GetApplied()["attempts"]
}

// TestStreamAttempts: a dialer streams attempts, bad ones among them; they survive
// a restart, a rebuild ends in the same state, and a second run adds nothing.
func TestStreamAttempts(t *testing.T) {
	e := testenv.New(t)
	campaign(e)
	const batches, each = 4, 500
	var first map[string]string
	for run := range 2 {
		st := e.Attempt.StreamAttempts(t.Context())
		for b := range batches {
			req := &consentv1.StreamAttemptsRequest{}
			for i := range each {
				req.Attempts = append(req.Attempts, &consentv1.Attempt{Number: fmt.Sprintf("+120255501%02d", i%100), Campaign: "spring",
					Reference: fmt.Sprint(b, "-", i), Outcome: consentv1.AttemptOutcome_ATTEMPT_OUTCOME_BUSY})
			}
			req.Attempts[7].Reference = ""
			if err := st.Send(req); err != nil {
				t.Fatal(err)
			}
			res, err := st.Receive()
			if err != nil {
				t.Fatal(err)
			}
			for i, r := range res.GetResults() {
				if refused := r.GetRefusal() != nil; refused != (i == 7) || !refused && r.GetReceipt().GetDuplicate() != (run == 1) {
					t.Fatalf("run %d, attempt %d: %v", run, i, r)
				}
			}
		}
		if err := st.CloseRequest(); err != nil {
			t.Fatal(err)
		}
		if _, err := st.Receive(); !errors.Is(err, io.EOF) {
			t.Errorf("the stream ended with %v", err)
		}
		if run == 0 {
			first = hashes(t, e)
			e.Restart()
		}
	}
	rebuild, err := e.Ledger.Rebuild(t.Context(), connect.NewRequest(&consentv1.RebuildRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	for rebuild.Receive() {
	}
	if err := rebuild.Err(); err != nil {
		t.Fatal(err)
	}
	if got := hashes(t, e)["attempts"]; got == "" || got != first["attempts"] {
		t.Errorf("after a restart, the same again and a rebuild: %s, was %s", got, first["attempts"])
	}
}

func hashes(t *testing.T, e *testenv.Env) map[string]string {
	t.Helper()
	all, err := e.Node.StateHash(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for name, h := range all {
		out[name] = h.String()
	}
	return out
}

// TestRecordDecisions: with the flag every decision of a check is in the stream
// before its answer; without it none is.
func TestRecordDecisions(t *testing.T) {
	e := testenv.New(t)
	campaign(e)
	q := &consentv1.Question{Number: "+12025550143", Campaign: "spring"}
	ask := func() {
		t.Helper()
		e.Check(q)
		many := &consentv1.CheckBatchRequest{Questions: []*consentv1.Question{q, q, {Number: "letters", Campaign: "spring"}}}
		if _, err := e.Decision.CheckBatch(t.Context(), connect.NewRequest(many)); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Attempt.Reserve(t.Context(), connect.NewRequest(&consentv1.ReserveRequest{Question: q, Reference: "c0"})); err != nil {
			t.Fatal(err)
		}
	}
	if ask(); attempted(t, e) != 0 {
		t.Errorf("%d messages without the flag", attempted(t, e))
	}
	e.Stop()
	e.RecordDecisions = true
	e.Start()
	if ask(); attempted(t, e) != 3 {
		t.Errorf("%d messages with the flag, want one a call", attempted(t, e))
	}
}
