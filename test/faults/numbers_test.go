package faults

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"connectrpc.com/connect"
	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger/store"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// plants are the numbers of one run, each planted by a way of its own, so that
// what is found names the way it came.
type plants struct {
	t     *testing.T
	s     *server
	names []string // names[n] is how number n was planted
	said  bytes.Buffer
}

// plant gives the next number, in E.164 with a leading plus.
func (p *plants) plant(how string) string {
	p.names = append(p.names, how)
	return planted(len(p.names) - 1)
}

// planted numbers differ in area code and in their last two digits.
func planted(n int) string { return number(100*n + 37 + n%60) }

// digits are the ten of the national form.
func digits(e164 string) string { return e164[2:] }

// heard keeps what an error said.
func (p *plants) heard(what string, err error) {
	if err == nil {
		return
	}
	fmt.Fprintf(&p.said, "%s: %v\n", what, err)
	var ce *connect.Error
	if errors.As(err, &ce) {
		for _, d := range ce.Details() {
			if m, derr := d.Value(); derr == nil {
				fmt.Fprintf(&p.said, "%s: detail: %v\n", what, m)
			}
		}
	}
}

// record sends one fact; refused or not, its answer may not hold a number.
func (p *plants) record(what string, f *consentv1.Fact) {
	res, err := p.s.client.Ledger.Record(p.t.Context(), connect.NewRequest(&consentv1.RecordRequest{Fact: f}))
	p.heard(what, err)
	if err == nil {
		fmt.Fprintf(&p.said, "%s: %v\n", what, res.Msg)
	}
}

// TestNumbersNowhere plants numbers by every way in and looks for each in every
// file of the ledger, compressed databases opened, in the log at its most
// talkative, the metrics and all that errors said.
func TestNumbersNowhere(t *testing.T) {
	t.Run("embedded NATS", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "ledger")
		initLedger(t, dir)
		p := &plants{t: t, s: serve(t, dir, "--log-level", "debug")}
		p.plantAll()
		p.plantIntake()
		p.search(dir)
	})
	// Without JetStream's cipher the stored messages themselves lie open. Intake is
	// left out: what CRMs publish there is in clear until it is recorded, which is
	// why the embedded server's files are encrypted.
	t.Run("outside NATS in clear", func(t *testing.T) {
		c := startNATS(t)
		dir := filepath.Join(t.TempDir(), "ledger")
		initLedger(t, dir, "--nats-url", c.url())
		p := &plants{t: t, s: serve(t, dir, "--log-level", "debug", "--nats-url", c.url())}
		p.plantAll()
		c.conn.Close()
		p.search(dir, c.opts.StoreDir)
	})
}

// search ends the server and looks everywhere.
func (p *plants) search(dir string, more ...string) {
	p.t.Helper()
	p.s.applied()
	metrics := p.s.metrics(p.t.Context())
	p.s.stop()
	p.look("the metrics", []byte(metrics))
	p.look("an error or receipt", p.said.Bytes())
	p.look("the log", []byte(p.s.stderr.String()))
	for _, d := range append(more, dir) {
		p.lookInFiles(d)
	}
	for _, name := range []string{"index", "projections"} {
		p.lookInDB(filepath.Join(dir, name))
	}
	if p.s.stderr.String() == "" || p.said.Len() == 0 || !strings.Contains(metrics, "consent_") {
		p.t.Error("the search had nothing to look through")
	}
}

// plantAll plants by every way but intake, good and bad.
func (p *plants) plantAll() {
	t, ctx, l := p.t, p.t.Context(), p.s.client.Ledger
	p.record("seller", seller())

	f := grant("one", p.plant("a grant"), 1)
	ev := f.GetConsentGranted().GetEvidence()
	ev.Words = "call me at " + p.plant("the words of a grant")
	ev.Name = "Pat " + digits(p.plant("a name"))
	ev.Page = "https://example.com/?phone=" + p.plant("the page of a grant")
	ev.Certificate, ev.UserAgent, ev.Recording, ev.Signature = p.plant("a certificate"), p.plant("a user agent"), p.plant("a recording"), p.plant("a signature")
	p.record("grant", f)
	p.record("grant again", f)
	p.record("same id, other fact", grant("one", p.plant("a conflict"), 2))
	p.record("same id, a stop", stopped("one", p.plant("a stop in conflict")))
	p.record("event id", grant("lead-"+p.plant("an event id"), number(1), 1))
	big := stopped("big", p.plant("a large stop"))
	big.GetConsentRevoked().Words = strings.Repeat("stop "+p.plant("large words")+" ", 8000)
	p.record("large stop", big)

	for i, clear := range clearFields() {
		for _, form := range []func(string) string{func(s string) string { return s }, digits, spaced} {
			name := fmt.Sprintf("clear field %s of a %s", clear.name, []string{"grant", "stop"}[i%2])
			f := grant(fmt.Sprint("clear-", i), number(2), 1)
			if i%2 == 1 {
				f = stopped(fmt.Sprint("clear-", i), number(2))
			}
			f.EventId += strconv.Itoa(len(p.names))
			clear.set(f, form(p.plant(name)))
			p.record(name, f)
		}
	}
	p.plantSystem()
	for _, bad := range []string{"call %s now", "%s%s", "+%s1", "abc%sdef", "%s\xff", "00%s99999"} {
		n := digits(p.plant("an unreadable number " + bad))
		f := stopped("bad-"+bad[:2], strings.ToValidUTF8(fmt.Sprintf(strings.ReplaceAll(bad, "%s", "%[1]s"), n), "?"))
		f.GetConsentRevoked().Words = "my other number is " + p.plant("words of an unreadable stop")
		p.record("unreadable stop", f)
		p.record("unreadable grant", grant("bad-grant-"+bad[:2], f.GetNumber(), 1))
	}
	f = stopped("dates", number(3))
	f.OccurredAt, f.OccurredOn = nil, "since "+p.plant("an unreadable date")
	p.record("unreadable date", f)
	f = grant("dates-grant", number(3), 1)
	f.OccurredAt, f.OccurredOn = nil, p.plant("the date of a grant")
	p.record("unreadable date", f)
	p.record("message", &consentv1.Fact{Source: source, EventId: "m", Number: p.plant("a message"), Sellers: []string{"acme"},
		Kind: &consentv1.Fact_InboundMessage{InboundMessage: &consentv1.InboundMessage{Body: "no more from " + p.plant("the body of a message")}}})

	sender := l.RecordStream(ctx)
	batch := []*consentv1.Fact{grant("s1", p.plant("a stream"), 1), stopped("s2", p.plant("a stop in a stream")), grant("s3", "x"+p.plant("a bad row"), 1)}
	p.heard("stream", sender.Send(&consentv1.RecordStreamRequest{Facts: batch, DefaultRegion: p.plant("a region")}))
	p.heard("stream", sender.Send(&consentv1.RecordStreamRequest{Facts: batch}))
	p.heard("stream", sender.CloseRequest())
	for {
		res, err := sender.Receive()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			p.heard("stream", err)
			break
		}
		fmt.Fprintln(&p.said, res)
	}
	p.heard("stream", sender.CloseResponse())

	_, err := l.Erase(ctx, connect.NewRequest(&consentv1.EraseRequest{Number: p.plant("an erasure"), Reason: "erasure_request"}))
	p.heard("erasure", err)
	p.record("before an erasure", grant("e", p.plant("an erased grant"), 1))
	_, err = l.Erase(ctx, connect.NewRequest(&consentv1.EraseRequest{Number: planted(len(p.names) - 1), Reason: "erasure_request"}))
	p.heard("erasure", err)
	for _, reason := range []string{p.plant("the reason of an erasure"), digits(p.plant("a bare reason"))} {
		_, err = l.Erase(ctx, connect.NewRequest(&consentv1.EraseRequest{Number: number(4), Reason: reason}))
		p.heard("erasure", err)
	}
	p.plantRegistry()
	p.plantQuestions()
	p.plantHTTP()
	if t.Failed() {
		t.FailNow()
	}
}

// clearFields are the fields that are stored in clear.
func clearFields() []struct {
	name string
	set  func(f *consentv1.Fact, s string)
} {
	type field = struct {
		name string
		set  func(f *consentv1.Fact, s string)
	}
	var out []field
	for _, f := range []field{
		{"source", func(f *consentv1.Fact, s string) { f.Source = strings.ToLower(s) }},
		{"seller", func(f *consentv1.Fact, s string) { f.Sellers = []string{s} }},
		{"wording", func(f *consentv1.Fact, s string) { f.Wording = s }},
		{"actor", func(f *consentv1.Fact, s string) { f.Actor = &consentv1.Actor{Id: s, Role: "agent"} }},
		{"role", func(f *consentv1.Fact, s string) { f.Actor = &consentv1.Actor{Id: "a", Role: s} }},
		{"programme", func(f *consentv1.Fact, s string) {
			if g := f.GetConsentGranted(); g != nil {
				g.Scope.Programmes = []string{s}
				return
			}
			f.GetConsentRevoked().Scope = &consentv1.Scope{Programmes: []string{s}}
		}},
		{"method", func(f *consentv1.Fact, s string) {
			if g := f.GetConsentGranted(); g != nil {
				g.Evidence.Method = s
				return
			}
			f.GetConsentRevoked().Method = s
		}},
		{"level or reply", func(f *consentv1.Fact, s string) {
			if g := f.GetConsentGranted(); g != nil {
				g.Level = s
				return
			}
			f.GetConsentRevoked().InReplyToProgramme = s
		}},
		{"vendor", func(f *consentv1.Fact, s string) {
			if g := f.GetConsentGranted(); g != nil {
				g.Evidence.LeadVendor, g.Evidence.LawfulBasis, g.Evidence.Jurisdiction, g.Evidence.SignatureKind = s, s, s, s
			}
		}},
	} {
		out = append(out, f, f) // once for a grant, once for a stop
	}
	return out
}

// spaced writes a number as people do.
func spaced(e164 string) string {
	d := digits(e164)
	return "(" + d[:3] + ") " + d[3:6] + "-" + d[6:]
}

// plantSystem plants in what concerns no person.
func (p *plants) plantSystem() {
	for _, form := range []func(string) string{func(s string) string { return s }, digits, spaced} {
		id := form(p.plant("an id of a seller"))
		name := form(p.plant("a seller's name"))
		p.record("seller's id", &consentv1.Fact{Source: source, EventId: "x" + id,
			Kind: &consentv1.Fact_SellerRegistered{SellerRegistered: &consentv1.SellerRegistered{Id: id, Name: "n"}}})
		p.record("seller's name", &consentv1.Fact{Source: source, EventId: "y" + id,
			Kind: &consentv1.Fact_SellerRegistered{SellerRegistered: &consentv1.SellerRegistered{Id: fmt.Sprint("s", len(p.names)), Name: "Phone " + name}}})
		p.record("campaign", &consentv1.Fact{Source: source, EventId: "z" + id, Kind: &consentv1.Fact_CampaignRegistered{CampaignRegistered: &consentv1.CampaignRegistered{
			Id: fmt.Sprint("c", len(p.names)), Seller: "acme", Channel: consentv1.Channel_CHANNEL_SMS, Purpose: consentv1.Purpose_PURPOSE_MARKETING, Subject: form(p.plant("a campaign's subject"))}}})
	}
}

// plantRegistry loads a list that holds numbers, and one that is none.
func (p *plants) plantRegistry() {
	var list strings.Builder
	for range 5 {
		n := digits(p.plant("a list"))
		list.WriteString(n[:3] + "," + n[3:] + "\n")
	}
	fmt.Fprintf(&list, "x%s\n", digits(p.plant("a malformed line of a list")))
	for _, about := range []*consentv1.RegistryFile{
		{Registry: "us_national_dnc", VersionDate: "2026-03-01", Name: "list.txt"},
		{Registry: "us_national_dnc", VersionDate: p.plant("a list's date"), Name: p.plant("a list's name") + ".txt"},
		{Registry: "us_national_dnc", VersionDate: "2026-03-02", Name: digits(p.plant("a list's name")) + ".txt", Licensees: []string{digits(p.plant("a licensee"))}},
		{Registry: "us_" + digits(p.plant("a registry's id")), VersionDate: "2026-03-02", Name: "list.txt"},
		{Registry: p.plant("a registry"), Name: "list.txt", Licensees: []string{p.plant("a licensee")}},
	} {
		st := p.s.client.Ledger.LoadRegistry(p.t.Context())
		p.heard("registry", st.Send(&consentv1.LoadRegistryRequest{File: about, Chunk: []byte(list.String())}))
		res, err := st.CloseAndReceive()
		p.heard("registry", err)
		if err == nil {
			fmt.Fprintln(&p.said, res.Msg)
		}
	}
}

// plantQuestions asks about numbers; answers that were asked to reveal do so.
func (p *plants) plantQuestions() {
	ctx, d := p.t.Context(), p.s.client.Decisions
	for _, q := range []*consentv1.Question{
		{Number: p.plant("a check"), Seller: "acme", Channel: consentv1.Channel_CHANNEL_SMS, Purpose: consentv1.Purpose_PURPOSE_MARKETING},
		{Number: "no. " + p.plant("an unreadable check"), Seller: "acme", Channel: consentv1.Channel_CHANNEL_SMS, Purpose: consentv1.Purpose_PURPOSE_MARKETING},
		{Number: number(1), Seller: p.plant("a check's seller"), Channel: consentv1.Channel_CHANNEL_SMS, Purpose: consentv1.Purpose_PURPOSE_MARKETING},
		{Number: number(1), Campaign: p.plant("a check's campaign")},
		{Number: number(1), Seller: "acme", Programme: digits(p.plant("a check's programme")), Channel: consentv1.Channel_CHANNEL_SMS, Purpose: consentv1.Purpose_PURPOSE_MARKETING},
	} {
		res, err := d.Check(ctx, connect.NewRequest(&consentv1.CheckRequest{Question: q}))
		p.heard("check", err)
		if err == nil {
			fmt.Fprintln(&p.said, res.Msg)
		}
		_, err = d.Check(ctx, connect.NewRequest(&consentv1.CheckRequest{Question: q, Reveal: true, DefaultRegion: p.plant("a check's region")}))
		p.heard("check", err)
	}
	for _, n := range []string{planted(0), "x" + p.plant("an unreadable timeline")} {
		res, err := d.Timeline(ctx, connect.NewRequest(&consentv1.TimelineRequest{Number: n, Reveal: true}))
		p.heard("timeline", err)
		if err == nil && !strings.Contains(res.Msg.String(), planted(1)) {
			p.t.Errorf("the timeline does not reveal what was planted: %v", res.Msg)
		}
		st, err := p.s.client.Exports.Export(ctx, connect.NewRequest(&consentv1.ExportRequest{Number: n, Format: "csv"}))
		p.heard("export", err)
		if err == nil {
			for st.Receive() {
			}
			p.heard("export", errors.Join(st.Err(), st.Close()))
		}
	}
	inbox, err := p.s.client.Ledger.ListInbox(ctx, connect.NewRequest(&consentv1.ListInboxRequest{}))
	p.heard("inbox", err)
	if err == nil {
		fmt.Fprintln(&p.said, inbox.Msg)
	}
	_, err = p.s.client.Ledger.CloseInbox(ctx, connect.NewRequest(&consentv1.CloseInboxRequest{Id: p.plant("an inbox id"), Outcome: "recorded"}))
	p.heard("inbox", err)
	_, err = p.s.client.Ledger.CloseInbox(ctx, connect.NewRequest(&consentv1.CloseInboxRequest{Id: "1", Outcome: p.plant("an inbox outcome")}))
	p.heard("inbox", err)
	_, err = p.s.client.Ledger.GetReceipt(ctx, connect.NewRequest(&consentv1.GetReceiptRequest{Source: source, EventId: p.plant("an event id nobody sent")}))
	p.heard("receipt", err)
}

// plantHTTP sends what no client of ours would.
func (p *plants) plantHTTP() {
	key, err := os.ReadFile(filepath.Join(p.s.dir, "admin.key"))
	if err != nil {
		p.t.Fatal(err)
	}
	post := func(path, body string, h http.Header) {
		req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.s.url+path, strings.NewReader(body))
		if err != nil {
			p.t.Fatal(err)
		}
		req.Header = h
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			p.t.Fatal(err)
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body) // what came is looked at
		fmt.Fprintf(&p.said, "%v %s\n", res.Header, text)
	}
	json := http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + strings.TrimSpace(string(key))}, "User-Agent": {p.plant("a user agent's header")}}
	for _, body := range []string{
		`{"fact":{"number":` + digits(p.plant("a JSON number")) + `}}`,
		`{"fact":{"number":"` + p.plant("broken JSON"),
		`{"fact":{"` + p.plant("an unknown name") + `":1}}`,
		`{"fact":{"` + digits(p.plant("an unknown name of digits")) + `":{}, "consent_granted":{}}}`,
		`{"fact":{"occurred_at":"` + p.plant("a JSON time") + `"}}`,
		`{"fact":{"consent_granted":{"scope":{"channels":["` + p.plant("a JSON channel") + `"]}}}}`,
		`{"fact":{"consent_revoked":{"nonsense":"` + p.plant("a lenient stop") + `"},"number":"` + p.plant("a lenient stop's number") + `","source":"faults","event_id":"l"}}`,
		p.plant("no JSON at all"),
	} {
		post("/consent.v1.LedgerService/Record", body, json)
	}
	post("/consent.v1.LedgerService/"+p.plant("a method"), "{}", json)
	post("/"+p.plant("a path")+"?n="+p.plant("a query"), "{}", json)
	post("/consent.v1.LedgerService/Record", "{}", http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + p.plant("a wrong key")}})
	post("/consent.v1.LedgerService/Record", "{}", http.Header{"Content-Type": {"text/" + digits(p.plant("a content type"))}, "Authorization": json["Authorization"]})
	post("/consent.v1.LedgerService/Record", "\x0a\x05"+p.plant("broken protobuf"), http.Header{"Content-Type": {"application/proto"}, "Authorization": json["Authorization"]})
}

// plantIntake publishes without waiting, and asks over NATS.
func (p *plants) plantIntake() {
	key, err := os.ReadFile(filepath.Join(p.s.dir, "admin.key"))
	if err != nil {
		p.t.Fatal(err)
	}
	nc, err := nats.Connect(p.s.natsURL(), nats.UserInfo("admin", strings.TrimSpace(string(key))))
	if err != nil {
		p.t.Fatal(err)
	}
	defer nc.Close()
	one, err := protojson.Marshal(&consentv1.RecordRequest{Fact: grant("i1", p.plant("intake"), 1)})
	if err != nil {
		p.t.Fatal(err)
	}
	many, err := proto.Marshal(&consentv1.IntakeBatch{Records: []*consentv1.RecordRequest{
		{Fact: stopped("i2", p.plant("an intake batch"))}, {Fact: stopped("i3", "?"+p.plant("an unreadable record"))}, {Fact: grant("i4", "?"+p.plant("a refused record"), 1)}}})
	if err != nil {
		p.t.Fatal(err)
	}
	messages := [][]byte{one, many, []byte("STOP " + p.plant("an unreadable intake message")), []byte(`{"fact":{"` + p.plant("an intake name") + `":1}}`), []byte("{" + p.plant("broken intake JSON"))}
	for _, m := range messages {
		msg := &nats.Msg{Subject: "consent.v1.intake.crm", Data: m, Header: nats.Header{"Nats-Msg-Id": {p.plant("a message id")}}}
		if _, err := nc.RequestMsg(msg, startLimit); err != nil {
			p.t.Fatal(err)
		}
	}
	if _, err := nc.Request("consent.v1.intake."+digits(p.plant("an intake subject")), one, startLimit); err != nil {
		p.t.Fatal(err)
	}
	for _, body := range []string{`{"question":{"number":"` + p.plant("a check over NATS") + `","seller":"acme","channel":"CHANNEL_SMS","purpose":"PURPOSE_MARKETING"}}`, `{"x":"` + p.plant("bad JSON over NATS")} {
		res, err := nc.Request("consent.v1.svc.check", []byte(body), startLimit)
		p.heard("check over NATS", err)
		if err == nil {
			fmt.Fprintf(&p.said, "%s %v\n", res.Data, res.Header)
		}
	}
	js, err := nc.JetStream()
	if err != nil {
		p.t.Fatal(err)
	}
	until(p.t, startLimit, "intake is settled", func(context.Context) bool {
		info, err := js.StreamInfo("CONSENT_INTAKE")
		return err == nil && info.State.Msgs == 0
	})
}

// forms are the byte sequences under which a number is looked for.
func forms(e164 string) [][]byte {
	d := digits(e164)
	var out [][]byte
	for _, s := range []string{d, d[:3] + "-" + d[3:6] + "-" + d[6:], d[:3] + " " + d[3:6] + " " + d[6:], d[:3] + "." + d[3:6] + "." + d[6:], d[:3] + ") " + d[3:6] + "-" + d[6:]} {
		le, be := []byte(nil), []byte(nil)
		for _, u := range utf16.Encode([]rune(s)) {
			le, be = binary.LittleEndian.AppendUint16(le, u), binary.BigEndian.AppendUint16(be, u)
		}
		out = append(out, []byte(s), le, be)
	}
	for _, s := range []string{d, "1" + d} { // as integers
		n, _ := strconv.ParseUint(s, 10, 64) // ten or eleven digits
		out = append(out, binary.LittleEndian.AppendUint64(nil, n), binary.BigEndian.AppendUint64(nil, n))
	}
	return out
}

// look looks for every number in some bytes.
func (p *plants) look(where string, data []byte) {
	p.t.Helper()
	for _, f := range p.find(data) {
		p.t.Errorf("%s holds %s", where, f)
	}
}

func (p *plants) find(data []byte) (found []string) {
	for n, how := range p.names {
		for k, form := range forms(planted(n)) {
			if i := bytes.Index(data, form); i >= 0 {
				found = append(found, fmt.Sprintf("the number planted by %s (form %d) at byte %d: …%q…", how, k, i, data[max(0, i-60):min(len(data), i+60)]))
			}
		}
	}
	return found
}

func (p *plants) lookInFiles(dir string) {
	p.t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			p.look("a folder's name", []byte(path))
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		p.look("a file's name", []byte(path))
		p.look(strings.TrimPrefix(path, dir), data)
		return nil
	})
	if err != nil || files < 5 {
		p.t.Errorf("looked into %d files: %v", files, err)
	}
}

// lookInDB reads a database whose blocks are compressed on disk.
func (p *plants) lookInDB(dir string) {
	p.t.Helper()
	db, err := store.Open(dir, store.Options{})
	if err != nil {
		p.t.Fatal(err)
	}
	defer db.Close()
	snap := db.Snapshot()
	defer snap.Close()
	var all []byte
	for space := range 256 {
		lo, hi := store.SpaceRange(byte(space))
		if err := snap.Each(lo, hi, func(k, v []byte) error { all = append(append(append(all, k...), 0), v...); return nil }); err != nil {
			p.t.Fatal(err)
		}
	}
	if len(all) == 0 {
		p.t.Errorf("%s holds nothing", dir)
	}
	p.look("the database "+filepath.Base(dir), all)
}

// TestFind: the search finds what is there.
func TestFind(t *testing.T) {
	p := &plants{names: []string{"one way", "another"}}
	for k, form := range forms(planted(1)) {
		if found := p.find(slices.Concat([]byte("before"), form, []byte("after"))); len(found) == 0 || !strings.Contains(found[0], "another") {
			t.Errorf("form %d: %v", k, found)
		}
	}
}
