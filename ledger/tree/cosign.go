package tree

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/proof"
)

const (
	// cosignEvery is how often witnesses are asked at most if nobody waits for them;
	// cosignSoon, if somebody does.
	cosignEvery = 10 * time.Second
	cosignSoon  = time.Second
)

// cosignAll asks witnesses for the newest checkpoint until ctx is done. What too few
// cosign stays the ledger's word alone, and the next one is asked for.
func (t *Tree) cosignAll(ctx context.Context) {
	for {
		c, changed := t.newest()
		pause := cosignEvery
		if at := t.cosigned.Load(); c.Size > 0 && (at == nil || c.Size > at.Size) {
			if t.cosignOne(ctx, c) != nil {
				pause = anchorPause
			}
		}
		if t.idle(ctx, pause) != nil {
			return
		}
		if now, _ := t.newest(); now.Size > c.Size {
			continue
		}
		if at := t.cosigned.Load(); at == nil || at.Size < c.Size {
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// idle waits for a pause to pass, which ends early if somebody waits for witnesses.
func (t *Tree) idle(ctx context.Context, pause time.Duration) error {
	if err := ledger.Pause(ctx, cosignSoon); err != nil {
		return err
	}
	rest := time.NewTimer(pause - cosignSoon)
	defer rest.Stop()
	select {
	case <-rest.C:
	case <-t.wanted:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// want has witnesses asked soon.
func (t *Tree) want() {
	select {
	case t.wanted <- struct{}{}:
	default: // somebody else wants it too
	}
}

// cosignOne asks for one checkpoint, and keeps what came.
func (t *Tree) cosignOne(ctx context.Context, c proof.Checkpoint) error {
	note, err := t.cfg.Witnesses.Cosign(ctx, c, func(old int64) (tlog.TreeProof, error) { return t.Consistency(old, c) })
	c.Note = note
	if err == nil {
		b := t.db.NewBatch()
		if err = b.Set(metaCosigned, note); err != nil {
			err = errors.Join(err, b.Close())
		} else if err = b.Commit(true); err == nil {
			t.unseen.Store(nil)
			t.heard(func() { t.cosigned.Store(&c) })
			return nil
		}
	}
	t.heard(func() { t.partly = &c })
	text := err.Error()
	if old := t.unseen.Swap(&text); old == nil && ctx.Err() == nil {
		t.cfg.Logger.Warn("tree: the newest checkpoint is not cosigned; it is tried again", "size", c.Size, "error", text)
	}
	return err
}

// heard keeps what witnesses answered, and tells those who wait for it.
func (t *Tree) heard(keep func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	keep()
	close(t.answered)
	t.answered = make(chan struct{})
}

// said gives the newest checkpoint that enough witnesses cosigned and the last one that too
// few did, each nil if there is none, and a channel that closes with the next answers.
func (t *Tree) said() (enough, few *proof.Checkpoint, next <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cosigned.Load(), t.partly, t.answered
}

// Quorum is how far witnesses vouch for a checkpoint; false: none is asked.
func (t *Tree) Quorum(c proof.Checkpoint) (proof.Quorum, bool) {
	if t.cfg.Witnesses == nil {
		return proof.Quorum{}, false
	}
	return t.cfg.Witnesses.Quorum(c.Note), true
}

// witnessed asks the witnesses what they have seen of this ledger. One who cannot be
// reached is no reason not to serve; one who has seen more than there is, is.
func (t *Tree) witnessed(ctx context.Context) error {
	if raw, err := t.db.Get(metaCosigned); err != nil {
		return err
	} else if raw != nil {
		c, err := proof.OpenCheckpoint(raw, t.cfg.Verifier)
		if err != nil {
			return fmt.Errorf("tree: the cosigned checkpoint: %w", err)
		}
		if t.cfg.Witnesses == nil || t.cfg.Witnesses.Quorum(raw).Satisfied { // the policy may be another one now
			t.cosigned.Store(&c)
		}
	}
	if t.cfg.Witnesses == nil || t.signed.Size == 0 {
		return nil
	}
	most, who, err := t.cfg.Witnesses.Seen(ctx, t.signed)
	if err != nil {
		t.cfg.Logger.Warn("tree: some witnesses do not say what they have seen", "error", err)
	}
	if most > t.signed.Size {
		return rolledBack("%s says that it has seen %d entries, the newest checkpoint here is of %d; if it is the witness that is wrong, take it out of the policy", who, most, t.signed.Size)
	}
	return nil
}

// Shown is the checkpoint for others: the newest that is cosigned if witnesses are
// asked at all, else the newest.
func (t *Tree) Shown() (proof.Checkpoint, bool) {
	if t.cfg.Witnesses == nil {
		return t.Published()
	}
	if c := t.cosigned.Load(); c != nil {
		return *c, true
	}
	return proof.Checkpoint{}, false
}
