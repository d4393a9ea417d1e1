package tree

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/consent-ledger/consent-ledger/ledger"
)

const (
	// readAheadMessages bounds what is read and waits to be added; a commit is at
	// most 256 KiB.
	readAheadMessages = 16
	// lastWait bounds the checkpoint at a clean stop.
	lastWait = 5 * time.Second
)

// Run follows the stream until ctx is done, and signs at most every so often. Its
// other errors are a *Fault, ErrTampered, ErrTwoSigners, or that something could
// not be read or written; then no more is signed. CatchUp must have come before it,
// and it can be called once.
func (t *Tree) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	messages := make(chan ledger.Message, readAheadMessages)
	g.Go(func() error { return t.read(ctx, messages) })
	g.Go(func() error { return t.grow(ctx, messages) })
	for _, a := range t.anchors {
		g.Go(func() error { t.anchor(ctx, a); return nil })
	}
	if t.cfg.Witnesses != nil {
		g.Go(func() error { t.cosignAll(ctx); return nil })
	}
	return g.Wait()
}

func (t *Tree) read(ctx context.Context, out chan<- ledger.Message) error {
	for m, err := range t.cfg.Source.Follow(ctx, t.at.seq) {
		if err != nil {
			return err
		}
		select {
		case out <- m:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return context.Cause(ctx)
}

// grow adds what is read. The first entry after a pause is signed for at once, and
// more only when the time is over: an idle ledger is never far from its checkpoint,
// and a busy one pays for one a second.
func (t *Tree) grow(ctx context.Context, in <-chan ledger.Message) error {
	due := time.NewTimer(0) // what was added before this start
	defer due.Stop()
	waiting, next := true, time.Now()
	for {
		select {
		case m := <-in:
			if err := t.take(m); err != nil {
				return err
			}
			if !waiting {
				waiting = true
				due.Reset(time.Until(next))
			}
		case <-due.C:
			waiting = false
			if err := t.checkpoint(ctx); err != nil {
				return err
			}
			next = time.Now().Add(t.cfg.Every)
			if t.settled.Size != t.at.size { // not published yet
				waiting = true
				due.Reset(t.cfg.Every)
			}
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWait)
			defer cancel()
			return errors.Join(context.Cause(ctx), t.checkpoint(last))
		}
	}
}

// take adds a message and bounds what is not durable.
func (t *Tree) take(m ledger.Message) error {
	before := t.at.size
	if err := t.add(m); err != nil {
		return err
	}
	if m.Seq >= t.keepFrom {
		if err := t.kept.add(m); err != nil {
			return err
		}
	}
	if t.open += t.at.size - before; t.open < openEntriesMax {
		return nil
	}
	return t.flush()
}

// until yields the messages that are not added yet, up to one.
func (t *Tree) until(ctx context.Context, last uint64) iter.Seq2[ledger.Message, error] {
	return t.from(ctx, t.at.seq, last)
}

// from yields the messages after one, up to another.
func (t *Tree) from(ctx context.Context, after, last uint64) iter.Seq2[ledger.Message, error] {
	return func(yield func(ledger.Message, error) bool) {
		if after >= last {
			return
		}
		for m, err := range t.cfg.Source.Follow(ctx, after) {
			if !yield(m, err) || err != nil || m.Seq >= last {
				return
			}
		}
	}
}

// rolledBack says what a start that finds entries missing must say.
func rolledBack(format string, args ...any) error {
	return RolledBack(fmt.Sprintf(format, args...),
		"ledger's folder, or give back what is missing from any copy that has it: consent repair --dir D --from COPY")
}

// RolledBack is that state, for whoever knows how far the ledger went: what is missing,
// and of what the newest copy helps.
func RolledBack(what, newest string) error {
	return broken(ErrRolledBack, fmt.Errorf("%s; nothing may be recorded, or positions would be used twice. Put back the newest copy of the %s", what, newest))
}

// broken is an error of a ledger in a state. It unwraps to ledger.ErrDamaged as well, by
// which others know that nothing can be served, and its text names the state alone.
func broken(state, why error) error { return &stateError{state, why} }

type stateError struct{ state, why error }

func (e *stateError) Error() string   { return e.state.Error() + ": " + e.why.Error() }
func (e *stateError) Unwrap() []error { return []error{e.state, e.why, ledger.ErrDamaged} }
