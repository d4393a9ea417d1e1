package stream

import (
	"context"
	"errors"
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

// Last is the newest message, from the leader; Seq 0 if there is none. That the
// newest cannot be read although there was one is ledger.ErrDamaged.
func (c *Checkpoints) Last(ctx context.Context) (ledger.Message, error) {
	info, err := c.stream.Info(ctx)
	if err != nil {
		return ledger.Message{}, fmt.Errorf("stream %s: tail: %w", CheckpointsStream, err)
	}
	if info.State.LastSeq == 0 {
		return ledger.Message{}, nil
	}
	m, err := c.Read(ctx, info.State.LastSeq)
	if errors.Is(err, ledger.ErrNotFound) {
		err = fmt.Errorf("stream %s: message %d is missing: %w", CheckpointsStream, info.State.LastSeq, ledger.ErrDamaged)
	}
	return m, err
}

// Read gives one message from the leader; ledger.ErrNotFound if there is none.
func (c *Checkpoints) Read(ctx context.Context, seq uint64) (ledger.Message, error) {
	m, err := c.stream.GetMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return ledger.Message{}, ledger.ErrNotFound
	}
	if err != nil {
		return ledger.Message{}, fmt.Errorf("stream %s: read message %d: %w", CheckpointsStream, seq, err)
	}
	return ledger.Message{Seq: m.Sequence, Data: m.Data}, nil
}
