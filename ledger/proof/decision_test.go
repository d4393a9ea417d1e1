package proof_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	ours "github.com/consent-ledger/consent-ledger/ledger/proof"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

const askedNumber = "+12025550143"

var decidedAt = time.Date(2026, 3, 2, 9, 30, 0, 7, time.UTC)

func saltOf(i int) (s [ours.SaltBytes]byte) {
	copy(s[:], bytes.Repeat([]byte{byte(i + 1)}, len(s)))
	return s
}

// statementOf makes the i-th answer of a batch: they differ in all that can differ.
func statementOf(i int) ours.Statement {
	yes := i%2 == 0
	s := ours.Statement{ID: ledger.EntryID(bytes.Repeat([]byte{byte(i + 1)}, 16)), DecidedAt: decidedAt.Add(time.Duration(i)),
		Number: ours.CommitNumber(saltOf(i), askedNumber),
		Question: &consentv1.Question{Campaign: "spring", Seller: "acme", Channel: consentv1.Channel_CHANNEL_VOICE_LIVE, Purpose: consentv1.Purpose_PURPOSE_MARKETING,
			Programme: "gold", Subject: "roofs", Sector: "claims_management", Content: &consentv1.ContentFlags{Marketing: &yes, OptOutNotice: &yes}},
		Decision: &consentv1.Decision{Verdict: consentv1.Verdict_VERDICT_BLOCK, Position: uint64(40 + i), At: timestamppb.New(decidedAt), Tzdata: "2026a",
			NextAllowedAt: timestamppb.New(decidedAt.Add(time.Hour)),
			Reasons:       []*consentv1.Reason{{Code: "REGISTRY_LISTED", Rule: "us/national-registry", Text: "not signed"}, {Code: "STATE_STALE"}},
			Packs: []*consentv1.PackUse{{Id: "us", Version: "1", Sha256: strings.Repeat("0a", 32)},
				{Id: "acme", Version: "of spring, 2", Sha256: strings.Repeat("0b", 32)}},
			Lists: []*consentv1.ListUse{{Registry: "us_national_dnc", VersionDate: "2026-02-28", Listed: true}, {Registry: "us_state_dnc", VersionDate: "2026-02-01"},
				{Registry: "us_rnd"}}}}
	switch i % 3 {
	case 1:
		s.Decision = &consentv1.Decision{Verdict: consentv1.Verdict_VERDICT_ALLOW, Basis: "OK_WRITTEN_CONSENT", Position: uint64(40 + i),
			At:         timestamppb.New(decidedAt),
			ValidUntil: timestamppb.New(decidedAt.Add(48 * time.Hour))}
		s.Question = &consentv1.Question{Seller: "acme", Channel: consentv1.Channel_CHANNEL_SMS, Purpose: consentv1.Purpose_PURPOSE_SURVEY}
	case 2:
		s.Unreadable, s.Number = true, ours.CommitNumber(saltOf(i), "letters")
		s.Question.AsOf = timestamppb.New(decidedAt.Add(-time.Hour))
	}
	return s
}

func textOf(t testing.TB, s ours.Statement) string {
	t.Helper()
	text, err := s.Text()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// decisionsOf gives the receipts of a batch.
func decisionsOf(t testing.TB, count int) (out []ours.DecisionReceipt) {
	t.Helper()
	var texts []string
	var leaves []ledger.Hash
	for i := range count {
		texts = append(texts, textOf(t, statementOf(i)))
		leaves = append(leaves, ledger.LeafHash([]byte(texts[i])))
	}
	s, err := ours.SignDecisions(ours.Decisions{Sequence: 7, RecordedAt: recorded, Durability: consentv1.Durability_DURABILITY_FSYNC}, leaves, keys(t).Receipts)
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range texts {
		salt := saltOf(i)
		r, err := s.Receipt(i, text, salt[:])
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

func checkDecision(t testing.TB, file []byte) (ours.Answer, error) {
	t.Helper()
	r, err := ours.DecodeDecision(file)
	if err != nil {
		return ours.Answer{}, err
	}
	return r.Check(keys(t).Receipts.Verifier)
}

func TestReceiptsOfEveryDecision(t *testing.T) {
	for _, count := range []int{1, 2, 3, 7, 100} {
		for i, r := range decisionsOf(t, count) {
			a, err := checkDecision(t, r.Encode())
			if err != nil {
				t.Fatalf("decision %d of %d: %v", i, count, err)
			}
			want := statementOf(i)
			if got := textOf(t, a.Statement); got != textOf(t, want) || a.ID != want.ID || !a.DecidedAt.Equal(want.DecidedAt) ||
				a.Decision.GetVerdict() != want.Decision.GetVerdict() ||
				a.Decision.GetPosition() != want.Decision.GetPosition() || a.Batch.Sequence != 7 || a.Batch.Count != count || !a.Batch.RecordedAt.Equal(recorded) {
				t.Fatalf("decision %d of %d says %+v", i, count, a)
			}
			number := askedNumber
			if want.Unreadable {
				number = "letters"
			}
			if !a.Asked(number) || a.Asked("+12025550144") || a.Asked("") {
				t.Errorf("decision %d of %d: which number it is about is not told", i, count)
			}
			// Without its salt it verifies, and nobody can tell the number.
			r.Salt = nil
			if a, err = checkDecision(t, r.Encode()); err != nil || a.Opened || a.Asked(number) {
				t.Errorf("decision %d of %d without its salt: %v", i, count, err)
			}
		}
	}
}

// Every byte is changed: none is accepted, except that a salt may become another one,
// which then opens nothing.
func TestEveryChangedByteOfADecisionIsRefused(t *testing.T) {
	for _, place := range []int{0, 1, 2} {
		file := decisionsOf(t, 6)[place].Encode()
		from := bytes.Index(file, []byte("\nsalt ")) + len("\nsalt ")
		for i := range file {
			for _, bit := range bits(i) {
				changed := bytes.Clone(file)
				changed[i] ^= 1 << bit
				a, err := checkDecision(t, changed)
				inSalt := i >= from && i < from+44
				if err == nil && (!inSalt || a.Asked(askedNumber) || a.Asked("letters")) {
					t.Fatalf("byte %d, bit %d: accepted\n%s", i, bit, changed)
				}
			}
			if _, err := checkDecision(t, file[:i]); err == nil {
				t.Fatalf("cut at %d: accepted", i)
			}
		}
	}
}

func TestDecisionsThatProveNothing(t *testing.T) {
	rs := decisionsOf(t, 6)
	moved, other, shorter := rs[3], rs[3], rs[3]
	moved.Index++
	other.Statement = rs[2].Statement
	shorter.Path = shorter.Path[1:]
	for name, r := range map[string]ours.DecisionReceipt{"another place": moved, "another answer": other, "a shorter path": shorter} {
		if _, err := checkDecision(t, r.Encode()); !errors.Is(err, ours.ErrRefuted) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What is signed for one purpose is never read as the other, though the key is one.
	entries := commitOf(t, 1, 1)
	asDecision, asEntry := rs[0], receiptOf(t, entries, 0, false)
	asDecision.Note, asEntry.Commit = asEntry.Commit, asDecision.Note
	if _, err := checkDecision(t, asDecision.Encode()); !errors.Is(err, ours.ErrForm) {
		t.Errorf("a signed commit as decisions: %v", err)
	}
	if _, err := checkFile(t, asEntry.Encode()); !errors.Is(err, ours.ErrForm) {
		t.Errorf("signed decisions as a commit: %v", err)
	}
	if _, err := rs[0].Check(keys(t).Exports.Verifier); !errors.Is(err, ours.ErrUnsigned) {
		t.Errorf("the key for exports: %v", err)
	}
	if _, err := ours.SignDecisions(ours.Decisions{Sequence: 7, RecordedAt: recorded, Durability: consentv1.Durability_DURABILITY_FSYNC},
		make([]ledger.Hash, 1), keys(t).Log); err == nil {
		t.Error("the key for checkpoints signs decisions")
	}
}

// signedText is a receipt whose statement is any text at all, signed as it stands: a
// ledger that lies, or a later version.
func signedText(t testing.TB, text string) []byte {
	t.Helper()
	s, err := ours.SignDecisions(ours.Decisions{Sequence: 7, RecordedAt: recorded, Durability: consentv1.Durability_DURABILITY_FSYNC},
		[]ledger.Hash{ledger.LeafHash([]byte(text))}, keys(t).Receipts)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Receipt(0, text, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r.Encode()
}

func TestStatementsHaveOneEncoding(t *testing.T) {
	good := textOf(t, statementOf(0))
	if _, err := checkDecision(t, signedText(t, good)); err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(good, "\n")
	swapped := slices.Clone(lines)
	swapped[1], swapped[2] = swapped[2], swapped[1]
	with := func(old, instead string) string { return strings.Replace(good, old, instead, 1) }
	for name, bad := range map[string]string{
		"a line twice":              with("verdict BLOCK\n", "verdict BLOCK\nverdict BLOCK\n"),
		"two verdicts":              with("verdict BLOCK\n", "verdict ALLOW\nverdict BLOCK\n"),
		"another order":             strings.Join(swapped, ""),
		"an unknown line":           with("tzdata", "tzdate"),
		"an unknown verdict":        with("BLOCK", "MAYBE"),
		"no verdict":                with("verdict BLOCK\n", ""),
		"an unknown channel":        with("voice_live", "telepathy"),
		"a control character":       with("roofs", "ro\rofs"),
		"two blanks":                with("seller acme", "seller  acme"),
		"a blank at the end":        with("seller acme", "seller acme "),
		"a number with zeroes":      with("position 40", "position 040"),
		"another zone":              with("000007Z", "000007+00:00"),
		"empty":                     "x\n",
		"another header":            with("decision@v1", "decision@v2"),
		"an id of capitals":         with("id 0101", "id 0A01"),
		"a short id":                with("id 0101", "id 01"),
		"a list neither on nor off": with("not-listed", "unlisted"),
		"a pack without a version":  with(strings.Repeat("0a", 32)+" 1", strings.Repeat("0a", 32)),
	} {
		if bad == good {
			t.Fatalf("%s: nothing was changed", name)
		}
		if _, err := checkDecision(t, signedText(t, bad)); !errors.Is(err, ours.ErrForm) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What does not fit into a line is refused before it is signed.
	s := statementOf(0)
	s.Question.Seller = "acme\nverdict ALLOW"
	if text, err := s.Text(); err == nil {
		t.Errorf("a line within a line:\n%s", text)
	}
	// A pack's version is free text, and is put into one line.
	s = statementOf(0)
	s.Decision.Packs[0].Version = "first\nline  and more"
	if text, err := s.Text(); err != nil || !strings.Contains(text, " first line and more\n") {
		t.Errorf("%v\n%s", err, text)
	}
}

// The proof library of transparency-dev takes the path of a decision, and openssl the
// signature over its batch.
func TestOthersCheckADecision(t *testing.T) {
	r := decisionsOf(t, 11)[6]
	n, err := ours.OpenNote(r.Note, keys(t).Receipts.Verifier)
	if err != nil {
		t.Fatal(err)
	}
	root, err := base64.StdEncoding.DecodeString(strings.Split(n.Text, "\n")[6])
	if err != nil {
		t.Fatal(err)
	}
	var path [][]byte
	for _, h := range r.Path {
		path = append(path, h[:])
	}
	leaf := rfc6962.DefaultHasher.HashLeaf([]byte(r.Statement))
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, 6, 11, leaf, path, root); err != nil {
		t.Error(err)
	}
	text, signature := split(t, r.Note)
	if err := openssl(t, derKey(t, keys(t).Receipts.Public), text, signature); err != nil {
		t.Error(err)
	}
}

// decisionVectors is decisions.json.
type decisionVectors struct {
	Keys      string           `json:"keys"`
	Decisions []decisionVector `json:"decisions"`
	Refused   []refusedVector  `json:"refused"`
}

type decisionVector struct {
	File     string    `json:"file"`
	ID       string    `json:"id"`
	Decided  time.Time `json:"decided"`
	Verdict  string    `json:"verdict"`
	Position uint64    `json:"position"`
	Sequence uint64    `json:"sequence"`
	// Number is what the file's salt opens; empty: it has none.
	Number string `json:"number,omitempty"`
}

func makeDecisionVectors(t *testing.T) map[string][]byte {
	t.Helper()
	v, files := decisionVectors{Keys: "keys"}, map[string][]byte{}
	rs := decisionsOf(t, 6)
	sealed := rs[4]
	sealed.Salt = nil
	for _, x := range []struct {
		name, number string
		r            ours.DecisionReceipt
		i            int
	}{
		{"block.decision", askedNumber, rs[3], 3},
		{"allow.decision", askedNumber, rs[1], 1},
		{"unreadable.decision", "letters", rs[2], 2},
		{"sealed.decision", "", sealed, 4},
		{"alone.decision", askedNumber, decisionsOf(t, 1)[0], 0},
	} {
		files[x.name] = x.r.Encode()
		s := statementOf(x.i)
		v.Decisions = append(v.Decisions, decisionVector{x.name, s.ID.String(), s.DecidedAt,
			strings.TrimPrefix(s.Decision.GetVerdict().String(), "VERDICT_"), s.Decision.GetPosition(), 7, x.number})
	}
	for _, x := range []struct{ name, why, from, old, new string }{
		{"allowed.decision", "the verdict was changed", "block.decision", "verdict BLOCK", "verdict ALLOW"},
		{"later.decision", "the instant was changed", "allow.decision", "decided 2026-03-02T09", "decided 2026-03-02T10"},
		{"moved.decision", "the place is another one of the same batch", "block.decision", "index 3", "index 2"},
		{"beyond.decision", "the place is not in the batch", "block.decision", "index 3", "index 6"},
		{"resigned.decision", "the signed number of the message was changed", "block.decision", "\n7\n6\n", "\n8\n6\n"},
		{"lax-index.decision", "a number with a leading zero", "block.decision", "index 3", "index 03"},
		{"added.decision", "a line was added", "allow.decision", "verdict ALLOW\n", "verdict ALLOW\nreason OK_EXEMPT\n"},
	} {
		files["refused/"+x.name] = []byte(strings.Replace(string(files[x.from]), x.old, x.new, 1))
		if bytes.Equal(files["refused/"+x.name], files[x.from]) {
			t.Fatalf("%s: nothing was changed", x.name)
		}
		v.Refused = append(v.Refused, refusedVector{File: "refused/" + x.name, Why: x.why})
	}
	files["refused/free.decision"] = signedText(t, strings.Replace(textOf(t, statementOf(1)), "seller acme\n", "seller  acme\n", 1))
	v.Refused = append(v.Refused, refusedVector{File: "refused/free.decision", Why: "signed, and not in the one encoding"})
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	files["decisions.json"] = append(raw, '\n')
	return files
}

// TestDecisionVectors: what was published once is what today's program makes, and is
// read as a stranger would read it.
func TestDecisionVectors(t *testing.T) {
	stay(t, makeDecisionVectors(t))
	var v decisionVectors
	if err := json.Unmarshal(vector(t, "decisions.json"), &v); err != nil {
		t.Fatal(err)
	}
	trusted, err := ours.ParseKeys(vector(t, v.Keys))
	if err != nil {
		t.Fatal(err)
	}
	key, err := trusted.Receipts()
	if err != nil {
		t.Fatal(err)
	}
	open := func(name string) (ours.Answer, error) {
		r, err := ours.DecodeDecision(vector(t, name))
		if err != nil {
			return ours.Answer{}, err
		}
		return r.Check(key)
	}
	for _, d := range v.Decisions {
		a, err := open(d.File)
		if err != nil || a.ID.String() != d.ID || !a.DecidedAt.Equal(d.Decided) || a.Decision.GetVerdict().String() != "VERDICT_"+d.Verdict ||
			a.Decision.GetPosition() != d.Position ||
			a.Batch.Sequence != d.Sequence || a.Opened != (d.Number != "") || a.Opened && !a.Asked(d.Number) {
			t.Errorf("%s: %+v, %v", d.File, a, err)
		}
	}
	for _, r := range v.Refused {
		if _, err := open(r.File); err == nil {
			t.Errorf("%s was accepted, although %s", r.File, r.Why)
		}
	}
}

func FuzzDecodeDecision(f *testing.F) {
	for _, r := range decisionsOf(f, 3) {
		f.Add(r.Encode())
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := ours.DecodeDecision(file)
		if err != nil {
			return
		}
		if !bytes.Equal(r.Encode(), file) {
			t.Fatal("another encoding of the same receipt is accepted")
		}
		if s, err := ours.ParseStatement(r.Statement); err == nil {
			if text, err := s.Text(); err != nil || text != r.Statement {
				t.Fatalf("another encoding of the same statement is accepted: %v", err)
			}
		}
	})
}

// BenchmarkDecisionReceipt makes the receipts of a batch: the signature is one.
func BenchmarkDecisionReceipt(b *testing.B) {
	for _, count := range []int{1, 64, 256} {
		b.Run(decimal(count), func(b *testing.B) {
			var leaves []ledger.Hash
			text, by := textOf(b, statementOf(0)), keys(b).Receipts
			for range count {
				leaves = append(leaves, ledger.LeafHash([]byte(text)))
			}
			for b.Loop() {
				s, err := ours.SignDecisions(ours.Decisions{Sequence: 7, RecordedAt: recorded, Durability: consentv1.Durability_DURABILITY_FSYNC}, leaves, by)
				if err != nil {
					b.Fatal(err)
				}
				for i := range count {
					if _, err := s.Receipt(i, text, nil); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*count), "ns/receipt")
		})
	}
}
