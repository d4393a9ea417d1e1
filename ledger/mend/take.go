package mend

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Taken is what became of copies that were offered.
type Taken struct {
	// Taken are entries that were missing and are here now; Refused are those whose
	// leaf is not the tree's; Unneeded stand at positions where nothing is missing.
	Taken, Refused, Unneeded int
	// Mended are the messages made whole by this; Left are still open.
	Mended, Left int
}

// Take takes copies of lost entries, from wherever they come: one is right if its
// leaf is what the tree has for its position, whatever the copy's keeper says.
func (m *Mender) Take(ctx context.Context, entries [][]byte) (t Taken, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	wanted := map[ledger.Position]*Damage{}
	v := m.view.Load()
	for _, d := range v.damages {
		if !d.Mended && d.First > 0 {
			for at := d.First; at <= d.Last; at++ {
				wanted[at] = d
			}
		}
	}
	touched := map[uint64]*Damage{}
	b := m.db.NewBatch()
	for _, raw := range entries {
		var e consentv1.Entry
		if proto.Unmarshal(raw, &e) != nil {
			t.Refused++
			continue
		}
		at := ledger.Position(e.GetPosition())
		d := wanted[at]
		if d == nil {
			t.Unneeded++
			continue
		}
		right, err := m.right(at, raw)
		if err == nil && right {
			err = b.Set(store.MendedKey(at), raw)
		}
		if err != nil {
			return t, errors.Join(err, b.Close())
		}
		if !right {
			t.Refused++
			continue
		}
		t.Taken++
		touched[d.Seq] = d
	}
	if err := b.Commit(true); err != nil {
		return t, err
	}
	t.Mended, err = m.close(touched)
	t.Left = m.view.Load().open
	return t, err
}

// right tells whether bytes are those that were recorded at a position.
func (m *Mender) right(at ledger.Position, raw []byte) (bool, error) {
	leaf, err := m.tree.Leaves(at, 1)
	if err != nil || len(leaf) != 1 || leaf[0] != ledger.LeafHash(raw) {
		return false, err
	}
	if err := m.tree.Vouch(at); err != nil {
		return false, fmt.Errorf("mend: position %d: %w", at, err)
	}
	return true, nil
}

// close marks messages as mended whose last entry has come.
func (m *Mender) close(touched map[uint64]*Damage) (mended int, err error) {
	damages := maps.Clone(m.view.Load().damages)
	b := m.db.NewBatch()
	for _, seq := range slices.Sorted(maps.Keys(touched)) {
		d := *touched[seq]
		if _, err := m.mended(&d); errors.Is(err, ledger.ErrNotFound) {
			continue
		} else if err != nil {
			return 0, errors.Join(err, b.Close())
		}
		d.Mended, d.Numbers, d.Everybody = true, nil, false
		if err := put(b, &d); err != nil {
			return 0, errors.Join(err, b.Close())
		}
		damages[seq] = &d
		mended++
		m.cfg.Logger.Info("a lost message of the ledger is mended, byte for byte", "message", d.Seq, "first", d.First, "last", d.Last)
	}
	if err := b.Commit(true); err != nil {
		return 0, err
	}
	if mended > 0 {
		m.show(damages)
	}
	return mended, nil
}

// mended makes the message of its mended entries; ledger.ErrNotFound if one is
// missing.
func (m *Mender) mended(d *Damage) (ledger.Message, error) {
	var entries [][]byte
	for at := d.First; at <= d.Last; at++ {
		raw, err := m.db.Get(store.MendedKey(at))
		if err != nil {
			return ledger.Message{}, err
		}
		if raw == nil {
			return ledger.Message{}, fmt.Errorf("mend: position %d: %w", at, ledger.ErrNotFound)
		}
		entries = append(entries, raw)
	}
	return ledger.Message{Seq: d.Seq, Data: join(d.First, entries)}, nil
}

// mendFromTree takes a message from the tree's own copies, if it is one of them and
// the tree has all of its leaves.
func (m *Mender) mendFromTree(b *store.Batch, d *Damage) error {
	if d.Tampered {
		return nil
	}
	kept, err := m.tree.Kept(d.Seq)
	if errors.Is(err, ledger.ErrNotFound) || errors.Is(err, ledger.ErrDamaged) {
		return nil
	}
	if err != nil {
		return err
	}
	first, entries, ok := split(kept.Data)
	if !ok {
		return nil
	}
	for i, raw := range entries {
		if right, err := m.right(first+ledger.Position(i), raw); err != nil || !right {
			return err
		}
	}
	for i, raw := range entries {
		if err := b.Set(store.MendedKey(first+ledger.Position(i)), raw); err != nil {
			return err
		}
	}
	d.First, d.Last, d.Mended = first, first+ledger.Position(len(entries))-1, true
	return nil
}

// Wanted lists the positions that copies are wanted for, up to max of them, in
// order.
func (m *Mender) Wanted(max int) []ledger.Position {
	var out []ledger.Position
	for _, d := range m.Damages() {
		if d.Mended || d.First == 0 {
			continue
		}
		for at := d.First; at <= d.Last && len(out) < max; at++ {
			out = append(out, at)
		}
	}
	return out
}
