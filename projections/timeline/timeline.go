// Package timeline lists what was recorded about each number: token to
// positions, with enough in clear to tell the story without opening an entry.
package timeline

import (
	"errors"
	"fmt"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/projections"
)

const (
	name    = "timeline"
	version = 1

	// PageMax is the largest page.
	PageMax = 1000
)

// Projection is the timeline. It keeps nothing in memory and may be shared.
type Projection struct{}

var _ projections.Joined = Projection{}

// Name implements projections.Projection.
func (Projection) Name() string { return name }

// Version implements projections.Projection.
func (Projection) Version() uint32 { return version }

// Spaces implements projections.Projection.
func (Projection) Spaces() []byte { return []byte{store.SpaceTimeline} }

// ByToken implements projections.ByToken.
func (Projection) ByToken() {}

// errTwice: an entry came twice in one ledger.
var errTwice = errors.New("timeline: two items at one position")

// Join implements projections.Joined. A key names one entry, so there are never two values.
func (Projection) Join([][]byte) ([]byte, error) { return nil, errTwice }

// Apply writes one item for an entry about a number. PersonErased is a barrier:
// the number's items before it go, and what is left is the erasure itself.
func (Projection) Apply(b projections.Batch, e *ledger.Entry) error {
	if e.Token.IsZero() {
		return nil
	}
	if e.Fact().GetPersonErased() != nil {
		if err := b.DeleteRange(store.TimelineRange(e.Token)); err != nil {
			return err
		}
	}
	return b.Set(store.TimelineKey(e.Token, e.Position), encode(itemOf(e)))
}

// Item is the clear summary of one entry.
type Item struct {
	Position   ledger.Position
	RecordedAt time.Time
	// Earliest and Latest bound when it happened; zero if the fact does not say.
	Earliest, Latest time.Time
	// Kind is empty for a kind this version did not know when it folded it.
	Kind    ledger.Kind
	Sellers []string // as declared; empty: all, or none of a seller's business
	Source  string
	ID      ledger.EntryID
	Leaf    ledger.Hash
}

func itemOf(e *ledger.Entry) Item {
	f := e.Fact()
	it := Item{
		Position: e.Position, RecordedAt: e.RecordedAt, Kind: ledger.KindOf(f),
		Sellers: f.GetSellers(), Source: f.GetSource(), ID: e.ID, Leaf: e.Leaf,
	}
	if t := f.GetEarliest(); t != nil {
		it.Earliest = t.AsTime()
	}
	if t := f.GetLatest(); t != nil {
		it.Latest = t.AsTime()
	}
	return it
}

// errEnough ends a scan whose page is full.
var errEnough = errors.New("timeline: page is full")

// Page reads a number's items after a position, oldest first: at most limit of
// them, which is from 1 to PageMax (0: PageMax). more says that there are others.
func Page(r projections.Reader, t ledger.Token, after ledger.Position, limit int) (items []Item, more bool, err error) {
	if limit <= 0 || limit > PageMax {
		limit = PageMax
	}
	_, hi := store.TimelineRange(t)
	err = r.Each(store.TimelineKey(t, after+1), hi, func(k, v []byte) error {
		if len(items) == limit {
			more = true
			return errEnough
		}
		_, at, err := store.ParseTimelineKey(k)
		if err != nil {
			return err
		}
		it, err := decode(v)
		if err != nil {
			return fmt.Errorf("position %d: %w", at, err)
		}
		it.Position = at
		items = append(items, it)
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, false, fmt.Errorf("timeline: %w", err)
	}
	return items, more, nil
}
