package registry_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/projections/registry"
)

// interrupted is a store of objects whose reader is told to end while it reads.
type interrupted struct{ end context.CancelFunc }

func (i interrupted) Get(ctx context.Context, _ ledger.Hash) (io.ReadCloser, error) {
	i.end()
	return nil, ctx.Err()
}

// TestTheEndIsNoFailure: what is not fetched because the server ends is no list that
// blocks, and nobody is told so; who waits for it hears why it did not come.
func TestTheEndIsNoFailure(t *testing.T) {
	for _, run := range []func(*registry.Loader, context.Context) error{(*registry.Loader).Run, (*registry.Loader).Fetch} {
		w := newWorld(t)
		w.record(w.version("2026-11-01", "818,5550101\n", false))
		ctx, end := context.WithCancel(t.Context())
		l := &registry.Loader{Projection: w.p, Objects: interrupted{end}, Failed: func(_ ledger.Hash, err error) { t.Errorf("told of %v", err) }}
		if err := run(l, ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
	}
}
