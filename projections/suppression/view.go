package suppression

import (
	"time"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// View is what is known of one number towards one seller. Either half may be
// nil: nothing is known. It is only read, and safe for concurrent use.
type View struct {
	Seller *State // towards the seller asked about
	All    *State // towards all sellers
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
)

// Prohibition is a fact that forbids.
type Prohibition struct {
	Kind       string // one of the constants above
	Programme  string // as declared, `all` included; empty where there is none
	AllSellers bool   // it was declared for all sellers
	Historical bool   // taken over from older records
	Time       Span
}

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
	// FailEvidence: nothing is held that proves it.
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

// Mark is one piece of evidence about a number.
type Mark struct {
	Kind       string    // one of the Mark constants
	Value      string    // in the kind's own words
	AsOf       time.Time // the date it speaks about, for MarkRndResult; zero: none
	AllSellers bool
	Time       Span
}

// Kinds of marks, and what their values are.
const (
	MarkReassigned   = "reassigned"   // who says so
	MarkRndResult    = "rnd_result"   // yes, no, no_data or unspecified
	MarkWrongParty   = "wrong_party"  // how we know
	MarkDisconnected = "disconnected" // who says so
	MarkPorted       = "ported"       // the kind of line it moved to
	MarkLineType     = "line_type"    // the kind of line
	MarkLocation     = "location"     // see Mark.Place
)

// Relationship is one that holds besides consent.
type Relationship struct {
	Kind consentv1.RelationshipKind
	// OfferRelated tells whether the offer made was about it; nil: not stated.
	OfferRelated *bool
	AllSellers   bool
	// Since is when it began; windows count from Since.Earliest, the careful end.
	Since Span
}

// Preferences are the limits a person set. All that are listed bind.
type Preferences struct {
	Windows     [][]*consentv1.TimeWindow // each set allows what one of its windows allows
	Frequencies []Frequency
	Languages   []string
}

// Frequency is at most Max contacts in Days.
type Frequency struct{ Max, Days uint32 }

// UnclearMessage is one that nobody has understood or read yet: it blocks.
type UnclearMessage struct {
	EntryID []byte
	Channel consentv1.Channel
	Time    Span
}
