package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
	"github.com/consent-ledger/consent-ledger/proto/gen/consent/v1/consentv1connect"
)

// scripted stands for a server, so that arguments, exit codes and output can be
// tried one by one. What the whole does is told by the stories in test/scripts.
type scripted struct {
	consentv1connect.UnimplementedLedgerServiceHandler
	consentv1connect.UnimplementedDecisionServiceHandler
	consentv1connect.UnimplementedExportServiceHandler
	reserving
	recorded *consentv1.RecordRequest
	err      error
	decision *consentv1.Decision
	doctor   *consentv1.DoctorResponse
	exported []*consentv1.ExportResponse
	onScrub  func(*consentv1.ScrubRequest)
}

func (s *scripted) Record(_ context.Context, r *connect.Request[consentv1.RecordRequest]) (*connect.Response[consentv1.RecordResponse], error) {
	s.recorded = r.Msg
	return connect.NewResponse(&consentv1.RecordResponse{Receipt: &consentv1.Receipt{Position: 12, EntryId: "id", LeafHash: "ab",
		RecordedAt: timestamppb.New(testTime), Durability: consentv1.Durability_DURABILITY_FSYNC}}), s.err
}

func (s *scripted) Check(context.Context, *connect.Request[consentv1.CheckRequest]) (*connect.Response[consentv1.CheckResponse], error) {
	return connect.NewResponse(&consentv1.CheckResponse{Decision: s.decision}), s.err
}

func (s *scripted) Doctor(context.Context, *connect.Request[consentv1.DoctorRequest]) (*connect.Response[consentv1.DoctorResponse], error) {
	return connect.NewResponse(s.doctor), s.err
}

func (s *scripted) Export(_ context.Context, _ *connect.Request[consentv1.ExportRequest], st *connect.ServerStream[consentv1.ExportResponse]) error {
	for _, e := range s.exported {
		if err := st.Send(e); err != nil {
			return err
		}
	}
	return s.err
}

// Scrub allows numbers that end in 1, and cannot read those with letters.
func (s *scripted) Scrub(_ context.Context, st *connect.BidiStream[consentv1.ScrubRequest, consentv1.ScrubResponse]) error {
	given := uint32(0)
	for {
		req, err := st.Receive()
		if err != nil {
			return nil // the client is done
		}
		s.onScrub(req)
		if !req.GetShareAnswers() && given == 0 {
			return connect.NewError(connect.CodeUnimplemented, errors.New("this server shares answers"))
		}
		res := &consentv1.ScrubResponse{Renumbered: given == 0}
		lines, _ := strings.CutSuffix(string(req.GetLines()), "\n")
		for n := range strings.SplitSeq(lines, "\n") {
			row := &consentv1.ScrubRow{Verdict: consentv1.Verdict_VERDICT_BLOCK, Reasons: []string{"NO_CONSENT", "COMPANY_DNC"}, Position: 9,
				Lists: []*consentv1.ListUse{{Registry: "us_national_dnc", VersionDate: "2026-02-01", Listed: true}, {Registry: "us_in_dnc"}}, Packs: []string{"us 1", "us-in 2"}}
			switch {
			case n == "":
				row = &consentv1.ScrubRow{Verdict: consentv1.Verdict_VERDICT_BLOCK, Reasons: []string{"NUMBER_INVALID"}, Invalid: true, Position: 9}
			case strings.HasSuffix(n, "1"):
				row = &consentv1.ScrubRow{Verdict: consentv1.Verdict_VERDICT_ALLOW, Basis: "OK_WRITTEN_CONSENT", Position: 9}
			case strings.ContainsAny(n, "abc"):
				row.Invalid = true
			}
			res.Rows, res.Answers = append(res.Rows, row), append(res.Answers, given)
			given++
		}
		if err := st.Send(res); err != nil {
			return err
		}
	}
}

var testTime = time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)

// program runs the program against the scripted server.
func program(t *testing.T, s *scripted, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle(consentv1connect.NewLedgerServiceHandler(s))
	mux.Handle(consentv1connect.NewDecisionServiceHandler(s))
	mux.Handle(consentv1connect.NewExportServiceHandler(s))
	mux.Handle(consentv1connect.NewAttemptServiceHandler(&s.reserving))
	h := httptest.NewUnstartedServer(mux)
	h.Config.Protocols = new(http.Protocols) // those of a ledger
	h.Config.Protocols.SetHTTP1(true)
	h.Config.Protocols.SetUnencryptedHTTP2(true)
	h.Start()
	defer h.Close()
	key := filepath.Join(t.TempDir(), "admin.key")
	if err := os.WriteFile(key, []byte("k3y\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return bare(t, append(args, "--server", h.URL, "--key-file", key)...)
}

// bare runs the program with nothing but its arguments.
func bare(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

func TestUsageErrors(t *testing.T) {
	const number = "+12025550143"
	for _, tc := range []struct {
		args string
		want string // on stderr
	}{
		{"dnc", "needs a verb: add, remove"},
		{"dnc ad", "did you mean: consent dnc add"},
		{"graant", "did you mean: consent grant"},
		{number, `has no verb "…"`},
		{"grant " + number + " --seller acme", "needs --channel"},
		{"grant " + number + " --seller acme --channel sms --purpose marketing --level express --channel smss", "did you mean sms?"},
		{"check " + number, "--campaign C, or --seller S"},
		{"check " + number + " --campaign c --seller s", "one or the other"},
		{"check " + number + " --campaign c --at tomorrow", "is no instant"},
		{"check " + number + " --campaign c -o xml", "takes table, json or jsonl"},
		{"check", "accepts 1 arg"},
		{"record wrong_party", "did you mean"},
		{"record wrong_party_reported nmber=" + number, "did you mean number?"},
		{"record wrong_party_reported " + number, "is no field=value"},
		{"record number_reassigned result=perhaps", "use one of: yes, no, no_data"},
		{"export --seller acme --out history.pdf", ".zip, .jsonl or .csv"},
		{"export --seller acme --out history.zip --disclose names", "number,identity,origin,words,signature"},
		{"export --number " + number + " --from 2026-01-01T00:00:00Z --out history.zip", "whole history"},
		{"verify history.zip", "by --key"},
		{"export --out x.csv", "one of them"},
		{"export --seller acme --out x.csv --from 2026-04-01T00:00:00Z --to 2026-01-01T00:00:00Z", "--from is not before --to"},
		{"erase " + number + " --reason retentoin", "did you mean retention?"},
		{"erase " + number + " --reason because", "use one of: erasure_request, retention, court_order"},
		{"receipt zero", "is no position"},
		{"receipt", "name a position"},
		{"decode --type Entri", "did you mean Entry?"},
		{"stop " + number + " --key-file /does/not/exist", "there is no key file"},
		{"stop " + number + " --colour red", "unknown flag"},
	} {
		t.Run(tc.args, func(t *testing.T) {
			t.Setenv(envKeyFile, writeKey(t))
			code, stdout, stderr := bare(t, strings.Fields(tc.args)...)
			if code != exitUsage || stdout != "" || !strings.Contains(stderr, tc.want) || !strings.HasPrefix(stderr, "consent: ") {
				t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
			}
			if strings.Contains(stderr, "5550143") {
				t.Errorf("the number is in an error: %q", stderr)
			}
		})
	}
}

func writeKey(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "admin.key")
	if err := os.WriteFile(path, []byte("k3y\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNoServer(t *testing.T) {
	code, stdout, stderr := bare(t, "check", "+12025550143", "--campaign", "spring", "--server", "http://127.0.0.1:1", "--key-file", writeKey(t))
	if code != exitUnknown || stdout != "" || !strings.Contains(stderr, "no server answers at http://127.0.0.1:1\nconsent: hint: start one with: consent serve --dir D") {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

func TestExitCodes(t *testing.T) {
	check := []string{"check", "+12025550143", "--campaign", "spring"}
	stop := []string{"stop", "+12025550143"}
	refused := func(code connect.Code, r *consentv1.Refusal) error {
		e := connect.NewError(code, errors.New(r.GetMessage()))
		d, err := connect.NewErrorDetail(r)
		if err != nil {
			t.Fatal(err)
		}
		e.AddDetail(d)
		return e
	}
	allow := &consentv1.Decision{Verdict: consentv1.Verdict_VERDICT_ALLOW}
	for _, tc := range []struct {
		name string
		args []string
		s    scripted
		want int
	}{
		{"allow", check, scripted{decision: allow}, 0},
		{"block", check, scripted{decision: &consentv1.Decision{Verdict: consentv1.Verdict_VERDICT_BLOCK}}, 3},
		{"no verdict at all is a block", check, scripted{}, 3},
		{"not ready", check, scripted{err: connect.NewError(connect.CodeUnavailable, errors.New("x"))}, 4},
		{"beyond the tail", check, scripted{err: connect.NewError(connect.CodeFailedPrecondition, errors.New("x"))}, 4},
		{"damaged", check, scripted{err: connect.NewError(connect.CodeDataLoss, errors.New("x"))}, 4},
		{"refused", check, scripted{err: connect.NewError(connect.CodeInvalidArgument, errors.New("x"))}, 1},
		{"wrong key", check, scripted{err: connect.NewError(connect.CodeUnauthenticated, errors.New("x"))}, 1},
		{"recorded", stop, scripted{}, 0},
		{"conflict", stop, scripted{err: refused(connect.CodeAlreadyExists, &consentv1.Refusal{Code: "EVENT_ID_CONFLICT"})}, 1},
		{"uncertain", stop, scripted{err: refused(connect.CodeUnavailable, &consentv1.Refusal{Code: "UNCERTAIN"})}, 4},
		{"inbox", stop, scripted{err: refused(connect.CodeInvalidArgument, &consentv1.Refusal{Code: "INBOX"})}, 1},
		{"well", []string{"doctor"}, scripted{doctor: &consentv1.DoctorResponse{Integrity: "OK", Problems: []string{"CLOCK"}}}, 0},
		{"broken", []string{"doctor"}, scripted{doctor: &consentv1.DoctorResponse{Integrity: "a hole at 7"}}, 5},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if code, _, stderr := program(t, &tc.s, tc.args...); code != tc.want {
				t.Errorf("exit code %d, want %d; stderr %q", code, tc.want, stderr)
			}
		})
	}
}

// TestFacts: what is typed becomes the fact that is sent.
func TestFacts(t *testing.T) {
	at := timestamppb.New(testTime)
	scope := &consentv1.Scope{Channels: []consentv1.Channel{consentv1.Channel_CHANNEL_SMS}, Purposes: []consentv1.Purpose{consentv1.Purpose_PURPOSE_MARKETING}}
	for _, tc := range []struct {
		name string
		args []string
		want *consentv1.Fact
	}{
		{"grant", []string{"grant", "+12025550143", "--seller", "acme", "--channel", "sms", "--purpose", "marketing", "--level", "express",
			"--occurred-at", "2026-03-01T04:30:00-05:00", "--expires-at", "2027-03-01", "--words", "YES", "--event-id", "e1", "--source", "crm"},
			&consentv1.Fact{Number: "+12025550143", Sellers: []string{"acme"}, Source: "crm", EventId: "e1", OccurredAt: at,
				Kind: &consentv1.Fact_ConsentGranted{ConsentGranted: &consentv1.ConsentGranted{Scope: scope, Level: "express", ExpiresOn: "2027-03-01",
					Evidence: &consentv1.Evidence{Words: "YES"}}}}},
		{"stop", []string{"stop", "+12025550143", "--event-id", "e1"},
			&consentv1.Fact{Number: "+12025550143", Source: "cli", EventId: "e1",
				Kind: &consentv1.Fact_ConsentRevoked{ConsentRevoked: &consentv1.ConsentRevoked{Scope: &consentv1.Scope{}}}}},
		{"an odd channel widens a revocation", []string{"revoke", "+12025550143", "--channel", "sms,pigeon", "--purpose", "marketing", "--event-id", "e1"},
			&consentv1.Fact{Number: "+12025550143", Source: "cli", EventId: "e1", Unread: "channel=pigeon",
				Kind: &consentv1.Fact_ConsentRevoked{ConsentRevoked: &consentv1.ConsentRevoked{Scope: &consentv1.Scope{Purposes: scope.Purposes}}}}},
		{"campaign", []string{"campaign", "add", "spring", "--seller", "acme", "--channel", "sms", "--purpose", "marketing", "--event-id", "e1"},
			&consentv1.Fact{Source: "cli", EventId: "e1", Kind: &consentv1.Fact_CampaignRegistered{CampaignRegistered: &consentv1.CampaignRegistered{
				Id: "spring", Seller: "acme", Channel: consentv1.Channel_CHANNEL_SMS, Purpose: consentv1.Purpose_PURPOSE_MARKETING}}}},
		{"record", []string{"record", "consent_confirmed", "number=+12025550143", "seller=acme", "event_id=e1", "source=crm", "channels=sms", "purpose=marketing",
			"level=express", "occurred_at=2026-03-01T09:30:00Z", "expires_at=2027-03-01", "evidence.method=sms", "pre_ticked=no"},
			&consentv1.Fact{Number: "+12025550143", Sellers: []string{"acme"}, Source: "crm", EventId: "e1", OccurredAt: at,
				Kind: &consentv1.Fact_ConsentConfirmed{ConsentConfirmed: &consentv1.ConsentConfirmed{Scope: scope, Level: "express", ExpiresOn: "2027-03-01",
					Evidence: &consentv1.Evidence{Method: "sms", PreTicked: new(false)}}}}},
		{"a recorded stop widens what it cannot read", []string{"record", "consent_revoked", "number=+12025550143", "event_id=e1", "seller=acme", "channels=sms;pigeon",
			"purpose=marketing", "chanel=sms", "occurred_at=last tuesday", "words=no more"},
			&consentv1.Fact{Number: "+12025550143", Sellers: []string{"acme"}, Source: "cli", EventId: "e1", OccurredOn: "last tuesday", Unread: "channels=sms;pigeon\nchanel=sms",
				Kind: &consentv1.Fact_ConsentRevoked{ConsentRevoked: &consentv1.ConsentRevoked{Scope: &consentv1.Scope{Purposes: scope.Purposes}, Words: "no more"}}}},
		{"a recorded dnc entry too", []string{"record", "dnc_added", "number=+12025550143", "event_id=e1", "seller=acme", "seller=other", "channel=pigeon", "channel=sms"},
			&consentv1.Fact{Number: "+12025550143", Source: "cli", EventId: "e1", Unread: "seller=other\nchannel=pigeon",
				Kind: &consentv1.Fact_DncAdded{DncAdded: &consentv1.DncAdded{Scope: &consentv1.Scope{}}}}},
		{"a recorded message too", []string{"record", "inbound_message", "number=+12025550143", "event_id=e1", "channel=pigeon", "body=STOP", "please stop"},
			&consentv1.Fact{Number: "+12025550143", Source: "cli", EventId: "e1", Unread: "channel=pigeon\nplease stop",
				Kind: &consentv1.Fact_InboundMessage{InboundMessage: &consentv1.InboundMessage{Body: "STOP"}}}},
		{"record with JSON", []string{"record", "preference_set", "number=+12025550143", "event_id=e1", `windows=[{"weekdays":[1],"fromMinute":540}]`, "frequency_max=3"},
			&consentv1.Fact{Number: "+12025550143", Source: "cli", EventId: "e1", Kind: &consentv1.Fact_PreferenceSet{PreferenceSet: &consentv1.PreferenceSet{
				Windows: []*consentv1.TimeWindow{{Weekdays: []uint32{1}, FromMinute: 540}}, FrequencyMax: 3}}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &scripted{}
			code, stdout, stderr := program(t, s, append(tc.args, "-o", "json")...)
			if code != 0 {
				t.Fatalf("exit code %d: %s", code, stderr)
			}
			if diff := cmp.Diff(tc.want, s.recorded.GetFact(), protocmp.Transform()); diff != "" {
				t.Error(diff)
			}
			var receipt map[string]any
			if err := json.Unmarshal([]byte(stdout), &receipt); err != nil {
				t.Fatal(err)
			}
			for name, want := range map[string]any{"position": 12.0, "entryId": "id", "leafHash": "ab", "recordedAt": "2026-03-01T09:30:00Z", "duplicate": false, "durability": "fsync"} {
				if receipt[name] != want {
					t.Errorf("%s = %v, want %v", name, receipt[name], want)
				}
			}
		})
	}
}

func TestDecisionOutput(t *testing.T) {
	s := &scripted{decision: &consentv1.Decision{Verdict: consentv1.Verdict_VERDICT_BLOCK, Position: 7, Number: "+1202•••0143",
		Reasons: []*consentv1.Reason{{Code: "CONSENT_REVOKED", Text: "The person <said> stop.", Citation: "47 CFR 64.1200(a)(10)"}}}}
	_, table, _ := program(t, s, "check", "+12025550143", "--campaign", "spring")
	if first, _, _ := strings.Cut(table, "\n"); first != "BLOCK  CONSENT_REVOKED  +1202•••0143" {
		t.Errorf("first line %q", first)
	}
	_, line, _ := program(t, s, "check", "+12025550143", "--campaign", "spring", "-o", "jsonl")
	want := `{"verdict":"BLOCK","reasons":[{"code":"CONSENT_REVOKED","text":"The person <said> stop.","citation":"47 CFR 64.1200(a)(10)","rule":"","fix":""}],` +
		`"basis":"","position":7,"at":null,"nextAllowedAt":null,"validUntil":null,"packs":[],"lists":[],"tzdata":"","zones":[],"number":"+1202•••0143","unassigned":false,"caps":[],"deadlines":[]}` + "\n"
	if diff := cmp.Diff(want, line); diff != "" {
		t.Error(diff)
	}
}

func TestScrub(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.csv"), filepath.Join(dir, "out.csv")
	if err := os.WriteFile(in, []byte("\ufeffname,Phone Number\nAnn,+12025550101\nBob,\"(202) 555-0142\"\nCid,abc\nDee\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var asked []*consentv1.ScrubRequest
	s := &scripted{onScrub: func(r *consentv1.ScrubRequest) { asked = append(asked, r) }}
	code, stdout, stderr := program(t, s, "scrub", in, out, "--campaign", "spring", "-o", "json")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	if len(asked) != 1 || asked[0].GetQuestion().GetCampaign() != "spring" {
		t.Errorf("asked %v", asked)
	}
	want := `{
  "rows": 4,
  "allow": 1,
  "block": 3,
  "invalid": 2,
  "later": 0,
  "reasons": {
    "COMPANY_DNC": {"rows": 2, "alone": 0, "never": 2},
    "NO_CONSENT": {"rows": 2, "alone": 0, "never": 2},
    "NUMBER_INVALID": {"rows": 1, "alone": 1, "never": 1}
  },
  "bases": {"OK_WRITTEN_CONSENT": 1},
  "position": 9,
  "positionLast": 9,
  "from": "0001-01-01T00:00:00Z",
  "to": "0001-01-01T00:00:00Z",
  "lists": ["us_in_dnc none", "us_national_dnc 2026-02-01"],
  "packs": ["us 1", "us-in 2"]
}`
	var sum, wanted map[string]any
	if err := json.Unmarshal([]byte(stdout), &sum); err != nil {
		t.Fatalf("%s: %v", stdout, err)
	}
	if err := json.Unmarshal([]byte(want), &wanted); err != nil {
		t.Fatal(err)
	}
	delete(sum, "seconds")
	if diff := cmp.Diff(wanted, sum); diff != "" {
		t.Error(diff)
	}
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	const lists = ",us_national_dnc 2026-02-01 listed;us_in_dnc none,us 1;us-in 2\n"
	text := "\ufeffname,Phone Number,verdict,reasons,basis,next_allowed_at,position,lists,packs\n" +
		"Ann,+12025550101,ALLOW,,OK_WRITTEN_CONSENT,,9,,\nBob,\"(202) 555-0142\",BLOCK,NO_CONSENT;COMPANY_DNC,,,9" + lists +
		"Cid,abc,BLOCK,NO_CONSENT;COMPANY_DNC,,,9" + lists + "Dee,,BLOCK,NUMBER_INVALID,,,9,,\n"
	if diff := cmp.Diff(text, string(got)); diff != "" {
		t.Error(diff)
	}
}

// TestExportIsWholeOrAbsent: half a history must not look like a whole one.
func TestExportIsWholeOrAbsent(t *testing.T) {
	entry, err := proto.Marshal(&consentv1.Entry{Position: 3, EntryId: make([]byte, 16), RecordedAt: timestamppb.New(testTime), Fact: &consentv1.Fact{Source: "crm",
		Sellers: []string{"acme"}, Kind: &consentv1.Fact_ConsentGranted{ConsentGranted: &consentv1.ConsentGranted{Level: "express"}}}})
	if err != nil {
		t.Fatal(err)
	}
	one := &consentv1.ExportResponse{Part: &consentv1.ExportResponse_Entry{Entry: &consentv1.ExportedEntry{Position: 3, Entry: entry, LeafHash: "ab", Personal: map[string]string{"number": "+12025550143"}}}}
	end := &consentv1.ExportResponse{Part: &consentv1.ExportResponse_End{End: &consentv1.ExportEnd{Entries: 1, ThroughPosition: 9}}}
	zip := func(s string) *consentv1.ExportResponse {
		return &consentv1.ExportResponse{Part: &consentv1.ExportResponse_Zip{Zip: []byte(s)}}
	}
	for _, tc := range []struct {
		name, ext string
		sent      []*consentv1.ExportResponse
		want      string // "": no file
	}{
		// The leaf hash is made here from the bytes; the server is not asked to be believed.
		{"csv", ".csv", []*consentv1.ExportResponse{one, end}, "position,recorded_at,entry_id,leaf_hash,kind,number,sellers,source,earliest,latest,programmes,channels,purposes,level,erased,personal\n" +
			"3,2026-03-01T09:30:00Z,00000000-0000-0000-0000-000000000000," + ledger.LeafHash(entry).String() + ",consent_granted,+12025550143,acme,crm,,,,,,express,false,\"{\"\"number\"\":\"\"+12025550143\"\"}\"\n"},
		{"zip", ".zip", []*consentv1.ExportResponse{zip("PK"), zip("rest"), end}, "PKrest"},
		{"zip broken off", ".zip", []*consentv1.ExportResponse{zip("PK")}, ""},
		{"broken off", ".jsonl", []*consentv1.ExportResponse{one}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			out := filepath.Join(dir, "history"+tc.ext)
			code, _, _ := program(t, &scripted{exported: tc.sent}, "export", "--number", "+12025550143", "--out", out)
			got, _ := os.ReadFile(out)
			if diff := cmp.Diff(tc.want, string(got)); diff != "" || (code == 0) != (tc.want != "") {
				t.Errorf("exit code %d: %s", code, diff)
			}
			if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestDecode(t *testing.T) {
	entry, err := proto.Marshal(&consentv1.Entry{Position: 3, Fact: &consentv1.Fact{Source: "crm"}})
	if err != nil {
		t.Fatal(err)
	}
	commit, err := proto.Marshal(&consentv1.Commit{FirstPosition: 3, Entries: [][]byte{entry}})
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	code := run(t.Context(), []string{"decode", "--type", "Commit", "-o", "jsonl"}, bytes.NewReader(commit), &out, &errs)
	if code != 0 || !strings.HasPrefix(out.String(), `{"firstPosition":3,"entries":[{"position":3,`) || !strings.Contains(out.String(), `"source":"crm"`) {
		t.Errorf("exit code %d: %s%s", code, out.String(), errs.String())
	}
	if code := run(t.Context(), []string{"decode"}, strings.NewReader("no entry"), &out, &errs); code != exitFailed {
		t.Errorf("exit code %d for what is no entry", code)
	}
}

// TestHelpTeaches: every verb that talks to a server explains itself, with an example.
func TestHelpTeaches(t *testing.T) {
	g := &globals{}
	for _, group := range [][]*cobra.Command{recordCommands(g), askCommands(g), runCommands(g)} {
		for _, c := range group {
			verbs := c.Commands()
			if len(verbs) == 0 {
				verbs = []*cobra.Command{c}
			}
			for _, v := range verbs {
				if v.Short == "" || !strings.Contains(v.Example, "consent ") {
					t.Errorf("%s: no example", v.CommandPath())
				}
			}
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if code, stdout, _ := bare(t, "completion", shell); code != 0 || stdout == "" {
			t.Errorf("completion %s: exit code %d", shell, code)
		}
	}
}
