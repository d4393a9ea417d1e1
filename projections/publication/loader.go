package publication

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/projections/rules"
)

// Files is where packs are kept.
type Files interface {
	// Get reads a file by its SHA-256; ledger.ErrNotFound if there is none. What it
	// gives need not be trusted.
	Get(ctx context.Context, file ledger.Hash) ([]byte, error)
}

const (
	retryMin = time.Second
	retryMax = time.Minute
)

// Loader fetches the files of published packs into a projection.
type Loader struct {
	Projection *Projection
	Files      Files
	// Failed is told of every file that is not at hand and will be tried again;
	// nil: nobody is.
	Failed func(file ledger.Hash, err error)
}

// Run fetches what is published, now and whenever something new is, until ctx
// ends, which is its only error. What cannot be had is tried again after a second,
// then less and less often, up to a minute.
func (l *Loader) Run(ctx context.Context) error {
	wait := retryMin
	for {
		changed := l.Projection.Watch()
		again := time.NewTimer(wait)
		if l.fetchAll(ctx) {
			again.Stop()
			wait = retryMin
		} else {
			wait = min(2*wait, retryMax)
		}
		select {
		case <-ctx.Done():
			again.Stop()
			return ctx.Err()
		case <-changed:
			again.Stop()
		case <-again.C:
		}
	}
}

// fetchAll tells whether nothing is missing any more.
func (l *Loader) fetchAll(ctx context.Context) bool {
	var tried []ledger.Hash
	for {
		missing := slices.DeleteFunc(l.Projection.Snapshot().missing(), func(h ledger.Hash) bool {
			return slices.Contains(tried, h) || l.Projection.isSpoilt(h)
		})
		if len(missing) == 0 {
			return len(tried) == 0
		}
		if err := l.fetch(ctx, missing[0]); err != nil {
			tried = append(tried, missing[0])
			l.Projection.failed(missing[0])
			if l.Failed != nil {
				l.Failed(missing[0], err)
			}
		}
	}
}

// fetch reads a file by the name of the pack that was published with it.
func (l *Loader) fetch(ctx context.Context, file ledger.Hash) error {
	raw, err := l.Files.Get(ctx, file)
	if err != nil {
		return fmt.Errorf("publication: file %s: %w", file.String()[:8], err)
	}
	id := ""
	for _, p := range l.Projection.Snapshot().Published() {
		if p.SHA256 == file {
			id = p.ID
		}
	}
	if sha256.Sum256(raw) != file {
		return fmt.Errorf("publication: file %s: its bytes have another SHA-256", file.String()[:8])
	}
	pack, err := rules.Parse(id+".yaml", raw)
	if err != nil { // and will be the next time
		l.Projection.spoilt(file, err.Error())
		return fmt.Errorf("publication: file %s: %w", file.String()[:8], err)
	}
	l.Projection.Add(pack)
	return nil
}
