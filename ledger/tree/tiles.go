package tree

import (
	"bytes"
	"context"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/proof"
	"github.com/consent-ledger/consent-ledger/ledger/store"
)

// Tiles that are full never change, and nobody reads most of them for years. So they are
// read here: each must lead to its place in the tile above, and the topmost to what was
// signed. What does not is made again from the stream, and taken only if it does.
//
// The tiles at the right edge are written anew with every batch, and compared at each
// start.

// LeavesOf gives the leaves of n entries from a position on as the stream has them.
type LeavesOf func(ctx context.Context, first ledger.Position, n int) ([]ledger.Hash, error)

// ScrubTiles reads all full tiles under the published checkpoint, calls rest for the
// bytes of each, and gives how many it healed. Its error is ledger.ErrDamaged if tiles
// do not lead to what was signed, and neither does what the stream holds.
func (t *Tree) ScrubTiles(ctx context.Context, leaves LeavesOf, rest func(bytes int) error) (healed int, err error) {
	c, ok := t.Published()
	if !ok {
		return 0, nil
	}
	for level := 0; ; level++ {
		full := uint64(c.Size) >> (height * (level + 1))
		if full == 0 {
			return healed, nil
		}
		for n := range full {
			right, err := t.leadsUp(level, n)
			if err == nil && !right {
				if err = t.healTile(ctx, c, level, n, leaves); err == nil {
					healed++
				}
			}
			if err == nil {
				err = rest(tileBytes)
			}
			if err != nil {
				return healed, err
			}
		}
	}
}

// leadsUp tells whether a full tile is whole and its root stands in the tile above.
func (t *Tree) leadsUp(level int, n uint64) (bool, error) {
	data, err := t.db.Get(store.TileKey(byte(level), n))
	if err != nil || len(data) != tileBytes {
		return false, err
	}
	above, err := t.db.Get(store.TileKey(byte(level+1), n/tileWidth))
	if err != nil {
		return false, err
	}
	return stands(data, above, n), nil
}

// stands tells whether the root of a full tile stands in its place in the tile above.
func stands(data, above []byte, n uint64) bool {
	at := int(n%tileWidth) * tlog.HashSize
	root := tileRoot(data)
	return len(above) >= at+tlog.HashSize && bytes.Equal(above[at:at+tlog.HashSize], root[:])
}

// healTile writes a tile anew, and the one above it, if they lead to what was signed
// then. Which of the two is wrong is not known before.
func (t *Tree) healTile(ctx context.Context, c proof.Checkpoint, level int, n uint64, leaves LeavesOf) error {
	below, err := t.remade(ctx, level, n, leaves)
	if err != nil {
		return err
	}
	stored, err := t.db.Get(store.TileKey(byte(level+1), n/tileWidth))
	if err != nil {
		return err
	}
	above, err := t.madeAbove(level, n, below, uint64(c.Size)>>(height*(level+1)), stored)
	if err != nil {
		return err
	}
	for _, parent := range [][]byte{stored, above} {
		r := t.reader()
		r.kept[tileID{level, n}], r.kept[tileID{level + 1, n / tileWidth}] = below, parent
		// The path of an entry holds all hashes beside it, and none of those over it.
		if !stands(below, parent, n) || !leadsTo(c, int64(n<<(height*(level+1))), r) {
			continue
		}
		b := t.db.NewBatch()
		if err := b.Set(store.TileKey(byte(level), n), below); err != nil {
			return err
		}
		if !bytes.Equal(parent, stored) {
			if err := b.Set(store.TileKey(byte(level+1), n/tileWidth), parent); err != nil {
				return err
			}
		}
		t.cfg.Logger.Error("tree: a tile did not lead to what was signed; it is made again from the stream, byte for byte; look at the disk and the memory",
			"level", level, "tile", n)
		return b.Commit(true)
	}
	return fmt.Errorf("tree: tile %d/%d does not lead to what was signed, nor does what the stream holds: %w: stop the server and move the folder "+
		"tree away: it is built anew from the stream", level, n, ledger.ErrDamaged)
}

// remade is a full tile of what is below it: of the stream, or of the tiles one level
// down, which were read before.
func (t *Tree) remade(ctx context.Context, level int, n uint64, leaves LeavesOf) ([]byte, error) {
	out := make([]byte, 0, tileBytes)
	if level == 0 {
		hashes, err := leaves(ctx, ledger.Position(n*tileWidth+1), tileWidth)
		if err != nil || len(hashes) != tileWidth {
			return nil, fmt.Errorf("tree: tile 0/%d cannot be made again: the stream has %d of its entries: %w: %w", n, len(hashes), ledger.ErrDamaged, err)
		}
		for _, h := range hashes {
			out = append(out, h[:]...)
		}
		return out, nil
	}
	for i := range uint64(tileWidth) {
		child, err := t.db.Get(store.TileKey(byte(level-1), n*tileWidth+i))
		if err != nil {
			return nil, err
		}
		if len(child) != tileBytes {
			return nil, fmt.Errorf("tree: tile %d/%d is not whole: %w", level-1, n*tileWidth+i, ledger.ErrDamaged)
		}
		root := tileRoot(child)
		out = append(out, root[:]...)
	}
	return out, nil
}

// madeAbove is the tile above one, made of all full tiles below it; what the stored one
// has beyond them stays.
func (t *Tree) madeAbove(level int, n uint64, below []byte, full uint64, stored []byte) ([]byte, error) {
	first := n / tileWidth * tileWidth
	var out []byte
	for i := first; i < min(full, first+tileWidth); i++ {
		child := below
		if i != n {
			var err error
			if child, err = t.db.Get(store.TileKey(byte(level), i)); err != nil {
				return nil, err
			}
		}
		if len(child) != tileBytes {
			return stored, nil
		}
		root := tileRoot(child)
		out = append(out, root[:]...)
	}
	if len(stored) > len(out) {
		out = append(out, stored[len(out):]...)
	}
	return out, nil
}

// leadsTo tells whether the entry at an index, and with it all tiles over it, lead to a
// checkpoint's root.
func leadsTo(c proof.Checkpoint, index int64, r *tileReader) bool {
	path, err := tlog.ProveRecord(c.Size, index, r)
	if err != nil {
		return false
	}
	leaf, err := r.ReadHashes([]int64{tlog.StoredHashIndex(0, index)})
	return err == nil && tlog.CheckRecord(path, c.Size, c.Root, index, leaf[0]) == nil
}

// tileRoot is the root of the 256 hashes of a full tile.
func tileRoot(data []byte) (h tlog.Hash) {
	var level [tileWidth]tlog.Hash
	for i := range level {
		copy(level[i][:], data[i*tlog.HashSize:])
	}
	for width := tileWidth; width > 1; width /= 2 {
		for i := range width / 2 {
			level[i] = tlog.NodeHash(level[2*i], level[2*i+1])
		}
	}
	return level[0]
}

// Proves tells whether a leaf leads to what was signed from a position, whatever leaf the
// tree has there: then a tile is wrong, and not the entry. False if nobody knows.
func (t *Tree) Proves(at ledger.Position, leaf ledger.Hash) (bool, error) {
	c, ok := t.Published()
	if !ok || at == 0 || int64(at) > c.Size {
		return false, nil
	}
	path, err := tlog.ProveRecord(c.Size, int64(at-1), t.reader())
	if err != nil {
		return false, err
	}
	return tlog.CheckRecord(path, c.Size, c.Root, int64(at-1), tlog.Hash(leaf)) == nil, nil
}
