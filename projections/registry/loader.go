package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// Objects is where the numbers of a list are kept.
type Objects interface {
	// Get reads an object by the SHA-256 of its plaintext; ledger.ErrNotFound if
	// there is none. What it gives need not be trusted.
	Get(ctx context.Context, object ledger.Hash) (io.ReadCloser, error)
}

const (
	retryMin = time.Second
	retryMax = time.Minute
)

// Loader fetches the numbers of announced versions into a projection, from the
// shelf or from their objects, and keeps the shelf.
type Loader struct {
	Projection *Projection
	Objects    Objects
	// Failed is told of every object that could not be fetched or shelved and will
	// be tried again; nil: nobody is. The error names no number.
	Failed func(object ledger.Hash, err error)
}

// Run fetches what is announced, now and whenever something new is, until ctx
// ends, which is its only error. What cannot be fetched is tried again after a
// second, then less and less often, up to a minute. Whatever answers comes first;
// the shelf is seen to when nothing is missing that could be had.
func (l *Loader) Run(ctx context.Context) error {
	wait := retryMin
	for {
		changed := l.Projection.watch()
		whole := l.fetchAll(ctx, func(object ledger.Hash, err error) { l.tell(ctx, object, err) })
		if whole || !ledger.Closed(changed) {
			kept := l.keep(ctx, changed)
			if ledger.Closed(changed) {
				continue
			}
			whole = whole && kept
		}
		if whole {
			wait = retryMin
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-changed:
			}
			continue
		}
		retry := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			retry.Stop()
			return ctx.Err()
		case <-changed:
			retry.Stop()
		case <-retry.C:
			wait = min(2*wait, retryMax)
		}
	}
}

// tell tells Failed, but of nothing that failed because ctx ended.
func (l *Loader) tell(ctx context.Context, object ledger.Hash, err error) {
	if l.Failed != nil && ctx.Err() == nil {
		l.Failed(object, err)
	}
}

// Fetch fetches once everything announced and missing. It is for those who wait
// for their lists before they answer; the error is the first of those met.
func (l *Loader) Fetch(ctx context.Context) error {
	var first error
	l.fetchAll(ctx, func(_ ledger.Hash, err error) {
		if first == nil {
			first = err
		}
	})
	return first
}

// fetchAll tells whether nothing is missing any more. It looks again after each
// object, newest first: what a newer version has superseded meanwhile need not be
// fetched; where the newest cannot be had, older ones serve whom it is not for.
func (l *Loader) fetchAll(ctx context.Context, failed func(ledger.Hash, error)) bool {
	tried := map[ledger.Hash]bool{}
	for ctx.Err() == nil {
		missing := slices.DeleteFunc(l.Projection.Snapshot().missing(), func(v *linked) bool { return tried[v.object] })
		if len(missing) == 0 {
			return len(tried) == 0
		}
		v := missing[0]
		n, err := l.resolve(ctx, v)
		if err != nil {
			tried[v.object] = true
			failed(v.object, fmt.Errorf("registry: object %s: %w", hashName(v.object), err))
			continue
		}
		l.Projection.arrived(v.object, n)
	}
	return false
}

// resolve gives the numbers of a version. Those of a change list are worked out
// from the nearest version before it whose numbers are at hand.
func (l *Loader) resolve(ctx context.Context, v *linked) (*numbers, error) {
	var chain []*linked
	n, err := l.atHand(ctx, v)
	for ; err == nil && n == nil && v.base != nil; n, err = l.atHand(ctx, v) {
		if v.previous == nil {
			return nil, errors.New("the version it changes is not known")
		}
		chain, v = append(chain, v), v.previous
	}
	if err == nil && n == nil {
		n, err = l.fetch(ctx, v)
	}
	for _, w := range slices.Backward(chain) {
		if err != nil {
			break
		}
		var c *changes
		if c, err = l.changesOf(ctx, w); err == nil {
			n, err = c.apply(n)
		}
	}
	return n, err
}

// apply gives the numbers after a change.
func (c *changes) apply(n *numbers) (*numbers, error) {
	if !disjoint(c.added, n.set) || !contains(n.set, c.removed) {
		return nil, fmt.Errorf("%w: it does not fit the version it changes", ErrBadObject)
	}
	return &numbers{set: n.set.edit(c.added, c.removed)}, nil
}

// atHand gives numbers from memory or the shelf; nil if they are in neither.
func (l *Loader) atHand(ctx context.Context, v *linked) (*numbers, error) {
	if v.numbers != nil {
		return v.numbers, nil
	}
	s := l.Projection.shelf
	set, err := s.get(ctx, bookOf(v.object))
	if err != nil || set == nil {
		return nil, err
	}
	if !v.washed {
		return &numbers{set: set}, nil
	}
	asked, err := s.get(ctx, askedOf(v.object))
	if err != nil || asked == nil {
		return nil, err
	}
	return &numbers{set, asked}, nil
}

// fetch reads the object of a version that is no change list.
func (l *Loader) fetch(ctx context.Context, v *linked) (*numbers, error) {
	o, err := l.object(ctx, v.object)
	if err != nil {
		return nil, err
	}
	if want := map[bool]Form{false: FormFull, true: FormWash}[v.washed]; o.Form != want {
		return nil, fmt.Errorf("%w: it is of another form than was announced", ErrBadObject)
	}
	return &numbers{o.Numbers, o.Asked}, nil
}

func (l *Loader) object(ctx context.Context, object ledger.Hash) (*Object, error) {
	r, err := l.Objects.Get(ctx, object)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return Decode(r, object)
}

// changesOf gives what a change list changes.
func (l *Loader) changesOf(ctx context.Context, v *linked) (*changes, error) {
	key := pair{v.object, v.previous.object}
	if c := l.Projection.takeFresh(key); c != nil {
		return c, nil
	}
	if c, err := l.Projection.shelf.getChanges(ctx, key); err != nil || c != nil {
		return c, err
	}
	o, err := l.object(ctx, v.object)
	if err != nil {
		return nil, err
	}
	if o.Form != FormChange || o.Base != v.previous.object {
		return nil, fmt.Errorf("%w: it is no change list of the version it was announced for", ErrBadObject)
	}
	return &changes{o.Added, o.Removed}, nil
}
