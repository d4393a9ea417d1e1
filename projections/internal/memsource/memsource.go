// Package memsource is a ledger in memory for the tests of those who follow one.
package memsource

import (
	"context"
	"encoding/binary"
	"iter"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Start is when the first entry of every source was recorded; each position is
// a second later.
var Start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Declared is a fact and the token it is about; zero for a system fact.
type Declared struct {
	Token ledger.Token
	Fact  *consentv1.Fact
}

// Source implements projections.Source. Safe for concurrent use.
type Source struct {
	mu      sync.Mutex
	commits [][]*ledger.Entry
	next    ledger.Position
	changed chan struct{}
}

// New makes an empty ledger.
func New() *Source { return &Source{next: 1, changed: make(chan struct{})} }

// Append adds one commit and gives its last position.
func (s *Source) Append(facts ...Declared) ledger.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	commit := make([]*ledger.Entry, 0, len(facts))
	for _, d := range facts {
		commit = append(commit, NewEntry(s.next, d))
		s.next++
	}
	s.add(commit)
	return s.next - 1
}

// AppendRaw adds a commit as it is, gaps and all.
func (s *Source) AppendRaw(commit ...*ledger.Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = commit[len(commit)-1].Position + 1
	s.add(commit)
}

func (s *Source) add(commit []*ledger.Entry) {
	s.commits = append(s.commits, commit)
	close(s.changed)
	s.changed = make(chan struct{})
}

// Tail is the last position.
func (s *Source) Tail() ledger.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next - 1
}

// Entries implements projections.Source.
func (s *Source) Entries(ctx context.Context, after ledger.Position) iter.Seq2[[]*ledger.Entry, error] {
	return func(yield func([]*ledger.Entry, error) bool) {
		for i := 0; ; {
			commit, changed := s.at(i)
			switch {
			case ctx.Err() != nil:
				return
			case commit == nil:
				select {
				case <-changed:
				case <-ctx.Done():
					return
				}
			default:
				i++
				if commit[len(commit)-1].Position > after && !yield(commit, nil) {
					return
				}
			}
		}
	}
}

func (s *Source) at(i int) (commit []*ledger.Entry, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i < len(s.commits) {
		return s.commits[i], nil
	}
	return nil, s.changed
}

// NewEntry makes the decoded entry of a fact. Times the fact does not say are
// those of its recording, as the writer would set them.
func NewEntry(at ledger.Position, d Declared) *ledger.Entry {
	f := proto.CloneOf(d.Fact)
	recorded := Start.Add(time.Duration(at) * time.Second)
	if f.Earliest == nil {
		f.Earliest = timestamppb.New(recorded)
	}
	if f.Latest == nil {
		f.Latest = f.Earliest
	}
	e := &ledger.Entry{Position: at, RecordedAt: recorded, Token: d.Token, Exchange: ledger.ExchangeToken(d.Token)}
	binary.BigEndian.PutUint64(e.ID[8:], uint64(at))
	e.Msg = &consentv1.Entry{
		Position: uint64(at), RecordedAt: timestamppb.New(recorded), EntryId: e.ID[:], Fact: f, Content: e.ID[:],
	}
	var err error
	if e.Bytes, err = proto.Marshal(e.Msg); err != nil {
		panic(err) // facts of tests are valid UTF-8
	}
	e.Leaf = ledger.LeafHash(e.Bytes)
	return e
}

// TokenOf makes the nth token of a test. Like a real one it looks random, and
// unlike a real one it is no secret.
func TokenOf(n int) ledger.Token {
	h := ledger.LeafHash(binary.BigEndian.AppendUint64(nil, uint64(n)))
	t := ledger.Token{ledger.TokenVersion}
	copy(t[1:], h[:])
	return t
}
