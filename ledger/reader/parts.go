package reader

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// OpenedPart is a sealed part with what it opened to.
type OpenedPart struct {
	Class consentv1.PersonalClass
	Field string
	seal.Opening
}

// Parts opens the parts of some classes (nil: of all), each proven by its
// commitment, in the order of the entry. erased is how many parts of any class nobody
// can open any more, because their keys are gone.
func (r *Reader) Parts(ctx context.Context, e *ledger.Entry, classes []consentv1.PersonalClass) (parts []OpenedPart, erased int, err error) {
	for _, s := range e.Msg.GetPersonal() {
		if classes != nil && !slices.Contains(classes, s.GetClass()) {
			if _, err := r.key(e, s); errors.Is(err, seal.ErrErased) { // any other error is not about what is asked
				erased++
			}
			continue
		}
		o, err := r.openPart(ctx, e, s)
		if errors.Is(err, seal.ErrErased) {
			erased++
			continue
		}
		if err != nil {
			return nil, 0, fmt.Errorf("reader: position %d: %w", e.Position, err)
		}
		parts = append(parts, OpenedPart{s.GetClass(), s.GetField(), o})
	}
	return parts, erased, nil
}

// Restored is the fact with opened parts put back.
func Restored(e *ledger.Entry, parts []OpenedPart) (*consentv1.Fact, error) {
	fact, open := proto.CloneOf(e.Fact()), make([]seal.Part, len(parts))
	for i, p := range parts {
		open[i] = seal.Part{Class: p.Class, Field: p.Field, Value: p.Value}
	}
	return fact, seal.Restore(fact, open)
}
