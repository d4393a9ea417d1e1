package runner

import (
	"context"
	"fmt"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// Progress of a rebuild.
type Progress struct {
	// Folded is how far it is, Through where it ends: both are positions. In a bulk
	// fold nothing shows before all is folded and then sorted, which takes about a
	// fifth of the time.
	Folded, Through ledger.Position
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
			progress(Progress{Folded: ledger.Position(r.folded.Load()), Through: through})
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
