package runner

import (
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/projections"
	"github.com/consent-ledger/consent-ledger/projections/runner/bulk"
)

// shardsMax bounds the goroutines of one projection.
const shardsMax = 8

// part is one projection and how far it is. It belongs to Run; while a
// batch is folded, each shard belongs to one goroutine.
type part struct {
	p projections.Projection
	// shards are one overlay, or several if tokens may be folded side by side:
	// each token has its writes in just one of them.
	shards []*overlay
	// bulk takes the writes in place of the overlays during a bulk fold; else nil.
	bulk *bulk.Part

	applied ledger.Position
	leaf    ledger.Hash
	// stored is the position the store has.
	stored ledger.Position
	// verified: the ledger's entry at the stored position was seen and is the one
	// this state was folded from.
	verified bool
}

// openPart reads how far a projection is, or deletes what cannot be used.
func (r *Runner) openPart(p projections.Projection) (*part, error) {
	pt := &part{p: p}
	for range shardsOf(p) {
		pt.shards = append(pt.shards, newOverlay(r.db, p.Spaces(), nil))
	}
	raw, err := r.db.Get(store.MetaKey(p.Name()))
	if err != nil {
		return nil, err
	}
	m, err := decodeMeta(raw)
	if err != nil || m.version != p.Version() {
		r.o.Logger.Info("projection is folded anew", "projection", p.Name(),
			"stored_version", m.version, "version", p.Version(), "had_record", raw != nil)
		if err := wipeParts(r.db, pt); err != nil {
			return nil, err
		}
		m = meta{}
	}
	pt.restart(m)
	return pt, pt.load(r.db)
}

// restart takes over what the store says.
func (pt *part) restart(m meta) {
	pt.applied, pt.stored, pt.leaf, pt.verified = m.applied, m.applied, m.leaf, m.applied == 0
	for _, o := range pt.shards {
		o.reset()
	}
}

// shardsOf is how many tokens of a projection are folded at the same time.
func shardsOf(p projections.Projection) int {
	if _, ok := p.(projections.ByToken); ok {
		return min(runtime.GOMAXPROCS(0), shardsMax)
	}
	return 1
}

func (pt *part) load(r projections.Reader) error {
	if res, ok := pt.p.(projections.Resident); ok {
		return res.Load(r, pt.applied)
	}
	return nil
}

// apply folds the entries above the part's position.
func (pt *part) apply(entries []*ledger.Entry) error {
	for i, e := range entries {
		if e.Position <= pt.applied {
			if err := pt.verify(e); err != nil {
				return err
			}
			continue
		}
		if !pt.verified {
			return fmt.Errorf("%w: projection %s holds position %d, and the ledger gave %d first",
				ErrOtherHistory, pt.p.Name(), pt.applied, e.Position)
		}
		return pt.foldAll(entries[i:])
	}
	return nil
}

// foldAll folds entries that are all above the part's position.
func (pt *part) foldAll(entries []*ledger.Entry) error {
	if err := pt.foldShards(entries); err != nil {
		return err
	}
	last := entries[len(entries)-1]
	pt.applied, pt.leaf = last.Position, last.Leaf
	return nil
}

func (pt *part) foldShards(entries []*ledger.Entry) error {
	if len(pt.shards) == 1 || len(entries) < parallelEntries {
		for _, e := range entries {
			if err := pt.foldOne(e); err != nil {
				return err
			}
		}
		return nil
	}
	var g errgroup.Group
	for i := range pt.shards {
		g.Go(func() error {
			for _, e := range entries {
				if pt.shardOf(e) != i {
					continue
				}
				if err := pt.foldOne(e); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

func (pt *part) foldOne(e *ledger.Entry) error {
	if err := pt.p.Apply(pt.batchOf(e), e); err != nil {
		return fmt.Errorf("projection %s: entry %d: %w", pt.p.Name(), e.Position, err)
	}
	return nil
}

// shardOf spreads tokens by a byte behind those of the known set's shards.
func (pt *part) shardOf(e *ledger.Entry) int {
	if pt.bulk != nil {
		return pt.bulk.ShardOf(e.Token)
	}
	return int(e.Token[5]) % len(pt.shards)
}

// batchOf is where an entry's writes go.
func (pt *part) batchOf(e *ledger.Entry) projections.Batch {
	if pt.bulk != nil {
		return pt.bulk.Batch(pt.shardOf(e))
	}
	return pt.shards[pt.shardOf(e)]
}

// pending tells whether a batch must move the part's writes to the store.
func (pt *part) pending() bool { return pt.bulk == nil && pt.applied != pt.stored }

func (pt *part) verify(e *ledger.Entry) error {
	if e.Position != pt.applied {
		return nil
	}
	if e.Leaf != pt.leaf {
		return fmt.Errorf("%w: projection %s, position %d", ErrOtherHistory, pt.p.Name(), e.Position)
	}
	pt.verified = true
	return nil
}

// flush moves state and position to a batch, if the position moved.
func (pt *part) flush(b *store.Batch) (moved bool, err error) {
	if !pt.pending() {
		return false, nil
	}
	for _, o := range pt.shards {
		if err := o.flush(b); err != nil {
			return false, err
		}
	}
	return true, b.Set(pt.metaKey(), pt.meta().encode())
}

// committed publishes what is in the store now.
func (pt *part) committed() {
	if !pt.pending() {
		return
	}
	pt.stored = pt.applied
	if res, ok := pt.p.(projections.Resident); ok {
		res.Committed(pt.applied)
	}
}

// wipeParts deletes the spaces and the record of projections.
func wipeParts(db *store.DB, parts ...*part) error {
	b := db.NewBatch()
	for _, pt := range parts {
		for _, s := range pt.p.Spaces() {
			if err := wipeSpace(db, b, s); err != nil {
				return errors.Join(err, b.Close())
			}
		}
		if err := b.Delete(pt.metaKey()); err != nil {
			return errors.Join(err, b.Close())
		}
	}
	return b.Commit(false)
}

// wipeSpace deletes a space unless it is empty: a deletion of nothing would keep
// tables that come later from where reads look last.
func wipeSpace(db *store.DB, b *store.Batch, space byte) error {
	lo, hi := store.SpaceRange(space)
	if last, _, err := db.Last(lo, hi); err != nil || last == nil {
		return err
	}
	return b.DeleteRange(lo, hi)
}
