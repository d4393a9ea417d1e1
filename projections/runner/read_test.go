package runner

import (
	"context"
	"errors"
	"testing"

	"github.com/consent-ledger/consent-ledger/projections/internal/memsource"
	"github.com/consent-ledger/consent-ledger/projections/timeline"
)

// TestViewsAreWhole reads while entries are folded and rebuilt: a view holds just
// what its position says.
func TestViewsAreWhole(t *testing.T) {
	s := memsource.New()
	token := memsource.TokenOf(3)
	r := start(t, openDB(t, t.TempDir()), s, Options{}, nil, timeline.Projection{})
	ctx, cancel := context.WithCancel(t.Context())
	writer := make(chan struct{})
	go func() {
		defer close(writer)
		for i := range 300 {
			at := s.Append(memsource.Declared{Token: token, Fact: fact()}, memsource.Declared{Token: token, Fact: fact()})
			if err := r.WaitApplied(ctx, at); err != nil {
				t.Error(err)
			}
			if i%100 == 50 {
				if err := r.Rebuild(ctx, nil); err != nil {
					t.Error(err)
				}
			}
		}
		cancel()
	}()
	for ctx.Err() == nil {
		floor := r.Applied()
		err := r.Read(ctx, floor, func(v View) error {
			items, _, err := timeline.Page(v, token, 0, 0)
			if len(items) != int(v.Position) || v.Position < floor {
				t.Errorf("at position %d (asked for %d): %d items", v.Position, floor, len(items))
			}
			return err
		})
		if err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	}
	<-writer
}

func TestWaitEndsWithItsContext(t *testing.T) {
	r := start(t, openDB(t, t.TempDir()), memsource.New(), Options{}, nil, timeline.Projection{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.WaitApplied(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
