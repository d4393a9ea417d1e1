package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"connectrpc.com/connect"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// SenderOptions say how facts are handed over in bulk.
type SenderOptions struct {
	// DefaultRegion of numbers without a country code: an ISO country; empty: US.
	DefaultRegion string
	// DryRun validates only: nothing is recorded, positions are 0.
	DryRun bool
}

// Sender hands over facts in bulk: batches of all callers travel on one stream
// and are answered in order. Safe for concurrent use.
type Sender struct {
	c    *Client
	opts SenderOptions

	// ctx bounds the streams, because they outlive single calls; cancel also makes
	// the receiver end.
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	// mu guards current, and makes "send a batch" and "wait for its answer" one
	// step: answers come in the order of batches. It is held across the sending,
	// which blocks only while the server takes nothing more.
	mu      sync.Mutex
	current *batchStream
}

// batchStream is one open stream and who waits on it.
type batchStream struct {
	conn *connect.BidiStreamForClient[consentv1.RecordStreamRequest, consentv1.RecordStreamResponse]

	mu      sync.Mutex
	waiting []chan batchAnswer // in the order of the batches
	err     error              // set once: why the stream is over
}

type batchAnswer struct {
	outcomes []*consentv1.Outcome
	err      error
}

// NewSender makes a sender. Streams it opens end with ctx or Close.
func (c *Client) NewSender(ctx context.Context, o SenderOptions) *Sender {
	ctx, cancel := context.WithCancel(ctx)
	return &Sender{c: c, opts: o, ctx: ctx, cancel: cancel}
}

// Send hands over up to 5,000 facts and gives one outcome each, in order. Every
// fact needs an event id. An error says nothing about what was recorded: send the
// same facts again; the stream is opened anew. Without facts it only shows that
// the server is there and takes the key. Texts that are not UTF-8 are sent with
// U+FFFD where they are not; facts are not changed.
func (s *Sender) Send(ctx context.Context, facts []*consentv1.Fact) ([]*consentv1.Outcome, error) {
	answer, err := s.begin(facts)
	if err != nil {
		return nil, err
	}
	select {
	case a := <-answer:
		if a.err == nil && len(a.outcomes) != len(facts) {
			a.err = fmt.Errorf("client: %d facts were answered with %d outcomes", len(facts), len(a.outcomes))
		}
		if a.err != nil {
			return nil, a.err
		}
		return a.outcomes, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Close ends the stream and waits until nothing of it is left. Batches without an
// answer end with an error.
func (s *Sender) Close() {
	s.cancel()
	s.wg.Wait()
}

// begin sends a batch and gives the channel its answer will come on.
func (s *Sender) begin(facts []*consentv1.Fact) (<-chan batchAnswer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ctx.Err(); err != nil {
		return nil, err
	}
	if s.current == nil || s.current.over() {
		s.current = &batchStream{conn: s.c.Ledger.RecordStream(s.ctx)}
		b := s.current
		s.wg.Go(func() { b.receive(s.ctx) })
	}
	b, answer := s.current, make(chan batchAnswer, 1)
	if !b.wait(answer) {
		return answer, nil // it ended just now; the answer says why
	}
	err := b.conn.Send(&consentv1.RecordStreamRequest{Facts: cleaned(facts), DefaultRegion: s.opts.DefaultRegion, DryRun: s.opts.DryRun})
	if err != nil && !errors.Is(err, io.EOF) {
		b.end(err) // io.EOF: the server ended it, and receive learns why
	}
	return answer, nil
}

func (b *batchStream) over() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err != nil
}

// wait puts a caller in the queue, or gives it the end of the stream at once.
func (b *batchStream) wait(answer chan batchAnswer) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		answer <- batchAnswer{err: b.err}
		return false
	}
	b.waiting = append(b.waiting, answer)
	return true
}

// receive hands out answers until the stream ends. net/http does not look at the
// context of a request while it waits for more of its body, so the end of ctx has
// to close the request too; it also frees a caller that is blocked in Send.
func (b *batchStream) receive(ctx context.Context) {
	defer context.AfterFunc(ctx, func() { _ = b.conn.CloseRequest() })()
	for {
		res, err := b.conn.Receive()
		if err != nil {
			b.end(err)
			_ = b.conn.CloseRequest()  // the stream is over;
			_ = b.conn.CloseResponse() // what it ended with is told already
			return
		}
		if !b.deliver(res.GetOutcomes()) {
			b.end(errors.New("client: an answer came that nobody asked for"))
		}
	}
}

// deliver answers the oldest caller.
func (b *batchStream) deliver(outcomes []*consentv1.Outcome) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) == 0 {
		return b.err != nil
	}
	b.waiting[0] <- batchAnswer{outcomes: outcomes}
	b.waiting = b.waiting[1:]
	return true
}

// end lets every caller know, once.
func (b *batchStream) end(err error) {
	if errors.Is(err, io.EOF) {
		err = &Error{Kind: ErrNotReady, Message: "the server ended the stream", cause: err}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return
	}
	b.err = err
	for _, w := range b.waiting {
		w <- batchAnswer{err: err}
	}
	b.waiting = nil
}
