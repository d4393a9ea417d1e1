package rpc

import (
	"context"
	"fmt"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/projections/parties"
	"github.com/consent-ledger/consent-ledger/projections/runner"
	"github.com/consent-ledger/consent-ledger/projections/suppression"
	"github.com/consent-ledger/consent-ledger/projections/timeline"
)

// viewAt is what held at an instant, from what was recorded by asOf (zero: from
// everything), of a number, its parties and their other numbers.
func (d *Decider) viewAt(ctx context.Context, v runner.View, t ledger.Token, seller string, at, asOf time.Time) (suppression.View, error) {
	out, err := d.foldAt(ctx, v, t, seller, at, asOf)
	if err != nil {
		return out, err
	}
	return parties.LoadAt(v, out, t, seller, parties.History{At: at, AsOf: asOf,
		Entry:  func(at ledger.Position) (*ledger.Entry, error) { return d.Reader.Entry(ctx, at) },
		Number: func(other ledger.Token) (suppression.View, error) { return d.foldAt(ctx, v, other, seller, at, asOf) }})
}

// foldAt folds a number's timeline again, by the same fold.
func (d *Decider) foldAt(ctx context.Context, v runner.View, t ledger.Token, seller string, at, asOf time.Time) (suppression.View, error) {
	var inputs []suppression.Input
	err := d.history(ctx, v, t, 0, func(it timeline.Item) (bool, error) {
		if !asOf.IsZero() && it.RecordedAt.After(asOf) {
			return false, nil
		}
		e, err := d.Reader.Entry(ctx, it.Position)
		if err != nil {
			return false, fmt.Errorf("position %d: %w", it.Position, err)
		}
		inputs = append(inputs, suppression.InputOf(e))
		return true, nil
	})
	if err != nil {
		return suppression.View{}, err
	}
	states := suppression.FoldAt(at, func(yield func(suppression.Input) bool) {
		for _, in := range inputs {
			if !yield(in) {
				return
			}
		}
	})
	return states.View(seller), nil
}

// history visits a number's items after a position, oldest first, while more is wanted.
func (d *Decider) history(_ context.Context, v runner.View, t ledger.Token, after ledger.Position, visit func(timeline.Item) (bool, error)) error {
	for {
		items, more, err := timeline.Page(v, t, after, 0)
		if err != nil {
			return err
		}
		for _, it := range items {
			if goOn, err := visit(it); err != nil || !goOn {
				return err
			}
			after = it.Position
		}
		if !more {
			return nil
		}
	}
}
