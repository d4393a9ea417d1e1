// Package runner follows the ledger and folds its entries into the projections
// of one Pebble database.
//
// One follower serves all projections. Each has a position of its own, which
// commits in one batch with its state and without fsync: a crash takes both back
// together, and the ledger is read again from there. Order of closing: end the
// context of Run and wait for Run, end all readers, close the database, and only
// then the ledger's source.
package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/projections"
	"github.com/consent-ledger/consent-ledger/projections/runner/bulk"
)

// Errors of the runner. Each says what is now true.
var (
	// ErrStopped: the runner does not run (any more); the projections stand still.
	// Whoever answers from them must block. The cause is wrapped beside it.
	ErrStopped = errors.New("projections: stopped, state stands still")

	// ErrOtherHistory: the state was folded from other entries than the ledger
	// holds now. Nothing was applied; find out which of the two is right, then
	// delete the projections or rebuild them.
	ErrOtherHistory = errors.New("projections: folded from another history than this ledger's; stop the server and move the folder projections away: " +
		"it is folded anew")
)

const (
	batchEntriesDefault = 20_000
	batchBytesDefault   = 32 << 20
	// readAheadCommits bounds what is decoded and waits to be folded; a commit is
	// at most 256 KiB.
	readAheadCommits = 32
	// parallelEntries is from how many entries the projections fold side by side;
	// below it, waking goroutines costs more than it gives.
	parallelEntries = 256
	// debtBytesMax is how far compaction may lag behind a bulk fold, and
	// debtPause how long one waits before looking again.
	debtBytesMax = 1 << 30
	debtPause    = 20 * time.Millisecond
)

// Options of a runner; the zero value is good.
type Options struct {
	// BatchEntriesMax and BatchBytesMax bound what is folded into one batch while
	// far behind, besides the commit that reaches them. 0: 20,000 and 32 MiB. A
	// runner that keeps up makes one batch a commit: it never waits for more.
	BatchEntriesMax, BatchBytesMax int
	// Through gives a position that the ledger certainly holds. Projections that
	// begin from nothing are folded in bulk up to it; a rebuild, at least up to where
	// they were. Nil: there is none.
	Through func() ledger.Position
	// BulkEntriesMin is from how many entries a bulk fold pays. 0: 50,000.
	BulkEntriesMin int
	// Bulk are the bounds of a bulk fold.
	Bulk bulk.Options
	// Logger hears of deletions and rebuilds. Nil discards.
	Logger *slog.Logger
	// Metrics are told what happened.
	Metrics Metrics
}

// Metrics are called by the fold itself and must not block; nil ones are skipped.
type Metrics struct {
	// Applied: all projections hold everything up to the position, which was
	// recorded at the time given.
	Applied func(at ledger.Position, recordedAt time.Time)
	// Batch: one batch was folded and committed.
	Batch func(entries int, took time.Duration)
}

// Runner folds entries into projections. Run does the work; all other methods
// may be called at any time, by any number of goroutines.
type Runner struct {
	db     *store.DB
	source projections.Source
	o      Options
	parts  []*part // belong to Run while it runs, as do the next two
	// catchup is the bulk fold under way; nil: none.
	catchup *catchup
	// reached is where the projections were before they were last deleted.
	reached ledger.Position

	rebuilds chan *rebuild
	running  atomic.Bool

	// seq is odd while a batch is being committed or spaces are deleted: a
	// snapshot between two equal even numbers is exactly at applied.
	seq     atomic.Uint64
	applied atomic.Uint64
	// folded is how far entries were folded, in the store or not yet.
	folded atomic.Uint64
	phase  phase
	known  atomic.Pointer[known]

	// mu guards changed, stopped and the step of applied together, so that nobody
	// can begin to wait for a position that has just passed.
	mu      sync.Mutex
	changed chan struct{} // closed and replaced at each step
	stopped error
	ended   chan struct{} // closed when Run has returned

	testingOnlyBeforeCommit func(at ledger.Position) error
}

// Open prepares a runner over a database. A projection whose version differs
// from the stored one, or which has no record of how far it is, loses its spaces
// and is folded anew. The database stays the caller's.
func Open(db *store.DB, source projections.Source, ps []projections.Projection, o Options) (*Runner, error) {
	if o.BatchEntriesMax == 0 {
		o.BatchEntriesMax = batchEntriesDefault
	}
	if o.BatchBytesMax == 0 {
		o.BatchBytesMax = batchBytesDefault
	}
	if o.BulkEntriesMin == 0 {
		o.BulkEntriesMin = bulkEntriesMin
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Runner{db: db, source: source, o: o, rebuilds: make(chan *rebuild), changed: make(chan struct{}), ended: make(chan struct{})}
	empty := true
	for _, p := range ps {
		pt, err := r.openPart(p)
		if err != nil {
			return nil, fmt.Errorf("projection %s: %w", p.Name(), err)
		}
		empty = empty && pt.applied == 0
		r.parts = append(r.parts, pt)
	}
	r.useKnown(newKnown(empty))
	return r, checkSpaces(ps)
}

func checkSpaces(ps []projections.Projection) error {
	owner := map[byte]string{store.SpaceMeta: "the runner"}
	for _, p := range ps {
		for _, s := range p.Spaces() {
			if o, taken := owner[s]; taken {
				return fmt.Errorf("projection %s: space %#x belongs to %s", p.Name(), s, o)
			}
			owner[s] = p.Name()
		}
	}
	return nil
}

// useKnown gives all parts another set of known tokens.
func (r *Runner) useKnown(k *known) {
	r.known.Store(k)
	for _, p := range r.parts {
		for _, o := range p.shards {
			o.known = k
		}
	}
}

// Run follows the ledger until ctx ends or something cannot be folded, and
// returns why; it never skips an entry. It can be called once. When it has
// returned, every wait fails with ErrStopped.
func (r *Runner) Run(ctx context.Context) error {
	if !r.running.CompareAndSwap(false, true) {
		return errors.New("projections: this runner has been started before")
	}
	err := r.run(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = fmt.Errorf("%w: %w", ErrStopped, err)
	close(r.changed) // stopped from here on: nobody waits on it again
	close(r.ended)
	return err
}

func (r *Runner) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	if k := r.known.Load(); !k.any.Complete() {
		snap := r.db.Snapshot() // taken before the first write
		g.Go(func() error { return errors.Join(k.load(ctx, snap), snap.Close()) })
	}
	g.Go(func() error {
		for {
			err := r.follow(ctx)
			var again *rebuild
			switch {
			case errors.Is(err, errCaughtUp):
				if err := r.endCatchup(ctx); err != nil {
					return err
				}
			case errors.As(err, &again):
				if err := errors.Join(r.dropCatchup(), r.wipe()); err != nil {
					return fmt.Errorf("projections: rebuild: %w", err)
				}
				close(again.wiped)
			default:
				return errors.Join(err, r.dropCatchup())
			}
		}
	})
	return g.Wait()
}

// follow reads and folds side by side until one of them fails, a rebuild is asked
// for or a bulk fold has reached its end.
func (r *Runner) follow(ctx context.Context) error {
	if err := r.beginCatchup(); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	commits := make(chan []*ledger.Entry, readAheadCommits)
	after := r.slowest()
	if after > 0 {
		after-- // see the entry applied last once more: it tells whose history this is
	}
	g.Go(func() error {
		return ledger.ReadAhead(ctx, "projections", r.source.Entries(ctx, after), after, commits)
	})
	g.Go(func() error { return r.fold(ctx, commits) })
	return g.Wait()
}

// fold applies what is there, many commits at once if many wait.
func (r *Runner) fold(ctx context.Context, in <-chan []*ledger.Entry) error {
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case again := <-r.rebuilds:
			return again
		case c := <-in:
			c = r.gather(c, in)
			if err := r.apply(ctx, c); err != nil {
				return err
			}
			if r.caughtUp(ledger.Position(r.folded.Load())) {
				return errCaughtUp
			}
		}
	}
}

// gather adds what already waits to a commit, within the bounds.
func (r *Runner) gather(c []*ledger.Entry, in <-chan []*ledger.Entry) []*ledger.Entry {
	bytes := sizeOf(c)
	for len(c) < r.o.BatchEntriesMax && bytes < r.o.BatchBytesMax {
		select {
		case next := <-in:
			bytes += sizeOf(next)
			c = append(c[:len(c):len(c)], next...)
		default:
			return c
		}
	}
	return c
}

func sizeOf(c []*ledger.Entry) (bytes int) {
	for _, e := range c {
		bytes += len(e.Bytes)
	}
	return bytes
}

// apply folds entries into every projection and commits them as one batch.
func (r *Runner) apply(ctx context.Context, entries []*ledger.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	began := time.Now()
	if err := r.applyParts(entries); err != nil {
		return err
	}
	last := entries[len(entries)-1]
	if err := r.commit(last.Position); err != nil {
		return fmt.Errorf("projections: commit of the batch up to position %d: %w", last.Position, err)
	}
	r.folded.Store(uint64(last.Position))
	r.step()
	if m := r.o.Metrics; m.Applied != nil {
		m.Applied(r.Applied(), last.RecordedAt)
	}
	if m := r.o.Metrics; m.Batch != nil {
		m.Batch(len(entries), time.Since(began))
	}
	if len(entries) >= r.o.BatchEntriesMax {
		return r.waitForCompaction(ctx)
	}
	return nil
}

func (r *Runner) applyParts(entries []*ledger.Entry) error {
	if len(entries) < parallelEntries {
		for _, p := range r.parts {
			if err := p.apply(entries); err != nil {
				return err
			}
		}
		return nil
	}
	var g errgroup.Group
	for _, p := range r.parts {
		g.Go(func() error { return p.apply(entries) })
	}
	return g.Wait()
}

// commit writes what the parts hold. A crash before it leaves the state of the
// batch before; a crash after it, this one: never something between.
func (r *Runner) commit(at ledger.Position) error {
	b := r.db.NewBatch()
	changed := 0
	for _, p := range r.parts {
		moved, err := p.flush(b)
		if err != nil {
			return errors.Join(err, b.Close())
		}
		if moved {
			changed++
		}
	}
	if hook := r.testingOnlyBeforeCommit; hook != nil && changed > 0 {
		if err := hook(at); err != nil {
			return errors.Join(err, b.Close())
		}
	}
	r.seq.Add(1)
	defer r.seq.Add(1)
	if err := finish(b, changed > 0); err != nil {
		return err
	}
	for _, p := range r.parts {
		p.committed()
	}
	if r.verified() {
		r.applied.Store(uint64(r.slowest()))
	}
	return nil
}

// finish commits a batch, or drops an empty one.
func finish(b *store.Batch, commit bool) error {
	if commit {
		return b.Commit(false)
	}
	return b.Close()
}

// verified tells whether the ledger has proven to be the one the state of every
// part was folded from.
func (r *Runner) verified() bool {
	for _, p := range r.parts {
		if !p.verified {
			return false
		}
	}
	return true
}

// waitForCompaction holds a bulk fold back, or reads become slow for everybody.
func (r *Runner) waitForCompaction(ctx context.Context) error {
	for r.db.CompactionDebtBytes() > debtBytesMax {
		if err := ledger.Pause(ctx, debtPause); err != nil {
			return err
		}
	}
	return nil
}

// slowest is the lowest position that the store has of all parts. Only Run may ask.
func (r *Runner) slowest() ledger.Position {
	if len(r.parts) == 0 {
		return 0
	}
	at := r.parts[0].stored
	for _, p := range r.parts[1:] {
		at = min(at, p.stored)
	}
	return at
}
