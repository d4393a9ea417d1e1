package writer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/settle"
)

// settleMax is how long an append may stay without an answer before the process
// gives up: a restart reads the stream and so settles it.
const settleMax = 10 * time.Second

// retryPause is the wait between two tries at the same append.
const retryPause = 50 * time.Millisecond

// writeIndex puts settled commits into the database while the next ones are
// assembled and published; look-ups see them before. It takes them all whatever
// happens, so that nobody waits for it; after an error they are read again from the
// stream at the next start.
func (w *Writer) writeIndex(settled <-chan struct{}, stop context.CancelCauseFunc) (err error) {
	for range settled {
		if err != nil {
			continue
		}
		if err = w.index.Write(); err != nil {
			w.fail(err)
			stop(err)
		}
	}
	return err
}

// publish makes a job's commit durable and answers its callers. If that fails
// they are told, and nobody enters the writer any more.
func (w *Writer) publish(ctx context.Context, j *job) error {
	defer close(j.done)
	if err := w.store(ctx, j); err != nil {
		w.fail(err)
		w.abandon(j, err)
		return err
	}
	for i, it := range j.items {
		it.call.answer(it.i, j.outcomes[i])
	}
	return nil
}

// store makes a job's commit durable and lets the index know.
func (w *Writer) store(ctx context.Context, j *job) error {
	started := w.clock.source.Mono()
	if len(j.entries) > 0 {
		w.offer(w.tail+1, j.data, j.entries)
		if err := w.appendSettled(ctx, w.tail, j.data); err != nil {
			return err
		}
		w.tail++
		if err := w.index.Settle(w.tail, j.entries); err != nil {
			return err
		}
		w.acked.Store(uint64(j.entries[len(j.entries)-1].Position))
		w.ackedSeq.Store(w.tail)
		w.metrics.Committed(len(j.entries), len(j.data), w.clock.source.Mono()-started)
	}
	if a := j.items[0].call.alone; a != nil {
		return a.after(ctx)
	}
	return nil
}

// abandon answers a job that will not be published. What may be stored is
// uncertain, and so is a duplicate of it; the rest was not recorded.
func (w *Writer) abandon(j *job, err error) {
	for i, it := range j.items {
		o := j.outcomes[i]
		switch {
		case o.Err != nil: // refused whatever became of the commit
		case o.Receipt.Duplicate || !errors.Is(err, ledger.ErrNotReady):
			o = ledger.Outcome{Err: fmt.Errorf("%w (%w)", ledger.ErrUncertain, err)}
		default:
			o = ledger.Outcome{Err: err}
		}
		it.call.answer(it.i, o)
	}
}

func abandonItems(items []item, err error) {
	for _, it := range items {
		it.call.answer(it.i, ledger.Outcome{Err: err})
	}
}

// appendSettled makes one commit durable after sequence `after`, or says that
// nobody knows; its error ends the process (package settle).
func (w *Writer) appendSettled(ctx context.Context, after uint64, data []byte) error {
	err := settle.Append(ctx, w.log, after, data,
		settle.Policy{Max: settleMax, Pause: retryPause, Mono: w.clock.source.Mono, Retried: w.metrics.AppendRetried})
	switch {
	case errors.Is(err, settle.ErrOther):
		return fmt.Errorf("writer: message %d was written by another writer; this one ends: %w", after+1, err)
	case err != nil:
		return fmt.Errorf("writer: %w", err)
	}
	return nil
}

// appendKeysSettled makes wrapped keys durable; storing them twice is harmless, so
// no sequence is expected.
func (w *Writer) appendKeysSettled(ctx context.Context, data []byte) (uint64, error) {
	started := w.clock.source.Mono()
	for {
		seq, err := w.log.AppendKeys(ctx, data)
		if err == nil {
			return seq, nil
		}
		if errors.Is(err, ledger.ErrDisk) {
			return 0, fmt.Errorf("writer: keys: %w", err)
		}
		w.metrics.AppendRetried()
		if w.clock.source.Mono()-started > settleMax {
			return 0, fmt.Errorf("writer: keys without an answer for %s: %w", settleMax, err)
		}
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			return 0, fmt.Errorf("writer: stopped while keys were open: %w", context.Cause(ctx))
		}
	}
}
