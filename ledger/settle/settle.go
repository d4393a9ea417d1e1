// Package settle makes one message durable at one place of a stream that others
// may write to as well, and does not come back before it is known whose message
// stands there (DESIGN 4). A stream with one message in flight and the expected
// last sequence in each needs nothing else to keep two writers apart.
package settle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// Stream is what settling needs of a stream; ledger.Log has it. Only one Append
// may be in flight.
type Stream interface {
	// Append makes data durable as the message after sequence `after`.
	// ledger.ErrNoAnswer: it may or may not be stored. ledger.ErrWrongTail: the
	// last sequence is another one; nothing of this call was stored.
	Append(ctx context.Context, after uint64, data []byte) (seq uint64, err error)
	// Read gives the message at a sequence from the leader.
	Read(ctx context.Context, seq uint64) (ledger.Message, error)
}

var (
	// ErrOther: another writer's message stands at the place. Nothing of this one
	// is stored, and nothing of it ever will be.
	ErrOther = errors.New("settle: another writer's message stands there; nothing of this one is stored")

	// ErrUnsettled: nobody knows whether the message is stored. Whoever reads the
	// stream to its tail later will.
	ErrUnsettled = errors.New("settle: nobody knows whether it is stored; a restart settles it")
)

// Policy bounds the waiting; the zero value is good.
type Policy struct {
	// Max is how long a message may stay without an answer. 0: 10 seconds.
	Max time.Duration
	// Pause is the wait between two tries. 0: 50 milliseconds.
	Pause time.Duration
	// Mono is time since any instant; nil: the process's.
	Mono func() time.Duration
	// Wait pauses; nil: a timer. Its error ends the waiting.
	Wait func(ctx context.Context, d time.Duration) error
	// Retried is told of each try after the first; nil is skipped.
	Retried func()
}

func (p *Policy) fill() {
	if p.Max == 0 {
		p.Max = 10 * time.Second
	}
	if p.Pause == 0 {
		p.Pause = 50 * time.Millisecond
	}
	if p.Mono == nil {
		start := time.Now()
		p.Mono = func() time.Duration { return time.Since(start) }
	}
	if p.Wait == nil {
		p.Wait = ledger.Pause
	}
	if p.Retried == nil {
		p.Retried = func() {}
	}
}

// Append makes data the message after sequence `after`: nil, ErrOther or
// ErrUnsettled. No answer: the same bytes after the same sequence again. Refused:
// whoever stands at that sequence decides. Equal bytes are an earlier try of this
// call, so no two callers may ever append equal bytes.
func Append(ctx context.Context, s Stream, after uint64, data []byte, p Policy) error {
	p.fill()
	started := p.Mono()
	for {
		seq, err := s.Append(ctx, after, data)
		switch {
		case err == nil && seq == after+1:
			return nil
		case err == nil:
			return fmt.Errorf("settle: stored as message %d where %d was due: %w", seq, after+1, ledger.ErrDamaged)
		case errors.Is(err, ledger.ErrDisk): // what can be read now is no proof that it stays
			return fmt.Errorf("%w (%w)", ErrUnsettled, err)
		case errors.Is(err, ledger.ErrWrongTail):
			if settled, stop := whoWrote(ctx, s, after+1, data); settled || stop != nil {
				return stop
			}
		}
		p.Retried()
		if p.Mono()-started > p.Max {
			return fmt.Errorf("%w (no answer for %s: %w)", ErrUnsettled, p.Max, err)
		}
		if cause := p.Wait(ctx, p.Pause); cause != nil {
			return fmt.Errorf("%w (stopped waiting: %w)", ErrUnsettled, cause)
		}
	}
}

// whoWrote reads the message at seq from the leader: settled if it is ours.
func whoWrote(ctx context.Context, s Stream, seq uint64, data []byte) (settled bool, stop error) {
	m, err := s.Read(ctx, seq)
	if err != nil { // not there yet, or nobody answers: try again
		return false, nil
	}
	if bytes.Equal(m.Data, data) {
		return true, nil
	}
	return false, fmt.Errorf("message %d: %w", seq, ErrOther)
}
