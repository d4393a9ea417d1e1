package tree

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
)

// openEntriesMax is how many entries may be added before they are made durable:
// what a crash makes us read again, and what the open batch takes in memory (a few
// megabytes).
const openEntriesMax = 1 << 16

// add takes the next message. Nothing of it is durable before flush. After an error
// the tree must be restored.
func (t *Tree) add(m ledger.Message) error {
	if m.Seq != t.at.seq+1 {
		return &Fault{Seq: m.Seq, Problem: fmt.Sprintf("message %d is due: entries are missing", t.at.seq+1)}
	}
	var err error
	if t.leaves, err = scan(m, t.leaves[:0]); err != nil {
		return err
	}
	if t.batch == nil {
		t.batch = t.db.NewBatch()
	}
	for i := range t.leaves {
		l := &t.leaves[i]
		if err := t.check(m.Seq, l); err != nil {
			return err
		}
		if err := t.append(l.hash); err != nil {
			return err
		}
		if l.quiet {
			if err := t.batch.Set(store.QuietKey(l.position), nil); err != nil {
				return err
			}
		}
		t.last = leaf{seconds: l.seconds, nanos: l.nanos}
		ledger.Breathe(i)
	}
	t.at.seq = m.Seq
	return nil
}

// check holds an entry against all that came before it, and notes its person's end.
func (t *Tree) check(seq uint64, l *leaf) error {
	fault := func(format string, args ...any) error {
		f := &Fault{Seq: seq, Position: l.position, Problem: fmt.Sprintf(format, args...)}
		copy(f.Person[:], l.person)
		return f
	}
	if want := ledger.Position(t.at.size) + 1; l.position != want {
		return fault("position %d is due: entries are missing or stand twice", want)
	}
	if l.before(&t.last) {
		return fault("recorded before the entry before it")
	}
	if first := &t.leaves[0]; l.seconds != first.seconds || l.nanos != first.nanos {
		return fault("recorded at another time than the rest of its commit")
	}
	if len(l.person) == 0 {
		if l.seq != 0 || len(l.prev) != 0 {
			return fault("a place in the chain of no person")
		}
		return nil
	}
	p := ledger.PersonID(l.person)
	e, err := t.end(p)
	if err != nil {
		return err
	}
	if !e.follows(l) {
		return fault("entry %d of its person, linked to %x, does not follow entry %d with leaf %s", l.seq, l.prev, e.seq, e.leaf)
	}
	t.ends[p] = end{l.seq, l.hash}
	return nil
}

// end tells where a person's chain ends; zero if it has not begun.
func (t *Tree) end(p ledger.PersonID) (e end, err error) {
	if e, open := t.ends[p]; open {
		return e, nil
	}
	if e, known := t.recent[p]; known {
		return e, nil
	}
	if !t.persons.MayHold(fingerprint(p)) {
		return e, nil
	}
	raw, err := t.db.Get(store.ChainKey(p))
	if err != nil || raw == nil {
		return e, err
	}
	if len(raw) != 8+len(e.leaf) {
		return e, fmt.Errorf("tree: end of a chain of %d bytes: %w", len(raw), store.ErrBadKey)
	}
	return end{binary.BigEndian.Uint64(raw), ledger.Hash(raw[8:])}, nil
}

// append adds one leaf: its own hash and those of the subtrees it completes.
func (t *Tree) append(h ledger.Hash) error {
	hashes, err := t.edge.add(h)
	if err != nil {
		return err
	}
	for level := 0; level < len(hashes); level += height {
		if err := t.extend(level/height, hashes[level]); err != nil {
			return err
		}
	}
	t.at.size = t.edge.size
	return nil
}

// extend adds a hash to the last tile of a level; a full one goes into the batch.
func (t *Tree) extend(level int, h tlog.Hash) error {
	e := &t.tiles[level]
	if e.data == nil {
		e.data = make([]byte, 0, tileBytes)
	}
	if e.data = append(e.data, h[:]...); len(e.data) < tileBytes {
		return nil
	}
	err := t.batch.Set(store.TileKey(byte(level), e.n), e.data)
	e.n, e.data = e.n+1, e.data[:0]
	return err
}

// flush makes everything added durable: tiles, the right edge, ends of chains and
// how far the stream was read, in one batch.
func (t *Tree) flush() error {
	if t.batch == nil {
		return nil
	}
	var err error
	for level, e := range t.tiles {
		if len(e.data) > 0 {
			err = errors.Join(err, t.batch.Set(store.TileKey(byte(level), e.n), e.data))
		}
	}
	var value [8 + len(ledger.Hash{})]byte
	for _, p := range slices.SortedFunc(maps.Keys(t.ends), func(a, b ledger.PersonID) int { return bytes.Compare(a[:], b[:]) }) {
		e := t.ends[p]
		binary.BigEndian.PutUint64(value[:], e.seq)
		copy(value[8:], e.leaf[:])
		err = errors.Join(err, t.batch.Set(store.ChainKey(p), value[:]))
	}
	if err = errors.Join(err, t.batch.Set(metaApplied, t.encodeApplied())); err != nil {
		return errors.Join(err, t.drop())
	}
	b := t.batch
	t.batch, t.open = nil, 0
	if err := b.Commit(true); err != nil {
		return err
	}
	for p := range t.ends {
		t.persons.Add(fingerprint(p))
	}
	t.recent, t.ends = t.ends, make(map[ledger.PersonID]end, len(t.ends))
	return nil
}
