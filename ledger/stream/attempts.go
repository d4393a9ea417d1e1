package stream

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// Attempts is the stream CONSENT_ATTEMPTS: batches of contact attempts in one
// order. Its oldest messages go when their time is over, so it may begin late.
type Attempts struct {
	js     jetstream.JetStream
	stream jetstream.Stream
	pulse  *Pulse
}

// OpenAttempts binds to the existing stream. pulse as in Open.
func OpenAttempts(ctx context.Context, js jetstream.JetStream, pulse *Pulse) (*Attempts, error) {
	s, err := js.Stream(ctx, AttemptsStream)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", AttemptsStream, err)
	}
	return &Attempts{js: js, stream: s, pulse: pulse}, nil
}

// Append makes a batch durable as the message after sequence `after`, with the
// errors of ledger.Log.Append.
func (a *Attempts) Append(ctx context.Context, after uint64, data []byte) (uint64, error) {
	return publish(ctx, a.js, a.pulse, AttemptsSubject, data, jetstream.WithExpectLastSequence(after), jetstream.WithExpectStream(AttemptsStream))
}

// Bounds gives the first sequence that is there and the last one there ever was,
// from the leader; first is after last if nothing is there.
func (a *Attempts) Bounds(ctx context.Context) (first, last uint64, err error) {
	info, err := a.stream.Info(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("stream %s: tail: %w", AttemptsStream, err)
	}
	if info.State.Msgs == 0 {
		return info.State.LastSeq + 1, info.State.LastSeq, nil
	}
	return info.State.FirstSeq, info.State.LastSeq, nil
}

// Read gives one message from the leader; ledger.ErrNotFound if there is none, or
// none any more.
func (a *Attempts) Read(ctx context.Context, seq uint64) (ledger.Message, error) {
	m, err := a.stream.GetMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return ledger.Message{}, ledger.ErrNotFound
	}
	if err != nil {
		return ledger.Message{}, fmt.Errorf("stream %s: read message %d: %w", AttemptsStream, seq, err)
	}
	return ledger.Message{Seq: m.Sequence, Data: m.Data}, nil
}

// Follow yields the messages after a sequence in order, then waits for more. Only
// the first may leave a gap before it: what was there is too old.
func (a *Attempts) Follow(ctx context.Context, after uint64) iter.Seq2[ledger.Message, error] {
	return func(yield func(ledger.Message, error) bool) {
		next := uint64(0)
		for m, err := range follow(ctx, a.stream, after) {
			if err == nil && next != 0 && m.Seq != next {
				err = fmt.Errorf("stream %s: message %d where %d is due: %w", AttemptsStream, m.Seq, next, ledger.ErrDamaged)
			}
			if !yield(m, err) || err != nil {
				return
			}
			next = m.Seq + 1
		}
	}
}
