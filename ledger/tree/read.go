package tree

import (
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/proof"
	"github.com/consent-ledger/consent-ledger/ledger/store"
)

// tileReader reads hashes out of stored tiles. It keeps the tiles it has read, so
// one serves one question. It implements tlog.HashReader.
type tileReader struct {
	db   store.Reader
	kept map[tileID][]byte
}

type tileID struct {
	level int
	n     uint64
}

func (t *Tree) reader() *tileReader { return &tileReader{db: t.db, kept: map[tileID][]byte{}} }

// tile gives the first w hashes of a tile; ledger.ErrNotFound if it has fewer.
func (r *tileReader) tile(level int, n uint64, w int) ([]byte, error) {
	id := tileID{level, n}
	data, kept := r.kept[id]
	if !kept {
		var err error
		if data, err = r.db.Get(store.TileKey(byte(level), n)); err != nil {
			return nil, err
		}
		r.kept[id] = data
	}
	if len(data) < w*tlog.HashSize {
		return nil, fmt.Errorf("tree: tile %d/%d has %d hashes, %d are asked for: %w", level, n, len(data)/tlog.HashSize, w, ledger.ErrNotFound)
	}
	return data[:w*tlog.HashSize], nil
}

// fetch reads the tiles of some hashes that are not here yet, all at once: from a cold
// disk each takes several reads one after the other.
func (r *tileReader) fetch(indexes []int64) error {
	var missing []tileID
	for _, at := range indexes {
		t := tlog.TileForIndex(height, at)
		id := tileID{t.L, uint64(t.N)}
		if _, kept := r.kept[id]; !kept && !slices.Contains(missing, id) {
			missing = append(missing, id)
		}
	}
	if len(missing) < 2 {
		return nil
	}
	found := make([][]byte, len(missing))
	var g errgroup.Group
	for i, id := range missing {
		g.Go(func() (err error) {
			found[i], err = r.db.Get(store.TileKey(byte(id.level), id.n))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i, id := range missing {
		r.kept[id] = found[i]
	}
	return nil
}

// ReadHashes implements tlog.HashReader.
func (r *tileReader) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	if err := r.fetch(indexes); err != nil {
		return nil, err
	}
	out := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		id := tlog.TileForIndex(height, at)
		data, err := r.tile(id.L, uint64(id.N), id.W)
		if err != nil {
			return nil, err
		}
		if out[i], err = tlog.HashFromTile(id, data, at); err != nil {
			return nil, fmt.Errorf("tree: %w", err)
		}
	}
	return out, nil
}

// root is that of the first size entries.
func (t *Tree) root(size int64) (tlog.Hash, error) {
	h, err := tlog.TreeHash(size, t.reader())
	if err != nil {
		return tlog.Hash{}, fmt.Errorf("tree: root of %d entries: %w", size, err)
	}
	return h, nil
}

// Tile gives the first w hashes of a tile that the published checkpoint covers.
func (t *Tree) Tile(level int, n uint64, w int) ([]byte, error) {
	c := t.published.Load()
	if c == nil || level < 0 || level >= levelsMax || w < 1 || w > tileWidth || n > uint64(c.Size) ||
		n*tileWidth+uint64(w) > uint64(c.Size)>>(height*level) {
		return nil, ledger.ErrNotFound
	}
	return t.reader().tile(level, n, w)
}

// Published is the newest checkpoint that others may have seen; false if none was
// made yet.
func (t *Tree) Published() (proof.Checkpoint, bool) {
	c := t.published.Load()
	if c == nil {
		return proof.Checkpoint{}, false
	}
	return *c, true
}

// States of a ledger that is served. One that is damaged, rolled back or tampered
// with is not: CatchUp refuses it, or Run ends.
const (
	// StateOK: everything agrees.
	StateOK = "OK"
	// StateCatchingUp: the tree is far behind; what it has not read is not compared
	// with anything yet, and no checkpoint covers it. Nothing is blocked.
	StateCatchingUp = "CATCHING_UP"
	// StateTailRepaired: the last start gave the stream back what its disk had lost.
	// Nothing is blocked; somebody should look at the disk.
	StateTailRepaired = "TAIL_REPAIRED"
)

// State tells how the ledger is, whose last durable position is given.
func (t *Tree) State(durable ledger.Position) string {
	c, _ := t.Published()
	switch {
	case int64(durable)-c.Size > 4*openEntriesMax:
		return StateCatchingUp
	case t.repaired > 0:
		return StateTailRepaired
	}
	return StateOK
}

// Leaf is the leaf hash at a position that the published checkpoint covers.
func (t *Tree) Leaf(at ledger.Position) (ledger.Hash, error) {
	n := uint64(at - 1)
	data, err := t.Tile(0, n/tileWidth, int(n%tileWidth)+1)
	if at == 0 || err != nil {
		return ledger.Hash{}, fmt.Errorf("tree: position %d: %w", at, ledger.ErrNotFound)
	}
	return ledger.Hash(data[len(data)-tlog.HashSize:]), nil
}

// Include proves an entry's place under the newest cosigned checkpoint, or under the
// published one if that reaches further; ledger.ErrNotFound if it does not reach so far yet. What is given out was
// checked: a damaged tile gives an error and no false proof.
func (t *Tree) Include(at ledger.Position) (proof.Inclusion, error) {
	c, ok := t.Shown()
	if !ok || int64(at) > c.Size { // not cosigned yet: the ledger's word alone is still a proof
		c, ok = t.Published()
	}
	if !ok || at == 0 || int64(at) > c.Size {
		return proof.Inclusion{}, fmt.Errorf("tree: no checkpoint covers position %d yet: %w", at, ledger.ErrNotFound)
	}
	r := t.reader()
	path, err := tlog.ProveRecord(c.Size, int64(at-1), r)
	if err != nil {
		return proof.Inclusion{}, fmt.Errorf("tree: prove position %d: %w", at, err)
	}
	leaf, err := r.ReadHashes([]int64{tlog.StoredHashIndex(0, int64(at-1))})
	if err != nil {
		return proof.Inclusion{}, err
	}
	if err := tlog.CheckRecord(path, c.Size, c.Root, int64(at-1), leaf[0]); err != nil {
		return proof.Inclusion{}, fmt.Errorf("tree: tiles do not lead to the signed root: %w", ledger.ErrDamaged)
	}
	return proof.Inclusion{Position: at, Path: path, Checkpoint: c.Note}, nil
}

// Consistency proves that the first old entries are the same under a checkpoint.
func (t *Tree) Consistency(old int64, c proof.Checkpoint) (tlog.TreeProof, error) {
	if old == 0 || old == c.Size {
		return nil, nil
	}
	if old < 0 || old > c.Size {
		return nil, fmt.Errorf("tree: %d entries of %d: %w", old, c.Size, ledger.ErrNotFound)
	}
	p, err := tlog.ProveTree(c.Size, old, t.reader())
	if err != nil {
		return nil, fmt.Errorf("tree: prove the first %d of %d entries: %w", old, c.Size, err)
	}
	return p, nil
}
