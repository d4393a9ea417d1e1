package suppression

import (
	"math"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// stateOf is the state in which a fact is all that is known; nil if the fact
// says nothing about state. Folding is joining these. An erasure is none of
// them: it is a barrier and not a join. Whatever names a party ties the number
// to it.
func stateOf(in Input) *State {
	s := said(in)
	if key := in.Fact.GetPartyKey(); len(key) > 0 {
		if s == nil {
			s = &State{}
		}
		s.Parties = [][]byte{key}
	}
	return s
}

// said is what the kind of a fact says.
func said(in Input) *State {
	f := in.Fact
	switch k := f.GetKind().(type) {
	case *consentv1.Fact_ConsentGranted:
		return grantState(in, k.ConsentGranted, false)
	case *consentv1.Fact_ConsentConfirmed:
		return grantState(in, k.ConsentConfirmed, true)
	case *consentv1.Fact_ConsentRefused:
		s := k.ConsentRefused.GetScope()
		return &State{Refused: prohibitions(f, programmesOf(s), "", func() *consentv1.Cells { return forbidden(s) })}
	case *consentv1.Fact_ConsentRevoked:
		return revokedState(f, k.ConsentRevoked.GetScope(), k.ConsentRevoked.GetInReplyToProgramme())
	case *consentv1.Fact_ConsentInvalidated:
		s := k.ConsentInvalidated.GetScope()
		return &State{Revoked: prohibitions(f, programmesOf(s), KindInvalidated, func() *consentv1.Cells { return forbidden(s) })}
	case *consentv1.Fact_DncAdded:
		s := k.DncAdded.GetScope()
		return &State{DncAdded: prohibitions(f, programmesOf(s), "", func() *consentv1.Cells { return stopped(s) })}
	case *consentv1.Fact_DncRemoved:
		return dncRemovedState(f, k.DncRemoved.GetScope())
	case *consentv1.Fact_PreferenceSet:
		return preferenceState(f, k.PreferenceSet)
	case *consentv1.Fact_TimeConsent:
		return timeConsentState(f, k.TimeConsent)
	case *consentv1.Fact_RelationshipRecorded:
		return relationshipState(f, k.RelationshipRecorded)
	case *consentv1.Fact_InboundMessage:
		return messageState(in, k.InboundMessage)
	case *consentv1.Fact_ClarificationAnswered:
		return keptState(k.ClarificationAnswered)
	case *consentv1.Fact_InboxItemClosed:
		return closedState(k.InboxItemClosed)
	default:
		return markState(f)
	}
}

// span is when a fact can have happened. The writer sets both ends; a fact that
// permits says nothing without them, and one that forbids may be of any time.
func span(f *consentv1.Fact, permits bool) (*consentv1.TimeSpan, bool) {
	earliest, latest := f.GetEarliest(), f.GetLatest()
	switch {
	case earliest != nil && latest != nil:
		return &consentv1.TimeSpan{Earliest: nanos(earliest), Latest: nanos(latest)}, true
	case permits:
		return nil, false
	}
	return &consentv1.TimeSpan{Earliest: math.MinInt64, Latest: math.MaxInt64}, true
}

// nanos is an instant in Unix nanoseconds, held within the years 1678 to 2262.
func nanos(t *timestamppb.Timestamp) int64 {
	const secondsMax = math.MaxInt64/int64(time.Second) - 1
	switch s := t.GetSeconds(); {
	case s > secondsMax:
		return math.MaxInt64
	case s < -secondsMax:
		return math.MinInt64
	default:
		return s*int64(time.Second) + int64(t.GetNanos())
	}
}

// CountsAt tells whether a fact counts at an instant: what permits from its
// last possible instant, everything else from its first.
func CountsAt(f *consentv1.Fact, at time.Time) bool {
	if f.GetPersonErased() != nil {
		return true
	}
	lifts, now := permits(f), unixNano(at)
	t, ok := span(f, lifts)
	switch {
	case !ok:
		return false
	case lifts:
		return t.GetLatest() <= now
	}
	return t.GetEarliest() <= now
}

// permits tells whether a fact can only make contact easier.
func permits(f *consentv1.Fact) bool {
	switch k := f.GetKind().(type) {
	case *consentv1.Fact_ConsentGranted, *consentv1.Fact_ConsentConfirmed, *consentv1.Fact_DncRemoved,
		*consentv1.Fact_ClarificationAnswered, *consentv1.Fact_InboxItemClosed, *consentv1.Fact_TimeConsent:
		return true
	case *consentv1.Fact_RelationshipRecorded:
		return k.RelationshipRecorded.GetPhase() != consentv1.RelationshipPhase_RELATIONSHIP_PHASE_END
	case *consentv1.Fact_PreferenceSet:
		return endsBlock(k.PreferenceSet)
	case *consentv1.Fact_SubscriberClass:
		return k.SubscriberClass.GetSubscriber() == consentv1.SubscriberKind_SUBSCRIBER_KIND_CORPORATE
	}
	return false
}

// aboutAll tells whether a fact that permits and names no seller is one towards
// all: what is true of a message, a subscriber or a registry is true for everybody.
func aboutAll(f *consentv1.Fact) bool {
	return f.GetInboxItemClosed() != nil || f.GetSubscriberClass() != nil || f.GetPreferenceSet() != nil
}

// programmesOf are the programmes of what forbids: a gap means all.
func programmesOf(s *consentv1.Scope) []string {
	if p := s.GetProgrammes(); len(p) > 0 && !slices.Contains(p, all) {
		return p
	}
	return []string{all}
}

// prohibitions makes a register for each programme; each needs cells of its own.
func prohibitions(f *consentv1.Fact, programmes []string, kind string, covers func() *consentv1.Cells) []*consentv1.ProhibitionRegister {
	t, _ := span(f, false)
	out := make([]*consentv1.ProhibitionRegister, len(programmes))
	for i, p := range programmes {
		out[i] = &consentv1.ProhibitionRegister{Programme: p, Cells: covers(), Kind: kind, Time: t,
			Historical: f.GetHistorical() && kind != ""} // only revocations tell old records apart
	}
	return out
}

// revokedState: a stop in reply to one programme's message stops that programme
// and whatever else the scope names, and says "replied" of all programmes.
func revokedState(f *consentv1.Fact, s *consentv1.Scope, inReplyTo string) *State {
	covers := func() *consentv1.Cells { return stopped(s) }
	programmes := programmesOf(s)
	if inReplyTo == "" || inReplyTo == all {
		return &State{Revoked: prohibitions(f, programmes, KindStop, covers)}
	}
	if programmes[0] == all {
		programmes = nil
	}
	programmes = append(slices.Clip(programmes), inReplyTo)
	return &State{Revoked: append(prohibitions(f, programmes, KindStop, covers), prohibitions(f, []string{all}, KindReplied, covers)...)}
}

// messageState: a message that is a stop stops everything; one that is not known
// to be none is open until a person has read it.
func messageState(in Input, m *consentv1.InboundMessage) *State {
	switch m.GetClassification() {
	case consentv1.MessageClass_MESSAGE_CLASS_STOP:
		return revokedState(in.Fact, nil, m.GetInReplyToProgramme())
	case consentv1.MessageClass_MESSAGE_CLASS_NOT_STOP:
		return nil
	}
	t, _ := span(in.Fact, false)
	return &State{Unclear: []*consentv1.UnclearRegister{{EntryId: in.EntryID, Opened: true, Time: t, Channel: m.GetChannel()}}}
}

func closedState(m *consentv1.InboxItemClosed) *State {
	if len(m.GetMessageEntryId()) == 0 {
		return nil // it was about something that is not in the ledger
	}
	return &State{Unclear: []*consentv1.UnclearRegister{{EntryId: m.GetMessageEntryId(), Closed: true}}}
}

func dncRemovedState(f *consentv1.Fact, s *consentv1.Scope) *State {
	t, ok := span(f, true)
	if !ok {
		return nil
	}
	out := &State{}
	for _, p := range s.GetProgrammes() {
		out.DncRemoved = append(out.DncRemoved, &consentv1.ProhibitionRegister{Programme: p, Cells: permitted(s), Time: t})
	}
	return out
}

// keptState voids stops up to the one answered, so its time is that stop's.
func keptState(m *consentv1.ClarificationAnswered) *State {
	if m.GetAnsweredLatest() == nil {
		return nil
	}
	n := nanos(m.GetAnsweredLatest())
	out := &State{}
	for _, p := range m.GetKeepProgrammes() {
		out.Kept = append(out.Kept, &consentv1.ProhibitionRegister{Programme: p, Cells: everything(),
			Time: &consentv1.TimeSpan{Earliest: n, Latest: n}})
	}
	return out
}

// erasedState is what an erasure leaves, towards all sellers.
func erasedState(f *consentv1.Fact) *State {
	t, _ := span(f, false)
	return &State{Erased: t}
}
