package tree

import (
	"errors"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
)

// What the tree knows of entries, for whoever compares other copies with it
// (package mend). Safe for concurrent use, before CatchUp too.

// Leaves gives the leaves of n entries from a position on, as far as the tree has
// read: fewer, or none, are no error.
func (t *Tree) Leaves(first ledger.Position, n int) ([]ledger.Hash, error) {
	if first == 0 {
		return nil, nil
	}
	out := make([]ledger.Hash, 0, n)
	for at := uint64(first - 1); len(out) < n; {
		inTile := int(at % tileWidth)
		data, err := t.db.Get(store.TileKey(0, at/tileWidth))
		if err != nil {
			return nil, err
		}
		if have := len(data)/tlog.HashSize - inTile; have <= 0 {
			return out, nil
		}
		for ; len(out) < n && (inTile+1)*tlog.HashSize <= len(data); inTile++ {
			out = append(out, ledger.Hash(data[inTile*tlog.HashSize:(inTile+1)*tlog.HashSize]))
			at++
		}
		if inTile < tileWidth {
			return out, nil
		}
	}
	return out, nil
}

// Vouch proves a leaf to the newest signed root; ledger.ErrDamaged if the tiles do
// not lead there, and then nobody knows what the entry was. nil for what is not
// signed yet.
func (t *Tree) Vouch(at ledger.Position) error {
	_, err := t.Include(at)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil
	}
	return err
}

// Quiet tells whether no answer about anybody hangs on the entry at a position. It
// is false for what nobody knows.
func (t *Tree) Quiet(at ledger.Position) (bool, error) { return t.db.Has(store.QuietKey(at)) }

// Kept gives one of the newest messages from the tree's own copies, as it was read;
// ledger.ErrNotFound if it is none of them.
func (t *Tree) Kept(seq uint64) (ledger.Message, error) { return t.kept.message(seq) }
