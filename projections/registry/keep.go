package registry

import (
	"context"
	"fmt"
	"slices"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// chainMax is how many change lists may lie between a version in use and the book
// its numbers are worked out from. A longer chain makes restarts slow, a shorter
// one writes the whole list more often.
const chainMax = 8

// keep puts on the shelf what the versions in use need: their numbers, what each
// version changed, and from that since when numbers are listed. It ends early when
// something has changed, and tells whether everything is kept.
func (l *Loader) keep(ctx context.Context, changed <-chan struct{}) bool {
	if l.Projection.shelf == nil {
		return true
	}
	k := keeper{Loader: l, shelf: l.Projection.shelf, wanted: map[book]bool{}, changed: changed, all: true}
	snapshot := l.Projection.Snapshot()
	for _, v := range snapshot.versions() {
		if v.usable() && v.numbers != nil {
			k.do(ctx, v, k.numbers(ctx, v))
		}
	}
	for _, v := range snapshot.versions() {
		if v.usable() && v.numbers != nil {
			k.do(ctx, v, k.past(ctx, v))
		}
	}
	if k.all && !ledger.Closed(changed) && ctx.Err() == nil {
		k.do(ctx, nil, k.shelf.sweep(func(b book) bool { return k.wanted[b] }))
		k.do(ctx, nil, k.shelf.flush())
		if k.all {
			l.Projection.allKept(snapshot)
		}
	}
	return k.all
}

// keeper is one round of keeping.
type keeper struct {
	*Loader
	shelf   *Shelf
	wanted  map[book]bool
	changed <-chan struct{}
	all     bool
}

func (k *keeper) do(ctx context.Context, v *linked, err error) {
	if err == nil {
		return
	}
	k.all = false
	if !ledger.Closed(k.changed) {
		object := ledger.Hash{}
		if v != nil {
			object = v.object
		}
		k.tell(ctx, object, fmt.Errorf("registry: the copy on this server's disk: %w", err))
	}
}

// numbers sees to the book from which a restart takes a version's numbers.
func (k *keeper) numbers(ctx context.Context, v *linked) error {
	for w, steps := v, 0; ; w, steps = w.previous, steps+1 {
		ok, err := k.shelf.has(bookOf(w.object))
		if err != nil {
			return err
		}
		if ok {
			k.want(w)
			return nil
		}
		if w.base == nil || steps == chainMax {
			break
		}
	}
	k.want(v)
	if v.washed {
		if err := k.shelf.put(ctx, askedOf(v.object), v.numbers.asked); err != nil {
			return err
		}
	}
	return k.shelf.put(ctx, bookOf(v.object), v.numbers.set)
}

func (k *keeper) want(v *linked) {
	k.wanted[bookOf(v.object)] = true
	k.wanted[askedOf(v.object)] = v.washed
}

// past sees to what each version changed, newest first, and to the days of the
// listings. What is too old for those is still kept for questions about the past.
func (k *keeper) past(ctx context.Context, v *linked) error {
	var failed error
	of := chain(v)
	days, room, news := datesBuilder{}, true, v.first == nil || !slices.Equal(v.first.of, of)
	for w := v; w.previous != nil && !ledger.Closed(k.changed); w = w.previous {
		key := pair{w.object, w.previous.object}
		k.wanted[key.added()], k.wanted[key.removed()] = true, true
		if failed = k.changes(ctx, key, w); failed != nil {
			break
		}
		if room && news {
			added, err := k.shelf.get(ctx, key.added())
			if err != nil {
				failed = err
				break
			}
			room = days.add(w.previous.day, added)
		}
	}
	// After a failure the days that are known are better than none.
	if failed != nil {
		of, news = nil, v.first == nil
	}
	if news && !ledger.Closed(k.changed) && ctx.Err() == nil {
		k.Projection.dated(v.position, days.done(of))
	}
	return failed
}

// changes sees to what one version changed.
func (k *keeper) changes(ctx context.Context, key pair, w *linked) error {
	if ok, err := k.shelf.hasChanges(key); err != nil || ok {
		k.Projection.shelved(key)
		return err
	}
	var err error
	c := k.Projection.takeFresh(key)
	switch {
	case c != nil:
	case w.base != nil:
		if c, err = k.changesOf(ctx, w); err != nil {
			return err
		}
	default:
		from, err := k.resolve(ctx, w.previous)
		if err != nil {
			return err
		}
		to, err := k.resolve(ctx, w)
		if err != nil {
			return err
		}
		c = &changes{}
		c.added, c.removed = compare(from.set, to.set, w.coverage.codes)
	}
	if err := k.shelf.putChanges(ctx, key, c); err != nil {
		return err
	}
	k.Projection.shelved(key)
	return nil
}
