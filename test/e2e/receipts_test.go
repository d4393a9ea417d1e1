package e2e

import (
	"fmt"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger/proof"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
	"github.com/consent-ledger/consent-ledger/test/testenv"
)

// TestDecisionReceipts: every call that decides gives receipts if asked, and only
// then. Each says what was answered, about the number that was asked about, and
// verifies with the published key alone; a restart takes nothing back.
func TestDecisionReceipts(t *testing.T) {
	e := testenv.New(t)
	campaign(e)
	const ann = "+12025550143"
	listed, err := e.Ledger.ListPublicKeys(t.Context(), connect.NewRequest(&consentv1.ListPublicKeysRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	var lines strings.Builder
	for _, k := range listed.Msg.GetKeys() {
		lines.WriteString(k.GetVerifier() + "\n")
	}
	keys, err := proof.ParseKeys([]byte(lines.String()))
	if err != nil {
		t.Fatal(err)
	}
	key, err := keys.Receipts()
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	check := func(file []byte, d *consentv1.Decision, asked string) {
		t.Helper()
		r, err := proof.DecodeDecision(file)
		if err != nil {
			t.Fatal(err)
		}
		a, err := r.Check(key)
		if err != nil {
			t.Fatal(err)
		}
		// What is not signed follows from the packs, or is nobody's business.
		want := proto.CloneOf(d)
		want.Number, want.Zones, want.Caps, want.Deadlines, want.Unassigned = "", nil, nil, nil, false
		for _, r := range want.GetReasons() {
			r.Text, r.Citation, r.Fix = "", "", ""
		}
		if !proto.Equal(want, a.Decision) {
			t.Errorf("answered was %v, signed is %v", want, a.Decision)
		}
		if q := a.Question; q.GetCampaign() != "spring" || q.GetSeller() != "acme" || q.GetChannel() != consentv1.Channel_CHANNEL_SMS ||
			q.GetPurpose() != consentv1.Purpose_PURPOSE_MARKETING || q.GetSubject() != "roofs" {
			t.Errorf("signed is the question %v", q)
		}
		if !a.Asked(asked) || a.Asked("+12025550199") || ids[a.ID.String()] || strings.Contains(string(file), asked) {
			t.Errorf("a receipt that is not about its number, of an id given twice, or with the number in clear:\n%s", file)
		}
		ids[a.ID.String()] = true
	}
	one, err := e.Decision.Check(t.Context(), connect.NewRequest(&consentv1.CheckRequest{
		Question: &consentv1.Question{Number: "(202) 555-0143", Campaign: "spring"}, Receipt: true}))
	if err != nil {
		t.Fatal(err)
	}
	check(one.Msg.GetReceipt(), one.Msg.GetDecision(), ann)
	req := &consentv1.CheckBatchRequest{Receipt: true}
	for i := range 1500 {
		req.Questions = append(req.Questions, &consentv1.Question{Number: fmt.Sprintf("+120255501%02d", i%90), Campaign: "spring"})
	}
	req.Questions[700] = &consentv1.Question{Number: "letters", Campaign: "spring"}
	many, err := e.Decision.CheckBatch(t.Context(), connect.NewRequest(req))
	if err != nil {
		t.Fatal(err)
	}
	if len(many.Msg.GetReceipts()) != len(req.Questions) {
		t.Fatalf("%d receipts of %d answers", len(many.Msg.GetReceipts()), len(req.Questions))
	}
	for i, file := range many.Msg.GetReceipts() {
		check(file, many.Msg.GetDecisions()[i], req.Questions[i].GetNumber())
	}
	reserved, err := e.Attempt.Reserve(t.Context(), connect.NewRequest(&consentv1.ReserveRequest{
		Question: &consentv1.Question{Number: ann, Campaign: "spring"}, Reference: "call-1", Receipt: true}))
	if err != nil {
		t.Fatal(err)
	}
	check(reserved.Msg.GetReceipt(), reserved.Msg.GetDecision(), ann)
	before := attempted(t, e)
	if e.Restart(); attempted(t, e) != before || before < 3 {
		t.Errorf("%d messages of attempts after a restart, %d before", attempted(t, e), before)
	}
	plain, err := e.Decision.CheckBatch(t.Context(), connect.NewRequest(&consentv1.CheckBatchRequest{Questions: req.Questions[:3]}))
	if err != nil {
		t.Fatal(err)
	}
	if len(plain.Msg.GetReceipts()) != 0 || attempted(t, e) != before {
		t.Error("receipts, or decisions kept, that nobody asked for")
	}
}
