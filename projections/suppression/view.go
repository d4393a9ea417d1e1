package suppression

import (
	"cmp"
	"slices"
	"time"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// The halves of a view.
const (
	sellerHalf = iota
	allHalf
)

// View is what is known of one number towards one seller. Either half may be
// nil: nothing is known. It is only read, and safe for concurrent use.
type View struct {
	Seller *State // towards the seller asked about
	All    *State // towards all sellers
	// Party is what each party the number belongs to has asked for, whatever the
	// number, and PartyNumbers what is known of their other numbers. Without
	// PartyLoaded they are not known, and a number that has a party is blocked where
	// a party's stop counts.
	Party        []View
	PartyNumbers []View
	PartyLoaded  bool
}

// Question is the contact asked about. The seller is that of the View.
type Question struct {
	// Programme is empty if the contact belongs to none: then a revocation of any
	// programme covers it, and only a grant for all programmes does.
	Programme string
	// Channel and Purpose are single values. Without one of them (or with ALL)
	// everything that forbids covers, and only what permits ALL.
	Channel consentv1.Channel
	Purpose consentv1.Purpose
	// At is the instant of the contact. What forbids counts whatever At is; for a
	// question about the past fold the facts up to it (FoldAt).
	At time.Time
}

// Need is what the rules ask of a grant. The zero value asks least: any level
// of any source.
type Need struct {
	// Sufficient tells whether a level is high enough; nil: every level is.
	Sufficient func(level string) bool
	// EvidenceRequired refuses a grant without evidence held.
	EvidenceRequired bool
	// Distrusted tells whether grants of a source no longer count; nil: all count.
	Distrusted func(source string) bool
	// CountReplied lets a stop in reply to one programme's message count for the
	// others too (47 CFR 64.1200(a)(10)).
	CountReplied bool
	// NotConditionOfPurchase refuses a grant that was a condition of purchase
	// (47 CFR 64.1200(f)(9)(i)(B)); it fails as FailLevel.
	NotConditionOfPurchase bool
	// Ends gives the end of a grant that names none, from the first instant at which
	// it can have been given; zero: it does not end. nil: none of them ends.
	Ends func(earliest time.Time) time.Time
	// After refuses a grant that is not strictly later, or was taken over from older
	// records; it fails as FailSuperseded. Zero: any.
	After time.Time
	// LiftsErasure tells whether a confirmed grant of a level lifts an erasure;
	// nil: express and express_written do.
	LiftsErasure func(level string) bool
}

// Span is when something can have happened.
type Span struct{ Earliest, Latest time.Time }

// Kinds of prohibitions.
const (
	KindStop        = "stop"        // a revocation
	KindReplied     = "replied"     // a revocation in reply to another programme's message
	KindInvalidated = "invalidated" // a grant that was none
	KindDnc         = "dnc"         // on the seller's own Do-Not-Call list
	KindRefused     = "refused"     // said no when asked
	KindReassigned  = "reassigned"  // the number has another holder
	KindWrongParty  = "wrong_party" // somebody else answered
	KindErased      = "erased"      // the person was erased
	// KindPartyUnknown: the number has a party whose stops were not looked up.
	KindPartyUnknown = "party_unknown"
)

// Prohibition is a fact that forbids.
type Prohibition struct {
	Kind       string // one of the constants above
	Programme  string // as declared, `all` included; empty where there is none
	AllSellers bool   // it was declared for all sellers
	Historical bool   // taken over from older records
	Time       Span
}

// latest is what a grant is compared with.
func (p Prohibition) latest() int64 { return p.Time.Latest.UnixNano() }

// Failure is why no grant holds. Of several grants the one that came furthest
// decides; greater is further.
type Failure int

// Failures in the order in which a grant is examined.
const (
	// FailMissing: nobody ever gave consent.
	FailMissing Failure = iota
	// FailScope: there is consent, for something else.
	FailScope
	// FailLevel: it is not of a sufficient level.
	FailLevel
	// FailWording: its wording is void (a pre-ticked box).
	FailWording
	// FailDistrusted: its source is no longer trusted.
	FailDistrusted
	// FailEvidence: nothing is held that proves it, or it is declared to be written
	// and that nothing is held.
	FailEvidence
	// FailNotYet: it may have been given only after the instant asked about.
	FailNotYet
	// FailExpired: it ended.
	FailExpired
	// FailVoid: it was given before the number changed hands or a wrong party answered.
	FailVoid
	// FailErased: the person was erased after it, or nothing confirmed lifts the erasure.
	FailErased
	// FailRevoked: it was revoked or invalidated after it.
	FailRevoked
	// FailSuperseded: it would hold but for Need.After.
	FailSuperseded
)

// Consent says which grant holds, or what came closest. The zero value says
// that nobody ever gave consent.
type Consent struct {
	// Held: a grant holds. Of several it is the one that ends last.
	Held bool
	// Failure is why none holds; without meaning if one does.
	Failure Failure
	// Grant holds, or came furthest; nil for FailMissing and FailScope. Not to be changed.
	Grant *consentv1.GrantRegister
	// AllSellers: the grant was given to all sellers.
	AllSellers bool
	// Until is the end of the grant; zero: it does not end by itself.
	Until time.Time
	// Against is what defeats the grant: for FailVoid, FailErased and FailRevoked.
	Against Prohibition
}

// UnclearMessage is one that nobody has understood or read yet: it blocks.
type UnclearMessage struct {
	EntryID []byte
	Channel consentv1.Channel
	Time    Span
}

// halves gives both states; a missing one reads as empty.
func (v View) halves() [2]*State { return [2]*State{sellerHalf: v.Seller, allHalf: v.All} }

// register is one list of prohibitions of a state.
type register struct {
	of   func(*State) []*consentv1.ProhibitionRegister
	kind string // of all its records; empty: each has its own
}

// The registers that forbid.
func revoked() register  { return register{(*State).GetRevoked, ""} }
func dncAdded() register { return register{(*State).GetDncAdded, KindDnc} }
func refused() register  { return register{(*State).GetRefused, KindRefused} }

// newest gives the newest prohibition of a register, in either half, that is wanted.
func (v View) newest(in register, want func(*consentv1.ProhibitionRegister) bool) (p Prohibition, found bool) {
	for i, s := range v.halves() {
		for _, r := range in.of(s) {
			if (!found || r.GetTime().GetLatest() > p.latest()) && want(r) {
				p, found = prohibition(cmp.Or(in.kind, r.GetKind()), r.GetProgramme(), r.GetHistorical(), i == allHalf, r.GetTime()), true
			}
		}
	}
	return p, found
}

func prohibition(kind, programme string, historical, allSellers bool, t *consentv1.TimeSpan) Prohibition {
	return Prohibition{Kind: kind, Programme: programme, Historical: historical, AllSellers: allSellers, Time: spanOf(t)}
}

// later gives the newer of two, the first one if they are of the same time.
func later(a Prohibition, has bool, b Prohibition) (Prohibition, bool) {
	if has && a.latest() >= b.latest() {
		return a, true
	}
	return b, true
}

func spanOf(t *consentv1.TimeSpan) Span {
	return Span{Earliest: instant(t.GetEarliest()), Latest: instant(t.GetLatest())}
}

// Unclear gives the messages that nobody has read yet. They block everything:
// what they ask for is not known.
func (v View) Unclear() (open []UnclearMessage) {
	for i, s := range v.halves() {
		other := v.halves()[1-i]
		for _, m := range s.GetUnclear() {
			if m.GetOpened() && !closedIn(other, m) {
				open = append(open, UnclearMessage{EntryID: m.GetEntryId(), Channel: m.GetChannel(), Time: spanOf(m.GetTime())})
			}
		}
	}
	return open
}

// closedIn: a message to one seller may have been closed for all, and one to all
// for this seller.
func closedIn(s *State, m *consentv1.UnclearRegister) bool {
	at, found := slices.BinarySearchFunc(s.GetUnclear(), m, unclearKey)
	return found && s.GetUnclear()[at].GetClosed()
}
