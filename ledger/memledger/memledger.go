// Package memledger is the ledger in memory, stricter than the real one: it
// reports every commit that the real one would store although it must not exist.
package memledger

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Log implements ledger.Log in memory.
type Log struct {
	violation func(error)

	// mu guards everything below; changed is closed and replaced whenever a
	// message is added, so that followers wait without polling.
	mu       sync.Mutex
	messages [][]byte
	keys     [][]byte
	changed  chan struct{}
	strict   strictness
}

// strictness is what the next commit must agree with.
type strictness struct {
	position uint64
	recorded time.Time
	ids      map[string]bool
	heads    map[string]head
}

type head struct {
	seq  uint64
	leaf ledger.Hash
}

var _ ledger.Log = (*Log)(nil)

// New makes an empty ledger. violation is called for each broken promise; tests
// pass a function that fails them.
func New(violation func(error)) *Log {
	return &Log{violation: violation, changed: make(chan struct{}),
		strict: strictness{ids: map[string]bool{}, heads: map[string]head{}}}
}

// Append stores a commit if `after` is the tail.
func (l *Log) Append(ctx context.Context, after uint64, data []byte) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("%w: %w", ledger.ErrNoAnswer, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if after != uint64(len(l.messages)) {
		return 0, ledger.ErrWrongTail
	}
	if err := l.strict.check(data); err != nil {
		l.violation(err)
	}
	l.messages = append(l.messages, bytes.Clone(data))
	l.wake()
	return uint64(len(l.messages)), nil
}

// AppendKeys stores wrapped keys.
func (l *Log) AppendKeys(ctx context.Context, data []byte) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("%w: %w", ledger.ErrNoAnswer, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keys = append(l.keys, bytes.Clone(data))
	return uint64(len(l.keys)), nil
}

// Tail is the last sequence.
func (l *Log) Tail(context.Context) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return uint64(len(l.messages)), nil
}

// Read gives one message.
func (l *Log) Read(_ context.Context, seq uint64) (ledger.Message, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if seq == 0 || seq > uint64(len(l.messages)) {
		return ledger.Message{}, ledger.ErrNotFound
	}
	return ledger.Message{Seq: seq, Data: bytes.Clone(l.messages[seq-1])}, nil
}

// Follow yields all messages and waits for more.
func (l *Log) Follow(ctx context.Context, after uint64) iter.Seq2[ledger.Message, error] {
	return func(yield func(ledger.Message, error) bool) {
		for seq := after + 1; ; seq++ {
			m, err := l.wait(ctx, seq)
			if !yield(m, err) || err != nil {
				return
			}
		}
	}
}

func (l *Log) wait(ctx context.Context, seq uint64) (ledger.Message, error) {
	for {
		l.mu.Lock()
		if seq <= uint64(len(l.messages)) {
			data := bytes.Clone(l.messages[seq-1])
			l.mu.Unlock()
			return ledger.Message{Seq: seq, Data: data}, nil
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ledger.Message{}, context.Cause(ctx)
		}
	}
}

// KeysTail is the last sequence of the keys stream.
func (l *Log) KeysTail(context.Context) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return uint64(len(l.keys)), nil
}

// FollowKeys yields the keys messages that exist now.
func (l *Log) FollowKeys(_ context.Context, after uint64) iter.Seq2[ledger.Message, error] {
	l.mu.Lock()
	keys := l.keys[min(after, uint64(len(l.keys))):]
	l.mu.Unlock()
	return func(yield func(ledger.Message, error) bool) {
		for i, k := range keys {
			if !yield(ledger.Message{Seq: after + 1 + uint64(i), Data: bytes.Clone(k)}, nil) {
				return
			}
		}
	}
}

// Durability is fsync: memory stands for a disk that never fails.
func (l *Log) Durability() consentv1.Durability { return consentv1.Durability_DURABILITY_FSYNC }

func (l *Log) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// check tells what is wrong with a commit: promises 2 and 3.
func (s *strictness) check(data []byte) error {
	var c consentv1.Commit
	if err := proto.Unmarshal(data, &c); err != nil {
		return fmt.Errorf("memledger: a commit that is none: %w", err)
	}
	if len(c.Entries) == 0 || c.FirstPosition != s.position+1 {
		return fmt.Errorf("memledger: commit of %d entries at position %d follows position %d", len(c.Entries), c.FirstPosition, s.position)
	}
	recorded := time.Time{}
	for i, raw := range c.Entries {
		var e consentv1.Entry
		if err := proto.Unmarshal(raw, &e); err != nil {
			return fmt.Errorf("memledger: entry %d of the commit is none: %w", i, err)
		}
		if err := s.checkEntry(&e, raw); err != nil {
			return err
		}
		if t := e.RecordedAt.AsTime(); i > 0 && !t.Equal(recorded) {
			return fmt.Errorf("memledger: position %d: recorded_at differs within a commit", e.Position)
		} else {
			recorded = t
		}
	}
	if recorded.Before(s.recorded) {
		return fmt.Errorf("memledger: commit at position %d: recorded_at goes backwards", c.FirstPosition)
	}
	s.recorded = recorded
	return nil
}

func (s *strictness) checkEntry(e *consentv1.Entry, raw []byte) error {
	s.position++
	switch {
	case e.Position != s.position:
		return fmt.Errorf("memledger: position %d where %d is due", e.Position, s.position)
	case len(raw) > ledger.EntryBytesMax:
		return fmt.Errorf("memledger: position %d: entry of %d bytes", e.Position, len(raw))
	case len(e.EntryId) != 16 || len(e.Idempotency) != 32 || len(e.Content) != 32:
		return fmt.Errorf("memledger: position %d: entry id, idempotency or content missing", e.Position)
	case s.ids[string(e.EntryId)] || s.ids[string(e.Idempotency)]:
		return fmt.Errorf("memledger: position %d: the same id twice", e.Position)
	case e.Fact.GetNumber() != "" || e.Fact.GetEventId() != "":
		return fmt.Errorf("memledger: position %d: personal data in clear", e.Position)
	}
	s.ids[string(e.EntryId)], s.ids[string(e.Idempotency)] = true, true
	if len(e.Person) == 0 {
		return nil
	}
	h := s.heads[string(e.Person)]
	prev := h.leaf[:]
	if h.seq == 0 {
		prev = nil
	}
	if e.PersonSeq != h.seq+1 || !bytes.Equal(e.PersonPrev, prev) {
		return fmt.Errorf("memledger: position %d: back-link broken", e.Position)
	}
	s.heads[string(e.Person)] = head{e.PersonSeq, ledger.LeafHash(raw)}
	return nil
}
