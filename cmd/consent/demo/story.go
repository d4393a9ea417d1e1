package demo

import (
	"context"
	"encoding/csv"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	"github.com/consent-ledger/consent-ledger/ledger"
)

// The people of the story. All numbers are from ranges reserved for fiction.
const (
	numberAna    = "(212) 555-0143"  // agreed to texts; says STOP
	numberBen    = "212.555.0144"    // agreed to texts; stays
	numberCarla  = "+1 312 555 0199" // sends a message that nobody understands
	numberDan    = "614-555-0188"    // asked to stop in words of his own
	numberEve    = "919-555-0117"    // withdrew from an unknown channel
	numberFay    = "404-555-0120"    // a stranger to us, on no list
	numberListed = "404-555-0111"    // on the national list
)

// Files of the story.
const (
	fileCRM     = "crm-export.csv"
	fileMap     = "crm-map.yaml"
	fileRejects = "rejects.csv"
	fileList    = "2026-2-27_404_0A4C1B7E-5D2F-4E8A-9C3B-D1E6F7A8B9C0.txt" // as the FTC names them
	fileKeys    = "ledger.keys"
	fileAna     = "ana.zip"
	fileChanged = "changed.zip"
)

// story is the demo while it is told. It belongs to one goroutine.
type story struct {
	*teller
	program Program
	dir     string
	clock   *storyClock
	server  *demoServer
	client  *client.Client
	dialer  *demoDialer

	title string // of the part being told
}

// tell tells every part. The first one that does not give what the story says is
// the error.
func (s *story) tell(ctx context.Context) error {
	s.teller.title("Consent Ledger, shown on sample data")
	s.say("Acme Solar texts and calls people. What you see really runs, in this process, against a server of its own. It is " + storyBegin.Format("Monday, 2 January 2006, 15:04 UTC") + ".")
	for _, part := range []struct {
		title string
		tell  func(context.Context) error
	}{
		{"A ledger", s.ledger},
		{"The CRM's file, with all its mess", s.crmFile},
		{"The national Do-Not-Call list", s.list},
		{"May we?", s.ask},
		{"A dialer listens", s.listen},
		{"Ana says STOP", s.revocation},
		{"A late grant changes nothing", s.lateGrant},
		{"Words that no list knows", s.oddWords},
		{"The whole story of one number", s.timeline},
		{"What a court gets, and how it checks it", s.export},
		{"Ana wants to be forgotten", s.erasure},
	} {
		s.title = part.title
		s.heading(part.title)
		s.clock.move(10 * time.Minute)
		if err := part.tell(ctx); err != nil {
			return err
		}
	}
	s.heading("Where things are")
	return s.folder()
}

// folder shows what lies in the demo's folder.
func (s *story) folder() error {
	s.line(s.dir)
	for _, f := range []struct{ name, what string }{
		{demoLedger + "/jetstream", "the truth: every entry, for ever"},
		{demoLedger + "/keys", "what opens it; keep a copy of kek.json elsewhere"},
		{demoLedger + "/index", "rebuilt from the truth"},
		{demoLedger + "/projections", "rebuilt from the truth"},
		{demoLedger + "/admin.key", "opens the API"},
		{fileCRM, "what came in, with crm-map.yaml"},
		{fileRejects, "its refused rows, each with its reason"},
		{fileKeys, "what others check it with, given away before"},
		{fileAna, "what went out: Ana's history, before her erasure"},
		{demoLog, "the server's log"},
	} {
		if _, err := os.Stat(s.path(f.name)); err != nil {
			return s.differs("%s is not there: %w", f.name, err)
		}
		s.line(fmt.Sprintf("  %-19s  %s", f.name, f.what))
	}
	s.gap()
	return nil
}

// stop ends what the story began, in reverse.
func (s *story) stop() error {
	if s.dialer != nil {
		s.dialer.stop()
	}
	if s.client != nil {
		s.client.Close()
	}
	if s.server != nil {
		return s.server.stop()
	}
	return nil
}

// ledger makes the ledger and registers in whose name contact is made, and how.
func (s *story) ledger(ctx context.Context) error {
	if err := unpackDemoFiles(s.dir); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	s.say("A ledger is made on purpose, never by a typing error. Its folder holds the truth (JetStream, every entry synced before it is acknowledged), the keys and the projections.")
	create := []string{"init", "--dir", s.path(demoLedger)}
	s.show(create)
	if out, err := s.execute(ctx, create...); err != nil {
		return err
	} else if out.code != exitDone {
		return s.ended(create, out)
	}
	s.got("ledger created, with the API's key in ledger/admin.key")
	s.show([]string{"serve", "--dir", s.path(demoLedger)})
	var err error
	if s.server, err = startDemoServer(ctx, s.program, s.dir, s.clock.clock()); err != nil {
		return s.differs("serve: %w", err)
	}
	s.gotLine("API " + s.server.node.URL())
	if s.client, err = s.connect(); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"seller", "add", "acme", "--name", "Acme Solar"},
		{"campaign", "add", "spring-texts", "--seller", "acme", "--channel", "sms", "--purpose", "marketing"},
		{"campaign", "add", "spring-calls", "--seller", "acme", "--channel", "voice_live", "--purpose", "marketing"},
	} {
		if _, _, err := s.record(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// connect makes the dialer's client.
func (s *story) connect() (*client.Client, error) {
	key, err := os.ReadFile(s.keyFile())
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	return client.New(s.server.node.URL(), strings.TrimSpace(string(key)), client.Options{})
}

// importJSON is an import's summary.
type importJSON struct {
	Rows       int `json:"rows"`
	Added      int `json:"added"`
	Duplicates int `json:"duplicates"`
	Rejected   int `json:"rejected"`
	Inbox      int `json:"inbox"`
	Unknown    int `json:"unknown"`
}

func (s *story) importFile(ctx context.Context, want importJSON) error {
	var got importJSON
	if _, err := s.verb(ctx, &got, "import", "facts", s.path(fileCRM), "--map", s.path(fileMap), "--rejects", s.path(fileRejects)); err != nil {
		return err
	}
	s.got(fmt.Sprintf("%d rows: %d added, %d recorded before, %d rejected, %d for a person to read", got.Rows, got.Added, got.Duplicates, got.Rejected, got.Inbox))
	if got != want {
		return s.differs("the import gave %+v; the story says %+v", got, want)
	}
	return nil
}

// crmFile imports the CRM's file twice.
func (s *story) crmFile(ctx context.Context) error {
	s.say("Twelve rows with the CRM's own columns and words: five ways to write a number, a row twice, a date without a time, a guess instead of a date, a channel called \"Carrier pigeon\", a number in letters.")
	if err := s.importFile(ctx, importJSON{Rows: 12, Added: 8, Duplicates: 1, Rejected: 2, Inbox: 1}); err != nil {
		return err
	}
	rejects, err := s.rejects()
	if err != nil {
		return err
	}
	for _, r := range rejects {
		s.detail("line "+r.line, r.reason)
	}
	s.gap()
	s.say("What permits must prove itself: those two grants are refused, each with its reason in rejects.csv. What forbids is never lost to its form: the stop whose number is in letters waits for a person, the pigeon's became a stop for every channel:")
	if err := s.check(ctx, "BLOCK", "CONSENT_REVOKED", numberEve, "--campaign", "spring-texts"); err != nil {
		return err
	}
	s.gap()
	s.say("The same file again adds nothing:")
	return s.importFile(ctx, importJSON{Rows: 12, Duplicates: 9, Rejected: 2, Inbox: 1})
}

// reject is one row of the rejects file, without the row.
type reject struct{ line, reason string }

func (s *story) rejects() ([]reject, error) {
	f, err := os.Open(s.path(fileRejects))
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) < 2 {
		return nil, s.differs("the rejects file holds %d rows: %v", len(rows), err)
	}
	var out []reject
	for _, row := range rows[1:] {
		out = append(out, reject{row[len(row)-2], row[len(row)-1]})
	}
	return out, nil
}

// list loads the registry's list.
func (s *story) list(ctx context.Context) error {
	s.say("A file in the form and under the name in which the FTC hands it out: its day and its area code are in its name. After 31 days it is too old, and sales calls to the area code are blocked until a newer one is loaded.")
	var got struct {
		VersionDate string      `json:"versionDate"`
		Rows        uint64      `json:"rows"`
		Malformed   uint64      `json:"malformed"`
		Receipt     receiptJSON `json:"receipt"`
	}
	if _, err := s.verb(ctx, &got, "import", "registry", "--registry", "us_national_dnc", s.path(fileList)); err != nil {
		return err
	}
	s.got(fmt.Sprintf("%d numbers of the list of %s, recorded at position %d", got.Rows, got.VersionDate, got.Receipt.Position))
	if got.Rows != 5 || got.Malformed != 0 || got.VersionDate != "2026-02-27" {
		return s.differs("the list gave %+v", got)
	}
	return nil
}

// ask shows ALLOW with its basis, and a listed number.
func (s *story) ask(ctx context.Context) error {
	s.say("Ana signed a form, so she may be texted:")
	if err := s.check(ctx, "ALLOW", "OK_WRITTEN_CONSENT", numberAna, "--campaign", "spring-texts"); err != nil {
		return err
	}
	s.gap()
	s.say("A call dialled by hand needs no consent, unless the number is listed:")
	if err := s.check(ctx, "ALLOW", "OK_NOT_LISTED", numberFay, "--campaign", "spring-calls"); err != nil {
		return err
	}
	return s.check(ctx, "BLOCK", "REGISTRY_LISTED", numberListed, "--campaign", "spring-calls")
}

// listen subscribes the dialer.
func (s *story) listen(ctx context.Context) error {
	s.say("A dialer takes a snapshot of the seller's state and then every change. It gets pseudonyms, no numbers.")
	s.show([]string{"subscribe", "--seller", "acme"})
	s.dialer = listen(ctx, s.client, "acme")
	states, err := s.dialer.snapshot(ctx)
	if err != nil {
		return s.differs("%w", err)
	}
	s.got(fmt.Sprintf("snapshot of %d numbers is whole; waiting for changes", states))
	return nil
}

// revocation records Ana's STOP and sees it arrive at the dialer.
func (s *story) revocation(ctx context.Context) error {
	asked := time.Now()
	r, out, err := s.record(ctx, "stop", numberAna, "--seller", "acme", "--words", "STOP", "--source", "sms-gateway", "--event-id", "sms-7781")
	if err != nil {
		return err
	}
	a, err := s.dialer.update(ctx, r.Position)
	if err != nil {
		return s.differs("%w", err)
	}
	u := a.event.GetUpdate()
	s.gotLine(fmt.Sprintf("dialer: position %d, %s, for token %.2x…", u.GetPosition(), u.GetCause(), u.GetToken()[1:]))
	s.gotLine("dialer: there " + delay(a.at.Sub(out.stdout.first)) + ", " + millis(a.at.Sub(asked)) + " after the request")
	if u.GetCause() != "consent_revoked" || len(u.GetSellerState().GetRevoked()) == 0 {
		return s.differs("the update's cause is %q with %d revocations", u.GetCause(), len(u.GetSellerState().GetRevoked()))
	}
	s.gap()
	s.say("A check that comes after the ack knows it:")
	return s.check(ctx, "BLOCK", "CONSENT_REVOKED", numberAna, "--campaign", "spring-texts", "--at-least", strconv.FormatUint(r.Position, 10))
}

// delay says how long after the ack an update was there. It may overtake the ack:
// both leave the server when the entry is on disk.
func delay(d time.Duration) string {
	if d < 0 {
		return millis(-d) + " before the ack was read"
	}
	return millis(d) + " after the ack"
}

func millis(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds()*1000, 'f', 1, 64) + " ms"
}

// lateGrant records a grant that is older than the STOP.
func (s *story) lateGrant(ctx context.Context) error {
	s.say("Now a lead vendor delivers a form that Ana signed on Saturday. Order of arrival does not matter: she signed before she said STOP.")
	if _, _, err := s.record(ctx, "grant", numberAna, "--seller", "acme", "--channel", "sms", "--purpose", "marketing", "--level", "express_written",
		"--occurred-at", "2026-02-28T10:00:00-05:00", "--source", "lead-vendor", "--event-id", "lead-4410"); err != nil {
		return err
	}
	if err := s.check(ctx, "BLOCK", "CONSENT_REVOKED", numberAna, "--campaign", "spring-texts"); err != nil {
		return err
	}
	s.gap()
	s.say("And was the text we sent her that afternoon, before the STOP, lawful?")
	return s.check(ctx, "ALLOW", "OK_WRITTEN_CONSENT", numberAna, "--campaign", "spring-texts", "--at", "2026-03-02T15:45:00Z")
}

// oddWords shows a stop in a person's own words, and a message nobody understands.
func (s *story) oddWords(ctx context.Context) error {
	s.say("Dan's message was line 8 of the CRM's file: \"ok can u PLS quit blowing up my phone,thx\". That is a stop:")
	if err := s.check(ctx, "BLOCK", "CONSENT_REVOKED", numberDan, "--campaign", "spring-texts"); err != nil {
		return err
	}
	s.gap()
	s.say("Carla's may be one. Until somebody has read it, silence:")
	r, _, err := s.record(ctx, "record", "inbound_message", "number="+numberCarla, "seller=acme", "channel=sms", "body=new phone who dis??", "source=sms-gateway", "event_id=sms-7790")
	if err != nil {
		return err
	}
	if err := s.check(ctx, "BLOCK", "STOP_UNREVIEWED", numberCarla, "--campaign", "spring-texts"); err != nil {
		return err
	}
	item, err := s.inbox(ctx, r.Position)
	if err != nil {
		return err
	}
	if _, _, err := s.record(ctx, "inbox", "close", item, "--outcome", "not_a_stop"); err != nil {
		return err
	}
	return s.check(ctx, "ALLOW", "OK_WRITTEN_CONSENT", numberCarla, "--campaign", "spring-texts")
}

// inbox lists the open items, one of each reason, and finds the one for a position.
func (s *story) inbox(ctx context.Context, position uint64) (id string, err error) {
	var items []struct {
		ID       string `json:"id"`
		Reason   string `json:"reason"`
		Position uint64 `json:"position"`
	}
	if _, err := s.verb(ctx, &items, "inbox", "list"); err != nil {
		return "", err
	}
	var told []string
	for _, i := range items {
		if !slices.Contains(told, i.Reason) {
			s.detail("item "+i.ID, i.Reason)
			told = append(told, i.Reason)
		}
		if i.Position == position {
			id = i.ID
		}
	}
	if id == "" {
		return "", s.differs("the inbox holds no item for position %d", position)
	}
	return id, nil
}

// timelineJSON is what of a timeline the story reads.
type timelineJSON struct {
	Number string `json:"number"`
	Items  []struct {
		Position   uint64    `json:"position"`
		RecordedAt time.Time `json:"recordedAt"`
		Earliest   time.Time `json:"earliest"`
		Kind       string    `json:"kind"`
		Source     string    `json:"source"`
		Summary    string    `json:"summary"`
	} `json:"items"`
}

func (s *story) showTimeline(ctx context.Context, number string, entries int) error {
	var got timelineJSON
	if _, err := s.verb(ctx, &got, "timeline", number); err != nil {
		return err
	}
	s.gotLine(fmt.Sprintf("%s: %s", got.Number, ledger.Counted(len(got.Items), "entry", "entries")))
	for _, i := range got.Items {
		s.gotLine(fmt.Sprintf("%3d  happened %s  recorded %s  %s", i.Position, i.Earliest.UTC().Format("Jan 02 15:04Z"), i.RecordedAt.UTC().Format("Jan 02 15:04Z"), i.Source))
		s.wrapped(tellIndent+"       ", tellIndent+"       ", i.Summary)
	}
	if len(got.Items) != entries || strings.Contains(got.Number, "555") {
		return s.differs("the timeline of %s holds %d entries; the story says %d, and a masked number", got.Number, len(got.Items), entries)
	}
	return nil
}

// timeline shows Ana's history.
func (s *story) timeline(ctx context.Context) error {
	s.say("When it happened and when we learned of it are two clocks. Words and numbers stay sealed unless --reveal asks for them.")
	return s.showTimeline(ctx, numberAna, 3)
}

// erasure destroys Ana's keys; the block stays.
func (s *story) erasure(ctx context.Context) error {
	s.say("Her keys are destroyed: what was sealed under them can never be opened again, the entries and their hashes stay, and so does the block.")
	var got struct {
		Persons int         `json:"persons"`
		Receipt receiptJSON `json:"receipt"`
	}
	if _, err := s.verb(ctx, &got, "erase", numberAna, "--reason", "erasure_request", "--yes"); err != nil {
		return err
	}
	s.got(fmt.Sprintf("keys of %s destroyed; recorded at position %d", ledger.Counted(got.Persons, "person", "persons"), got.Receipt.Position))
	if got.Persons != 1 {
		return s.differs("%d persons were erased; the story says 1", got.Persons)
	}
	if err := s.check(ctx, "BLOCK", "ERASED_BLOCK", numberAna, "--campaign", "spring-texts"); err != nil {
		return err
	}
	if err := s.showTimeline(ctx, numberAna, 1); err != nil {
		return err
	}
	s.gap()
	s.say("What the court got before stays what it was, and holds:")
	claims, err := s.verify(ctx)
	if err != nil {
		return err
	}
	s.got(fmt.Sprintf("all that was proven before is proven: %s", strings.Join(claims, ", ")))
	return nil
}
