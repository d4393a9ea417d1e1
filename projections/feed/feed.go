// Package feed publishes changes of suppression state to those who keep a copy:
// the stream CONSENT_FEED, one subject a seller, and subscriptions to it.
//
// After each change the whole new state of the number towards the seller is
// sent, under the seller's feed token, so that the last one for a token wins and
// a repeated one harms nobody. Changes are packed: one message for a run of
// positions and a seller, sellers in order. The tail message of the stream says
// which run it belongs to and for which seller it was, and that is all a
// publisher remembers: it finishes that run for the sellers after it, and goes on.
package feed

import (
	"context"
	"errors"
	"iter"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/declare"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/projections/listing"
	"github.com/consent-ledger/consent-ledger/projections/runner"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// ErrNoSeller: no such seller is registered, so it has no feed.
var ErrNoSeller = errors.New("feed: no such seller is registered")

// Stream is the feed's messages, durable and in one order. Safe for concurrent
// use, except that one publisher publishes.
type Stream interface {
	// Publish makes a serialized FeedBatch durable on the seller's subject as the
	// message after sequence expectedLast. On ledger.ErrNoAnswer it may be stored;
	// on ledger.ErrWrongTail another publisher was first. Tail tells.
	Publish(ctx context.Context, seller string, batch []byte, expectedLast uint64) (seq uint64, err error)
	// Tail is the last message of all sellers and its sequence; nil if there is
	// none. Its run is from 1 at least and not empty.
	Tail(ctx context.Context) (*consentv1.FeedBatch, uint64, error)
	// Last is through_position of a seller's last message, 0 if it has none.
	Last(ctx context.Context, seller string) (ledger.Position, error)
	// Follow yields a seller's messages whose run ends after a position, in order,
	// then waits for more. It ends only with ctx or an error. Runs may repeat.
	Follow(ctx context.Context, seller string, after ledger.Position) iter.Seq2[*consentv1.FeedBatch, error]
}

// Tokens makes and reads pseudonyms. Safe for concurrent use.
type Tokens interface {
	// FeedOf is what the seller's dialers see for a token.
	FeedOf(seller string, t ledger.Token) ledger.FeedToken
	// TokenOf is its inverse.
	TokenOf(seller string, f ledger.FeedToken) ledger.Token
	// NumberOf is the number of a token, in E.164.
	NumberOf(t ledger.Token) (string, error)
}

// State is the suppression state: a *runner.Runner.
type State interface {
	// Read calls f with a view at or after a position, having waited for it.
	Read(ctx context.Context, atLeast ledger.Position, f func(runner.View) error) error
}

// Listing knows the registered sellers: a *listing.Projection.
type Listing interface {
	Snapshot() *listing.Snapshot
}

// changesState tells whether a fact can change suppression state. A kind this
// version does not know is taken to: a needless update harms nobody.
func changesState(f *consentv1.Fact) bool {
	switch k := f.GetKind().(type) {
	case *consentv1.Fact_ConsentRequested, *consentv1.Fact_ClarificationSent:
		return false
	case *consentv1.Fact_InboundMessage:
		return k.InboundMessage.GetClassification() != consentv1.MessageClass_MESSAGE_CLASS_NOT_STOP
	}
	return true
}

// sellersOf gives the sellers whose state an entry changes, sorted. A fact for
// all reaches each seller registered before it; who is registered later begins
// with a snapshot. So the answer depends on the ledger alone and is the same
// whenever it is asked.
func sellersOf(e *ledger.Entry, registered []listing.Seller) []string {
	f := e.Fact()
	if e.Token.IsZero() || !changesState(f) {
		return nil
	}
	var out []string
	if all := f.GetPersonErased() != nil || len(f.GetSellers()) == 0 || slices.Contains(f.GetSellers(), ledger.All); all {
		for _, s := range registered {
			if s.Since < e.Position {
				out = append(out, s.ID)
			}
		}
	}
	for _, s := range f.GetSellers() {
		if s != ledger.All && declare.ValidID(s) { // anything else could not be a subject
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// stateOf reads one stored state, nil if there is none.
func stateOf(v runner.View, t ledger.Token, seller string) (*consentv1.SuppressionState, error) {
	if !v.MayHaveState(t) {
		return nil, nil
	}
	raw, err := v.Get(store.StateKey(t, seller))
	if err != nil || raw == nil {
		return nil, err
	}
	s := &consentv1.SuppressionState{}
	return s, proto.Unmarshal(raw, s)
}

// isErased tells whether the number's person was erased.
func isErased(all *consentv1.SuppressionState) bool { return all.GetErased() != nil }
