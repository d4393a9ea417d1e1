package tree

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/proof"
)

const (
	// tilesKeptMax bounds the tiles that a Prover has in memory: 8 MiB.
	tilesKeptMax = 1024
	// hashesKeptMax bounds the hashes it made of them.
	hashesKeptMax = 1 << 16
)

// Prover gives the paths of many entries to one checkpoint. It keeps the tiles it
// has read and the hashes it made of them, which paths near each other share, and
// belongs to one goroutine.
type Prover struct {
	t    *Tree
	c    proof.Checkpoint
	r    *tileReader
	kept map[int64]tlog.Hash
}

// Prover proves under a checkpoint that this tree published.
func (t *Tree) Prover(c proof.Checkpoint) *Prover {
	return &Prover{t: t, c: c, r: t.reader(), kept: map[int64]tlog.Hash{}}
}

// ReadHashes implements tlog.HashReader.
func (p *Prover) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		h, kept := p.kept[at]
		if !kept {
			made, err := p.r.ReadHashes(indexes[i : i+1])
			if err != nil {
				return nil, err
			}
			h = made[0]
			p.kept[at] = h
		}
		out[i] = h
	}
	return out, nil
}

// Path leads from an entry's leaf to the checkpoint's root. It was checked: a
// damaged tile, or a leaf that the tree was not made of, is an error.
func (p *Prover) Path(at ledger.Position, leaf ledger.Hash) (tlog.RecordProof, error) {
	if at == 0 || int64(at) > p.c.Size {
		return nil, fmt.Errorf("tree: position %d in a ledger of %d entries: %w", at, p.c.Size, ledger.ErrNotFound)
	}
	if len(p.r.kept) > tilesKeptMax {
		p.r = p.t.reader()
	}
	if len(p.kept) > hashesKeptMax {
		clear(p.kept)
	}
	path, err := tlog.ProveRecord(p.c.Size, int64(at-1), p)
	if err != nil {
		return nil, fmt.Errorf("tree: prove position %d: %w", at, err)
	}
	if err := tlog.CheckRecord(path, p.c.Size, p.c.Root, int64(at-1), tlog.Hash(leaf)); err != nil {
		return nil, fmt.Errorf("tree: position %d does not lead to the signed root: %w", at, ledger.ErrDamaged)
	}
	return path, nil
}

// Since leads from an earlier checkpoint to the prover's. It was checked: if the
// earlier one is no beginning of this, the error is ledger.ErrDamaged.
func (p *Prover) Since(earlier proof.Checkpoint) (tlog.TreeProof, error) {
	if earlier.Size < 1 || earlier.Size > p.c.Size {
		return nil, fmt.Errorf("tree: a checkpoint of %d entries was signed, and the ledger has %d: %w", earlier.Size, p.c.Size, ledger.ErrDamaged)
	}
	path, err := tlog.ProveTree(p.c.Size, earlier.Size, p)
	if err != nil {
		return nil, fmt.Errorf("tree: prove since %d: %w", earlier.Size, err)
	}
	if err := tlog.CheckTree(path, p.c.Size, p.c.Root, earlier.Size, earlier.Root); err != nil {
		return nil, fmt.Errorf("tree: the checkpoint of %d entries is no beginning of what was signed since: %w", earlier.Size, ledger.ErrDamaged)
	}
	return path, nil
}

// WaitShown waits until a published checkpoint covers a position, and, if witnesses
// are asked at all, until they were asked about one that does; but no longer than patience.
// If too few cosigned, it is the ledger's word with the cosignatures that came.
func (t *Tree) WaitShown(ctx context.Context, at ledger.Position, patience time.Duration) (proof.Checkpoint, error) {
	c, err := t.WaitPublished(ctx, at)
	if err != nil || t.cfg.Witnesses == nil {
		return c, err
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	enough, before, _ := t.said()
	if enough == nil || enough.Size < int64(at) {
		t.want()
	}
	for {
		enough, few, next := t.said()
		if enough != nil && enough.Size >= int64(at) {
			return *enough, nil
		}
		covers := few != nil && few.Size >= int64(at)
		if covers && few != before {
			return *few, nil
		}
		select {
		case <-next:
		case <-late.C:
			if covers {
				return *few, nil
			}
			return c, nil
		case <-ctx.Done():
			return c, context.Cause(ctx)
		}
	}
}
