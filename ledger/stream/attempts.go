package stream

import (
	"context"
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
	return bounds(ctx, a.stream)
}

// Read gives one message from the leader; ledger.ErrNotFound if there is none, or
// none any more, ledger.ErrUnreadable if what is there cannot be read.
func (a *Attempts) Read(ctx context.Context, seq uint64) (ledger.Message, error) {
	return read(ctx, a.stream, seq)
}

// Follow yields the messages after a sequence in order, then waits for more. What is
// not there any more, too old or lost, it passes over.
func (a *Attempts) Follow(ctx context.Context, after uint64) iter.Seq2[ledger.Message, error] {
	return follow(ctx, a.stream, after)
}
