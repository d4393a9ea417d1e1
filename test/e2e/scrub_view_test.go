package e2e

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
	"github.com/consent-ledger/consent-ledger/proto/gen/consent/v1/consentv1connect"
	"github.com/consent-ledger/consent-ledger/test/testenv"
)

// scrubStop scrubs ann, records her stop, scrubs her again in the same stream, and
// gives both answers.
func scrubStop(t *testing.T, e *testenv.Env, client consentv1connect.DecisionServiceClient) (before, after *consentv1.ScrubRow) {
	t.Helper()
	e.Seller("acme")
	e.Must(grant("g1", time.Now().Add(-time.Hour)))
	st := client.Scrub(t.Context())
	ask := func(q *consentv1.Question) *consentv1.ScrubRow {
		t.Helper()
		if err := st.Send(&consentv1.ScrubRequest{Question: q, Numbers: []string{number}}); err != nil {
			t.Fatal(err)
		}
		res, err := st.Receive()
		if err != nil {
			t.Fatal(err)
		}
		return res.GetRows()[0]
	}
	before = ask(question())
	e.Must(&consentv1.Fact{Number: number, Source: "crm", EventId: "s1", Sellers: []string{"acme"},
		Kind: &consentv1.Fact_ConsentRevoked{ConsentRevoked: &consentv1.ConsentRevoked{}}})
	after = ask(nil)
	if err := st.CloseRequest(); err != nil {
		t.Fatal(err)
	}
	return before, after
}

// TestScrubStandsStill: all rows of a scrub are of one position, which each names.
func TestScrubStandsStill(t *testing.T) {
	e := testenv.New(t)
	before, after := scrubStop(t, e, e.Decision)
	if before.GetVerdict() != consentv1.Verdict_VERDICT_ALLOW || after.GetVerdict() != consentv1.Verdict_VERDICT_ALLOW ||
		after.GetPosition() != before.GetPosition() {
		t.Errorf("before the stop %v, after it %v", before, after)
	}
}

// TestScrubMovesOn: when its view is too old a scrub goes on at a later position,
// which counts what was recorded meanwhile.
func TestScrubMovesOn(t *testing.T) {
	e := testenv.New(t)
	d := e.Node.Decider()
	d.ScrubView = time.Nanosecond
	_, h := consentv1connect.NewDecisionServiceHandler(d.Service())
	srv := httptest.NewUnstartedServer(h)
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Start()
	defer srv.Close()
	before, after := scrubStop(t, e, consentv1connect.NewDecisionServiceClient(&http.Client{Transport: &http.Transport{Protocols: srv.Config.Protocols}}, srv.URL))
	if before.GetVerdict() != consentv1.Verdict_VERDICT_ALLOW || after.GetVerdict() != consentv1.Verdict_VERDICT_BLOCK ||
		after.GetPosition() <= before.GetPosition() {
		t.Errorf("before the stop %v, after it %v", before, after)
	}
}

// TestScrubRefuses says what is wrong with a stream.
func TestScrubRefuses(t *testing.T) {
	e := testenv.New(t)
	e.Seller("acme")
	many := make([]string, 10_001)
	for _, c := range []struct {
		name, want string
		code       connect.Code
		send       []*consentv1.ScrubRequest
	}{
		{"no question", "is missing in the first message", connect.CodeInvalidArgument, []*consentv1.ScrubRequest{{Numbers: []string{number}}}},
		{"an unknown campaign", "not registered", connect.CodeInvalidArgument,
			[]*consentv1.ScrubRequest{{Question: &consentv1.Question{Campaign: "x"}, Numbers: []string{number}}}},
		{"an unknown sector", "no word that a rule pack knows", connect.CodeInvalidArgument, []*consentv1.ScrubRequest{{Question: &consentv1.Question{Seller: "acme",
			Channel: consentv1.Channel_CHANNEL_SMS, Purpose: consentv1.Purpose_PURPOSE_MARKETING, Sector: "x"}, Numbers: []string{"nobody"}}}},
		{"too many numbers", "10001 in one message", connect.CodeInvalidArgument, []*consentv1.ScrubRequest{{Question: question()}, {Numbers: many}}},
	} {
		st := e.Decision.Scrub(t.Context())
		for _, r := range c.send {
			_ = st.Send(r) // a refusal comes with the answer
		}
		_ = st.CloseRequest()
		var err error
		for err == nil {
			_, err = st.Receive()
		}
		if connect.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "555") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestServerEndsUnderAScrub: a server that is stopped does not wait for a client
// that is silent.
func TestServerEndsUnderAScrub(t *testing.T) {
	e := testenv.New(t)
	e.Seller("acme")
	st := e.Decision.Scrub(t.Context())
	if err := st.Send(&consentv1.ScrubRequest{Question: question(), Numbers: []string{number}}); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Receive(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	e.Stop()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the end took %v", took)
	}
	if _, err := st.Receive(); err == nil {
		t.Error("the scrub goes on without a server")
	}
}
