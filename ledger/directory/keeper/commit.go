package keeper

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/directory"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// lastWait bounds the commit at a clean stop.
const lastWait = 5 * time.Second

// view is the directory at one position.
type view struct {
	statement directory.Statement
	last      Last
	nodes     *nodes
	snap      *store.Snapshot
}

// ask is somebody who waits for a view at or after a position.
type ask struct {
	ctx   context.Context
	at    ledger.Position
	reply chan<- *view
}

// view gives the directory at or after a position, once it is that far.
func (k *Keeper) view(ctx context.Context, at ledger.Position) (*view, error) {
	reply := make(chan *view)
	select {
	case k.asks <- ask{ctx, at, reply}:
	case <-k.ended:
		return nil, ErrStopped
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	select {
	case v := <-reply:
		return v, nil
	case <-k.ended:
		return nil, ErrStopped
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// answer serves who waits for no more than there is. It belongs to Run: between two
// batches the records are exactly those of k.at.
func (k *Keeper) answer() error {
	still := k.waiting[:0]
	for _, a := range k.waiting {
		if a.at > k.at.position || !k.verified {
			still = append(still, a)
			continue
		}
		if a.ctx.Err() != nil {
			continue
		}
		v, err := k.take()
		if err != nil {
			return err
		}
		select {
		case a.reply <- v:
		case <-a.ctx.Done():
			if err := v.snap.Close(); err != nil {
				return err
			}
		}
	}
	k.waiting = still
	return nil
}

// take makes the view of now. Only the buckets touched since the last are hashed.
func (k *Keeper) take() (*view, error) {
	if err := k.tree.hash(k.db); err != nil {
		return nil, err
	}
	root := k.tree.nodes[1]
	if root.Keys != k.at.numbers {
		return nil, fmt.Errorf("%w: %d records where %d were written", errFolder, root.Keys, k.at.numbers)
	}
	return &view{last: k.at.last, nodes: k.tree.nodes, snap: k.db.Snapshot(), statement: directory.Statement{Covers: k.at.position,
		CoversRecordedAt: k.at.recordedAt, Root: root.Hash, Numbers: k.at.numbers, Entries: k.at.entries, TokenKey: k.tokenKey}}, nil
}

// Committed is a directory that is in the ledger: what Proof shows leads to it.
type Committed struct {
	// Position is the place of its DirectoryCommitted.
	Position  ledger.Position
	Statement directory.Statement

	keys   Keys
	tokens *directory.Tokens
	nodes  *nodes
	snap   *store.Snapshot
}

// Commit puts a directory into the ledger that covers everything acknowledged
// before the call, and gives it for proofs until it is closed. If nothing came after
// the newest one, it is that one. After an error one may be in the ledger: it is
// true, and harms nobody.
func (k *Keeper) Commit(ctx context.Context) (*Committed, error) {
	v, err := k.view(ctx, k.cfg.Acked())
	if err != nil {
		return nil, err
	}
	c, err := k.commit(ctx, v)
	if err != nil {
		return nil, errors.Join(err, v.snap.Close())
	}
	return c, nil
}

func (k *Keeper) commit(ctx context.Context, v *view) (*Committed, error) {
	c := &Committed{Position: v.last.Position, Statement: v.last.Statement, keys: k.cfg.Keys, tokens: k.tokens, nodes: v.nodes, snap: v.snap}
	if v.unchanged() {
		if v.last.Statement.Root != v.statement.Root {
			return nil, k.mismatch(v.last.Statement.Covers)
		}
		if v.statement.Covers == v.last.Position { // nothing came after it
			return c, nil
		}
	}
	r, err := k.cfg.Record(ctx, fact(v.statement))
	if errors.Is(err, ledger.ErrEventIDConflict) {
		return nil, errors.Join(k.mismatch(v.statement.Covers), err)
	}
	if err != nil {
		return nil, fmt.Errorf("directory: %w", err)
	}
	c.Position, c.Statement = r.Position, v.statement
	k.wrong.Store(nil)
	return c, nil
}

// unchanged tells whether the newest directory is of these same entries.
func (v *view) unchanged() bool {
	last := v.last.Statement
	return v.last.Position > 0 && last.Entries == v.statement.Entries && last.TokenKey == v.statement.TokenKey
}

// fact is a statement as the ledger records it. There is one for each position, so
// a restart that commits again at the same place finds its entry, or that it differs.
func fact(s directory.Statement) *consentv1.Fact {
	return &consentv1.Fact{Source: "consent-ledger", EventId: fmt.Sprintf("directory-%d", s.Covers),
		Kind: &consentv1.Fact_DirectoryCommitted{DirectoryCommitted: s.Fact()}}
}

func (k *Keeper) mismatch(at ledger.Position) error {
	err := fmt.Errorf("%w (position %d)", ErrMismatch, at)
	text := err.Error()
	k.wrong.Store(&text)
	return err
}

// TokenPath shows that a number's directory token is its only one.
func (c *Committed) TokenPath(number string) []ledger.Hash { return c.tokens.Path(number) }

// Prove shows the history of a number, in E.164 with its plus: its directory token,
// and the proof that leads from both to the directory's root. The proof was checked.
func (c *Committed) Prove(number string) (t ledger.DirectoryToken, proof []byte, err error) {
	t = c.keys.Directory(directory.BucketOf(number))
	key := directory.KeyOf(number, t)
	p, err := c.nodes.prove(c.snap, key)
	if err != nil {
		return t, nil, err
	}
	if _, err := p.Check(c.Statement.Root, key); err != nil {
		return t, nil, fmt.Errorf("%w: %w", errFolder, err)
	}
	return t, p.Encode(), nil
}

// Positions lists every entry about a number that the directory covers, in order,
// those of erased persons and the erasures themselves included: what has to be
// shown. The timeline forgets what lies before an erasure; this does not.
func (c *Committed) Positions(number string) ([]ledger.Position, error) {
	raw, err := c.snap.Get(store.RecordKey(ledger.Hash(keyOf(c.keys, number))))
	if raw == nil || err != nil {
		return nil, err
	}
	r, err := directory.DecodeRecord(raw)
	if err != nil {
		return nil, err
	}
	var out []ledger.Position
	at := r.Last
	for at > 0 && uint64(len(out)) < r.Count {
		raw, err := c.snap.Get(store.BeforeKey(at))
		if err != nil {
			return nil, err
		}
		before := ledger.Position(0)
		if len(raw) == 8 {
			before = ledger.Position(binary.BigEndian.Uint64(raw))
		}
		if before >= at {
			return nil, errFolder
		}
		out, at = append(out, at), before
	}
	if at > 0 || uint64(len(out)) != r.Count {
		return nil, errFolder
	}
	slices.Reverse(out)
	return out, nil
}

// Close releases what the proofs hold back from compaction.
func (c *Committed) Close() error { return c.snap.Close() }

// Commits commits what has changed: at once if a restart finds something, then every
// so often, and once more when ctx is done. It ends before Run does.
func (k *Keeper) Commits(ctx context.Context) error {
	tick := time.NewTicker(k.cfg.Every)
	defer tick.Stop()
	for {
		if k.try(ctx); ctx.Err() != nil {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWait)
	defer cancel()
	k.try(last)
	return nil
}

func (k *Keeper) try(ctx context.Context) {
	if err := k.commitChanges(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, ErrStopped) {
		k.cfg.Logger.Warn("directory not committed; the next one covers what came since", "error", err)
	}
}

// commitChanges commits if there are entries about numbers that no directory covers.
func (k *Keeper) commitChanges(ctx context.Context) error {
	v, err := k.view(ctx, k.cfg.Acked())
	if err != nil {
		return err
	}
	if v.unchanged() && v.last.Statement.Root == v.statement.Root || v.statement.Entries == 0 {
		return v.snap.Close()
	}
	_, err = k.commit(ctx, v)
	return errors.Join(err, v.snap.Close())
}
