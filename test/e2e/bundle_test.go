package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/bundle"
	"github.com/consent-ledger/consent-ledger/ledger/bundle/bundletest"
	"github.com/consent-ledger/consent-ledger/ledger/proof"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
	"github.com/consent-ledger/consent-ledger/test/testenv"
)

// exportZip gives a bundle and the end of its export.
func exportZip(t *testing.T, e *testenv.Env, req *consentv1.ExportRequest) ([]byte, *consentv1.ExportEnd) {
	t.Helper()
	req.Format = "zip"
	st, err := e.Export.Export(t.Context(), connect.NewRequest(req))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	var zip bytes.Buffer
	for st.Receive() {
		if end := st.Msg().GetEnd(); end != nil {
			return zip.Bytes(), end
		}
		zip.Write(st.Msg().GetZip())
	}
	t.Fatalf("no end: %v", st.Err())
	return nil, nil
}

// keysOf is the file of a ledger's public keys.
func keysOf(t *testing.T, e *testenv.Env) []byte {
	t.Helper()
	res, err := e.Ledger.ListPublicKeys(t.Context(), connect.NewRequest(&consentv1.ListPublicKeysRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for _, k := range res.Msg.GetKeys() {
		fmt.Fprintln(&b, k.GetVerifier())
	}
	return b.Bytes()
}

// verified lets both verifiers check a bundle, and gives its claims in one text.
func verified(t *testing.T, keys, zip []byte) string {
	t.Helper()
	parsed, err := proof.ParseKeys(keys)
	if err != nil {
		t.Fatal(err)
	}
	v, err := bundle.Verify(bytes.NewReader(zip), int64(len(zip)), bundle.Trust{Keys: parsed})
	if err != nil {
		t.Fatal(err)
	}
	began := ofChildren(t)
	python := bundletest.Verify(t, bundle.Script(), keys, zip)[0]
	if took := ofChildren(t) - began; took > 2*time.Second {
		t.Errorf("verify.py took %s, more than 2 s", took)
	}
	var ours, theirs strings.Builder
	fmt.Fprintln(&ours, v.About())
	fmt.Fprintln(&theirs, python.About)
	var left strings.Builder // what the script leaves to others
	for _, c := range v.Claims {
		if bundletest.Leaves(c.Claim) {
			fmt.Fprintln(&left, c)
			continue
		}
		fmt.Fprintln(&ours, c)
	}
	for _, c := range python.Claims {
		if !bundletest.Leaves(c.Claim) {
			fmt.Fprintln(&theirs, bundle.Claim(c))
		} else if c.Proven {
			t.Errorf("verify.py cannot know: %v", c)
		}
	}
	if ours.String() != theirs.String() {
		t.Errorf("Go says\n%sPython says\n%s%s", ours.String(), theirs.String(), python.Refused)
	}
	return ours.String() + left.String()
}

// TestBundle: twenty events of a number, through a change of holder and an erasure.
// Bundles handed out before stay what they were.
func TestBundle(t *testing.T) {
	e := testenv.New(t)
	e.Seller("acme")
	e.Must(&consentv1.Fact{Source: "test", EventId: "fr", Kind: &consentv1.Fact_CampaignRegistered{CampaignRegistered: &consentv1.CampaignRegistered{
		Id: "spring", Seller: "acme", Channel: consentv1.Channel_CHANNEL_SMS, Purpose: consentv1.Purpose_PURPOSE_MARKETING}}})
	hour := time.Now().Add(-time.Hour)
	for i := range 9 {
		e.Must(grant(fmt.Sprint("g", i), hour.Add(time.Duration(i)*time.Minute)))
		e.Must(&consentv1.Fact{Number: number, Source: "sms", EventId: fmt.Sprint("s", i), Sellers: []string{"acme"},
			Kind: &consentv1.Fact_ConsentRevoked{ConsentRevoked: &consentv1.ConsentRevoked{Words: "STOP"}}})
	}
	e.Must(&consentv1.Fact{Number: number, Source: "carrier", EventId: "r", Kind: &consentv1.Fact_NumberReassigned{NumberReassigned: &consentv1.NumberReassigned{
		Result: consentv1.QueryResult_QUERY_RESULT_YES}}})
	e.Must(grant("successor", time.Now()))

	keys := keysOf(t, e)
	req := &consentv1.ExportRequest{Number: number, Purpose: "court_order", Recipient: "Court of " + number, CaseId: "EB-26-117",
		Disclosure: &consentv1.Disclosure{Classes: []consentv1.PersonalClass{consentv1.PersonalClass_PERSONAL_CLASS_WORDS,
			consentv1.PersonalClass_PERSONAL_CLASS_NUMBER}}}
	zip, end := exportZip(t, e, req)
	if end.GetEntries() != 20 || len(zip) > 400_000 {
		t.Errorf("%d entries in %d bytes", end.GetEntries(), len(zip))
	}
	claims := verified(t, keys, zip)
	for _, want := range []string{
		"{back-linked true the entries of 2 holders of 1 number link",
		"{complete true nothing about 1 number was left out",
		"{about true each of the 20 entries",
		"{tables true each of the 20 rows",
		"{anchored false operator only",
		"{included true 20 entries",
	} {
		if !strings.Contains(claims, want) {
			t.Errorf("no claim %q in\n%s", want, claims)
		}
	}
	produced(t, e, end, req)

	if _, err := e.Ledger.Erase(t.Context(), connect.NewRequest(&consentv1.EraseRequest{Number: number, Reason: "erasure_request"})); err != nil {
		t.Fatal(err)
	}
	if again := verified(t, keys, zip); again != claims {
		t.Errorf("after an erasure an earlier bundle says\n%sand not\n%s", again, claims)
	}
	if end.GetPartsWithheld() != 0 || end.GetPartsErased() != 0 { // words and numbers are all there is
		t.Errorf("before the erasure %d parts are withheld, %d erased", end.GetPartsWithheld(), end.GetPartsErased())
	}
	after, end := exportZip(t, e, &consentv1.ExportRequest{Number: number})
	if end.GetPartsErased() == 0 || end.GetPartsWithheld() != 0 {
		t.Errorf("after the erasure %d parts are withheld, %d erased", end.GetPartsWithheld(), end.GetPartsErased())
	}
	if claims := verified(t, keys, after); end.GetEntries() != 21 || !strings.Contains(claims, "1 erasure is among them") ||
		!strings.Contains(claims, "{complete true") {
		t.Errorf("%d entries:\n%s", end.GetEntries(), claims)
	}
	if bytes.Contains(after, []byte("STOP")) {
		t.Error("what was erased is in a bundle")
	}
	e.Restart()
	if !bytes.Equal(keysOf(t, e), keys) {
		t.Error("a restart changed the keys")
	}
}

// produced checks what the ledger remembers of an export.
func produced(t *testing.T, e *testenv.Env, end *consentv1.ExportEnd, req *consentv1.ExportRequest) {
	t.Helper()
	entry, err := e.Node.Reader().Entry(t.Context(), ledger.Position(end.GetReceipt().GetPosition()))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(entry.Bytes, []byte(number[2:])) {
		t.Error("the number is in clear in the entry of an export")
	}
	f, _, err := e.Node.Reader().Open(t.Context(), entry)
	if err != nil {
		t.Fatal(err)
	}
	m := f.GetExportProduced()
	if m.GetSubject() != "number" || m.GetFormat() != "zip" || m.GetPurpose() != req.GetPurpose() || m.GetRecipient() != req.GetRecipient() ||
		m.GetCaseId() != req.GetCaseId() ||
		len(m.GetDisclosed()) != 2 || fmt.Sprintf("%x", m.GetSha256()) != end.GetSha256() || m.GetEntries() != end.GetEntries() {
		t.Errorf("recorded: %v", m)
	}
}

// TestBundleOfDecisions: what was answered to dialers is shown with its reasons, and
// the packs that the answers rest on.
func TestBundleOfDecisions(t *testing.T) {
	e := testenv.New(t)
	e.Stop()
	e.RecordDecisions = true
	e.Start()
	e.Seller("acme")
	e.Must(grant("g", time.Now().Add(-time.Hour)))
	e.Check(question())
	other := proto.CloneOf(question())
	other.Number = "+12125550144"
	e.Check(other)
	zip, _ := exportZip(t, e, &consentv1.ExportRequest{Number: number, Decisions: true})
	claims := verified(t, keysOf(t, e), zip)
	if strings.Contains(claims, "no rule pack is here") {
		t.Errorf("no rule packs:\n%s", claims)
	}
	if n := bytes.Count(zip, []byte(`"kind":"recorded"`)); n != 1 {
		t.Errorf("%d recorded decisions, want the one about this number", n)
	}
	if !bytes.Contains(zip, []byte(`"kind":"answer"`)) {
		t.Error("no answer of now")
	}
}

// TestBundleOfManyCampaigns: whatever a number gives reason to ask is answered, however
// many campaigns there are, and none of it counts as a decision about a call.
func TestBundleOfManyCampaigns(t *testing.T) {
	const campaigns = 130
	e := testenv.New(t)
	e.Seller("acme")
	e.Seller("other")
	for i := range campaigns {
		e.Must(&consentv1.Fact{Source: "test", EventId: fmt.Sprint("campaign-", i),
			Kind: &consentv1.Fact_CampaignRegistered{CampaignRegistered: &consentv1.CampaignRegistered{
				Id: fmt.Sprint("c", i), Seller: []string{"acme", "other"}[i%2], Channel: consentv1.Channel_CHANNEL_SMS, Purpose: consentv1.Purpose_PURPOSE_MARKETING}}})
	}
	e.Must(grant("g", time.Now().Add(-time.Hour)))
	e.Must(&consentv1.Fact{Number: number, Source: "sms", EventId: "stop", Sellers: []string{ledger.All},
		Kind: &consentv1.Fact_ConsentRevoked{ConsentRevoked: &consentv1.ConsentRevoked{}}})
	e.Check(question())
	before := decisionsCounted(t, e)
	zip, end := exportZip(t, e, &consentv1.ExportRequest{Number: number})
	n := bytes.Count(zip, []byte(`"kind":"answer"`))
	if n != campaigns || end.GetEntries() != 2 || end.GetCompleteThrough() == 0 || end.GetCompleteThrough() > end.GetThroughPosition() {
		t.Errorf("%d answers for %d campaigns, %v", n, campaigns, end)
	}
	if after := decisionsCounted(t, e); after != before || !strings.Contains(before, "consent_decisions_total") {
		t.Errorf("before the export\n%safter it\n%s", before, after)
	}
}

// decisionsCounted are the metrics of decisions.
func decisionsCounted(t *testing.T, e *testenv.Env) string {
	t.Helper()
	res, err := http.Get(e.Node.URL() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "consent_decision") {
			out.WriteString(line)
		}
	}
	return out.String()
}

// TestExportRefuses: what makes no sense is refused before anything goes out.
func TestExportRefuses(t *testing.T) {
	e := testenv.New(t)
	e.Seller("acme")
	for name, req := range map[string]*consentv1.ExportRequest{
		"nobody":            {},
		"number and seller": {Number: number, Seller: "acme"},
		"unknown seller":    {Seller: "nobody"},
		"a number's period": {Number: number, From: question().GetAt()},
		"no number":         {Numbers: []string{"212-555-WINE"}},
		"two lines":         {Number: number, Purpose: "a\nb"},
		"a long recipient":  {Number: number, Recipient: strings.Repeat("x", 300)},
		"an unknown class":  {Number: number, Disclosure: &consentv1.Disclosure{Classes: []consentv1.PersonalClass{99}}},
	} {
		req.Format = "zip"
		st, err := e.Export.Export(t.Context(), connect.NewRequest(req))
		if err != nil {
			t.Fatal(err)
		}
		if st.Receive() || connect.CodeOf(st.Err()) != connect.CodeInvalidArgument {
			t.Errorf("%s: %v", name, st.Err())
		}
		if strings.Contains(fmt.Sprint(st.Err()), "5550143") {
			t.Errorf("%s: the number is in the error", name)
		}
		_ = st.Close()
	}
}

// ofChildren is the processor time of all programs that were run and have ended: what
// else the machine does meanwhile is not in it.
func ofChildren(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
