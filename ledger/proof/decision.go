package proof

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

const (
	// DecisionHeader is the first line of a decision receipt.
	DecisionHeader = "consent-ledger/decision-receipt@v1"
	// decisionsHeader is the first line of a signed batch of decisions. The key is that
	// of receipts: its words keep one from being read as the other.
	decisionsHeader = "consent-ledger/decisions@v1"
)

// Decisions is what is signed about the decisions that became durable together.
type Decisions struct {
	Origin string
	// Sequence is the message of CONSENT_ATTEMPTS that holds them.
	Sequence uint64
	// Count is how many of its decisions have a statement.
	Count      int
	RecordedAt time.Time
	Durability consentv1.Durability
	// Root is that of the Merkle tree over the leaves of their statements alone, in
	// the message's order.
	Root tlog.Hash
}

func (d Decisions) text() string {
	return group{d.Origin, d.Sequence, d.Count, d.RecordedAt, d.Durability, d.Root}.text(decisionsHeader)
}

// SignedDecisions signs a batch once, and makes all its receipts without another
// signature. Safe for concurrent use.
type SignedDecisions struct {
	Decisions
	note []byte
	tree SmallTree
}

// SignDecisions signs the statements of one message, given by their leaves. The
// signer's name is the origin and ReceiptsSuffix; d's origin, count and root are
// filled in.
func SignDecisions(d Decisions, statements []ledger.Hash, by note.Signer) (*SignedDecisions, error) {
	origin, ok := strings.CutSuffix(by.Name(), ReceiptsSuffix)
	if !ok || durabilities[d.Durability] == "" || len(statements) == 0 || d.Sequence == 0 {
		return nil, fmt.Errorf("proof: %q signs no decisions, or there is nothing to sign", by.Name())
	}
	s := &SignedDecisions{Decisions: d}
	for _, leaf := range statements {
		if err := s.tree.Add(leaf); err != nil {
			return nil, err
		}
	}
	var err error
	s.Origin, s.Count = origin, len(statements)
	if s.Root, err = s.tree.Root(); err != nil {
		return nil, err
	}
	if s.note, err = note.Sign(&note.Note{Text: s.text()}, by); err != nil {
		return nil, fmt.Errorf("proof: sign decisions: %w", err)
	}
	return s, nil
}

// Receipt gives the receipt of one statement by its place among those signed. salt
// opens its number; nil leaves that out.
func (s *SignedDecisions) Receipt(i int, statement string, salt []byte) (DecisionReceipt, error) {
	if i < 0 || i >= s.Count {
		return DecisionReceipt{}, fmt.Errorf("proof: no statement %d in message %d", i, s.Sequence)
	}
	_, path, err := s.tree.prove(i)
	return DecisionReceipt{Statement: statement, Salt: salt, Index: i, Path: path, Note: s.note}, err
}

// DecisionReceipt is the ledger's signed word that it gave this answer, and keeps
// it. Whoever was given the answer can show it to anybody who has the public key.
type DecisionReceipt struct {
	// Statement is what was asked and answered; its leaf is under the root.
	Statement string
	// Salt opens the commitment to the number. Who has it can find the number by
	// trying; nil: it was taken out.
	Salt []byte
	// Index is the statement's place in the batch; Path leads to its root.
	Index int
	Path  tlog.RecordProof
	// Note is the signed root.
	Note []byte
}

// Encode gives the file.
func (r DecisionReceipt) Encode() []byte {
	var b strings.Builder
	b.WriteString(DecisionHeader + "\n" + r.Statement + "\n")
	if r.Salt != nil {
		b.WriteString("salt " + encode64(r.Salt) + "\n")
	}
	b.WriteString("index " + decimal(uint64(r.Index)) + "\n")
	for _, h := range r.Path {
		b.WriteString(encode64(h[:]) + "\n")
	}
	b.WriteString("\n")
	b.Write(r.Note)
	return []byte(b.String())
}

// DecodeDecision reads the file.
func DecodeDecision(file []byte) (r DecisionReceipt, err error) {
	rest, found := bytes.CutPrefix(file, []byte(DecisionHeader+"\n"))
	statement, rest, ends := bytes.Cut(rest, []byte("\n\n"))
	place, signed, ends2 := bytes.Cut(rest, []byte("\n\n"))
	if !found || !ends || !ends2 {
		return r, form("it is no decision receipt")
	}
	r.Statement, r.Note = string(statement)+"\n", signed
	lines := strings.Split(string(place), "\n")
	if salt, ok := strings.CutPrefix(lines[0], "salt "); ok {
		if r.Salt, err = decode64(salt); err == nil && len(r.Salt) != SaltBytes {
			err = form("a salt of %d bytes", len(r.Salt))
		}
		if lines = lines[1:]; err != nil {
			return r, err
		}
	}
	if len(lines) == 0 {
		return r, form("a statement without its place")
	}
	at, ok := strings.CutPrefix(lines[0], "index ")
	n, err := number(at)
	if err != nil || !ok || n >= groupMax {
		return r, form("a statement without its place")
	}
	r.Index = int(n)
	if r.Path, err = decodePath(lines[1:]); err != nil {
		return r, err
	}
	if !bytes.Equal(r.Encode(), file) {
		return r, form("a decision receipt that is not in its one encoding")
	}
	return r, nil
}

// Answer is what a decision receipt that was checked says.
type Answer struct {
	Statement
	Batch Decisions
	// Opened: the receipt holds the salt, so that Asked can tell which number it is of.
	Opened bool
	salt   [SaltBytes]byte
}

// Check checks a receipt with the key that signs this ledger's receipts.
func (r DecisionReceipt) Check(key note.Verifier) (Answer, error) {
	n, err := OpenNote(r.Note, key)
	if err != nil {
		return Answer{}, err
	}
	g, err := parseGroup(decisionsHeader, n.Text)
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Batch: Decisions{g.origin, g.number, g.count, g.recordedAt, g.durability, g.root}, Opened: r.Salt != nil}
	if g.origin+ReceiptsSuffix != key.Name() {
		return Answer{}, refuted("decisions of %q signed by the key %q", g.origin, key.Name())
	}
	if r.Index >= g.count || tlog.CheckRecord(r.Path, int64(g.count), g.root, int64(r.Index), tlog.Hash(ledger.LeafHash([]byte(r.Statement)))) != nil {
		return Answer{}, refuted("this answer is not among those signed")
	}
	if a.Statement, err = ParseStatement(r.Statement); err != nil {
		return Answer{}, err
	}
	copy(a.salt[:], r.Salt)
	return a, nil
}

// Asked tells whether the answer is about a number, given in E.164; or, if none could
// be read, as it was asked about. It needs the salt.
func (a Answer) Asked(number string) bool {
	return a.Opened && CommitNumber(a.salt, number) == a.Number
}
