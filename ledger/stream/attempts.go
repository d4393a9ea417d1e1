package stream

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"
)

// Attempts is the stream CONSENT_ATTEMPTS: batches of contact attempts in one
// order. Its oldest messages go when their time is over, so it may begin late.
type Attempts struct {
	*Beside
	js    jetstream.JetStream
	pulse *Pulse
}

// OpenAttempts binds to the existing stream. pulse as in Open.
func OpenAttempts(ctx context.Context, js jetstream.JetStream, pulse *Pulse) (*Attempts, error) {
	b, err := OpenBeside(ctx, js, AttemptsStream)
	if err != nil {
		return nil, err
	}
	return &Attempts{Beside: b, js: js, pulse: pulse}, nil
}

// Append makes a batch durable as the message after sequence `after`, with the
// errors of ledger.Log.Append.
func (a *Attempts) Append(ctx context.Context, after uint64, data []byte) (uint64, error) {
	return publish(ctx, a.js, a.pulse, AttemptsSubject, data, jetstream.WithExpectLastSequence(after), jetstream.WithExpectStream(AttemptsStream))
}
