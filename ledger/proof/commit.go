package proof

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

const (
	// commitHeader is the first line of a signed commit. Its words keep it from ever
	// being read as a checkpoint, and so does the name of its key.
	commitHeader = "consent-ledger/commit@v1"
	// ReceiptsSuffix follows the origin in the name of the key that signs commits.
	ReceiptsSuffix = "/receipts"
)

// Commit is what is signed about one group of entries that became durable together.
type Commit struct {
	Origin     string
	First      ledger.Position
	Count      int
	RecordedAt time.Time
	Durability consentv1.Durability
	// Root is that of the Merkle tree (RFC 9162 section 2.1) over the leaf hashes of
	// its entries alone.
	Root tlog.Hash
}

// text is what is signed.
func (c Commit) text() string {
	return group{c.Origin, uint64(c.First), c.Count, c.RecordedAt, c.Durability, c.Root}.text(commitHeader)
}

// parseCommit undoes text.
func parseCommit(text string) (Commit, error) {
	g, err := parseGroup(commitHeader, text)
	return Commit{g.origin, ledger.Position(g.number), g.count, g.recordedAt, g.durability, g.root}, err
}

// SignedCommit signs the root of a commit once, and makes the receipts of all its
// entries without another signature. Safe for concurrent use.
type SignedCommit struct {
	Commit
	note []byte
	tree SmallTree
}

// SignCommit signs entries that are a whole commit. The signer's name is the origin
// and ReceiptsSuffix.
func SignCommit(entries []*ledger.Entry, d consentv1.Durability, by note.Signer) (*SignedCommit, error) {
	origin, ok := strings.CutSuffix(by.Name(), ReceiptsSuffix)
	if !ok || durabilities[d] == "" || len(entries) == 0 {
		return nil, fmt.Errorf("proof: %q signs no receipts, or there is nothing to sign", by.Name())
	}
	s := &SignedCommit{Commit: Commit{Origin: origin, First: entries[0].Position, Count: len(entries), RecordedAt: entries[0].RecordedAt, Durability: d}}
	for _, e := range entries {
		if err := s.tree.Add(e.Leaf); err != nil {
			return nil, err
		}
	}
	var err error
	if s.Root, err = s.tree.Root(); err != nil {
		return nil, err
	}
	if s.note, err = note.Sign(&note.Note{Text: s.text()}, by); err != nil {
		return nil, fmt.Errorf("proof: sign a commit: %w", err)
	}
	return s, nil
}

// Receipt gives the receipt of the entry at a position of the commit. It speaks of
// the entry's hash alone; set Entry to hand out its bytes too.
func (s *SignedCommit) Receipt(at ledger.Position) (Receipt, error) {
	if at < s.First || at >= s.First+ledger.Position(s.Count) {
		return Receipt{}, fmt.Errorf("proof: position %d is not in the commit at %d", at, s.First)
	}
	leaf, path, err := s.tree.prove(int(at - s.First))
	if err != nil {
		return Receipt{}, err
	}
	return Receipt{Position: at, Leaf: leaf, Path: path, Commit: s.note}, nil
}
