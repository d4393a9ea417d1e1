// Package memstream is one stream of messages in memory, stricter than JetStream:
// it reports every message that must not exist. It stands for streams whose
// messages are no commits; memledger is the ledger itself.
package memstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// Stream is the stream. Safe for concurrent use.
type Stream struct {
	check func(seq uint64, data []byte)

	// mu guards everything below; changed is closed and replaced whenever a
	// message is added, so that followers wait without polling.
	mu       sync.Mutex
	messages [][]byte
	first    uint64 // the first that is kept
	lost     map[uint64]bool
	changed  chan struct{}
}

// New makes an empty stream. check sees each message in order, just before it is
// stored, while nobody else reads or writes; a test fails there.
func New(check func(seq uint64, data []byte)) *Stream {
	return &Stream{check: check, first: 1, lost: map[uint64]bool{}, changed: make(chan struct{})}
}

// Append stores a message if `after` is the tail.
func (s *Stream) Append(ctx context.Context, after uint64, data []byte) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("%w: %w", ledger.ErrNoAnswer, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if after != uint64(len(s.messages)) {
		return 0, ledger.ErrWrongTail
	}
	s.check(after+1, data)
	s.messages = append(s.messages, bytes.Clone(data))
	close(s.changed)
	s.changed = make(chan struct{})
	return after + 1, nil
}

// Bounds gives the first sequence that is kept and the last one there ever was.
func (s *Stream) Bounds(context.Context) (first, last uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.first, uint64(len(s.messages)), nil
}

// Forget drops the messages before a sequence, as age does.
func (s *Stream) Forget(before uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.first = max(s.first, before)
}

// Cut loses the messages after a sequence, as no stream may.
func (s *Stream) Cut(after uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = s.messages[:after]
}

// Lose loses messages from one to another without a word, as a damaged disk does.
func (s *Stream) Lose(from, to uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for seq := from; seq <= to; seq++ {
		s.lost[seq] = true
	}
}

// Spoil puts other bytes in a message's place.
func (s *Stream) Spoil(seq uint64, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages[seq-1] = data
}

// Read gives one message.
func (s *Stream) Read(_ context.Context, seq uint64) (ledger.Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if seq < s.first || seq > uint64(len(s.messages)) || s.lost[seq] {
		return ledger.Message{}, ledger.ErrNotFound
	}
	return ledger.Message{Seq: seq, Data: bytes.Clone(s.messages[seq-1])}, nil
}

// Follow yields the messages after a sequence that are kept, and waits for more.
func (s *Stream) Follow(ctx context.Context, after uint64) iter.Seq2[ledger.Message, error] {
	return func(yield func(ledger.Message, error) bool) {
		first, _, _ := s.Bounds(ctx) // memory always answers
		for seq := max(after+1, first); ; seq++ {
			m, err := s.wait(ctx, seq)
			if errors.Is(err, ledger.ErrNotFound) {
				continue // lost
			}
			if !yield(m, err) || err != nil {
				return
			}
		}
	}
}

func (s *Stream) wait(ctx context.Context, seq uint64) (ledger.Message, error) {
	for {
		s.mu.Lock()
		there, changed := seq <= uint64(len(s.messages)), s.changed
		s.mu.Unlock()
		if there {
			return s.Read(ctx, seq)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ledger.Message{}, context.Cause(ctx)
		}
	}
}
