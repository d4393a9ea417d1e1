package registry

import (
	"context"
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

// Loader fetches the numbers of announced versions into a projection.
type Loader struct {
	Projection *Projection
	Objects    Objects
	// Failed is told of every object that could not be fetched and will be tried
	// again; nil: nobody is. The error names no number.
	Failed func(object ledger.Hash, err error)
}

// Run fetches what is announced, now and whenever something new is, until ctx
// ends, which is its only error. What cannot be fetched is tried again after a
// second, then less and less often, up to a minute.
func (l *Loader) Run(ctx context.Context) error {
	wait := retryMin
	for {
		changed := l.Projection.watch()
		if l.fetchAll(ctx, l.Failed) {
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
	for {
		missing := slices.DeleteFunc(l.Projection.Snapshot().missing(), func(h ledger.Hash) bool { return tried[h] })
		if len(missing) == 0 {
			return len(tried) == 0
		}
		if err := l.fetch(ctx, missing[0]); err != nil {
			tried[missing[0]] = true
			if failed != nil {
				failed(missing[0], err)
			}
		}
	}
}

func (l *Loader) fetch(ctx context.Context, object ledger.Hash) error {
	r, err := l.Objects.Get(ctx, object)
	if err != nil {
		return fmt.Errorf("registry: object %s: %w", hashName(object), err)
	}
	defer r.Close()
	set, err := Decode(r, object)
	if err != nil {
		return fmt.Errorf("registry: object %s: %w", hashName(object), err)
	}
	l.Projection.arrived(object, set)
	return nil
}
