package directory

import (
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Statement is a DirectoryCommitted: what the ledger said of every number's
// history up to a position.
type Statement struct {
	// Covers is the last position in it, and CoversRecordedAt when its entry was
	// recorded. Later entries, up to the statement's own position, are not in it.
	Covers           ledger.Position
	CoversRecordedAt time.Time
	Root             ledger.Hash
	Numbers          uint64
	Entries          uint64 // about numbers
	TokenKey         ledger.Hash
}

// Fact gives the statement as a fact's content. Two ledgers of the same entries and
// keys make the same one at the same position.
func (s Statement) Fact() *consentv1.DirectoryCommitted {
	return &consentv1.DirectoryCommitted{Format: Format, CoversPosition: uint64(s.Covers), CoversRecordedAt: timestamppb.New(s.CoversRecordedAt),
		Root: s.Root[:], Numbers: s.Numbers, Entries: s.Entries, TokenKey: s.TokenKey[:]}
}

// StatementOf undoes Fact.
func StatementOf(m *consentv1.DirectoryCommitted) (s Statement, err error) {
	if m.GetFormat() != Format {
		return s, form("a directory of format %d; this program reads format %d", m.GetFormat(), Format)
	}
	if len(m.GetRoot()) != len(s.Root) || len(m.GetTokenKey()) != len(s.TokenKey) || !m.GetCoversRecordedAt().IsValid() {
		return s, form("a root, token key or time of an impossible size")
	}
	if m.GetNumbers() > m.GetEntries() || m.GetEntries() > m.GetCoversPosition() || (m.GetNumbers() == 0) != (m.GetEntries() == 0) {
		return s, refuted("%d numbers with %d entries up to position %d", m.GetNumbers(), m.GetEntries(), m.GetCoversPosition())
	}
	return Statement{Covers: ledger.Position(m.GetCoversPosition()), CoversRecordedAt: m.GetCoversRecordedAt().AsTime(), Root: ledger.Hash(m.GetRoot()),
		Numbers: m.GetNumbers(), Entries: m.GetEntries(), TokenKey: ledger.Hash(m.GetTokenKey())}, nil
}

// ReadStatement reads the stored entry of a DirectoryCommitted. That the entry is in
// the ledger is for its proof of inclusion to show.
func ReadStatement(entry []byte) (Statement, error) {
	var e consentv1.Entry
	if err := proto.Unmarshal(entry, &e); err != nil {
		return Statement{}, form("no entry: %s", err)
	}
	m := e.GetFact().GetDirectoryCommitted()
	if m == nil {
		return Statement{}, form("an entry that is no DirectoryCommitted")
	}
	s, err := StatementOf(m)
	if err == nil && uint64(s.Covers) >= e.GetPosition() {
		err = refuted("a directory at position %d that covers position %d", e.GetPosition(), s.Covers)
	}
	return s, err
}
