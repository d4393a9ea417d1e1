// Package attempts keeps contact attempts, so that caps can count them, and grants
// the last permitted contact to one dialer only.
//
// The truth is the stream CONSENT_ATTEMPTS; what is in the database follows from
// it and may be deleted. One goroutine, the keeper's, decides everything that adds
// to the stream, one batch at a time: it decides against all that is durable and
// what came before in the batch, makes the batch durable at the place it expects,
// applies it, and only then answers. So a reservation needs no lock: nothing can
// come between the counting and the writing, on this node by the one goroutine and
// on another by the expected sequence, after which everything is decided anew.
//
//	attempts.go  errors, references, what is sealed
//	declare.go   what a dialer declares, made ready
//	call.go      what is known of one call: the fold
//	ask.go       what others ask of the keeper
//	overlay.go   the calls a batch changes, over the database
//	keeper.go    the one goroutine: its life and its turns
//	lost.go      messages that are not there any more, and what that means for caps
//	plan.go      deciding one batch
//	queue.go     what waits
//	stated.go    what is signed of the decisions of a batch
//	anchor.go    roots of the batches, put into the ledger
package attempts

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	"github.com/consent-ledger/consent-ledger/ledger/settle"
	"github.com/consent-ledger/consent-ledger/projections/rules"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Log is the stream of batches. Several nodes may append; the sequence each names
// decides who was first. Implementation: stream.Attempts.
type Log interface {
	settle.Stream
	// Bounds gives the first sequence that is there and the last one there ever
	// was, from the leader; first is after last if nothing is there.
	Bounds(ctx context.Context) (first, last uint64, err error)
	// Follow yields the messages after a sequence in order, then waits for more. What
	// is not there any more it passes over. It ends with ctx or an error.
	Follow(ctx context.Context, after uint64) iter.Seq2[ledger.Message, error]
}

const (
	// counted is how far back the rules look.
	counted = rules.AttemptsDays * 24 * time.Hour
	// keptFor is how long a call stays in the database, by the time of what is
	// recorded after it: so a question about any day of the last month still finds
	// the month before that day.
	keptFor = 2 * counted
	// aheadMax is how far a dialer's clock may be ahead of ours.
	aheadMax = 2 * time.Minute
)

// outcomeError says what is true of a call after something went wrong.
type outcomeError struct {
	text  string
	kind  error // a sentinel of package ledger, which decides the code at the edge
	cause error
}

func (e *outcomeError) Error() string {
	if e.cause == nil {
		return e.text
	}
	return fmt.Sprintf("%s (%v)", e.text, e.cause)
}

func (e *outcomeError) Unwrap() []error {
	if e.cause == nil {
		return []error{e.kind}
	}
	return []error{e.kind, e.cause}
}

// uncertain: it may be durable, and counts until that is known.
func uncertain(cause error) error {
	return &outcomeError{"attempts: UNCERTAIN, it may be recorded or reserved and counts until that is known; " +
		"do not make the contact, ask again with the same reference", ledger.ErrUncertain, cause}
}

// notReady: nothing was recorded or reserved.
func notReady(cause error) error {
	return &outcomeError{"attempts: not ready, nothing was recorded or reserved; retry with the same reference", ledger.ErrNotReady, cause}
}

// errClosed is the cause of refusals after an orderly end.
var errClosed = errors.New("attempts: closing")

// ReferenceKey names a call for ever: HMAC-SHA-256 of seller and reference. The
// slash keeps it apart from every source of facts, whose ids hold none.
func ReferenceKey(keys *seal.Keyring, seller, reference string) ledger.Hash {
	return keys.Idempotency("attempt/"+seller, reference)
}

func callerContext(id []byte) string { return fmt.Sprintf("consent.v1/attempt-caller-id/%x", id) }

// SealCallerID seals the caller id of the record with an id.
func SealCallerID(keys *seal.Keyring, id ledger.EntryID, callerID string) []byte {
	return keys.SealBlob(callerContext(id[:]), []byte(callerID))
}

// OpenCallerID undoes SealCallerID; empty if the record has none.
func OpenCallerID(keys *seal.Keyring, r *consentv1.AttemptRecord) (string, error) {
	if len(r.GetCallerId()) == 0 {
		return "", nil
	}
	plain, err := keys.OpenBlob(callerContext(r.GetId()), r.GetCallerId())
	return string(plain), err
}

// openToken gives the token of a record; zero if only its reference was named.
func openToken(keys *seal.Keyring, r *consentv1.AttemptRecord) (ledger.Token, error) {
	_, t, err := keys.OpenToken(&consentv1.Entry{EntryId: r.GetId(), Token: r.GetToken()})
	return t, err
}

// counts tells whether a call with an outcome counts towards caps.
func counts(o consentv1.AttemptOutcome) bool {
	return o != consentv1.AttemptOutcome_ATTEMPT_OUTCOME_CANCELLED
}
