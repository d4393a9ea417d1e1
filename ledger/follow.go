package ledger

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"
)

// ErrGap: a source skipped a position. Nothing after it was handed on.
var ErrGap = errors.New("a gap in the ledger's positions")

// Source gives the entries of the ledger to those who follow it; reader.Reader has it.
type Source interface {
	// Entries yields whole commits in order, decoded and with tokens opened, from
	// the one that holds the position after `after`; entries at or below `after`
	// may come along with it. Having reached the tail it waits for more. It ends
	// only with ctx or an error, and never skips what it cannot read.
	Entries(ctx context.Context, after Position) iter.Seq2[[]*Entry, error]
}

// ReadAhead hands the commits of a source to out, as they come, and proves that no
// position is missing from the first one on, which is the one after `after` or an
// earlier one. It returns why it ended: ctx's cause, ErrGap, or what cannot be read.
// who names the follower in errors.
func ReadAhead(ctx context.Context, who string, entries iter.Seq2[[]*Entry, error], after Position, out chan<- []*Entry) error {
	last := after
	for c, err := range entries {
		if err != nil {
			return fmt.Errorf("%s: after position %d: %w", who, last, err)
		}
		for i, e := range c {
			first := i == 0 && last == after && e.Position <= after+1
			if e.Position != last+1 && !first {
				return fmt.Errorf("%s: %w: position %d follows %d", who, ErrGap, e.Position, last)
			}
			last = e.Position
		}
		select {
		case out <- c:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return fmt.Errorf("%s: the source ended after position %d", who, last)
}

// Closed tells whether a channel is closed.
func Closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// Pause waits; the error is ctx's cause, if that ended first.
func Pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
