package runner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/projections"
	"github.com/consent-ledger/consent-ledger/projections/runner/bulk"
)

// bulkEntriesMin is from how many entries a bulk fold pays. Below it the folded
// entries fit into memory, and reading before each write costs little.
const bulkEntriesMin = 50_000

// errCaughtUp ends the follower where a bulk fold ends, so that what comes after
// is read as after a restart.
var errCaughtUp = errors.New("projections: a bulk fold has reached its end")

// catchup is a bulk fold of those projections that begin from nothing, while the
// others are folded as ever. Apply is the same for both; what differs is where its
// writes go. Nothing of it is in the database before its last step, so a crash
// leaves projections without a record, which the next start folds anew.
type catchup struct {
	fold    *bulk.Fold
	through ledger.Position
	began   time.Time
}

// beginCatchup starts a bulk fold if one pays.
func (r *Runner) beginCatchup() error {
	through := r.reached
	if r.o.Through != nil {
		through = max(through, r.o.Through())
	}
	if through < ledger.Position(r.o.BulkEntriesMin) {
		return nil
	}
	for _, pt := range r.parts {
		p, ok := pt.p.(projections.Joined)
		if _, resident := pt.p.(projections.Resident); !ok || resident || pt.applied != 0 {
			continue
		}
		if r.catchup == nil {
			o := r.o.Bulk
			o.Sorted = r.sorted
			fold, err := bulk.Begin(r.db, o)
			if err != nil {
				return fmt.Errorf("projections: bulk fold: %w", err)
			}
			r.catchup = &catchup{fold: fold, through: through, began: time.Now()}
			r.o.Logger.Info("projections are folded in bulk", "through", through)
		}
		pt.bulk = r.catchup.fold.Add(p, len(pt.shards))
	}
	return nil
}

// caughtUp tells whether a bulk fold has read all it is to read.
func (r *Runner) caughtUp(at ledger.Position) bool {
	return r.catchup != nil && at >= r.catchup.through
}

// endCatchup sorts what was folded and makes it visible, with its position, in one
// step. The store has either nothing of it or all.
func (r *Runner) endCatchup(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, r.dropCatchup()) }()
	read := time.Now()
	if err := r.catchup.fold.Prepare(ctx, r.known.Load().add); err != nil {
		return fmt.Errorf("projections: bulk fold: %w", err)
	}
	var rec bulk.Records
	at := ledger.Position(0)
	for _, pt := range slices.SortedFunc(slices.Values(r.parts), func(a, b *part) int { return bytes.Compare(a.metaKey(), b.metaKey()) }) {
		if pt.bulk != nil {
			rec.Keys, rec.Values, at = append(rec.Keys, pt.metaKey()), append(rec.Values, pt.meta().encode()), pt.applied
		}
	}
	if hook := r.testingOnlyBeforeCommit; hook != nil {
		if err := hook(at); err != nil {
			return err
		}
	}
	r.enter(TakingOver)
	r.seq.Add(1)
	defer r.step()
	defer r.seq.Add(1)
	if err := r.catchup.fold.Ingest(ctx, rec); err != nil {
		return fmt.Errorf("projections: bulk fold: %w", err)
	}
	for _, pt := range r.parts {
		pt.bulk = nil
		pt.committed()
	}
	if r.verified() {
		r.applied.Store(uint64(r.slowest()))
	}
	r.o.Logger.Info("projections were folded in bulk", "position", at, "reading", read.Sub(r.catchup.began), "sorting", time.Since(read))
	return nil
}

// dropCatchup ends a bulk fold, whether it is done or not.
func (r *Runner) dropCatchup() error {
	if r.catchup == nil {
		return nil
	}
	fold := r.catchup.fold
	r.catchup = nil
	for _, pt := range r.parts {
		pt.bulk = nil
	}
	return fold.Close()
}

// metaKey is where the store keeps how far the projection is.
func (pt *part) metaKey() []byte { return store.MetaKey(pt.p.Name()) }

func (pt *part) meta() meta { return meta{version: pt.p.Version(), applied: pt.applied, leaf: pt.leaf} }
