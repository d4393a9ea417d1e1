package suppression

import (
	"bytes"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// ErrBadState: the bytes are no state this version makes. They are damaged or of
// another version; a server can fold them anew.
var ErrBadState = errors.New("suppression: not a state of this version")

// Encode gives the bytes of a canonical state: equal states, equal bytes. nil
// and the empty state have none.
func Encode(s *State) ([]byte, error) {
	// Fields go out in ascending order and there are no maps: one form.
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("suppression: serialize state: %w", err)
	}
	return b, nil
}

// Decode reads a state. Registers out of order or unknown to this version are an
// error (ErrBadState), because what cannot be read might forbid.
func Decode(b []byte) (*State, error) {
	var r Reader // of its own, so that the state may be changed and kept
	s := &State{}
	if err := r.decode(s, b); err != nil {
		return nil, err
	}
	return s, nil
}

// canonical tells whether all lists are in the order that folding gives.
func canonical(s *State) bool {
	return s.Paused == nil && s.Resumed == nil &&
		ordered(s.Grants, func(a, b *consentv1.GrantRegister) bool {
			k := grantKey(a, b)
			return k < 0 || k == 0 && newerGrant(a, b) > 0 && disjoint(a, b)
		}, cellsAreCut) &&
		orderedProhibitions(s.Revoked, newerForbidding) && orderedProhibitions(s.Kept, newerPermitting) &&
		orderedProhibitions(s.DncAdded, newerForbidding) && orderedProhibitions(s.DncRemoved, newerPermitting) &&
		orderedProhibitions(s.Refused, newerForbidding) &&
		orderedMarks(s.Relationships, relationshipKey) && orderedMarks(s.Marks, markKey) &&
		orderedPreferences(s.Preferences) && orderedPreferences(s.TimeConsents) &&
		ordered(s.Parties, func(a, b []byte) bool { return bytes.Compare(a, b) < 0 },
			func(key []byte) bool { return len(key) > 0 }) &&
		ordered(s.Unclear, func(a, b *consentv1.UnclearRegister) bool { return unclearKey(a, b) < 0 },
			func(r *consentv1.UnclearRegister) bool { return r.Opened != r.Closed && r.Opened == (r.Time != nil) })
}

func orderedProhibitions(list []*consentv1.ProhibitionRegister, newer func(a, b *consentv1.TimeSpan) int) bool {
	return ordered(list, func(a, b *consentv1.ProhibitionRegister) bool {
		k := prohibitionKey(a, b)
		return k < 0 || k == 0 && newer(a.Time, b.Time) > 0 && disjoint(a, b)
	}, cellsAreCut)
}

func orderedPreferences(list []*consentv1.PreferenceRegister) bool {
	return ordered(list, func(a, b *consentv1.PreferenceRegister) bool {
		k := preferenceKey(a, b)
		return k < 0 || k == 0 && sameTime(a.Time, b.Time) && preferenceValue(a, b) < 0
	}, func(r *consentv1.PreferenceRegister) bool { return r.Time != nil })
}

func orderedMarks(list []*consentv1.MarkRegister, key func(a, b *consentv1.MarkRegister) int) bool {
	return ordered(list, func(a, b *consentv1.MarkRegister) bool {
		k := key(a, b)
		return k < 0 || k == 0 && sameTime(a.Time, b.Time) && markValue(a, b) < 0
	}, func(r *consentv1.MarkRegister) bool { return r.Time != nil })
}

// ordered tells whether each record is sound and comes before the next.
func ordered[R any](list []R, before func(a, b R) bool, sound func(R) bool) bool {
	for i, r := range list {
		if !sound(r) || i > 0 && !before(list[i-1], r) {
			return false
		}
	}
	return true
}

func sameTime(a, b *consentv1.TimeSpan) bool { return newerForbidding(a, b) == 0 }

// cellsAreCut: a record covers something, within the room there is, and has a time.
func cellsAreCut[R interface {
	GetCells() *consentv1.Cells
	GetTime() *consentv1.TimeSpan
}](r R) bool {
	p := r.GetCells().GetPurposes()
	if len(p) == 0 || len(p) > enumMax+1 || p[len(p)-1] == 0 || r.GetTime() == nil {
		return false
	}
	for _, mask := range p {
		if mask > anyBit {
			return false
		}
	}
	return true
}

// disjoint is looked at for neighbours only: it is a check against damage and
// not against forgery, for which states are signed where they leave the server.
func disjoint[R interface{ GetCells() *consentv1.Cells }](a, b R) bool {
	x, y := a.GetCells().GetPurposes(), b.GetCells().GetPurposes()
	for i := range min(len(x), len(y)) {
		if x[i]&y[i] != 0 {
			return false
		}
	}
	return true
}
