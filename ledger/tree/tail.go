package tree

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/settle"
	"github.com/consent-ledger/consent-ledger/ledger/store"
)

const (
	// tailBytesMax is how much of the stream's end is kept: several of JetStream's
	// files, since what it loses silently is one, or the end of one (m).
	tailBytesMax = 64 << 20
	// tailMessagesBehind is how far behind the stream's tail keeping begins: a tree
	// that reads years of history copies none of it.
	tailMessagesBehind = 4096
)

// tail is the newest messages of the stream as they were read from it. JetStream
// that finds a damaged file at its start cuts it off, says nothing, and gives the
// same sequences to other messages; with these nothing is lost.
type tail struct {
	from  uint64 // messages before this one are not kept
	kept  []keptMessage
	bytes int
	// gone is up to where kept messages are to be deleted with the next batch.
	gone uint64
}

type keptMessage struct {
	seq  uint64
	size int
}

// loadTail learns what is kept.
func (t *Tree) loadTail() error {
	t.tail.kept, t.tail.bytes, t.tail.gone = nil, 0, 0
	lo, hi := store.SpaceRange(store.SpaceTail)
	return t.db.Each(lo, hi, func(k, v []byte) error {
		seq, err := store.ParseTailKey(k)
		t.tail.kept, t.tail.bytes = append(t.tail.kept, keptMessage{seq, len(v)}), t.tail.bytes+len(v)
		return err
	})
}

// keepMessage keeps a message that was added. It is not synced: the process may die
// at once, and what a power cut takes here the stream has.
func (t *Tree) keepMessage(m ledger.Message) error {
	if m.Seq < t.tail.from {
		return nil
	}
	b := t.db.NewBatch()
	if err := b.Set(store.TailKey(m.Seq), m.Data); err != nil {
		return errors.Join(err, b.Close())
	}
	if err := b.Commit(false); err != nil {
		return err
	}
	if n := len(t.tail.kept); n == 0 || t.tail.kept[n-1].seq < m.Seq { // else it was kept before a crash
		t.tail.kept, t.tail.bytes = append(t.tail.kept, keptMessage{m.Seq, len(m.Data)}), t.tail.bytes+len(m.Data)
	}
	for len(t.tail.kept) > 1 && t.tail.bytes > tailBytesMax {
		t.tail.bytes -= t.tail.kept[0].size
		t.tail.kept = t.tail.kept[1:]
		t.tail.gone = t.tail.kept[0].seq
	}
	return nil
}

// trimTail deletes what is no longer kept, in the batch that makes the tree durable.
func (t *Tree) trimTail() error {
	if t.tail.gone == 0 {
		return nil
	}
	lo, _ := store.SpaceRange(store.SpaceTail)
	err := t.batch.DeleteRange(lo, store.TailKey(t.tail.gone))
	t.tail.gone = 0
	return err
}

// mendTail appends to a stream that ends too early what it held before, byte for
// byte, and gives its tail. It does so only if what is left is what was read, and if
// what it appends is what the tree was made of: else the stream stays as it is, and
// whoever compares it with what was signed says what it is.
func (t *Tree) mendTail(ctx context.Context, end uint64) (uint64, error) {
	n := len(t.tail.kept)
	if whole, err := t.journalWhole(); err != nil || !whole {
		return end, err // more than an end of one stream is gone: an older copy stands there
	}
	if n == 0 || t.tail.kept[n-1].seq <= end || t.tail.kept[0].seq > end+1 {
		return end, nil
	}
	if same, err := t.sameAt(ctx, end); err != nil || !same {
		return end, err
	}
	began := end
	for _, k := range t.tail.kept {
		if k.seq <= end {
			continue
		}
		m, err := t.keptAt(k.seq)
		if err == nil {
			err = t.compare(m)
		}
		if err != nil || k.seq != end+1 {
			return end, errors.Join(fmt.Errorf("tree: the kept message %d cannot be put back behind message %d", k.seq, end), err)
		}
		if err := settle.Append(ctx, t.cfg.Source, end, m.Data, settle.Policy{}); err != nil {
			return end, fmt.Errorf("tree: put message %d back: %w", k.seq, err)
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
	if t.tail.kept[0].seq > end { // not kept any more: its leaves tell
		return t.compare(left) == nil, nil
	}
	m, err := t.keptAt(end)
	return bytes.Equal(left.Data, m.Data), err
}

func (t *Tree) keptAt(seq uint64) (ledger.Message, error) {
	raw, err := t.db.Get(store.TailKey(seq))
	if err == nil && raw == nil {
		err = fmt.Errorf("tree: message %d is not kept: %w", seq, ledger.ErrNotFound)
	}
	return ledger.Message{Seq: seq, Data: raw}, err
}
