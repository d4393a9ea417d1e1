package stream

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// Checkpoints is the stream CONSENT_CHECKPOINTS: every checkpoint that was ever
// signed, in order.
type Checkpoints struct {
	js     jetstream.JetStream
	stream jetstream.Stream
	pulse  *Pulse
}

// OpenCheckpoints binds to the existing stream. pulse as in Open.
func OpenCheckpoints(ctx context.Context, js jetstream.JetStream, pulse *Pulse) (*Checkpoints, error) {
	s, err := js.Stream(ctx, CheckpointsStream)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", CheckpointsStream, err)
	}
	return &Checkpoints{js: js, stream: s, pulse: pulse}, nil
}

// Append makes a checkpoint durable as the message after sequence `after`, with the
// errors of ledger.Log.Append.
func (c *Checkpoints) Append(ctx context.Context, after uint64, note []byte) (uint64, error) {
	return publish(ctx, c.js, c.pulse, CheckpointsSubject, note, jetstream.WithExpectLastSequence(after), jetstream.WithExpectStream(CheckpointsStream))
}

// Tail asks the leader for the sequence of the newest message there ever was; 0: none.
func (c *Checkpoints) Tail(ctx context.Context) (uint64, error) {
	info, err := c.stream.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("stream %s: tail: %w", CheckpointsStream, err)
	}
	return info.State.LastSeq, nil
}

// Read gives one message from the leader; ledger.ErrNotFound if there is none.
func (c *Checkpoints) Read(ctx context.Context, seq uint64) (ledger.Message, error) {
	return read(ctx, c.stream, seq)
}
