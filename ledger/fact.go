package ledger

import (
	"google.golang.org/protobuf/reflect/protoreflect"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Kind is the kind of a fact: the name of its field in the contract, such as
// consent_granted.
type Kind string

// kindOneof is the oneof whose set field is the kind.
var kindOneof = (&consentv1.Fact{}).ProtoReflect().Descriptor().Oneofs().ByName("kind")

// KindOf names a fact's kind; empty if the fact has none.
func KindOf(f *consentv1.Fact) Kind {
	if f == nil {
		return ""
	}
	fd := f.ProtoReflect().WhichOneof(kindOneof)
	if fd == nil {
		return ""
	}
	return Kind(fd.Name())
}

// Kinds lists every kind this version knows, in the order of the contract.
func Kinds() []Kind {
	fields := kindOneof.Fields()
	out := make([]Kind, fields.Len())
	for i := range out {
		out[i] = Kind(fields.Get(i).Name())
	}
	return out
}

// Nature says on which side of a doubt a kind stands (promise 10).
type Nature int

const (
	// Neutral facts say something about a number and are read as they stand.
	Neutral Nature = iota
	// Permits: must prove itself; a gap refuses it.
	Permits
	// Forbids: needs a number and nothing else; a gap widens it.
	Forbids
	// System facts are about no number.
	System
)

// NatureOf tells how doubts about a kind are resolved.
func NatureOf(k Kind) Nature {
	switch k {
	case "consent_granted", "consent_confirmed", "dnc_removed", "relationship_recorded", "clarification_answered", "time_consent":
		return Permits
	case "consent_revoked", "consent_invalidated", "consent_refused", "dnc_added", "inbound_message",
		"number_reassigned", "disconnected", "wrong_party_reported", "preference_set":
		return Forbids
	case "consent_requested", "clarification_sent", "ported", "line_type_checked", "location_recorded", "inbox_item_closed",
		"party_number", "subscriber_class":
		return Neutral
	default:
		return System
	}
}

// IsStop tells whether a fact is a person's wish to be left alone, however it
// was put: these go before everything else, and none is lost to a formality.
func IsStop(f *consentv1.Fact) bool {
	switch k := f.GetKind().(type) {
	case *consentv1.Fact_ConsentRevoked, *consentv1.Fact_DncAdded, *consentv1.Fact_ConsentInvalidated:
		return true
	case *consentv1.Fact_InboundMessage:
		return k.InboundMessage.GetClassification() != consentv1.MessageClass_MESSAGE_CLASS_NOT_STOP
	}
	return false
}

// EndsPerson tells whether the number's next fact is about another holder: a
// person begins anew after a reassignment, a disconnection or an erasure.
func EndsPerson(f *consentv1.Fact) bool {
	switch k := f.GetKind().(type) {
	case *consentv1.Fact_NumberReassigned:
		r := k.NumberReassigned.GetResult()
		return r == consentv1.QueryResult_QUERY_RESULT_YES || r == consentv1.QueryResult_QUERY_RESULT_UNSPECIFIED
	case *consentv1.Fact_Disconnected, *consentv1.Fact_PersonErased:
		return true
	}
	return false
}

// ScopeOf gives the scope a fact carries, nil if its kind has none.
func ScopeOf(f *consentv1.Fact) *consentv1.Scope {
	m := kindMessage(f)
	if m == nil {
		return nil
	}
	if s, ok := m.Interface().(interface{ GetScope() *consentv1.Scope }); ok {
		return s.GetScope()
	}
	return nil
}

// EnsureScope gives the fact's scope, made if it was missing; nil if the kind has none.
func EnsureScope(f *consentv1.Fact) *consentv1.Scope {
	m := kindMessage(f)
	if m == nil {
		return nil
	}
	fd := m.Descriptor().Fields().ByName("scope")
	if fd == nil {
		return nil
	}
	return m.Mutable(fd).Message().Interface().(*consentv1.Scope)
}

// ProgramSource is the source of what the program itself reports.
const ProgramSource = "consent-ledger"

// WordingEventID is the event id under which, from ProgramSource, the one text of a
// wording's id is recorded.
func WordingEventID(id string) string { return "wording-" + id }

// kindMessage is the message of the fact's kind.
func kindMessage(f *consentv1.Fact) protoreflect.Message {
	fd := f.ProtoReflect().WhichOneof(kindOneof)
	if fd == nil {
		return nil
	}
	return f.ProtoReflect().Get(fd).Message()
}
