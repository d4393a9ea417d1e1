package ledger

import (
	"fmt"
	"time"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Receipt says that an entry is in the ledger and how firmly.
type Receipt struct {
	Position   Position
	EntryID    EntryID
	Leaf       Hash
	RecordedAt time.Time
	Durability consentv1.Durability
	// Duplicate: the same fact was recorded before; this is its receipt.
	Duplicate bool
	// ConflictsWith is the entry with the same source and event id and other
	// content; only for a revocation, which is recorded all the same.
	ConflictsWith Position
	// Notices say how a lenient stop was read. Free of personal data.
	Notices []string
}

// Outcome is what became of one declared fact: a receipt or an error.
type Outcome struct {
	Receipt Receipt
	// Err is nil, an *InvalidError, a *ConflictError, or wraps ErrUncertain,
	// ErrNotReady or ErrClosed.
	Err error
}

// ConflictError is ErrEventIDConflict with the position of the other fact.
type ConflictError struct{ Position Position }

func (e *ConflictError) Error() string {
	return fmt.Sprintf("event_id: stands for another fact of this source, at position %d; nothing was recorded. "+
		"If this is a new fact, give it an id of its own", e.Position)
}

// Unwrap makes errors.Is(err, ErrEventIDConflict) true.
func (e *ConflictError) Unwrap() error { return ErrEventIDConflict }
