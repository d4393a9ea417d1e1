package stream

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// Beside reads a stream beside the ledger's as it is, with what it has lost.
type Beside struct{ stream jetstream.Stream }

// OpenBeside binds to an existing stream.
func OpenBeside(ctx context.Context, js jetstream.JetStream, name string) (*Beside, error) {
	s, err := js.Stream(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", name, err)
	}
	return &Beside{s}, nil
}

// Name is the stream's.
func (b *Beside) Name() string { return b.stream.CachedInfo().Config.Name }

// Bounds gives the first sequence that is there and the last one there ever was, from
// the leader; first is after last if nothing is there.
func (b *Beside) Bounds(ctx context.Context) (first, last uint64, err error) {
	return bounds(ctx, b.stream)
}

// Read gives one message from the leader: ledger.ErrNotFound if there is none, or none
// any more, ledger.ErrUnreadable if what is there cannot be read.
func (b *Beside) Read(ctx context.Context, seq uint64) (ledger.Message, error) {
	return read(ctx, b.stream, seq)
}

// Follow yields the messages after a sequence in order, then waits for more. What is
// not there any more, too old or lost, it passes over.
func (b *Beside) Follow(ctx context.Context, after uint64) iter.Seq2[ledger.Message, error] {
	return follow(ctx, b.stream, after)
}

// bounds is Bounds of a stream.
func bounds(ctx context.Context, s jetstream.Stream) (first, last uint64, err error) {
	info, err := s.Info(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("stream %s: tail: %w", s.CachedInfo().Config.Name, err)
	}
	if info.State.Msgs == 0 {
		return info.State.LastSeq + 1, info.State.LastSeq, nil
	}
	return info.State.FirstSeq, info.State.LastSeq, nil
}

// lastReadable is the last message behind one, up to another, that is there: whoever
// follows to one that is lost waits for ever.
func lastReadable(ctx context.Context, s jetstream.Stream, after, last uint64) (uint64, error) {
	for seq := last; seq > after; seq-- {
		_, err := read(ctx, s, seq)
		if !errors.Is(err, ledger.ErrNotFound) && !errors.Is(err, ledger.ErrUnreadable) {
			return seq, err
		}
	}
	return after, nil
}
