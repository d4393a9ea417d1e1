package tree

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/settle"
)

// keptMessagesBehind is how far behind the stream's tail keeping begins: a tree that
// reads years of history copies none of it.
const keptMessagesBehind = 1024

// mendTail appends to a stream that ends too early what it held before, byte for
// byte, and gives its tail. It does so only if what is left is what was read, and if
// what it appends is what the tree was made of: else the stream stays as it is, and
// whoever compares it with what was signed says what it is.
func (t *Tree) mendTail(ctx context.Context, end uint64) (uint64, error) {
	n := len(t.kept.all)
	if whole, err := t.journalWhole(); err != nil || !whole {
		return end, err // more than an end of one stream is gone: an older copy stands there
	}
	if n == 0 || t.kept.all[n-1].seq <= end || t.kept.all[0].seq > end+1 {
		return end, nil
	}
	if same, err := t.sameAt(ctx, end); err != nil || !same {
		return end, err
	}
	began := end
	for _, k := range t.kept.all {
		if k.seq <= end {
			continue
		}
		m, err := t.kept.message(k.seq)
		if err == nil {
			err = t.compare(m)
		}
		if err != nil {
			return end, fmt.Errorf("tree: message %d is missing and cannot be put back: %w", k.seq, err)
		}
		if err := settle.Append(ctx, t.cfg.Source, end, m.Data, settle.Policy{}); err != nil {
			return end, fmt.Errorf("tree: %w: the stream ends at message %d and does not take the next one back; start again, and if it stays so put back the newest copy of the ledger's folder: %w", ledger.ErrDamaged, end, err)
		}
		end = k.seq
	}
	t.repaired = end - began
	t.cfg.Logger.Warn("tree: TAIL_REPAIRED: the stream ended too early and was given back what it had lost, byte for byte; look at its disk",
		"messages", t.repaired, "first", began+1)
	return end, nil
}

// journalWhole tells whether the stream of checkpoints holds all that it held.
func (t *Tree) journalWhole() (bool, error) {
	raw, err := t.db.Get(metaJournal)
	if err != nil || len(raw) != 8 {
		return false, err
	}
	return t.journal >= binary.BigEndian.Uint64(raw), nil
}

// sameAt tells whether the stream's last message is the one that was read.
func (t *Tree) sameAt(ctx context.Context, end uint64) (bool, error) {
	if end == 0 {
		return true, nil
	}
	left, err := t.cfg.Source.Read(ctx, end)
	if errors.Is(err, ledger.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if t.kept.all[0].seq > end { // not kept any more: its leaves tell
		return t.compare(left) == nil, nil
	}
	m, err := t.kept.message(end)
	return bytes.Equal(left.Data, m.Data), err
}

// takeTail appends what a copy has behind the end of a stream that is shorter than what
// was signed, byte for byte, and gives the new tail. It does so only if both together
// are what was signed. What the copy has beyond that was promised to somebody too, and
// follows: a second or so of entries, for which the copy's keeper is believed.
func (t *Tree) takeTail(ctx context.Context, claims []claim, end uint64) (uint64, error) {
	if t.cfg.Copy == nil || t.signed.Size == 0 {
		return end, nil
	}
	last, err := t.vouchedTail(ctx, claims, end)
	if err != nil || last == end {
		return end, err
	}
	if t.cfg.BeforeTail != nil {
		if err := t.cfg.BeforeTail(ctx); err != nil {
			return end, err
		}
	}
	began := end
	for ; end < last; end++ {
		m, err := t.cfg.Copy.Read(ctx, end+1)
		if err == nil {
			err = settle.Append(ctx, t.cfg.Source, end, m.Data, settle.Policy{})
		}
		if err != nil {
			return end, fmt.Errorf("tree: message %d cannot be put back from the copy: %w", end+1, err)
		}
	}
	t.repaired += end - began
	t.cfg.Logger.Warn("tree: TAIL_REPAIRED: the stream was given back from a copy what it had lost, byte for byte", "messages", t.repaired, "first", began+1)
	return end, nil
}

// vouchedTail is the last message of a copy that may follow a stream which ends too
// early; the stream's end if it does not, or if the copy does not lead to what was
// signed: whoever compares then says what it is.
func (t *Tree) vouchedTail(ctx context.Context, claims []claim, end uint64) (uint64, error) {
	if t.endsAfterSigned(ctx, end) { // whatever holes it has
		return end, nil
	}
	var e edge
	add := func(m ledger.Message) error {
		leaves, err := scan(m, nil)
		if err != nil {
			return err
		}
		for _, l := range leaves {
			if int64(l.position) != e.size+1 {
				return &Fault{Seq: m.Seq, Position: l.position, Problem: fmt.Sprintf("position %d is due", e.size+1)}
			}
			if _, err := e.add(l.hash); err != nil {
				return err
			}
			for _, c := range claims {
				if c.Size != e.size {
					continue
				}
				if err := e.meets([]claim{c}); err != nil {
					return fmt.Errorf("%w: %w", ledger.ErrDamaged, err)
				}
			}
		}
		return nil
	}
	for m, err := range t.from(ctx, 0, end) {
		if err == nil {
			err = add(m)
		}
		if err != nil {
			return end, err
		}
	}
	if e.size >= t.signed.Size {
		return end, nil
	}
	last := end
	for {
		m, err := t.cfg.Copy.Read(ctx, last+1)
		if errors.Is(err, ledger.ErrNotFound) {
			break
		}
		if err == nil {
			err = add(m)
		}
		if errors.Is(err, ledger.ErrDamaged) {
			t.cfg.Logger.Error("tree: the copy is not what was signed, and nothing is taken of it", "message", last+1, "error", err)
			return end, nil
		}
		if err != nil {
			return end, err
		}
		last++
	}
	if e.size < t.signed.Size {
		t.cfg.Logger.Error("tree: the copy ends before what was signed, and nothing is taken of it", "entries", e.size, "signed", t.signed.Size)
		return end, nil
	}
	return last, nil
}

// endsAfterSigned tells whether the stream's last message alone shows that nothing of its
// end is missing.
func (t *Tree) endsAfterSigned(ctx context.Context, end uint64) bool {
	if end == 0 {
		return false
	}
	m, err := t.cfg.Source.Read(ctx, end)
	if err != nil {
		return false
	}
	leaves, err := scan(m, nil)
	return err == nil && len(leaves) > 0 && int64(leaves[len(leaves)-1].position) >= t.signed.Size
}
