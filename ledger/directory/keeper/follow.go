package keeper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/directory"
	"github.com/consent-ledger/consent-ledger/ledger/store"
)

const (
	// batchEntriesMax and batchWait are how much is folded into one batch, unless
	// somebody asks: nobody waits for a record, and the more entries, the fewer
	// writes of one number and the nearer the next place in the memtable. With a batch
	// a commit this was a twelfth of an import's processor time.
	batchEntriesMax = 8_192
	batchWait       = 250 * time.Millisecond
	// readAheadCommits bounds what is decoded and waits; a commit is at most 256 KiB.
	readAheadCommits = 32
)

// Run follows the ledger until ctx is done, or until something cannot be read. It
// never skips an entry. What was folded from another history is built anew, and so
// is a damaged folder, once: what is damaged again at once is no accident.
func (k *Keeper) Run(ctx context.Context) error {
	defer close(k.ended)
	if err := k.loadKnown(ctx); err != nil {
		return err
	}
	for mended := false; ; {
		err := k.follow(ctx)
		var asked *rebuild
		if errors.As(err, &asked) {
			if err := k.wipe(); err != nil {
				return err
			}
			close(asked.wiped)
			continue
		}
		damaged := errors.Is(err, errFolder)
		if !errors.Is(err, errOtherHistory) && (!damaged || mended) {
			return err
		}
		mended = mended || damaged
		k.cfg.Logger.Warn("directory is built anew from the ledger", "position", k.at.position, "error", err)
		if err := k.wipe(); err != nil {
			return err
		}
	}
}

// rebuild is the request to begin anew. It ends the follower as an error does.
type rebuild struct{ wiped chan struct{} }

func (*rebuild) Error() string { return "directory: a rebuild was asked for" }

// Rebuild deletes all records and builds them anew from the ledger, up to everything
// acknowledged before the call. If ctx ends, that goes on without its caller.
func (k *Keeper) Rebuild(ctx context.Context) error {
	through := k.cfg.Acked()
	again := &rebuild{make(chan struct{})}
	select {
	case k.rebuilds <- again:
	case <-k.ended:
		return ErrStopped
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-again.wiped:
	case <-k.ended:
		return ErrStopped
	}
	v, err := k.view(ctx, through)
	if err != nil {
		return err
	}
	return v.snap.Close()
}

// loadKnown remembers all numbers, so that a new one costs no look-up.
func (k *Keeper) loadKnown(ctx context.Context) error {
	if k.known != nil {
		return nil
	}
	known := store.NewFingerprints()
	lo, hi := store.SpaceRange(store.SpaceRecord)
	n := 0
	err := k.db.Each(lo, hi, func(key, _ []byte) error {
		h, err := store.ParseRecordKey(key)
		known.Add(fingerprint(directory.Key(h)))
		ledger.Breathe(n)
		n++
		return errors.Join(err, ctx.Err())
	})
	if err != nil {
		return err
	}
	known.Ready()
	k.known = known
	return nil
}

// fingerprint is of bits that do not choose the bucket: 32 of them.
func fingerprint(k directory.Key) uint32 {
	return uint32(k[2])<<24 | uint32(k[3])<<16 | uint32(k[4])<<8 | uint32(k[5])
}

// follow reads and folds side by side until one of them fails.
func (k *Keeper) follow(ctx context.Context) error {
	after := k.at.position
	if tail := k.cfg.Acked(); tail < after {
		return fmt.Errorf("%w: it holds position %d, and the ledger ends at %d", errOtherHistory, after, tail)
	}
	g, ctx := errgroup.WithContext(ctx)
	commits := make(chan []*ledger.Entry, readAheadCommits)
	if after > 0 {
		after-- // see the entry folded last once more: it tells whose history this is
	}
	g.Go(func() error {
		return ledger.ReadAhead(ctx, "directory", k.cfg.Source.Entries(ctx, after), after, commits)
	})
	g.Go(func() error { return k.fold(ctx, commits) })
	return g.Wait()
}

// fold applies what has come, and takes roots between two batches.
func (k *Keeper) fold(ctx context.Context, in <-chan []*ledger.Entry) error {
	var batch []*ledger.Entry
	var due <-chan time.Time
	for {
		full := false
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case again := <-k.rebuilds:
			return again
		case a := <-k.asks:
			k.waiting = append(k.waiting, a)
		case <-due:
			full = true
		case c := <-in:
			if len(batch) == 0 {
				due = time.After(k.batchWait)
			}
			batch = append(batch, c...)
			full = len(batch) >= batchEntriesMax
		}
		if full || len(k.waiting) > 0 {
			if err := k.apply(batch); err != nil {
				return err
			}
			clear(batch)
			batch, due = batch[:0], nil
		}
		if err := k.answer(); err != nil {
			return err
		}
	}
}

// placedEvent is an entry about a number, by the number's key.
type placedEvent struct {
	key   directory.Key
	event directory.Event
}

// apply folds entries into the records and commits them as one batch.
func (k *Keeper) apply(entries []*ledger.Entry) error {
	next, events := k.at, make([]placedEvent, 0, len(entries))
	for i, e := range entries {
		if e.Position <= k.at.position {
			if e.Position == k.at.position && e.Leaf != k.at.leaf {
				return fmt.Errorf("%w: position %d", errOtherHistory, e.Position)
			}
			k.verified = k.verified || e.Position == k.at.position
			continue
		}
		if !k.verified {
			return fmt.Errorf("%w: it holds position %d, and the ledger gave %d first", errOtherHistory, k.at.position, e.Position)
		}
		next.position, next.recordedAt, next.leaf = e.Position, e.RecordedAt, e.Leaf
		next.last = lastOf(e, next.last)
		if e.Exchange.IsZero() {
			continue
		}
		key, err := k.keyOf(e.Exchange)
		if err != nil {
			return fmt.Errorf("directory: position %d: %w", e.Position, err)
		}
		next.entries++
		events = append(events, placedEvent{key, directory.Event{Position: e.Position, Leaf: e.Leaf}})
		ledger.Breathe(i)
	}
	if next.position == k.at.position {
		return nil
	}
	return k.write(next, events)
}

// lastOf is the newest directory in the ledger. One that this version cannot read is
// left to the version that wrote it.
func lastOf(e *ledger.Entry, last Last) Last {
	m := e.Fact().GetDirectoryCommitted()
	if m == nil {
		return last
	}
	s, err := directory.StatementOf(m)
	if err != nil || s.Covers < last.Statement.Covers {
		return last
	}
	return Last{Position: e.Position, RecordedAt: e.RecordedAt, Statement: s}
}

func (k *Keeper) keyOf(x ledger.ExchangeToken) (directory.Key, error) {
	number, err := k.cfg.Keys.Number(x)
	if err != nil {
		return directory.Key{}, err
	}
	return keyOf(k.cfg.Keys, number), nil
}

// keyOf is the number's place.
func keyOf(keys Keys, number string) directory.Key {
	return directory.KeyOf(number, keys.Directory(directory.BucketOf(number)))
}

// write commits the records that the events change, the marks of their buckets and
// the position, all or nothing.
func (k *Keeper) write(next progress, events []placedEvent) error {
	slices.SortFunc(events, func(a, b placedEvent) int {
		return cmp.Or(a.key.Compare(b.key), cmp.Compare(a.event.Position, b.event.Position))
	})
	b := k.db.NewBatch()
	err := func() error {
		for len(events) > 0 {
			key, n := events[0].key, 1
			for n < len(events) && events[n].key == key {
				n++
			}
			if err := k.add(b, &next, key, events[:n]); err != nil {
				return err
			}
			events = events[n:]
		}
		if hook := k.testingOnlyBeforeCommit; hook != nil {
			if err := hook(); err != nil {
				return err
			}
		}
		return b.Set(metaProgress, next.encode())
	}()
	if err != nil {
		return errors.Join(err, b.Close())
	}
	if err := b.Commit(false); err != nil {
		return err
	}
	k.at = next
	k.publish()
	return nil
}

// add folds the events of one number.
func (k *Keeper) add(b *store.Batch, next *progress, key directory.Key, events []placedEvent) (err error) {
	row, r := store.RecordKey(ledger.Hash(key)), directory.Record{}
	if k.known.MayHold(fingerprint(key)) {
		raw, err := k.db.Get(row)
		if err != nil {
			return err
		}
		if raw != nil {
			if r, err = directory.DecodeRecord(raw); err != nil {
				return fmt.Errorf("%w: %w", errFolder, err)
			}
		}
	}
	if r.Count == 0 {
		next.numbers++
		k.known.Add(fingerprint(key))
	}
	for _, e := range events {
		if r.Last > 0 {
			if err := b.Set(store.BeforeKey(e.event.Position), u64(uint64(r.Last))); err != nil {
				return err
			}
		}
		r = r.Add(e.event)
	}
	return errors.Join(b.Set(row, r.Append(nil)), k.tree.mark(b, bucketOf(key)))
}
