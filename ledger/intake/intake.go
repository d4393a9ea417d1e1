// Package intake is the worker behind CONSENT_INTAKE: facts published on
// consent.v1.intake.<source> without waiting for a receipt.
//
// A message leaves the stream only when every record of it has a receipt or is
// in the inbox. A crash before that delivers it again, and its event ids make
// the second time a duplicate.
package intake

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/declare"
	"github.com/consent-ledger/consent-ledger/ledger/recorder"
	"github.com/consent-ledger/consent-ledger/ledger/stream"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// consumer is the durable consumer of the worker.
const consumer = "intake"

// messagesOpenMax bounds messages taken and not yet settled.
const messagesOpenMax = 64

// redeliverAfter is how soon an unsettled message comes again.
const redeliverAfter = 30 * time.Second

// retryAfter is how soon a message comes again that could not be settled; each
// further time it waits twice as long, up to retryAfterMax.
const (
	retryAfter    = time.Second
	retryAfterMax = time.Minute
)

// delay before a message comes again that was delivered so often already.
func delay(delivered uint64) time.Duration {
	if delivered > 6 {
		return retryAfterMax
	}
	return retryAfter << max(delivered, 1) >> 1
}

// Worker records what is published on intake subjects.
type Worker struct {
	js       jetstream.JetStream
	recorder *recorder.Recorder
	logger   *slog.Logger
}

// New makes a worker.
func New(js jetstream.JetStream, r *recorder.Recorder, logger *slog.Logger) *Worker {
	return &Worker{js, r, logger}
}

// Run takes messages until ctx is done.
func (w *Worker) Run(ctx context.Context) error {
	c, err := w.js.CreateOrUpdateConsumer(ctx, stream.IntakeStream, jetstream.ConsumerConfig{
		Durable: consumer, AckPolicy: jetstream.AckExplicitPolicy, AckWait: redeliverAfter, MaxAckPending: messagesOpenMax, MaxDeliver: -1,
	})
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("intake: %w", err)
	}
	msgs, err := c.Messages(jetstream.PullMaxMessages(messagesOpenMax))
	if err != nil {
		return fmt.Errorf("intake: %w", err)
	}
	defer msgs.Stop()
	var open errgroup.Group
	open.SetLimit(messagesOpenMax)
	defer open.Wait() //nolint:errcheck // the workers return no errors
	for {
		m, err := msgs.Next(jetstream.NextContext(ctx))
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("intake: %w", err)
		}
		open.Go(func() error {
			w.settle(ctx, m)
			return nil
		})
	}
}

// settle records one message and takes it out, or lets it come again.
func (w *Worker) settle(ctx context.Context, m jetstream.Msg) {
	if err := w.record(ctx, m); err != nil {
		w.logger.Warn("intake: not settled, will come again", "error", err)
		wait := retryAfter
		if meta, err := m.Metadata(); err == nil {
			wait = delay(meta.NumDelivered)
		}
		_ = m.NakWithDelay(wait) // if this is lost the message comes again all the same
		return
	}
	_ = m.DoubleAck(ctx) // likewise; its records are then duplicates
}

// record gives every record of a message a receipt or a place in the inbox.
func (w *Worker) record(ctx context.Context, m jetstream.Msg) error {
	source := m.Subject()[strings.LastIndexByte(m.Subject(), '.')+1:]
	meta, err := m.Metadata()
	if err != nil {
		return err
	}
	base := m.Headers().Get("Nats-Msg-Id")
	if base == "" {
		base = "intake-" + strconv.FormatUint(meta.Sequence.Stream, 10)
	}
	records, err := Parse(m.Data())
	if err != nil {
		return w.unreadable(ctx, source, err, m.Data())
	}
	in := make([]declare.Declaration, len(records))
	for i, rec := range records {
		if rec.Fact == nil {
			rec.Fact = &consentv1.Fact{}
		}
		rec.Fact.Source = source
		if rec.Fact.EventId == "" {
			rec.Fact.EventId = base + "/" + strconv.Itoa(i)
		}
		in[i] = declare.Declaration{Fact: rec.Fact, DefaultRegion: rec.DefaultRegion}
	}
	return w.inspect(ctx, source, records, w.recorder.Record(ctx, in))
}

// inspect puts refused records into the inbox; anything unsettled is an error.
func (w *Worker) inspect(ctx context.Context, source string, records []*consentv1.RecordRequest, outcomes []ledger.Outcome) error {
	for i, o := range outcomes {
		var invalid *ledger.InvalidError
		switch {
		case o.Err == nil:
		case errors.As(o.Err, &invalid) && invalid.Inbox: // it is there already
		case errors.As(o.Err, &invalid), errors.Is(o.Err, ledger.ErrEventIDConflict):
			noKind := ledger.KindOf(records[i].GetFact()) == "" // nobody knows what it is: it may be a stop
			if err := w.recorder.PutInbox(ctx, source, o.Err.Error(), noKind, records[i]); err != nil {
				return err
			}
		default:
			return o.Err
		}
	}
	return nil
}

// unreadable keeps a whole message that is neither JSON nor protobuf: it may be a stop.
func (w *Worker) unreadable(ctx context.Context, source string, cause error, data []byte) error {
	text := strings.ToValidUTF8(string(data), "\uFFFD")
	return w.recorder.PutInbox(ctx, source, "the message cannot be read: "+cause.Error(), true,
		&consentv1.RecordRequest{Fact: &consentv1.Fact{Unread: text}})
}

// Parse reads an intake message: an IntakeBatch in protobuf or JSON, or a single
// RecordRequest in JSON. In a JSON batch a record that cannot be read costs itself
// alone: it comes back as a fact of no kind, with what was said in its Unread.
func Parse(data []byte) ([]*consentv1.RecordRequest, error) {
	if text := bytes.TrimSpace(data); len(text) == 0 {
		return nil, errors.New("it is empty")
	} else if text[0] != '{' {
		var b consentv1.IntakeBatch
		if err := proto.Unmarshal(data, &b); err != nil || len(b.GetRecords()) == 0 {
			return nil, errors.New("it is neither JSON nor an IntakeBatch in protobuf")
		}
		return b.GetRecords(), nil
	}
	var batch struct{ Records []json.RawMessage }
	if err := json.Unmarshal(bytes.ToValidUTF8(data, []byte("\uFFFD")), &batch); err != nil || len(batch.Records) == 0 {
		one := &consentv1.RecordRequest{}
		if err := recorder.UnmarshalJSON(data, one); err != nil {
			return nil, err
		}
		return []*consentv1.RecordRequest{one}, nil
	}
	out := make([]*consentv1.RecordRequest, len(batch.Records))
	for i, raw := range batch.Records {
		out[i] = &consentv1.RecordRequest{}
		if err := recorder.UnmarshalJSON(raw, out[i]); err != nil {
			out[i].Fact = &consentv1.Fact{Unread: string(raw)}
		}
	}
	return out, nil
}
