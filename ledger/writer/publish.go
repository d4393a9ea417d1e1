package writer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// settleMax is how long an append may stay without an answer before the process
// gives up: a restart reads the stream and so settles it.
const settleMax = 10 * time.Second

// retryPause is the wait between two tries at the same append.
const retryPause = 50 * time.Millisecond

// appendSettled makes one commit durable after sequence `after`, or says that
// nobody knows (DESIGN 4). No answer: the same bytes after the same sequence
// again. Refused: whoever stands at that sequence decides. Equal bytes are our
// own earlier try; other bytes mean a second writer, and this one must end. So it
// must if the disk has failed: what can be read then is no proof that it will stay.
func (w *Writer) appendSettled(ctx context.Context, after uint64, data []byte) error {
	started := w.clock.source.Mono()
	for {
		seq, err := w.log.Append(ctx, after, data)
		switch {
		case err == nil && seq == after+1:
			return nil
		case err == nil:
			return fmt.Errorf("writer: commit stored as message %d where %d was due: %w", seq, after+1, ledger.ErrDamaged)
		case errors.Is(err, ledger.ErrDisk):
			return fmt.Errorf("writer: %w", err)
		case errors.Is(err, ledger.ErrWrongTail):
			if settled, stop := w.whoWrote(ctx, after+1, data); settled || stop != nil {
				return stop
			}
		}
		w.metrics.AppendRetried()
		if w.clock.source.Mono()-started > settleMax {
			return fmt.Errorf("writer: no answer for %s; a restart settles it: %w", settleMax, err)
		}
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			return fmt.Errorf("writer: stopped while an append was open: %w", context.Cause(ctx))
		}
	}
}

// whoWrote reads the message at seq from the leader: settled if it is ours.
func (w *Writer) whoWrote(ctx context.Context, seq uint64, data []byte) (settled bool, stop error) {
	m, err := w.log.Read(ctx, seq)
	if err != nil { // not there yet, or nobody answers: try again
		return false, nil
	}
	if bytes.Equal(m.Data, data) {
		return true, nil
	}
	return false, fmt.Errorf("writer: message %d was written by another writer; this one ends", seq)
}

// appendKeysSettled does the same for wrapped keys; storing them twice is harmless.
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
