package tree

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/proof"
)

// nearMessagesMax is how far behind the stream's tail a start catches up before
// anything is served: some seconds of reading.
const nearMessagesMax = 4096

// claim is a checkpoint that this ledger signed, and who kept it.
type claim struct {
	proof.Checkpoint
	keeper string
}

// CatchUp holds the stream against everything that was ever signed about it, as far
// as anybody kept it, and must come before anything is appended: a position that
// was used once must not be used for something else. It reads the stream to its
// tail, unless that is far: the rest is then left to Run. ErrRolledBack, ErrTampered, a *Fault, or ErrUnsigned if a
// keeper holds what this ledger's key did not sign.
//
// A stream that ends too early is given back what is kept of it (tail.go). A damaged or lost database is built anew, once it is certain that the stream is
// right: until then its leaves are evidence.
func (t *Tree) CatchUp(ctx context.Context) error {
	claims, err := t.claims(ctx)
	if err != nil {
		return err
	}
	for _, c := range claims {
		if c.Size > t.signed.Size {
			t.signed = c.Checkpoint
		}
	}
	tail, err := t.cfg.Source.Tail(ctx)
	if err != nil {
		return err
	}
	if tail, err = t.mendTail(ctx, tail); err != nil {
		return err
	}
	if tail, err = t.takeTail(ctx, claims, tail); err != nil {
		return err
	}
	t.keepFrom = tail - min(tail, keptMessagesBehind)
	if t.at.seq > tail {
		return rolledBack("the tree holds message %d, the stream ends at %d", t.at.seq, tail)
	}
	if err := t.stand(ctx, claims, tail); err != nil {
		return err
	}
	if err := t.witnessed(ctx); err != nil || t.signed.Size == 0 {
		return err
	}
	return errors.Join(t.remember(t.signed), t.publish(ctx))
}

// stand brings the tree to what was signed, and mends it if that is not its own.
func (t *Tree) stand(ctx context.Context, claims []claim, tail uint64) error {
	why := t.broken
	if why == nil {
		if err := t.reach(ctx, tail, t.signed.Size); err != nil {
			return err
		}
		if err := t.near(ctx, tail); err != nil {
			return err
		}
		if why = t.agree(ctx, claims); why == nil {
			return nil
		}
	}
	if err := t.examine(ctx, claims, tail, why); err != nil {
		return err
	}
	t.cfg.Logger.Warn("tree: the stream is what was signed; the tree is built anew")
	if err := errors.Join(t.drop(), t.wipe(t.signed.Note), t.restore(ctx)); err != nil {
		return err
	}
	if err := t.reach(ctx, tail, t.signed.Size); err != nil {
		return err
	}
	return t.agree(ctx, claims)
}

// claims collects what was signed and is kept anywhere.
func (t *Tree) claims(ctx context.Context) ([]claim, error) {
	var out []claim
	add := func(keeper string, note []byte) error {
		if len(note) == 0 {
			return nil
		}
		c, err := proof.OpenCheckpoint(note, t.cfg.Verifier)
		if err != nil {
			return fmt.Errorf("tree: %s: %w", keeper, err)
		}
		out = append(out, claim{c, keeper})
		return nil
	}
	own, err := t.db.Get(metaCheckpoint)
	if err == nil {
		err = add("the tree's own database", own)
	}
	if err != nil {
		return nil, err
	}
	if t.settled, err = t.newestPublished(ctx); err != nil {
		return nil, err
	}
	if t.settled.Size > 0 {
		out = append(out, claim{t.settled, "CONSENT_CHECKPOINTS"})
	}
	for keeper, note := range t.cfg.Beside {
		if err := add(keeper, note); err != nil {
			t.cfg.Logger.Warn("tree: a checkpoint is not compared", "error", err)
		}
	}
	for _, a := range t.anchors {
		note, err := a.Last(ctx)
		if err == nil {
			err = add("anchor "+a.String(), note)
		}
		if err != nil {
			return nil, fmt.Errorf("tree: anchor %s cannot be compared; without it nobody knows whether entries are missing: %w", a, err)
		}
		if len(note) > 0 {
			a.kept.Store(out[len(out)-1].Size)
		} else if len(out) > 0 && a.Every() == 0 {
			t.cfg.Logger.Warn("tree: this anchor keeps nothing yet; if it is not new, its disk is not there", "anchor", a.String())
		}
	}
	return out, nil
}

// newestPublished is the newest checkpoint of the journal that is still there: one that
// its disk has lost, or made unreadable, is passed over, because this database and the
// anchors have what came after. The zero checkpoint if there is none.
func (t *Tree) newestPublished(ctx context.Context) (proof.Checkpoint, error) {
	var err error
	if t.journal, err = t.cfg.Journal.Tail(ctx); err != nil {
		return proof.Checkpoint{}, err
	}
	for seq := t.journal; seq > 0; seq-- {
		m, err := t.cfg.Journal.Read(ctx, seq)
		var c proof.Checkpoint
		if err == nil {
			c, err = proof.OpenCheckpoint(m.Data, t.cfg.Verifier)
		}
		switch {
		case err == nil:
			return c, nil
		case errors.Is(err, ledger.ErrNotFound), errors.Is(err, ledger.ErrUnreadable), errors.Is(err, proof.ErrForm):
			t.cfg.Logger.Error("tree: a published checkpoint is lost; the one before it is used, and what is kept elsewhere", "message", seq, "error", err)
		default:
			return proof.Checkpoint{}, fmt.Errorf("tree: CONSENT_CHECKPOINTS, message %d: %w", seq, err)
		}
	}
	return proof.Checkpoint{}, nil
}

// reach adds the stream until the tree has size entries; ErrRolledBack if the
// stream has fewer.
func (t *Tree) reach(ctx context.Context, tail uint64, size int64) error {
	for m, err := range t.until(ctx, tail) {
		if err != nil {
			return err
		}
		if t.at.size >= size {
			break
		}
		if err := t.take(m); err != nil {
			return err
		}
	}
	if err := t.flush(); err != nil {
		return err
	}
	if t.at.size < size {
		return rolledBack("%d entries were signed for, the stream holds %d", size, t.at.size)
	}
	return nil
}

// near adds the stream to its tail if that is near: what is wrong there is then
// known before anything is served. A tree that was lost is made anew beside the
// serving, because all that it could tell is known already.
func (t *Tree) near(ctx context.Context, tail uint64) error {
	if tail-t.at.seq > nearMessagesMax {
		t.cfg.Logger.Info("tree: it is far behind and catches up while the ledger is served", "entries", t.at.size, "messages_behind", tail-t.at.seq)
		return nil
	}
	for m, err := range t.until(ctx, tail) {
		if err == nil {
			err = t.take(m)
		}
		if err != nil {
			return err
		}
	}
	return t.flush()
}

// agree compares every claim with the tiles, and the tiles with the last message
// they were made of.
func (t *Tree) agree(ctx context.Context, claims []claim) error {
	for _, c := range claims {
		root, err := t.root(c.Size)
		if err != nil {
			return err
		}
		if root != c.Root {
			return fmt.Errorf("the first %d entries have the root %s, %s says %s", c.Size, root, c.keeper, c.Root)
		}
	}
	if t.at.seq == 0 {
		return nil
	}
	m, err := t.cfg.Source.Read(ctx, t.at.seq)
	var lost *ledger.Hole
	if errors.As(err, &lost) { // its place is taken all the same, and its leaves are here
		return nil
	}
	if err != nil {
		return err
	}
	return t.compare(m)
}

// compare tells of the first entry of a message that is not what the tiles hold.
func (t *Tree) compare(m ledger.Message) error {
	leaves, err := scan(m, nil)
	if err != nil {
		return err
	}
	r := t.reader()
	for _, l := range leaves {
		if int64(l.position) > t.at.size {
			return nil
		}
		held, err := r.ReadHashes([]int64{tlog.StoredHashIndex(0, int64(l.position-1))})
		if err != nil {
			return err
		}
		if held[0] != tlog.Hash(l.hash) {
			f := &Fault{Seq: m.Seq, Position: l.position, Problem: "the stored bytes are not those the tree was made of"}
			copy(f.Person[:], l.person)
			return f
		}
	}
	return nil
}

// examine finds out whether the stream or the tree is wrong: it reads the stream
// from its beginning, with nothing of the tree but the rules, and compares the
// roots it comes to with what was signed. nil: the stream is right, and the tree
// may be built anew. Else the error names the first entry that differs.
func (t *Tree) examine(ctx context.Context, claims []claim, tail uint64, why error) error {
	t.cfg.Logger.Warn("tree: it does not agree with what it was made of or with what was signed; the stream is read from its beginning", "why", why)
	var e edge
	var first error
	left := map[int64][]claim{}
	for _, c := range claims {
		left[c.Size] = append(left[c.Size], c)
	}
	for m, err := range t.from(ctx, 0, tail) {
		if err != nil {
			return err
		}
		leaves, err := scan(m, nil)
		if err != nil {
			return err
		}
		if differs := t.compare(m); first == nil {
			first = differs
		}
		for _, l := range leaves {
			if int64(l.position) != e.size+1 {
				return &Fault{Seq: m.Seq, Position: l.position, Problem: fmt.Sprintf("position %d is due: entries are missing or stand twice", e.size+1)}
			}
			if _, err := e.add(l.hash); err != nil {
				return err
			}
			if err := e.meets(left[e.size]); err != nil {
				return broken(ErrTampered, fmt.Errorf("%w (%w); nothing may be recorded or answered. Compare with a copy whose leaves match",
					err, errors.Join(first, why)))
			}
		}
	}
	if e.size < t.signed.Size {
		return rolledBack("%d entries were signed for, the stream holds %d", t.signed.Size, e.size)
	}
	return nil
}

// meets compares a tree in memory with what was signed at its size.
func (e *edge) meets(claims []claim) error {
	if len(claims) == 0 {
		return nil
	}
	root, err := e.root()
	if err != nil {
		return err
	}
	for _, c := range claims {
		if c.Root != root {
			return fmt.Errorf("the first %d entries are not those that were signed (%s)", c.Size, c.keeper)
		}
	}
	return nil
}
