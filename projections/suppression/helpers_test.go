package suppression_test

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/projections/suppression"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

const (
	chAll   = consentv1.Channel_CHANNEL_ALL
	live    = consentv1.Channel_CHANNEL_VOICE_LIVE
	atds    = consentv1.Channel_CHANNEL_VOICE_ATDS
	ai      = consentv1.Channel_CHANNEL_VOICE_AI
	sms     = consentv1.Channel_CHANNEL_SMS
	smsAtds = consentv1.Channel_CHANNEL_SMS_ATDS
	fax     = consentv1.Channel_CHANNEL_FAX

	puAll         = consentv1.Purpose_PURPOSE_ALL
	marketing     = consentv1.Purpose_PURPOSE_MARKETING
	survey        = consentv1.Purpose_PURPOSE_SURVEY
	informational = consentv1.Purpose_PURPOSE_INFORMATIONAL
)

// day is the instant the tests count from.
func day(n int) time.Time { return time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC).AddDate(0, 0, n) }

func stamp(n int) *timestamppb.Timestamp { return timestamppb.New(day(n)) }

type change func(*consentv1.Fact)

// on is a fact about seller acme that happened on a day.
func on(n int, f *consentv1.Fact, changes ...change) suppression.Input {
	f.Earliest, f.Latest = stamp(n), stamp(n)
	if f.Sellers == nil {
		f.Sellers = []string{"acme"}
	}
	if f.Source == "" {
		f.Source = "crm"
	}
	for _, c := range changes {
		c(f)
	}
	return suppression.Input{EntryID: []byte{byte(n)}, Content: []byte{byte(n)}, Fact: f}
}

func between(from, to int) change {
	return func(f *consentv1.Fact) { f.Earliest, f.Latest = stamp(from), stamp(to) }
}
func forSellers(s ...string) change { return func(f *consentv1.Fact) { f.Sellers = s } }
func forNobody(f *consentv1.Fact)   { f.Sellers = nil }
func historical(f *consentv1.Fact)  { f.Historical = true }
func from(source string) change     { return func(f *consentv1.Fact) { f.Source = source } }
func scope(change func(*consentv1.Scope)) change {
	return func(f *consentv1.Fact) {
		switch k := f.GetKind().(type) {
		case *consentv1.Fact_ConsentGranted:
			change(k.ConsentGranted.Scope)
		case *consentv1.Fact_ConsentConfirmed:
			change(k.ConsentConfirmed.Scope)
		case *consentv1.Fact_ConsentRevoked:
			change(k.ConsentRevoked.Scope)
		case *consentv1.Fact_ConsentInvalidated:
			change(k.ConsentInvalidated.Scope)
		case *consentv1.Fact_ConsentRefused:
			change(k.ConsentRefused.Scope)
		case *consentv1.Fact_DncAdded:
			change(k.DncAdded.Scope)
		case *consentv1.Fact_DncRemoved:
			change(k.DncRemoved.Scope)
		default:
			panic("no scope")
		}
	}
}
func programmes(p ...string) change { return scope(func(s *consentv1.Scope) { s.Programmes = p }) }
func channels(c ...consentv1.Channel) change {
	return scope(func(s *consentv1.Scope) { s.Channels = c })
}
func purposes(p ...consentv1.Purpose) change {
	return scope(func(s *consentv1.Scope) { s.Purposes = p })
}
func exact(f *consentv1.Fact) { scope(func(s *consentv1.Scope) { s.Exact = true })(f) }

// smsMarketing is what most facts here are about.
func smsMarketing() *consentv1.Scope {
	return &consentv1.Scope{Programmes: []string{"all"}, Channels: []consentv1.Channel{sms}, Purposes: []consentv1.Purpose{marketing}}
}

func granted() *consentv1.Fact {
	return &consentv1.Fact{Kind: &consentv1.Fact_ConsentGranted{ConsentGranted: &consentv1.ConsentGranted{
		Scope: smsMarketing(), Level: "express_written", Evidence: &consentv1.Evidence{Method: "web_form"}}}}
}

func confirmed() *consentv1.Fact {
	return &consentv1.Fact{Kind: &consentv1.Fact_ConsentConfirmed{ConsentConfirmed: &consentv1.ConsentConfirmed{
		Scope: smsMarketing(), Level: "express_written", Evidence: &consentv1.Evidence{Method: "sms"}}}}
}

func level(l string) change { return func(f *consentv1.Fact) { f.GetConsentGranted().Level = l } }
func ending(n int) change {
	return func(f *consentv1.Fact) { f.GetConsentGranted().ExpiresAt = stamp(n) }
}
func evidence(e *consentv1.Evidence) change {
	return func(f *consentv1.Fact) { f.GetConsentGranted().Evidence = e }
}

func yes() *bool { b := true; return &b }

func revoked() *consentv1.Fact {
	return &consentv1.Fact{Kind: &consentv1.Fact_ConsentRevoked{ConsentRevoked: &consentv1.ConsentRevoked{Scope: &consentv1.Scope{}}}}
}
func inReplyTo(p string) change {
	return func(f *consentv1.Fact) { f.GetConsentRevoked().InReplyToProgramme = p }
}
func invalidated() *consentv1.Fact {
	return &consentv1.Fact{Kind: &consentv1.Fact_ConsentInvalidated{ConsentInvalidated: &consentv1.ConsentInvalidated{Scope: smsMarketing()}}}
}
func refused() *consentv1.Fact {
	return &consentv1.Fact{Kind: &consentv1.Fact_ConsentRefused{ConsentRefused: &consentv1.ConsentRefused{Scope: smsMarketing()}}}
}
func dncAdded() *consentv1.Fact {
	return &consentv1.Fact{Kind: &consentv1.Fact_DncAdded{DncAdded: &consentv1.DncAdded{Scope: &consentv1.Scope{}}}}
}
func dncRemoved() *consentv1.Fact {
	return &consentv1.Fact{Kind: &consentv1.Fact_DncRemoved{DncRemoved: &consentv1.DncRemoved{Scope: &consentv1.Scope{
		Programmes: []string{"all"}, Channels: []consentv1.Channel{chAll}, Purposes: []consentv1.Purpose{puAll}}}}}
}
func answered(revokedOn int, keep ...string) *consentv1.Fact {
	return &consentv1.Fact{Kind: &consentv1.Fact_ClarificationAnswered{ClarificationAnswered: &consentv1.ClarificationAnswered{
		KeepProgrammes: keep, AnsweredLatest: stamp(revokedOn)}}}
}
func reassigned(r consentv1.QueryResult) *consentv1.Fact {
	return &consentv1.Fact{Kind: &consentv1.Fact_NumberReassigned{NumberReassigned: &consentv1.NumberReassigned{Basis: "rnd", Result: r, AsOf: stamp(0)}}}
}
func wrongParty() *consentv1.Fact {
	return &consentv1.Fact{Kind: &consentv1.Fact_WrongPartyReported{WrongPartyReported: &consentv1.WrongPartyReported{Method: "agent"}}}
}
func message(c consentv1.MessageClass) *consentv1.Fact {
	return &consentv1.Fact{Kind: &consentv1.Fact_InboundMessage{InboundMessage: &consentv1.InboundMessage{Classification: c, Channel: sms}}}
}
func closed(entryID byte) *consentv1.Fact {
	return &consentv1.Fact{Kind: &consentv1.Fact_InboxItemClosed{InboxItemClosed: &consentv1.InboxItemClosed{
		MessageEntryId: []byte{entryID}, Outcome: "not_a_stop"}}}
}
func related(k consentv1.RelationshipKind, p consentv1.RelationshipPhase) *consentv1.Fact {
	return &consentv1.Fact{Kind: &consentv1.Fact_RelationshipRecorded{RelationshipRecorded: &consentv1.RelationshipRecorded{Relationship: k, Phase: p}}}
}
func located(region, zone string) *consentv1.Fact {
	return &consentv1.Fact{Kind: &consentv1.Fact_LocationRecorded{LocationRecorded: &consentv1.LocationRecorded{Region: region, TimeZone: zone}}}
}
func erased() *consentv1.Fact {
	return &consentv1.Fact{Sellers: []string{}, Kind: &consentv1.Fact_PersonErased{PersonErased: &consentv1.PersonErased{Reason: "erasure_request"}}}
}

func timesAgreed(weekdays ...uint32) *consentv1.Fact {
	return &consentv1.Fact{Kind: &consentv1.Fact_TimeConsent{TimeConsent: &consentv1.TimeConsent{Weekdays: weekdays}}}
}
func registryPreference(blocked bool, c ...consentv1.Channel) *consentv1.Fact {
	return &consentv1.Fact{Kind: &consentv1.Fact_PreferenceSet{PreferenceSet: &consentv1.PreferenceSet{Registry: "in_ncpr", Blocked: blocked, Channels: c}}}
}
func subscriber(k consentv1.SubscriberKind) *consentv1.Fact {
	return &consentv1.Fact{Kind: &consentv1.Fact_SubscriberClass{SubscriberClass: &consentv1.SubscriberClass{Subscriber: k}}}
}
func line(kind string) *consentv1.Fact {
	return &consentv1.Fact{Kind: &consentv1.Fact_LineTypeChecked{LineTypeChecked: &consentv1.LineTypeChecked{Line: kind}}}
}
func ported(kind string) *consentv1.Fact {
	return &consentv1.Fact{Kind: &consentv1.Fact_Ported{Ported: &consentv1.Ported{Line: kind}}}
}
func partyNumber() *consentv1.Fact {
	return &consentv1.Fact{Kind: &consentv1.Fact_PartyNumber{PartyNumber: &consentv1.PartyNumber{}}}
}
func party(key string) change { return func(f *consentv1.Fact) { f.PartyKey = []byte(key) } }

// asked is the usual question, on day 100.
func asked(changes ...func(*suppression.Question)) suppression.Question {
	q := suppression.Question{Channel: sms, Purpose: marketing, At: day(100)}
	for _, c := range changes {
		c(&q)
	}
	return q
}
func programme(p string) func(*suppression.Question) {
	return func(q *suppression.Question) { q.Programme = p }
}
func channel(c consentv1.Channel) func(*suppression.Question) {
	return func(q *suppression.Question) { q.Channel = c }
}
func purpose(p consentv1.Purpose) func(*suppression.Question) {
	return func(q *suppression.Question) { q.Purpose = p }
}
func at(n int) func(*suppression.Question) {
	return func(q *suppression.Question) { q.At = day(n) }
}

func fold(in ...suppression.Input) suppression.States { return suppression.Fold(slices.Values(in)) }

func view(in ...suppression.Input) suppression.View { return fold(in...).View("acme") }

// encoded gives the bytes of every state, by seller.
func encoded(t testing.TB, m suppression.States) map[string]string {
	t.Helper()
	out := map[string]string{}
	for seller, s := range m {
		b, err := suppression.Encode(s)
		if err != nil {
			t.Fatal(err)
		}
		out[seller] = string(b)
	}
	return out
}
