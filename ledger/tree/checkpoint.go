package tree

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/proof"
	"github.com/consent-ledger/consent-ledger/ledger/settle"
)

// checkpoint makes what was added durable and signs it. A crash after each step
// leaves: a batch that was not written, which is read from the stream again; tiles
// without a checkpoint, which the next one covers; a checkpoint that only this
// database knows, which the next start publishes before any other; a published
// one that anchors do not have yet, which they get next.
func (t *Tree) checkpoint(ctx context.Context) error {
	if err := t.flush(); err != nil {
		return err
	}
	if err := t.between("flushed"); err != nil {
		return err
	}
	if err := t.publish(ctx); err != nil || t.settled.Size != t.signed.Size || t.at.size == t.signed.Size {
		return err // one is not settled yet, or there is nothing new
	}
	if err := t.sign(); err != nil {
		return err
	}
	if err := t.between("signed"); err != nil {
		return err
	}
	return t.publish(ctx)
}

// sign signs the tree as it is, if it is what was signed last and more. It reads
// the root from the tiles, which is what everybody else will see.
func (t *Tree) sign() error {
	root, err := t.root(t.at.size)
	if err != nil {
		return err
	}
	if own, err := t.edge.root(); err != nil || own != root {
		return errors.Join(fmt.Errorf("tree: tiles do not lead to the root they were made with; restart to build them anew: %w", ledger.ErrDamaged), err)
	}
	c, err := proof.SignCheckpoint(t.at.size, root, t.cfg.Signer)
	if err != nil {
		return err
	}
	return t.accept(c)
}

// accept makes c the newest checkpoint signed, if it follows from the last one.
func (t *Tree) accept(c proof.Checkpoint) error {
	var p, err = t.Consistency(t.signed.Size, c)
	if c.Size >= t.signed.Size && err != nil {
		return err
	}
	if err := c.Consistent(t.signed, p); err != nil {
		return broken(ErrTampered, fmt.Errorf("a checkpoint of %d entries does not follow from the one of %d; nothing was signed: %w",
			c.Size, t.signed.Size, err))
	}
	if err := t.remember(c); err != nil {
		return err
	}
	t.signed = c
	return nil
}

// remember keeps a checkpoint in the database, synced.
func (t *Tree) remember(c proof.Checkpoint) error {
	b := t.db.NewBatch()
	if err := b.Set(metaCheckpoint, c.Note); err != nil {
		return errors.Join(err, b.Close())
	}
	return b.Commit(true)
}

// rememberJournal keeps how far the journal went. It is not synced: an older value
// only makes a start more careful.
func (t *Tree) rememberJournal() error {
	b := t.db.NewBatch()
	if err := b.Set(metaJournal, binary.BigEndian.AppendUint64(nil, t.journal)); err != nil {
		return errors.Join(err, b.Close())
	}
	return b.Commit(false)
}

// publish puts the newest signed checkpoint into the journal, and then shows it. If
// nobody answers it is tried again later, and nothing else is signed until then.
func (t *Tree) publish(ctx context.Context) error {
	if t.signed.Size > t.settled.Size {
		err := settle.Append(ctx, t.cfg.Journal, t.journal, t.signed.Note, settle.Policy{})
		switch {
		case errors.Is(err, settle.ErrOther):
			return fmt.Errorf("%w: %w", ErrTwoSigners, err)
		case errors.Is(err, settle.ErrUnsettled):
			if ctx.Err() == nil {
				t.cfg.Logger.Warn("tree: a checkpoint is not published yet; it is tried again", "size", t.signed.Size, "error", err)
			}
			return nil
		case err != nil:
			return err
		}
		t.journal, t.settled = t.journal+1, t.signed
		if err := t.rememberJournal(); err != nil {
			return err
		}
	}
	if err := t.between("published"); err != nil {
		return err
	}
	if c := t.published.Load(); t.settled.Size > 0 && (c == nil || c.Size != t.settled.Size) {
		t.show(t.settled)
	}
	return nil
}

// show makes a checkpoint the one that readers get.
func (t *Tree) show(c proof.Checkpoint) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.published.Store(&c)
	close(t.changed)
	t.changed = make(chan struct{})
}

// newest gives the published checkpoint, and a channel that closes with the next.
func (t *Tree) newest() (proof.Checkpoint, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c, _ := t.Published()
	return c, t.changed
}

// WaitPublished waits until a published checkpoint covers a position.
func (t *Tree) WaitPublished(ctx context.Context, at ledger.Position) (proof.Checkpoint, error) {
	for {
		c, changed := t.newest()
		if c.Size >= int64(at) {
			return c, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return proof.Checkpoint{}, fmt.Errorf("tree: no checkpoint covers position %d yet: %w", at, context.Cause(ctx))
		}
	}
}

func (t *Tree) between(step string) error {
	if t.testingOnlyBetween == nil {
		return nil
	}
	return t.testingOnlyBetween(step)
}
