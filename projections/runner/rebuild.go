package runner

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// Progress of a rebuild.
type Progress struct {
	Phase Phase
	// Folded is how far it is, Through where it ends: both are positions. In a bulk
	// fold nothing shows before all is folded and then sorted, which takes about a
	// fifth of the time.
	Folded, Through ledger.Position
	// Sorted is how many bytes of those to sort are in tables.
	Sorted, Sorting int64
}

// Phase is what a fold is doing.
type Phase int32

// The phases; the last two are those of a bulk fold, which has read all by then.
const (
	Reading Phase = iota
	Sorting
	TakingOver
)

// phase is how far a fold is beside its position. Its fields are told one after
// another: between two they may not fit together.
type phase struct {
	now             atomic.Int32
	sorted, sorting atomic.Int64
}

// sorted notes how much of a bulk fold is in tables.
func (r *Runner) sorted(bytes, of int64) {
	r.phase.sorted.Store(bytes)
	r.phase.sorting.Store(of)
	r.enter(Sorting)
}

// enter tells everybody who waits what is being done now.
func (r *Runner) enter(p Phase) {
	r.phase.now.Store(int32(p))
	r.step()
}

// rebuild is the request to begin anew. It ends the follower as an error does,
// so that a rebuild takes the same way as a restart.
type rebuild struct{ wiped chan struct{} }

func (*rebuild) Error() string { return "projections: a rebuild was asked for" }

// Rebuild deletes all projections and folds them anew, up to the position they
// had. Meanwhile Applied starts again from 0, so that whoever waits for a
// position waits, and reads that began before keep their view. Run must be
// running. progress, if not nil, is called after each batch. If ctx ends, the
// rebuild goes on without its caller.
func (r *Runner) Rebuild(ctx context.Context, progress func(Progress)) error {
	through := r.Applied()
	again := &rebuild{wiped: make(chan struct{})}
	select {
	case r.rebuilds <- again:
	case <-ctx.Done():
		return fmt.Errorf("projections: rebuild not begun: %w", context.Cause(ctx))
	case <-r.ended:
		return fmt.Errorf("projections: rebuild not begun: %w", r.Err())
	}
	select {
	case <-again.wiped:
	case <-r.ended:
		return r.Err()
	}
	return r.watch(ctx, through, progress)
}

// watch reports each step until a position is applied.
func (r *Runner) watch(ctx context.Context, through ledger.Position, progress func(Progress)) error {
	for {
		reached, changed, err := r.look(through)
		if err != nil {
			return err
		}
		if progress != nil {
			progress(Progress{Phase: Phase(r.phase.now.Load()), Folded: ledger.Position(r.folded.Load()), Through: through,
				Sorted: r.phase.sorted.Load(), Sorting: r.phase.sorting.Load()})
		}
		if reached {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("projections: rebuild goes on alone: %w", context.Cause(ctx))
		}
	}
}

// wipe deletes everything and starts the parts from 0. A crash after the commit
// leaves empty projections, which the next start folds anew.
func (r *Runner) wipe() error {
	r.seq.Add(1)
	defer r.step()
	defer r.seq.Add(1)
	r.o.Logger.Info("projections are deleted and folded anew", "position", r.Applied())
	r.reached = max(r.reached, r.Applied())
	r.applied.Store(0)
	r.folded.Store(0)
	r.phase.now.Store(int32(Reading))
	if err := wipeParts(r.db, r.parts...); err != nil {
		return err
	}
	r.useKnown(newKnown(true))
	for _, p := range r.parts {
		p.restart(meta{})
		if err := p.load(r.db); err != nil {
			return fmt.Errorf("projection %s: %w", p.p.Name(), err)
		}
	}
	return nil
}
