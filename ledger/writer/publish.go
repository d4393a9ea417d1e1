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
