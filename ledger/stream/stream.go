// Package stream is the ledger on JetStream: streams, commits and durability
// live only here.
//
// Only consumers and stored-message reads read the ledger: a plain subscriber on
// its subject would see a commit about half a millisecond before it is durable,
// and so could see one that never becomes part of the ledger.
package stream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// answerWait is how long one publish waits for its acknowledgement before the
// writer sends it again.
const answerWait = 2 * time.Second

// followMessagesMax bounds what a follower holds of messages not yet taken: 16 MiB of
// the largest commits. A bound in bytes alone makes nats.go set aside a channel for a
// million messages: 8 MB that are live in every follower, and four times that of heap.
const followMessagesMax = 64

// Codes by which JetStream refuses an expected last sequence. Both occur.
const (
	codeWrongLastSequence         jetstream.ErrorCode = 10071
	codeWrongLastSequenceConstant jetstream.ErrorCode = 10164
)

// IsWrongTail tells whether JetStream refused a publish because the stream's last
// sequence is not the expected one: nothing of that publish was stored.
func IsWrongTail(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == codeWrongLastSequence || api.ErrorCode == codeWrongLastSequenceConstant)
}

// Log is the ledger on JetStream. It implements ledger.Log.
type Log struct {
	js         jetstream.JetStream
	ledger     jetstream.Stream
	keys       jetstream.Stream
	durability consentv1.Durability
	pulse      *Pulse
}

var _ ledger.Log = (*Log)(nil)

// Open binds to existing streams. They must have been verified before. pulse is of
// the disk they are on; nil if that is not this machine's.
func Open(ctx context.Context, js jetstream.JetStream, durability consentv1.Durability, pulse *Pulse) (*Log, error) {
	l := &Log{js: js, durability: durability, pulse: pulse}
	var err error
	if l.ledger, err = js.Stream(ctx, LedgerStream); err != nil {
		return nil, fmt.Errorf("stream %s: %w", LedgerStream, err)
	}
	if l.keys, err = js.Stream(ctx, KeysStream); err != nil {
		return nil, fmt.Errorf("stream %s: %w", KeysStream, err)
	}
	return l, nil
}

// OpenCopy binds to the streams of a copy that is only read.
func OpenCopy(ctx context.Context, js jetstream.JetStream) (l *Log, err error) {
	return Open(ctx, js, consentv1.Durability_DURABILITY_UNSPECIFIED, nil)
}

// Append publishes one commit with the expected last sequence: JetStream stores
// it only if nobody else has written since.
func (l *Log) Append(ctx context.Context, after uint64, data []byte) (uint64, error) {
	return publish(ctx, l.js, l.pulse, LedgerSubject, data, jetstream.WithExpectLastSequence(after), jetstream.WithExpectStream(LedgerStream))
}

// AppendKeys publishes wrapped keys.
func (l *Log) AppendKeys(ctx context.Context, data []byte) (uint64, error) {
	return publish(ctx, l.js, l.pulse, keysCommit, data, jetstream.WithExpectStream(KeysStream))
}

// publish makes one message durable; its errors are those of ledger.Log.Append.
func publish(ctx context.Context, js jetstream.JetStream, pulse *Pulse, subject string, data []byte, opts ...jetstream.PublishOpt) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	ack, err := js.PublishMsg(ctx, &nats.Msg{Subject: subject, Data: data}, append(opts, jetstream.WithRetryAttempts(0))...)
	if err == nil || IsWrongTail(err) { // what this call stored, or one before it
		if dead := pulse.Beat(); dead != nil {
			return 0, dead
		}
	}
	if err == nil {
		return ack.Sequence, nil
	}
	if IsWrongTail(err) {
		return 0, fmt.Errorf("%w: %w", ledger.ErrWrongTail, err)
	}
	return 0, fmt.Errorf("%w: %w", ledger.ErrNoAnswer, err)
}

// Tail asks the leader.
func (l *Log) Tail(ctx context.Context) (uint64, error) {
	info, err := l.ledger.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("stream %s: tail: %w", LedgerStream, err)
	}
	return info.State.LastSeq, nil
}

// missingMax bounds how many lost messages are listed one by one.
const missingMax = 1 << 16

// Missing lists the messages that the stream itself says it does not hold, though
// it holds later ones: there can be others that it only thinks it holds.
func (l *Log) Missing(ctx context.Context) ([]uint64, error) {
	info, err := l.ledger.Info(ctx, jetstream.WithDeletedDetails(true))
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", LedgerStream, err)
	}
	s := info.State
	if s.LastSeq == 0 {
		return nil, nil
	}
	before := max(s.FirstSeq, 1) - 1
	if s.Msgs == 0 {
		before = s.LastSeq
	}
	if n := before + uint64(s.NumDeleted); n > missingMax {
		return nil, fmt.Errorf("stream %s: %d of %d messages are missing: %w: put back the newest copy of the ledger's folder", LedgerStream, n, s.LastSeq, ledger.ErrDamaged)
	}
	out := make([]uint64, 0, before+uint64(len(s.Deleted)))
	for seq := uint64(1); seq <= before; seq++ {
		out = append(out, seq)
	}
	for _, seq := range s.Deleted {
		if seq < s.LastSeq { // a damaged sequence makes it list what never was
			out = append(out, seq)
		}
	}
	return out, nil
}

// Read asks the leader: direct get is off on this stream.
func (l *Log) Read(ctx context.Context, seq uint64) (ledger.Message, error) {
	return read(ctx, l.ledger, seq)
}

// ReadKeys is Read for the stream of keys.
func (l *Log) ReadKeys(ctx context.Context, seq uint64) (ledger.Message, error) {
	return read(ctx, l.keys, seq)
}

// read gives one message from the leader: ledger.ErrNotFound if there is none,
// ledger.ErrUnreadable if its headers cannot be read.
func read(ctx context.Context, s jetstream.Stream, seq uint64) (ledger.Message, error) {
	m, err := s.GetMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return ledger.Message{}, ledger.ErrNotFound
	}
	if errors.Is(err, nats.ErrBadHeaderMsg) {
		err = fmt.Errorf("%w: %w", ledger.ErrUnreadable, err)
	}
	if err != nil {
		return ledger.Message{}, fmt.Errorf("stream %s: read message %d: %w", s.CachedInfo().Config.Name, seq, err)
	}
	return ledger.Message{Seq: m.Sequence, Data: m.Data}, nil
}

// Follow yields commits in order; a gap in sequences is an error.
func (l *Log) Follow(ctx context.Context, after uint64) iter.Seq2[ledger.Message, error] {
	return func(yield func(ledger.Message, error) bool) {
		next := after + 1
		for m, err := range follow(ctx, l.ledger, after) {
			if err == nil && m.Seq != next {
				err = fmt.Errorf("stream %s: %w", LedgerStream, &ledger.Hole{Seq: next, Next: m.Seq})
			}
			if !yield(m, err) || err != nil {
				return
			}
			next++
		}
	}
}

// KeysTail asks the leader.
func (l *Log) KeysTail(ctx context.Context) (uint64, error) {
	_, last, err := bounds(ctx, l.keys)
	return last, err
}

// FollowKeys yields the keys messages that exist now, and passes over those that are
// lost.
func (l *Log) FollowKeys(ctx context.Context, after uint64) iter.Seq2[ledger.Message, error] {
	return func(yield func(ledger.Message, error) bool) {
		_, last, err := bounds(ctx, l.keys)
		if err == nil {
			last, err = lastReadable(ctx, l.keys, after, last)
		}
		if err != nil {
			yield(ledger.Message{}, err)
			return
		}
		if last <= after {
			return
		}
		for m, err := range follow(ctx, l.keys, after) {
			if !yield(m, err) || err != nil || m.Seq >= last {
				return
			}
		}
	}
}

// Durability says how firmly an acknowledged message is held.
func (l *Log) Durability() consentv1.Durability { return l.durability }

// follow reads a stream through an ordered consumer, which the client re-creates
// when a connection or a heartbeat is lost.
func follow(ctx context.Context, s jetstream.Stream, after uint64) iter.Seq2[ledger.Message, error] {
	return func(yield func(ledger.Message, error) bool) {
		c, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
			DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: after + 1,
		})
		if err != nil {
			yield(ledger.Message{}, fmt.Errorf("stream %s: follow: %w", s.CachedInfo().Config.Name, err))
			return
		}
		msgs, err := c.Messages(jetstream.PullMaxMessages(followMessagesMax))
		if err != nil {
			yield(ledger.Message{}, fmt.Errorf("stream %s: follow: %w", s.CachedInfo().Config.Name, err))
			return
		}
		defer msgs.Stop()
		for {
			m, err := msgs.Next(jetstream.NextContext(ctx))
			if err != nil {
				if ctx.Err() != nil {
					err = context.Cause(ctx)
				}
				yield(ledger.Message{}, fmt.Errorf("stream %s: follow: %w", s.CachedInfo().Config.Name, err))
				return
			}
			meta, err := m.Metadata()
			if err != nil {
				yield(ledger.Message{}, fmt.Errorf("stream %s: follow: %w", s.CachedInfo().Config.Name, err))
				return
			}
			if !yield(ledger.Message{Seq: meta.Sequence.Stream, Data: m.Data()}, nil) {
				return
			}
		}
	}
}
