// Package writer is the one writer of a ledger: it packs waiting facts into
// commits, seals them, gives them positions and answers each caller once its
// entry is durable.
//
// Life of a fact: Record puts a call in a lane (queue.go). The assembler takes
// what waits and makes one commit (assemble.go) while the publisher makes the one
// before it durable (publish.go) and answers, while the index is written with the
// one before that. Persons are drawn ahead (reserve.go). Up to two commits are
// open, never more than one is in flight. When there is nothing else to assemble
// the assembler publishes by itself. Whatever leaves doubt ends the writer:
// the process restarts, reads the stream to its tail, and that settles it.
package writer

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/declare"
	"github.com/consent-ledger/consent-ledger/ledger/index"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Files keeps what is too large for an entry.
type Files interface {
	// PutBytes stores sealed bytes under their SHA-256; twice is harmless.
	PutBytes(ctx context.Context, data []byte) (ledger.Hash, error)
}

// Metrics are told what happens; all methods must be cheap and safe for
// concurrent use.
type Metrics interface {
	Committed(entries, bytes int, took time.Duration)
	AppendRetried()
}

// Config is what a writer needs.
type Config struct {
	Log     ledger.Log
	Index   *index.Index
	Keys    *seal.Keyring
	Files   Files
	Clock   Clock
	Metrics Metrics
	// Lagging tells whether local projections are so far behind that bulk must
	// wait, or read-your-writes would stall every check.
	Lagging func() bool
	// Offer is told of each commit before it is sent: its bytes and its entries as
	// ledger.DecodeCommit would give them, for whoever reads message seq from the
	// stream and finds these bytes in it. Until then it is nothing. Nil is skipped.
	Offer func(seq uint64, data []byte, entries []*ledger.Entry)
	// Watch waits until ctx is done, or gives an error once the disk of the streams
	// fails: then the writer ends at once. Nil: nobody can tell.
	Watch func(ctx context.Context) error
	// Ready is told where the ledger ends, before anything is appended or destroyed; its
	// error ends the start. Nil: nobody is.
	Ready func(end ledger.Position) error
	// Version of the program and a random id of the process, for WriterStarted.
	Version, Instance string
}

// Writer appends. Record and Erase are safe for concurrent use; Run runs once.
type Writer struct {
	log     ledger.Log
	index   *index.Index
	keys    *seal.Keyring
	files   Files
	clock   *clock
	metrics Metrics
	offer   func(seq uint64, data []byte, entries []*ledger.Entry)
	watch   func(context.Context) error
	queue   *queue
	reserve *reserve

	// keysMu: keys are stored, noted and destroyed one message at a time.
	keysMu sync.Mutex

	// next belongs to the assembler; tail to the publisher, and to the assembler
	// while the publisher has nothing to do.
	next ledger.Position
	tail uint64

	acked    atomic.Uint64 // last durable position
	ackedSeq atomic.Uint64 // its message

	// ending is closed when no call may enter any more. mu is held for reading
	// while a call enters a lane and guards failure.
	ending  chan struct{}
	endOnce sync.Once
	mu      sync.RWMutex
	failure error
}

// Open catches the index up with the stream, finishes erasures a crash
// interrupted, and only then lets the writer exist: its index is exact.
func Open(ctx context.Context, cfg Config) (*Writer, error) {
	w := &Writer{log: cfg.Log, index: cfg.Index, keys: cfg.Keys, files: cfg.Files, metrics: cfg.Metrics,
		offer: cfg.Offer, watch: cfg.Watch, queue: newQueue(cfg.Lagging), reserve: newReserve(), ending: make(chan struct{})}
	if w.offer == nil {
		w.offer = func(uint64, []byte, []*ledger.Entry) {}
	}
	if err := w.catchUp(ctx); err != nil {
		return nil, err
	}
	applied := w.index.Applied()
	w.tail, w.next = applied.Seq, applied.Position+1
	w.acked.Store(uint64(applied.Position))
	w.ackedSeq.Store(applied.Seq)
	if cfg.Ready != nil {
		if err := cfg.Ready(applied.Position); err != nil {
			return nil, err
		}
	}
	w.clock = newClock(cfg.Clock, applied.RecordedAt)
	if err := w.healKeysTail(ctx); err != nil {
		return nil, err
	}
	if err := w.finishErasures(ctx); err != nil {
		return nil, err
	}
	return w, w.start(ctx, cfg)
}

// catchUp reads both streams to their tails, through the same code that indexes
// every commit of normal operation.
func (w *Writer) catchUp(ctx context.Context) error {
	for m, err := range w.log.FollowKeys(ctx, w.index.Applied().KeysSeq) {
		if err != nil {
			return err
		}
		var keys consentv1.WrappedKeys
		if proto.Unmarshal(m.Data, &keys) != nil {
			continue // lost: package mend says so
		}
		if err := w.index.ApplyKeys(m.Seq, &keys); err != nil {
			return err
		}
	}
	tail, err := w.log.Tail(ctx)
	if err != nil {
		return err
	}
	if at := w.index.Applied().Seq; at > tail {
		return fmt.Errorf("writer: the index knows message %d, the stream ends at %d: entries are missing: %w", at, tail, ledger.ErrDamaged)
	} else if at == tail {
		return nil
	}
	for m, err := range w.log.Follow(ctx, w.index.Applied().Seq) {
		if err != nil {
			return err
		}
		entries, err := ledger.DecodeCommit(m, w.keys)
		if err != nil {
			return fmt.Errorf("%w: %w", ledger.ErrDamaged, err)
		}
		if err := w.index.ApplyCommit(m.Seq, entries); err != nil {
			return err
		}
		if m.Seq >= tail {
			return nil
		}
	}
	return context.Cause(ctx)
}

// start appends WriterStarted. Its position is the writer's epoch.
func (w *Writer) start(ctx context.Context, cfg Config) error {
	d, err := declare.Declare(declare.Declaration{Fact: &consentv1.Fact{Source: "consent-ledger", EventId: "writer-" + cfg.Instance,
		Kind: &consentv1.Fact_WriterStarted{WriterStarted: &consentv1.WriterStarted{Version: cfg.Version, Instance: cfg.Instance}}}}, w.keys, w.index)
	if err != nil {
		return err
	}
	c := newCall([]*declare.Declared{d})
	j, err := w.assemble(ctx, []item{{c, 0}})
	if err != nil {
		return err
	}
	if err := w.keysFirst(ctx, j); err != nil {
		return err
	}
	if err := w.publish(ctx, j); err != nil {
		return err
	}
	if err := w.index.Write(); err != nil {
		return err
	}
	if c.outcomes[0].Err != nil {
		return c.outcomes[0].Err
	}
	return nil
}

// Run assembles and publishes until ctx is done or something leaves doubt. Its
// error then ends the process. Facts that were accepted are settled first.
func (w *Writer) Run(ctx context.Context) error {
	jobs, settled := make(chan *job), make(chan struct{})
	g, gctx := errgroup.WithContext(context.WithoutCancel(ctx))
	gctx, stopAssembling := context.WithCancelCause(gctx)
	defer stopAssembling(nil)
	watched, unwatch := context.WithCancel(gctx)
	if w.watch != nil {
		g.Go(func() error { return w.watch(watched) })
	}
	drawing, stopDrawing := context.WithCancel(gctx)
	g.Go(func() error {
		if err := w.drawAhead(drawing); err != nil {
			w.fail(err)
			stopAssembling(err)
			return err
		}
		return nil
	})
	g.Go(func() error {
		defer close(jobs)
		defer stopDrawing()
		return w.assembleAll(ctx, gctx, jobs, settled)
	})
	g.Go(func() error {
		defer close(settled) // the assembler has ended before
		for j := range jobs {
			if err := w.publish(gctx, j); err != nil {
				stopAssembling(err)
				for j := range jobs {
					w.abandon(j, ledger.ErrNotReady)
					close(j.done) // the assembler waits for an erasure
				}
				return err
			}
			settled <- struct{}{}
		}
		return nil
	})
	g.Go(func() error {
		defer unwatch() // the last to end
		return w.writeIndex(settled, stopAssembling)
	})
	err := g.Wait()
	w.fail(err)
	w.queue.drain(func(c *call) { c.abandon(w.refusal()) })
	return err
}

// assembleAll makes commits until stop is done. gctx ends with the publisher.
func (w *Writer) assembleAll(stop, gctx context.Context, jobs chan<- *job, settled chan<- struct{}) error {
	var last *job
	for {
		both, cancel := mergeDone(stop, gctx)
		items := w.queue.take(both)
		cancel()
		if len(items) == 0 {
			return nil
		}
		if gctx.Err() != nil { // the publisher's error is the one that counts
			abandonItems(items, ledger.ErrNotReady)
			return nil
		}
		j, err := w.assembleOne(gctx, items, last)
		if err == nil {
			err = w.keysFirst(gctx, j)
		}
		if err != nil {
			if gctx.Err() != nil {
				err = context.Cause(gctx) // likewise
			}
			w.fail(err)
			abandonItems(items, fmt.Errorf("%w (%w)", ledger.ErrUncertain, err)) // one may repeat a fact that is under way
			return err
		}
		if w.queue.empty() && isDone(last) {
			// Nobody waits and nothing is in flight: what is the publisher's is ours
			// until the next job, and a lone caller is spared the way over to it.
			if err := w.publish(gctx, j); err != nil {
				return err
			}
			settled <- struct{}{}
			last = j
			continue
		}
		jobs <- j
		if last = j; items[0].call.alone != nil {
			<-j.done // an erasure changes keys; nothing may be sealed meanwhile
		}
	}
}

// isDone tells whether a job is settled; there may be none.
func isDone(j *job) bool {
	if j == nil {
		return true
	}
	select {
	case <-j.done:
		return true
	default:
		return false
	}
}

// assembleOne lets an erasure see a ledger in which nothing else is open.
func (w *Writer) assembleOne(ctx context.Context, items []item, last *job) (*job, error) {
	c := items[0].call
	if c.alone == nil {
		return w.assemble(ctx, items)
	}
	if last != nil {
		<-last.done
	}
	var err error
	if c.facts[0], err = c.alone.before(); err != nil {
		return nil, err
	}
	return w.assemble(ctx, items)
}

// fail ends the writer: nobody enters a lane any more. err nil is a clean end.
func (w *Writer) fail(err error) {
	w.endOnce.Do(func() { close(w.ending) })
	w.mu.Lock() // after this, everybody who waited for room has left
	defer w.mu.Unlock()
	if w.failure == nil {
		w.failure = err
	}
}

// refusal is what callers hear after the end.
func (w *Writer) refusal() error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.refusalLocked()
}

func (w *Writer) refusalLocked() error {
	if w.failure != nil {
		return ledger.ErrNotReady
	}
	return ledger.ErrClosed
}

// Record makes facts durable and gives one outcome each, in order. It takes them
// over: the caller leaves their content alone from here on. A single fact
// goes before streams. If ctx ends while facts wait, their outcome is
// ErrUncertain: they may still be recorded.
func (w *Writer) Record(ctx context.Context, facts []*declare.Declared) []ledger.Outcome {
	if len(facts) == 0 {
		return nil
	}
	l := bulk
	if len(facts) == 1 {
		if l = singles; facts[0].Stop {
			l = stops
		}
	}
	return w.submit(ctx, l, newCall(facts))
}

func (w *Writer) submit(ctx context.Context, l lane, c *call) []ledger.Outcome {
	if err := w.enter(ctx, l, c); err != nil {
		out := make([]ledger.Outcome, len(c.facts))
		for i := range out {
			out[i].Err = err
		}
		return out
	}
	select {
	case <-c.done:
		return c.outcomes
	case <-ctx.Done():
		out := make([]ledger.Outcome, len(c.facts))
		for i := range out {
			out[i].Err = fmt.Errorf("%w (%w)", ledger.ErrUncertain, context.Cause(ctx))
		}
		return out
	}
}

// enter puts a call in a lane. The read lock is held while it waits for room, so
// that the end of the writer sees every call that got in.
func (w *Writer) enter(ctx context.Context, l lane, c *call) error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	select {
	case <-w.ending:
		return w.refusalLocked()
	default:
	}
	select {
	case w.queue.lanes[l] <- c:
		return nil
	case <-w.ending:
		return w.refusalLocked()
	case <-ctx.Done():
		return fmt.Errorf("%w (%w)", ledger.ErrNotReady, context.Cause(ctx))
	}
}

// Known tells whether a fact with this idempotency key is recorded or under way.
func (w *Writer) Known(key ledger.Hash) (bool, error) {
	_, found, err := w.index.Idempotency(key)
	return found, err
}

// Acked is the last durable position.
func (w *Writer) Acked() ledger.Position { return ledger.Position(w.acked.Load()) }

// Foreign tells whether a tail that was read before this call holds commits this
// writer did not write: somebody else writes too, and its own next append will
// fail. One commit of its own may be stored and not yet acknowledged.
func (w *Writer) Foreign(tail uint64) bool { return tail > w.ackedSeq.Load()+1 }

// Problems lists what keeps the writer from its full work, for doctor and readiness.
func (w *Writer) Problems() []string {
	var out []string
	if p := w.clock.state(); p != "" {
		out = append(out, p)
	}
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.failure != nil {
		out = append(out, w.failure.Error())
	}
	return out
}

// Now is the time that a commit made now would have, and what is wrong with the clock.
func (w *Writer) Now() (t time.Time, problem string) { return w.clock.now() }

// ConfirmClock trusts the wall clock again; an officer has looked at it.
func (w *Writer) ConfirmClock() { w.clock.confirm() }

// mergeDone is done when either context is.
func mergeDone(a, b context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(a)
	stop := context.AfterFunc(b, func() { cancel(context.Cause(b)) })
	return ctx, func() { stop(); cancel(nil) }
}
