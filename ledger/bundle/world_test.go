package bundle

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/directory"
	"github.com/consent-ledger/consent-ledger/ledger/proof"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	"github.com/consent-ledger/consent-ledger/ledger/timestamp"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

const origin = "ledger.example.com/2026"

var began = time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)

// world is a ledger made for a test, of which every byte follows from its history.
type world struct {
	t       testing.TB
	signing *seal.Signing
	entries [][]byte
	values  []map[string]string // of the sealed parts, by field
	hashes  []tlog.Hash
	chains  map[string]*chain
	pack    []byte
	// mangle changes an entry's bytes before they are stored; nil: nothing does.
	mangle func([]byte) []byte
}

func newWorld(t testing.TB, seed string) *world {
	t.Helper()
	s := sha256.Sum256([]byte(seed))
	signing, err := seal.NewSigning(origin, s[:])
	if err != nil {
		t.Fatal(err)
	}
	return &world{t: t, signing: signing, chains: map[string]*chain{}, pack: []byte("id: us\nversion: \"1\"\n")}
}

// keys is the file of public keys that somebody trusts.
func (w *world) keys() []byte {
	return fmt.Appendf(nil, "# keys of %s\n%s\n%s\n%s\n", origin, w.signing.Log.Public, w.signing.Receipts.Public, w.signing.Exports.Public)
}

func (w *world) parsed() proof.Keys {
	k, err := proof.ParseKeys(w.keys())
	if err != nil {
		w.t.Fatal(err)
	}
	return k
}

func digest(parts ...any) []byte {
	s := sha256.Sum256(fmt.Append(nil, parts...))
	return s[:]
}

// add appends an entry; person is empty for a system fact.
func (w *world) add(person string, f *consentv1.Fact) ledger.Position {
	at := len(w.entries) + 1
	clear, parts := seal.Split(f)
	e := &consentv1.Entry{Position: uint64(at), RecordedAt: timestamppb.New(began.Add(time.Duration(at) * time.Minute)), EntryId: digest("id", at)[:16],
		Idempotency: digest("idempotency", at), Content: digest("content", at), Fact: clear}
	values := map[string]string{}
	for _, p := range parts {
		c := seal.Commitment(p.Class, p.Field, salt(at, p.Field), p.Value)
		e.Personal = append(e.Personal, &consentv1.SealedPart{Class: p.Class, Field: p.Field, KeyId: digest("key", p.Class)[:8], Commitment: c[:], Sealed: digest("sealed", at, p.Field)})
		values[p.Field] = string(p.Value)
	}
	if person != "" {
		c := w.chains[person]
		if c == nil {
			c = &chain{}
			w.chains[person] = c
		}
		e.Person, e.PersonSeq, e.Token = digest("person", person)[:16], c.seq+1, digest("token", at)
		if c.seq > 0 {
			e.PersonPrev = c.leaf[:]
		}
	}
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(e)
	if err != nil {
		w.t.Fatal(err)
	}
	if w.mangle != nil {
		raw = w.mangle(raw)
	}
	leaf := ledger.LeafHash(raw)
	if person != "" {
		w.chains[person].seq, w.chains[person].leaf = e.PersonSeq, leaf
	}
	hashes, err := tlog.StoredHashesForRecordHash(int64(at-1), tlog.Hash(leaf), w)
	if err != nil {
		w.t.Fatal(err)
	}
	w.hashes, w.entries, w.values = append(w.hashes, hashes...), append(w.entries, raw), append(w.values, values)
	return ledger.Position(at)
}

// ReadHashes implements tlog.HashReader.
func (w *world) ReadHashes(at []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(at))
	for i, n := range at {
		out[i] = w.hashes[n]
	}
	return out, nil
}

func salt(at int, field string) [proof.SaltBytes]byte {
	return [proof.SaltBytes]byte(digest("salt", at, field))
}

func (w *world) checkpoint() proof.Checkpoint {
	root, err := tlog.TreeHash(int64(len(w.entries)), w)
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := proof.SignCheckpoint(int64(len(w.entries)), root, w.signing.Log)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// since leads from a checkpoint of a size to the newest.
func (w *world) since(size int64) tlog.TreeProof {
	p, err := tlog.ProveTree(int64(len(w.entries)), size, w)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// record shows the entry at a position, with its parts of some classes opened.
func (w *world) record(at ledger.Position, number int, classes []consentv1.PersonalClass) Record {
	path, err := tlog.ProveRecord(int64(len(w.entries)), int64(at-1), w)
	if err != nil {
		w.t.Fatal(err)
	}
	r := Record{Position: at, Number: number, Entry: w.entries[at-1], Path: path}
	var e consentv1.Entry
	if len(classes) == 0 {
		return r
	}
	if err := proto.Unmarshal(r.Entry, &e); err != nil {
		w.t.Fatal(err)
	}
	for _, p := range e.GetPersonal() {
		for _, c := range classes {
			if c == p.GetClass() {
				s := salt(int(at), p.GetField())
				r.Opened = append(r.Opened, Opened{p.GetField(), s[:], []byte(w.values[at-1][p.GetField()])})
			}
		}
	}
	return r
}

// story is a small history: two numbers, one with two holders, a seller, a pack.
type story struct {
	*world
	numbers []string
	shown   map[ledger.Position]int // number by position
	cited   []ledger.Position
	// directory is where all histories were fixed, and proofs lead there by number.
	directory ledger.Position
	proofs    [][]byte
	wordings  []Wording
	denied    bool               // under a made-up token, which no path shows
	placed    []directory.Placed // the directory
	tokens    *directory.Tokens  // nil: nobody can tell whether tokens are the numbers' own
	// earlier is a checkpoint that the recipient has; without a note: none.
	earlier   proof.Checkpoint
	stamp     *timestamp.Stamp // over the checkpoint; nil: there is none
	unstamped bool             // an authority was asked in vain
}

// boundStory is a story in whose directory each number has one place that anybody can
// tell.
func boundStory(t testing.TB) *story {
	return tell(newWorld(t, "the ledger of a story"), directory.NewTokens(bucketToken))
}

const wordingText = "By ticking this box I agree that Acme <b>may</b> text me.\nReply STOP to end it."

// richStory is a story whose bundle has every file there is: it goes on after a
// checkpoint that the recipient has, and publishes a wording.
func richStory(t testing.TB) *story {
	s := boundStory(t)
	s.earlier = s.checkpoint()
	sum := sha256.Sum256([]byte(wordingText))
	at := s.add("", &consentv1.Fact{Source: ledger.ProgramSource, EventId: ledger.WordingEventID("web-2026-01"), Kind: &consentv1.Fact_WordingPublished{
		WordingPublished: &consentv1.WordingPublished{Id: "web-2026-01", Text: wordingText, Language: "en", Sha256: sum[:]}}})
	s.cited = append(s.cited, at)
	s.wordings = []Wording{{ID: "web-2026-01", Language: "en", Text: wordingText, Position: at, Recorded: "2026-03-01 09:44:00Z"}}
	return s
}

const (
	ann = "+12125550143"
	eve = "+447700900123"
)

func newStory(t testing.TB) *story { return tellStory(newWorld(t, "the ledger of a story")) }

func tellStory(w *world) *story { return tell(w, nil) }

// tell tells the story in a ledger whose directory has these tokens.
func tell(w *world, tokens *directory.Tokens) *story {
	s := &story{world: w, numbers: []string{ann, eve}, shown: map[ledger.Position]int{}, tokens: tokens}
	sum := sha256.Sum256(w.pack)
	s.cited = append(s.cited, w.add("", &consentv1.Fact{Source: "consent-ledger", EventId: "pack-us", Kind: &consentv1.Fact_RulePackPublished{
		RulePackPublished: &consentv1.RulePackPublished{Id: "us", Version: "1", Layer: "country", Sha256: sum[:]}}}))
	w.add("", &consentv1.Fact{Source: "crm", EventId: "seller", Kind: &consentv1.Fact_SellerRegistered{SellerRegistered: &consentv1.SellerRegistered{Id: "acme", Name: "Acme"}}})
	grant := func(id string) *consentv1.Fact {
		return &consentv1.Fact{Source: "crm", EventId: id, Sellers: []string{"acme", "other"}, Wording: "web-2026-01", Kind: &consentv1.Fact_ConsentGranted{ConsentGranted: &consentv1.ConsentGranted{
			Level: "express_written", Scope: &consentv1.Scope{Channels: []consentv1.Channel{consentv1.Channel_CHANNEL_SMS}, Purposes: []consentv1.Purpose{consentv1.Purpose_PURPOSE_MARKETING}},
			Evidence: &consentv1.Evidence{Method: "web_form", Words: "Yes <text> me & mine", Name: "Ann", Signature: "sig-1", Ip: "192.0.2.7"}}}}
	}
	stop := &consentv1.Fact{Source: "sms", Sellers: []string{"acme"}, Kind: &consentv1.Fact_ConsentRevoked{ConsentRevoked: &consentv1.ConsentRevoked{Words: "STOP", Method: "sms"}}}
	tell := func(person string, number int, f *consentv1.Fact) {
		f = proto.CloneOf(f)
		f.Number, f.EventId = append(s.numbers, "+16175550102")[number-1], fmt.Sprint("event-", len(w.entries))
		at := w.add(person, f)
		if number <= len(s.numbers) {
			s.shown[at] = number
		}
	}
	tell("ann", 1, grant("a"))
	tell("dan", 3, grant("d"))
	tell("eve", 2, grant("e"))
	tell("ann", 1, stop)
	tell("ann", 1, grant("a2"))
	tell("eve", 2, stop)
	tell("ann's successor", 1, grant("s"))
	tell("dan", 3, stop)
	s.commitDirectory()
	tell("ann", 1, stop)
	w.add("", &consentv1.Fact{Source: "consent-ledger", EventId: "writer", Kind: &consentv1.Fact_WriterStarted{WriterStarted: &consentv1.WriterStarted{Version: "test"}}})
	return s
}

// token is a number's directory token.
func token(number string) ledger.DirectoryToken {
	return ledger.DirectoryToken(append([]byte{ledger.TokenVersion}, digest("directory", number)[:16]...))
}

// token is a number's directory token in a story.
func (s *story) token(number string) ledger.DirectoryToken {
	if s.denied {
		return madeUp()
	}
	if s.tokens == nil {
		return token(number)
	}
	return bucketToken(directory.BucketOf(number))
}

func bucketToken(bucket uint16) ledger.DirectoryToken { return token(fmt.Sprint("bucket ", bucket)) }

// commitDirectory fixes the histories of the numbers, and of a third one.
func (s *story) commitDirectory() {
	records := map[string]directory.Record{"+16175550102": {}}
	covers := ledger.Position(len(s.entries))
	for at := ledger.Position(1); at <= covers; at++ {
		number := "+16175550102"
		if n := s.shown[at]; n > 0 {
			number = s.numbers[n-1]
		} else if len(s.values[at-1]) == 0 || s.values[at-1]["1"] == "" {
			continue
		}
		records[number] = records[number].Add(directory.Event{Position: at, Leaf: ledger.LeafHash(s.entries[at-1])})
	}
	var placed []directory.Placed
	statement := directory.Statement{Covers: covers, CoversRecordedAt: began, TokenKey: ledger.Hash(digest("token key"))}
	if s.tokens != nil {
		statement.TokenKey = s.tokens.Key()
	}
	for number, r := range records {
		placed = append(placed, directory.Placed{Key: directory.KeyOf(number, s.token(number)), Record: r})
		statement.Numbers, statement.Entries = statement.Numbers+1, statement.Entries+r.Count
	}
	slices.SortFunc(placed, func(a, b directory.Placed) int { return a.Key.Compare(b.Key) })
	statement.Root = directory.Build(placed, 0).Hash
	s.directory = s.add("", &consentv1.Fact{Source: "consent-ledger", EventId: "directory", Kind: &consentv1.Fact_DirectoryCommitted{DirectoryCommitted: statement.Fact()}})
	s.cited = append(s.cited, s.directory)
	s.placed = placed
	for _, n := range s.numbers {
		s.proofs = append(s.proofs, s.prove(n, s.token(n)))
	}
}

// prove leads from a number and a token to the directory.
func (s *story) prove(number string, t ledger.DirectoryToken) []byte {
	var p directory.Proof
	p.Path(directory.KeyOf(number, t), s.placed, 0)
	return p.Encode()
}

// records are what an honest bundle shows.
func (s *story) records(classes []consentv1.PersonalClass) (out []Record) {
	for at := range ledger.Position(len(s.entries) + 1) {
		if n := s.shown[at]; n > 0 {
			out = append(out, s.record(at, n, classes))
		}
	}
	return out
}

func (s *story) manifest() Manifest {
	return Manifest{Origin: origin, Produced: began.Add(24 * time.Hour), Case: "EB-26-117", Purpose: "regulator_request", Recipient: "The Attorney, Boston",
		Disclosed: AllClasses(), Through: ledger.Position(len(s.entries))}
}

// bundle makes the whole zip of what is shown.
func (s *story) bundle(m Manifest, records []Record) []byte {
	s.t.Helper()
	var out bytes.Buffer
	b := NewWriter(&out, m, s.checkpoint(), s.numbers)
	for _, r := range records {
		if err := b.Add(s.item(r)); err != nil {
			s.t.Fatal(err)
		}
	}
	for _, at := range s.cited {
		if err := b.Cite(s.record(at, 0, nil)); err != nil {
			s.t.Fatal(err)
		}
	}
	for i, number := range s.numbers {
		if number == "" {
			continue
		}
		var path []ledger.Hash
		if s.tokens != nil && !s.denied {
			path = s.tokens.Path(number)
		}
		if err := b.Complete(i+1, s.directory, s.token(number), path, s.proofs[i]); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := b.Pack(s.pack); err != nil {
		s.t.Fatal(err)
	}
	for _, w := range s.wordings {
		if err := b.Wording(w); err != nil {
			s.t.Fatal(err)
		}
	}
	if s.earlier.Note != nil {
		if err := b.Consistent(s.earlier, s.since(s.earlier.Size)); err != nil {
			s.t.Fatal(err)
		}
	}
	if s.stamp != nil {
		b.Timestamp(*s.stamp)
	}
	if s.unstamped {
		b.NoTimestamp()
	}
	sum := sha256.Sum256(s.pack)
	if err := b.Decide(Decision{Number: 1, Kind: "answer", Seller: "acme", Channel: "sms", Purpose: "marketing", Verdict: "BLOCK", At: m.Produced.Format(time.RFC3339), Position: uint64(m.Through),
		Reasons: []Reason{{Code: "CONSENT_REVOKED", Text: "The person asked to stop.", Citation: "47 CFR 64.1200(a)(10)"}}, Packs: []Pack{{"us", "1", fmt.Sprintf("%x", sum)}}}); err != nil {
		s.t.Fatal(err)
	}
	tail, whole, err := b.Finish(s.signing.Exports)
	if err != nil {
		s.t.Fatal(err)
	}
	out.Write(tail)
	if whole != sha256.Sum256(out.Bytes()) {
		s.t.Fatal("the sum is not that of the whole")
	}
	return out.Bytes()
}

func (s *story) item(r Record) Item {
	var e consentv1.Entry
	if err := proto.Unmarshal(r.Entry, &e); err != nil {
		s.t.Fatal(err)
	}
	shown := Shown{Entry: &e, Leaf: ledger.LeafHash(r.Entry)}
	it := Item{Record: r, Row: shown.Row(), Event: Event{Recorded: moment(e.GetRecordedAt()), What: string(ledger.KindOf(e.GetFact())), Source: e.GetFact().GetSource(), Wording: e.GetFact().GetWording()}}
	for _, o := range r.Opened {
		it.Event.Said = append(it.Event.Said, Said{o.Field, string(o.Value)})
	}
	return it
}
