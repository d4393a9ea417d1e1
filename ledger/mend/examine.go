package mend

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/directory"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Examine looks at messages again, at the leader, and notes what is wrong with
// them, or that nothing is any more. What the tree keeps mends at once. An error
// says that it could not be found out. What is only too new for the tree is no damage.
func (m *Mender) Examine(ctx context.Context, seqs ...uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []*Damage
	right := map[uint64]bool{}
	slices.Sort(seqs)
	for _, seq := range slices.Compact(seqs) {
		f, err := m.look(ctx, seq)
		if err != nil {
			return err
		}
		known := m.at(seq)
		if f.problem == "" && (known == nil || known.First == 0 || known.First == f.first) {
			right[seq] = true
			continue
		}
		if known != nil && (known.Mended || known.First > 0) {
			continue // known, and all of it
		}
		d := &Damage{Seq: seq, Problem: f.problem, Tampered: f.tampered, FoundAt: m.cfg.Now().UTC()}
		if d.First, d.Last, err = m.span(seq); err != nil {
			return err
		}
		found = append(found, d)
	}
	if err := m.forget(right); err != nil {
		return err
	}
	return m.note(ctx, found)
}

// finding is what is wrong with a message; empty: nothing is.
type finding struct {
	problem           string
	missing, tampered bool
	first             ledger.Position // of what it holds; 0: no commit
}

// look reads a message at the leader and says what is wrong with it.
func (m *Mender) look(ctx context.Context, seq uint64) (finding, error) {
	msg, err := m.cfg.Stream.Read(ctx, seq)
	if errors.Is(err, ledger.ErrNotFound) {
		return finding{problem: "is missing", missing: true}, nil
	}
	if errors.Is(err, ledger.ErrUnreadable) {
		return finding{problem: "cannot be read", missing: true}, nil
	}
	if err != nil {
		return finding{}, err
	}
	f, err := m.compare(msg)
	if err != nil || f.problem != "" || m.index == nil {
		return f, err
	}
	if at, err := m.index.SeqOf(f.first); err == nil && at != seq {
		return finding{problem: fmt.Sprintf("holds the entries of message %d once more", at), tampered: true}, nil
	} else if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return finding{}, err
	}
	return f, nil
}

// compare says what is wrong with a message, as far as the tree knows its entries.
func (m *Mender) compare(msg ledger.Message) (finding, error) {
	first, entries, ok := split(msg.Data)
	if !ok {
		return finding{problem: "holds what is no commit"}, nil
	}
	known, err := m.tree.Leaves(first, len(entries))
	if err != nil {
		return finding{}, err
	}
	for i, leaf := range known {
		at, own := first+ledger.Position(i), ledger.LeafHash(entries[i])
		if own == leaf {
			continue
		}
		// The tree's disk can be the one that is damaged. What leads to the signed root is
		// right; where nothing does, nobody knows, and the tree has to be healed first.
		if right, err := m.tree.Proves(at, own); err != nil {
			return finding{}, err
		} else if right {
			continue
		}
		if err := m.tree.Vouch(at); err != nil {
			return finding{}, fmt.Errorf("mend: message %d, position %d: %w", msg.Seq, at, err)
		}
		return finding{problem: fmt.Sprintf("holds another entry at position %d than was recorded", at), tampered: true}, nil
	}
	return finding{first: first}, nil
}

// note adds what was found: it mends it from the tree's own copies, finds out whom
// it touches, and makes it durable before it is shown.
func (m *Mender) note(ctx context.Context, found []*Damage) error {
	if len(found) == 0 {
		return nil
	}
	b := m.db.NewBatch()
	err := func() error {
		for _, d := range found {
			if err := m.mendFromTree(b, d); err != nil {
				return err
			}
		}
		if err := m.about(ctx, found); err != nil {
			return err
		}
		for _, d := range found {
			if err := put(b, d); err != nil {
				return err
			}
		}
		return nil
	}()
	if err != nil {
		return errors.Join(err, b.Close())
	}
	if err := b.Commit(true); err != nil {
		return err
	}
	damages := maps.Clone(m.view.Load().damages)
	mended := 0
	for _, d := range found {
		damages[d.Seq] = d
		if d.Mended {
			mended++
		}
	}
	m.show(damages)
	numbers, everybody := m.Blocked()
	m.cfg.Logger.Warn("the ledger's stream is damaged; look at its disk, and at consent doctor", "messages", len(found), "first", found[0].Seq, "last",
		found[len(found)-1].Seq,
		"problem", found[0].Problem, "mended", mended, "numbers_blocked", numbers, "everybody", everybody)
	return nil
}

func put(b *store.Batch, d *Damage) error {
	raw, err := json.Marshal(d)
	if err != nil {
		return err
	}
	return b.Set(store.DamageKey(d.Seq), raw)
}

// forget drops what turned out to be right.
func (m *Mender) forget(right map[uint64]bool) error {
	damages := maps.Clone(m.view.Load().damages)
	b := m.db.NewBatch()
	changed := false
	for seq := range right {
		if damages[seq] == nil {
			continue
		}
		if err := b.Delete(store.DamageKey(seq)); err != nil {
			return errors.Join(err, b.Close())
		}
		delete(damages, seq)
		changed = true
	}
	if !changed {
		return b.Close()
	}
	if err := b.Commit(true); err != nil {
		return err
	}
	m.show(damages)
	return nil
}

// about fills in whom damages touch. Who cannot be known is everybody.
func (m *Mender) about(ctx context.Context, found []*Damage) error {
	var positions []ledger.Position
	for _, d := range found {
		if d.Numbers, d.Everybody = nil, !d.Mended && (m.directory == nil || d.First == 0 || d.Tampered); d.Mended || d.Everybody {
			continue
		}
		for at := d.First; at <= d.Last; at++ {
			positions = append(positions, at)
		}
	}
	if len(positions) == 0 {
		return nil
	}
	about, through, err := m.directory.About(ctx, positions)
	if err != nil {
		return err
	}
	for _, d := range found {
		if d.Mended || d.Everybody {
			continue
		}
		for at := d.First; at <= d.Last; at++ {
			key, ok := about[at]
			if ok {
				d.Numbers = append(d.Numbers, key)
				continue
			}
			quiet, err := m.tree.Quiet(at)
			if err != nil {
				return err
			}
			d.Everybody = d.Everybody || at > through || !quiet
		}
		slices.SortFunc(d.Numbers, directory.Key.Compare)
		d.Numbers = slices.Compact(d.Numbers)
	}
	return nil
}

// span finds the positions of a message that cannot be read; 0 if nobody knows.
func (m *Mender) span(seq uint64) (first, last ledger.Position, err error) {
	if m.index == nil {
		return 0, 0, nil
	}
	// The lowest position of a message at or behind a sequence; 0: there is none.
	lowest := func(seq uint64) (ledger.Position, error) {
		lo, hi := ledger.Position(1), ledger.Position(1)
		for { // a position beyond the tail, or in such a message
			at, err := m.index.SeqOf(hi)
			if errors.Is(err, ledger.ErrNotFound) || at >= seq {
				break
			}
			if err != nil {
				return 0, err
			}
			lo, hi = hi+1, hi*2
		}
		for lo < hi {
			mid := lo + (hi-lo)/2
			at, err := m.index.SeqOf(mid)
			switch {
			case errors.Is(err, ledger.ErrNotFound), err == nil && at >= seq:
				hi = mid
			case err != nil:
				return 0, err
			default:
				lo = mid + 1
			}
		}
		return lo, nil
	}
	if first, err = lowest(seq); err != nil {
		return 0, 0, err
	}
	if at, err := m.index.SeqOf(first); errors.Is(err, ledger.ErrNotFound) {
		return 0, 0, nil
	} else if err != nil || at != seq {
		return 0, 0, err
	}
	next, err := lowest(seq + 1)
	return first, next - 1, err
}

// split gives the entries of a commit. ok is false for bytes that are not its one
// encoding.
func split(data []byte) (first ledger.Position, entries [][]byte, ok bool) {
	var c consentv1.Commit
	if proto.Unmarshal(data, &c) != nil || c.GetFirstPosition() == 0 || len(c.GetEntries()) == 0 {
		return 0, nil, false
	}
	first = ledger.Position(c.GetFirstPosition())
	return first, c.GetEntries(), bytes.Equal(join(first, c.GetEntries()), data)
}

// join makes a commit of its entries, as the writer does: byte for byte.
func join(first ledger.Position, entries [][]byte) []byte {
	b := protowire.AppendVarint(protowire.AppendTag(nil, commitFirstPosition, protowire.VarintType), uint64(first))
	for _, e := range entries {
		b = protowire.AppendBytes(protowire.AppendTag(b, commitEntries, protowire.BytesType), e)
	}
	return b
}

// Field numbers of a Commit, for ever.
const (
	commitFirstPosition protowire.Number = 1
	commitEntries       protowire.Number = 2
)

// Stored gives the leaves of n entries from a position on as the stream and its copies
// have them, compared with nothing: for the tree, which is compared with them.
func (m *Mender) Stored(ctx context.Context, first ledger.Position, n int) ([]ledger.Hash, error) {
	m.mu.Lock()
	index := m.index
	m.mu.Unlock()
	var out []ledger.Hash
	for len(out) < n {
		seq, err := index.SeqOf(first + ledger.Position(len(out)))
		if err != nil {
			return out, err
		}
		var msg ledger.Message
		if d := m.at(seq); d != nil && d.Mended {
			msg, err = m.mended(d)
		} else {
			msg, err = m.cfg.Stream.Read(ctx, seq)
		}
		if err != nil {
			return out, err
		}
		at, entries, ok := split(msg.Data)
		skip := int64(first) + int64(len(out)) - int64(at)
		if !ok || skip < 0 || skip >= int64(len(entries)) {
			return out, fmt.Errorf("mend: message %d: %w", seq, ledger.ErrDamaged)
		}
		for _, e := range entries[skip:] {
			if len(out) < n {
				out = append(out, ledger.LeafHash(e))
			}
		}
	}
	return out, nil
}
