package feed

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/projections"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

const (
	runEntriesDefault = 2_000
	batchBytesDefault = 512 << 10
	readAheadCommits  = 16
	// runEvery is the least time between the beginnings of two runs. The feed's
	// fsyncs share a disk, and their goroutines two cores, with the ledger's: a run
	// for each commit made a lone caller's next commit wait for it.
	runEvery = 4 * time.Millisecond
	// retryFirst and retryLast bound the pause after the stream refused or did
	// not answer; it doubles in between.
	retryFirst = 50 * time.Millisecond
	retryLast  = 2 * time.Second
)

// errStream marks what the stream said: the publisher reads the tail and goes on
// from there. Every other error ends it.
var errStream = errors.New("feed: stream")

// PublisherConfig says what a publisher works with. All of the first block is needed.
type PublisherConfig struct {
	Source  projections.Source
	State   State
	Listing Listing
	Tokens  Tokens
	Stream  Stream

	// RunEntriesMax bounds a run, besides the commit that reaches it. 0: 2,000.
	RunEntriesMax int
	// BatchBytesMax bounds a message, besides the update that reaches it; it must
	// stay below the server's max_payload (1 MiB by default). 0: 512 KiB.
	BatchBytesMax int
	// Logger hears of retries. Nil discards.
	Logger *slog.Logger
	// Published is told the position up to which everything is in the stream, and
	// when that entry was recorded. Nil is skipped; it must not block.
	Published func(at ledger.Position, recordedAt time.Time)
}

// Publisher turns what the projections hold into the feed. One publishes at a
// time; a second one harms nobody, because each message names the sequence it
// must follow and every mistake ends in reading the tail again.
type Publisher struct {
	c         PublisherConfig
	published atomic.Uint64
}

// NewPublisher makes a publisher; Run starts it.
func NewPublisher(c PublisherConfig) *Publisher {
	if c.RunEntriesMax == 0 {
		c.RunEntriesMax = runEntriesDefault
	}
	if c.BatchBytesMax == 0 {
		c.BatchBytesMax = batchBytesDefault
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Publisher{c: c}
}

// Published is the position up to which every change is in the stream, for all
// sellers; 0 until the tail has been read and its run finished.
func (p *Publisher) Published() ledger.Position { return ledger.Position(p.published.Load()) }

// Run publishes until ctx ends, or the ledger or its projections fail. It waits
// for the stream as long as that takes: meanwhile Published stands still, and
// with it the position of heartbeats.
func (p *Publisher) Run(ctx context.Context) error {
	pause := retryFirst
	for {
		before := p.Published()
		err := p.follow(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !errors.Is(err, errStream) {
			return err
		}
		if p.Published() > before {
			pause = retryFirst
		}
		p.c.Logger.Warn("feed: reading the tail again", "published", p.Published(), "pause", pause, "error", err)
		if err := ledger.Pause(ctx, pause); err != nil {
			return err
		}
		pause = min(2*pause, retryLast)
	}
}

// follow reads the stream's tail and publishes everything after it.
func (p *Publisher) follow(ctx context.Context) error {
	tail, seq, err := p.c.Stream.Tail(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", errStream, err)
	}
	after := ledger.Position(0)
	if tail != nil {
		after = ledger.Position(tail.GetFromPosition()) - 1
	}
	g, ctx := errgroup.WithContext(ctx)
	commits := make(chan []*ledger.Entry, readAheadCommits)
	g.Go(func() error {
		return ledger.ReadAhead(ctx, "feed", behind(p.c.Source.Entries(ctx, after), after), after, commits)
	})
	g.Go(func() error {
		w := worker{Publisher: p, seq: seq}
		if tail != nil {
			if err := w.finish(ctx, tail, commits); err != nil {
				return err
			}
		}
		return w.goOn(ctx, commits)
	})
	return g.Wait()
}

// behind leaves out entries up to a position.
func behind(commits iter.Seq2[[]*ledger.Entry, error], after ledger.Position) iter.Seq2[[]*ledger.Entry, error] {
	return func(yield func([]*ledger.Entry, error) bool) {
		for c, err := range commits {
			for len(c) > 0 && c[0].Position <= after {
				c = c[1:]
			}
			if (len(c) > 0 || err != nil) && !yield(c, err) {
				return
			}
		}
	}
}

// worker publishes from one tail on. It belongs to one goroutine.
type worker struct {
	*Publisher
	seq  uint64          // the stream's last sequence
	rest []*ledger.Entry // read, and behind the run that was finished
}

// finish publishes what is missing of the run the tail belongs to: the sellers
// after the tail's, and that seller again if its message was not its last. A
// crash in the middle of it leaves a tail of the same run.
func (w *worker) finish(ctx context.Context, tail *consentv1.FeedBatch, in <-chan []*ledger.Entry) error {
	through := ledger.Position(tail.GetThroughPosition())
	var run []*ledger.Entry
	for len(run) == 0 || run[len(run)-1].Position < through {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case c := <-in:
			run = append(run, c...)
		}
	}
	n := int(through-run[0].Position) + 1
	w.rest = run[n:]
	return w.publish(ctx, run[:n], func(seller string) bool {
		return seller > tail.GetSeller() || seller == tail.GetSeller() && tail.GetMore()
	})
}

// goOn publishes run after run, as many commits in one as wait. The first after a
// pause goes at once.
func (w *worker) goOn(ctx context.Context, in <-chan []*ledger.Entry) error {
	everybody := func(string) bool { return true }
	var next <-chan time.Time // nil: at once
	for {
		run := w.rest
		w.rest = nil
		if len(run) == 0 {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case run = <-in:
			}
		}
		if next != nil {
			select {
			case <-next:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		next = time.After(runEvery)
		if err := w.publish(ctx, w.gather(run, in), everybody); err != nil {
			return err
		}
	}
}

// gather adds what already waits, within the bound.
func (w *worker) gather(run []*ledger.Entry, in <-chan []*ledger.Entry) []*ledger.Entry {
	for len(run) < w.c.RunEntriesMax {
		select {
		case c := <-in:
			run = append(run[:len(run):len(run)], c...)
		default:
			return run
		}
	}
	return run
}

// publish sends one run: a message, or several, for each seller wanted that it
// concerns, in order of sellers.
func (w *worker) publish(ctx context.Context, entries []*ledger.Entry, wanted func(seller string) bool) error {
	first, last := entries[0].Position, entries[len(entries)-1]
	run, err := w.build(ctx, entries, wanted)
	if err != nil {
		return fmt.Errorf("feed: positions %d to %d: %w", first, last.Position, err)
	}
	for _, b := range run.batches(w.c.BatchBytesMax) {
		b.FromPosition, b.ThroughPosition = uint64(first), uint64(last.Position)
		data, err := marshal(b)
		if err != nil {
			return fmt.Errorf("feed: positions %d to %d: %w", first, last.Position, err)
		}
		if w.seq, err = w.c.Stream.Publish(ctx, b.GetSeller(), data, w.seq); err != nil {
			return fmt.Errorf("%w: positions %d to %d, seller %s: %w", errStream, first, last.Position, b.GetSeller(), err)
		}
	}
	w.published.Store(uint64(last.Position))
	if w.c.Published != nil {
		w.c.Published(last.Position, last.RecordedAt)
	}
	return nil
}
