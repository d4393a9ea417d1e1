package ledger

import (
	"fmt"
	"runtime"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// TokenOpener opens an entry's sealed token; zero tokens if it has none. Safe
// for concurrent use.
type TokenOpener interface {
	OpenToken(e *consentv1.Entry) (ExchangeToken, Token, error)
}

// DecodeCommit reads a stored commit: entries in order, tokens opened. A commit
// whose positions do not run on from its first is an error. The entries share
// the message's bytes.
func DecodeCommit(m Message, o TokenOpener) ([]*Entry, error) {
	var c consentv1.Commit
	if err := unmarshalCommit(m.Data, &c); err != nil {
		return nil, fmt.Errorf("ledger: message %d is no commit: %w", m.Seq, err)
	}
	if len(c.GetEntries()) == 0 || c.GetFirstPosition() == 0 {
		return nil, fmt.Errorf("ledger: message %d is an empty commit", m.Seq)
	}
	out := make([]*Entry, len(c.GetEntries()))
	for i, raw := range c.GetEntries() {
		e, err := DecodeEntry(raw, o)
		if err != nil {
			return nil, fmt.Errorf("ledger: message %d: entry %d: %w", m.Seq, i, err)
		}
		if want := Position(c.GetFirstPosition()) + Position(i); e.Position != want {
			return nil, fmt.Errorf("ledger: message %d: position %d where %d is due", m.Seq, e.Position, want)
		}
		out[i] = e
	}
	return out, nil
}

// Breathe lets other goroutines run at every eighth step of a long loop. Without
// it a single stop waits for whole time slices of bulk work on a busy machine.
func Breathe(i int) {
	if i%8 == 7 {
		runtime.Gosched()
	}
}

// DecodeEntry reads one stored entry, which shares its bytes.
func DecodeEntry(raw []byte, o TokenOpener) (*Entry, error) {
	msg, err := unmarshalEntry(raw)
	if err != nil {
		return nil, fmt.Errorf("no entry: %w", err)
	}
	if len(msg.GetEntryId()) != len(EntryID{}) || len(raw) > EntryBytesMax {
		return nil, fmt.Errorf("position %d: entry id or size is impossible", msg.GetPosition())
	}
	x, t, err := o.OpenToken(msg)
	if err != nil {
		return nil, fmt.Errorf("position %d: token: %w", msg.GetPosition(), err)
	}
	return &Entry{
		Position: Position(msg.GetPosition()), RecordedAt: msg.GetRecordedAt().AsTime(), ID: EntryID(msg.GetEntryId()),
		Leaf: LeafHash(raw), Exchange: x, Token: t, Msg: msg, Bytes: raw,
	}, nil
}
