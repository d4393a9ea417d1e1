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
	// commitEntriesMax bounds a commit: 256 KiB of entries of a byte each.
	commitEntriesMax = 1 << 18
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

// durabilities are the words of the contract, which never change.
var durabilities = map[consentv1.Durability]string{
	consentv1.Durability_DURABILITY_FSYNC: "fsync", consentv1.Durability_DURABILITY_LAZY: "lazy", consentv1.Durability_DURABILITY_UNVERIFIED: "unverified",
}

// text is what is signed.
func (c Commit) text() string {
	return fmt.Sprintf("%s\n%s\n%d\n%d\n%s\n%s\n%s\n", commitHeader, c.Origin, c.First, c.Count,
		c.RecordedAt.UTC().Format(time.RFC3339Nano), durabilities[c.Durability], encode64(c.Root[:]))
}

// parseCommit undoes text.
func parseCommit(text string) (c Commit, err error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 8 || lines[0] != commitHeader {
		return c, form("it is no signed commit")
	}
	c.Origin = lines[1]
	first, err := number(lines[2])
	if err != nil {
		return c, err
	}
	count, err := number(lines[3])
	if err != nil {
		return c, err
	}
	if first == 0 || first >= sizeMax || count == 0 || count > commitEntriesMax {
		return c, form("a commit of %d entries at position %d", count, first)
	}
	c.First, c.Count = ledger.Position(first), int(count)
	if c.RecordedAt, err = time.Parse(time.RFC3339Nano, lines[4]); err != nil {
		return c, form("its time is none")
	}
	for d, word := range durabilities {
		if word == lines[5] {
			c.Durability = d
		}
	}
	if c.Root, err = decodeHash(lines[6]); err != nil {
		return c, err
	}
	if c.Durability == 0 || c.text() != text {
		return c, form("a signed commit that is not in its one encoding")
	}
	return c, nil
}

// SignedCommit signs the root of a commit once, and makes the receipts of all its
// entries without another signature. Safe for concurrent use.
type SignedCommit struct {
	Commit
	note   []byte
	hashes []tlog.Hash
}

// SignCommit signs entries that are a whole commit. The signer's name is the origin
// and ReceiptsSuffix.
func SignCommit(entries []*ledger.Entry, d consentv1.Durability, by note.Signer) (*SignedCommit, error) {
	origin, ok := strings.CutSuffix(by.Name(), ReceiptsSuffix)
	if !ok || durabilities[d] == "" || len(entries) == 0 {
		return nil, fmt.Errorf("proof: %q signs no receipts, or there is nothing to sign", by.Name())
	}
	s := &SignedCommit{Commit: Commit{Origin: origin, First: entries[0].Position, Count: len(entries), RecordedAt: entries[0].RecordedAt, Durability: d}}
	for i, e := range entries {
		hashes, err := tlog.StoredHashesForRecordHash(int64(i), tlog.Hash(e.Leaf), tlog.HashReaderFunc(s.read))
		if err != nil {
			return nil, fmt.Errorf("proof: %w", err)
		}
		s.hashes = append(s.hashes, hashes...)
	}
	var err error
	if s.Root, err = tlog.TreeHash(int64(s.Count), tlog.HashReaderFunc(s.read)); err != nil {
		return nil, fmt.Errorf("proof: %w", err)
	}
	if s.note, err = note.Sign(&note.Note{Text: s.text()}, by); err != nil {
		return nil, fmt.Errorf("proof: sign a commit: %w", err)
	}
	return s, nil
}

func (s *SignedCommit) read(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		if at >= int64(len(s.hashes)) {
			return nil, fmt.Errorf("proof: no hash %d in a commit of %d entries", at, s.Count)
		}
		out[i] = s.hashes[at]
	}
	return out, nil
}

// Receipt gives the receipt of the entry at a position of the commit. It speaks of
// the entry's hash alone; set Entry to hand out its bytes too.
func (s *SignedCommit) Receipt(at ledger.Position) (Receipt, error) {
	if at < s.First || at >= s.First+ledger.Position(s.Count) {
		return Receipt{}, fmt.Errorf("proof: position %d is not in the commit at %d", at, s.First)
	}
	i := int64(at - s.First)
	path, err := tlog.ProveRecord(int64(s.Count), i, tlog.HashReaderFunc(s.read))
	if err != nil {
		return Receipt{}, fmt.Errorf("proof: %w", err)
	}
	return Receipt{Position: at, Leaf: ledger.Hash(s.hashes[tlog.StoredHashIndex(0, i)]), Path: path, Commit: s.note}, nil
}
