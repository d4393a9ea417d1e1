package feed

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/stream"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

const (
	// answerWait is how long one publish waits for its acknowledgement.
	answerWait = 2 * time.Second
	// followMessagesMax bounds what a subscription holds of messages not yet taken. By
	// bytes alone nats.go sets aside 8 MB for each.
	followMessagesMax = 64
)

// JetStream is the feed on the stream CONSENT_FEED. It implements Stream.
type JetStream struct {
	js     jetstream.JetStream
	stream jetstream.Stream
}

var _ Stream = (*JetStream)(nil)

// OpenJetStream opens the feed; the stream must exist as package stream pins it.
func OpenJetStream(ctx context.Context, js jetstream.JetStream) (*JetStream, error) {
	s, err := js.Stream(ctx, stream.FeedStream)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", stream.FeedStream, err)
	}
	return &JetStream{js: js, stream: s}, nil
}

// subjectOf is a seller's subject.
func subjectOf(seller string) string { return strings.TrimSuffix(stream.FeedSubject, "*") + seller }

// Publish implements Stream.
func (j *JetStream) Publish(ctx context.Context, seller string, batch []byte, expectedLast uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	ack, err := j.js.Publish(ctx, subjectOf(seller), batch, jetstream.WithExpectLastSequence(expectedLast))
	var refused *jetstream.APIError
	switch {
	case err == nil:
		return ack.Sequence, nil
	case stream.IsWrongTail(err):
		return 0, fmt.Errorf("stream %s: %w", stream.FeedStream, ledger.ErrWrongTail)
	case errors.As(err, &refused):
		return 0, fmt.Errorf("stream %s: refused: %w", stream.FeedStream, err)
	}
	return 0, fmt.Errorf("stream %s: %w (%w)", stream.FeedStream, ledger.ErrNoAnswer, err)
}

// Tail implements Stream.
func (j *JetStream) Tail(ctx context.Context) (*consentv1.FeedBatch, uint64, error) {
	info, err := j.stream.Info(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("stream %s: tail: %w", stream.FeedStream, err)
	}
	if info.State.Msgs == 0 {
		return nil, info.State.LastSeq, nil // fresh, or emptied: all is published anew
	}
	b, err := j.at(ctx, info.State.LastSeq)
	return b, info.State.LastSeq, err
}

// Last implements Stream.
func (j *JetStream) Last(ctx context.Context, seller string) (ledger.Position, error) {
	m, err := j.stream.GetLastMsgForSubject(ctx, subjectOf(seller))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("stream %s: last message of %s: %w", stream.FeedStream, seller, err)
	}
	b, err := decode(m.Data, m.Sequence)
	return ledger.Position(b.GetThroughPosition()), err
}

// Follow implements Stream.
func (j *JetStream) Follow(ctx context.Context, seller string, after ledger.Position) iter.Seq2[*consentv1.FeedBatch, error] {
	return func(yield func(*consentv1.FeedBatch, error) bool) {
		err := j.follow(ctx, seller, after, func(b *consentv1.FeedBatch) bool { return yield(b, nil) })
		if err == nil {
			return // the reader has had enough
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		yield(nil, fmt.Errorf("stream %s: follow %s: %w", stream.FeedStream, seller, err))
	}
}

func (j *JetStream) follow(ctx context.Context, seller string, after ledger.Position, yield func(*consentv1.FeedBatch) bool) error {
	first, err := j.firstAfter(ctx, after)
	if err != nil {
		return err
	}
	// Ordered: the client makes the consumer anew when a connection or a message
	// is lost, and goes on where it was.
	c, err := j.stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{subjectOf(seller)}, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: first,
	})
	if err != nil {
		return err
	}
	msgs, err := c.Messages(jetstream.PullMaxMessages(followMessagesMax))
	if err != nil {
		return err
	}
	defer msgs.Stop()
	for {
		m, err := msgs.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		b, err := decodeMsg(m)
		if err != nil {
			return err
		}
		if ledger.Position(b.GetThroughPosition()) > after && !yield(b) {
			return nil
		}
	}
}

// firstAfter finds the first sequence whose run ends after a position. Later
// messages never end earlier, so halving finds it.
func (j *JetStream) firstAfter(ctx context.Context, after ledger.Position) (uint64, error) {
	info, err := j.stream.Info(ctx)
	if err != nil {
		return 0, err
	}
	lo, hi := max(info.State.FirstSeq, 1), info.State.LastSeq+1 // an empty stream says 0 for both
	for lo < hi {
		mid := lo + (hi-lo)/2
		b, err := j.at(ctx, mid)
		if err != nil {
			return 0, err
		}
		if ledger.Position(b.GetThroughPosition()) > after {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return max(lo, 1), nil
}

func (j *JetStream) at(ctx context.Context, seq uint64) (*consentv1.FeedBatch, error) {
	m, err := j.stream.GetMsg(ctx, seq)
	if err != nil {
		return nil, fmt.Errorf("stream %s: message %d: %w", stream.FeedStream, seq, err)
	}
	return decode(m.Data, seq)
}

func decodeMsg(m jetstream.Msg) (*consentv1.FeedBatch, error) {
	meta, err := m.Metadata()
	if err != nil {
		return nil, err
	}
	return decode(m.Data(), meta.Sequence.Stream)
}

// check refuses what no publisher writes.
func check(b *consentv1.FeedBatch) error {
	if b.GetFromPosition() == 0 || b.GetThroughPosition() < b.GetFromPosition() {
		return fmt.Errorf("its run is from %d through %d", b.GetFromPosition(), b.GetThroughPosition())
	}
	for _, u := range b.GetUpdates() {
		if len(u.GetToken()) != len(ledger.FeedToken{}) {
			return fmt.Errorf("a token of %d bytes", len(u.GetToken()))
		}
	}
	return nil
}

func decode(data []byte, seq uint64) (*consentv1.FeedBatch, error) {
	b := &consentv1.FeedBatch{}
	if err := proto.Unmarshal(data, b); err != nil {
		return nil, fmt.Errorf("stream %s: message %d is no batch of the feed: %w", stream.FeedStream, seq, err)
	}
	if err := check(b); err != nil {
		return nil, fmt.Errorf("stream %s: message %d is no batch of the feed: %w", stream.FeedStream, seq, err)
	}
	return b, nil
}
