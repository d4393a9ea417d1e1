// Package projections builds what follows from the ledger: state that can be
// deleted at any time and folds anew to the same bytes.
package projections

import (
	"iter"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// Batch is the view a projection has of its store while it applies entries: it
// reads its own writes. Keys begin with a space byte of package store.
type Batch interface {
	// Get gives the value of a key, nil if there is none. The bytes must not be
	// changed and are valid until the next write to the same key.
	Get(key []byte) ([]byte, error)
	// Set writes a key. The batch keeps both slices; do not change them afterwards.
	Set(key, value []byte) error
	// Delete removes a key; it need not exist.
	Delete(key []byte) error
	// DeleteRange removes keys in [start, end).
	DeleteRange(start, end []byte) error
	// Scan yields keys in [start, end) in order, own writes included. No write
	// may happen during the scan.
	Scan(start, end []byte) iter.Seq2[[]byte, []byte]
}

// Projection folds entries into its key spaces. Apply must be deterministic: no
// clock, no network, no map order. State and position commit in one batch, so it
// never meets an entry whose effect it already holds.
type Projection interface {
	// Name names it in keys, metrics and pages.
	Name() string
	// Version changes whenever its keys or values change meaning; a store with
	// another version is folded anew.
	Version() uint32
	// Spaces are its key spaces; no two projections share one.
	Spaces() []byte
	// Apply folds one entry.
	Apply(b Batch, e *ledger.Entry) error
}
