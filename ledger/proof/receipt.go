package proof

import (
	"bytes"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// receiptHeader is the first line of a receipt.
const receiptHeader = "consent-ledger/receipt@v1"

// Receipt is the ledger's signed word that an entry is in it, at a position, for
// ever. Whoever holds it can show, to anybody who has the public key, that the
// ledger took these bytes; a ledger that cannot produce them later has broken it.
type Receipt struct {
	Position ledger.Position
	Leaf     ledger.Hash
	// Entry is the stored bytes; nil if the receipt speaks of their hash alone.
	Entry []byte
	// Path leads from the leaf to the commit's root.
	Path tlog.RecordProof
	// Commit is the signed root.
	Commit []byte
}

// Encode gives the file.
func (r Receipt) Encode() []byte {
	var b strings.Builder
	b.WriteString(receiptHeader + "\n")
	if r.Entry != nil {
		b.WriteString("entry " + encode64(r.Entry) + "\n")
	} else {
		b.WriteString("leaf " + encode64(r.Leaf[:]) + "\n")
	}
	b.WriteString("position " + decimal(uint64(r.Position)) + "\n")
	for _, h := range r.Path {
		b.WriteString(encode64(h[:]) + "\n")
	}
	b.WriteString("\n")
	b.Write(r.Commit)
	return []byte(b.String())
}

// DecodeReceipt reads the file.
func DecodeReceipt(file []byte) (r Receipt, err error) {
	head, commit, found := bytes.Cut(file, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	if !found || len(lines) < 3 || lines[0] != receiptHeader {
		return r, form("it is no receipt")
	}
	r.Commit = commit
	if raw, ok := strings.CutPrefix(lines[1], "entry "); ok {
		if r.Entry, err = decode64(raw); err == nil && (len(r.Entry) == 0 || len(r.Entry) > ledger.EntryBytesMax) {
			err = form("an entry of %d bytes", len(r.Entry))
		}
		r.Leaf = ledger.LeafHash(r.Entry)
	} else if raw, ok := strings.CutPrefix(lines[1], "leaf "); ok {
		var h tlog.Hash
		h, err = decodeHash(raw)
		r.Leaf = ledger.Hash(h)
	} else {
		err = form("a receipt of nothing")
	}
	if err != nil {
		return r, err
	}
	at, ok := strings.CutPrefix(lines[2], "position ")
	n, err := number(at)
	if err != nil || !ok {
		return r, form("a receipt without a position")
	}
	r.Position = ledger.Position(n)
	if r.Path, err = decodePath(lines[3:]); err != nil {
		return r, err
	}
	if !bytes.Equal(r.Encode(), file) {
		return r, form("a receipt that is not in its one encoding")
	}
	return r, nil
}

// Promise is what a receipt that was checked says.
type Promise struct {
	Origin     string
	Position   ledger.Position
	Leaf       ledger.Hash
	RecordedAt time.Time
	Durability consentv1.Durability
	// Entry is nil if the receipt does not hold it.
	Entry *consentv1.Entry
}

// Check checks a receipt with the key that signs this ledger's receipts.
func (r Receipt) Check(key note.Verifier) (Promise, error) {
	n, err := OpenNote(r.Commit, key)
	if err != nil {
		return Promise{}, err
	}
	c, err := parseCommit(n.Text)
	if err != nil {
		return Promise{}, err
	}
	if c.Origin+ReceiptsSuffix != key.Name() {
		return Promise{}, refuted("a receipt of %q signed by the key %q", c.Origin, key.Name())
	}
	if r.Position < c.First || r.Position >= c.First+ledger.Position(c.Count) {
		return Promise{}, refuted("position %d is not among those signed", r.Position)
	}
	if err := tlog.CheckRecord(r.Path, int64(c.Count), c.Root, int64(r.Position-c.First), tlog.Hash(r.Leaf)); err != nil {
		return Promise{}, refuted("these bytes are not what was signed for position %d", r.Position)
	}
	p := Promise{Origin: c.Origin, Position: r.Position, Leaf: r.Leaf, RecordedAt: c.RecordedAt, Durability: c.Durability}
	if r.Entry == nil {
		return p, nil
	}
	p.Entry = &consentv1.Entry{}
	if err := proto.Unmarshal(r.Entry, p.Entry); err != nil {
		return Promise{}, form("what was signed is no entry")
	}
	if len(p.Entry.GetEntryId()) != len(ledger.EntryID{}) {
		return Promise{}, form("what was signed is an entry without an id")
	}
	if p.Entry.GetPosition() != uint64(r.Position) || !p.Entry.GetRecordedAt().AsTime().Equal(c.RecordedAt) {
		return Promise{}, refuted("the entry says position %d and another time or place than what was signed", p.Entry.GetPosition())
	}
	return p, nil
}
