// Package projections builds what follows from the ledger: state that can be
// deleted at any time and folds anew to the same bytes.
//
// This package is the contract only and imports no database, because mirrors
// outside the server run the same folds. Package runner feeds the projections of
// a server; their rooms are suppression, timeline, listing, parties, registry and
// publication, and attempts has a small one beside a stream of its own.
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

// Reader is what a projection may read of the store outside a batch: a database
// or a snapshot of package store.
type Reader interface {
	// Get gives a copy of the value of a key, nil if there is none.
	Get(key []byte) ([]byte, error)
	// Each visits the keys in [lower, upper) in order until visit returns an
	// error, which it returns. Key and value are valid only during the visit.
	Each(lower, upper []byte, visit func(key, value []byte) error) error
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

// ByToken marks a projection whose Apply reads and writes only keys that depend
// on the entry's token, and does nothing for an entry without one. Entries of
// different tokens may be folded at the same time then, each token's in order.
type ByToken interface {
	Projection
	// ByToken does nothing; it is the mark.
	ByToken()
}

// Joined marks a projection that can be folded in pieces. Let a run of entries be
// split anywhere, each piece be folded over an empty store, and the values that
// the pieces give a key be joined in their order, those before a deletion left
// out: then the store is the one that folding all entries one after another gives.
// So Apply may be told that every key is missing, and what it writes is sorted and
// joined later, which for a whole ledger is far cheaper than reading before each write.
type Joined interface {
	ByToken
	// Join gives the one value of a key from several, oldest first, at least two. It
	// may keep none of the slices.
	Join(values [][]byte) ([]byte, error)
}

// Resident is a projection that also answers from memory. Load, Apply and
// Committed are called by one goroutine at a time and never overlap.
type Resident interface {
	Projection
	// Load replaces what is in memory by what the store holds, which is true at a
	// position. It is called before the first Apply and, with 0, after the
	// projection's spaces were deleted.
	Load(r Reader, at ledger.Position) error
	// Committed publishes what Apply changed since the last call: its batch, up to
	// and with position at, is in the store now. Until then readers must not see it.
	Committed(at ledger.Position)
}

// Source gives the entries of the ledger to those who follow it.
type Source = ledger.Source
