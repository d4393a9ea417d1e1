// Package rules decides whether a contact may be made, and says why.
//
// Decide is pure: everything it may know is in its Input, so that live checks,
// scrubs, mirrors and questions about the past get the same answer from the same
// knowledge. The law is data: packs of typed rules, read strictly and hashed.
// Nothing here is legal advice.
//
//	rules.go     Input, Decide, Blocked
//	evaluate.go  one question judged by all packs that apply
//	answer.go    the decision made of it
//	plan.go      which packs may apply
//	judge.go     requests to stop, consent, permits, confirmations, bans
//	lists.go     the company's list, registries, their preferences
//	times.go     windows, caps, cooling-off, emergencies
//	lift.go      the ways out of a rule
//	wishes.go    times of day a person named
//	next.go      when a block ends
//	codes.go     what each reason means, and what would help
//	pack.go      packs; kinds.go the kinds of rules; README in packs/ their manual
//	parse.go     reading packs, strictly: validate.go, validate_kinds.go
//	compile.go   packs made ready for deciding
//	describe.go  a pack as a page a lawyer can check
//	packs/       the packs, with their cases beside them
package rules

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/projections/rules/places"
	"github.com/consent-ledger/consent-ledger/projections/suppression"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Input is everything a decision may know.
type Input struct {
	// Seller in whose name, Programme (empty: none) and Campaign (empty: none).
	Seller, Programme, Campaign string
	// Channel and Purpose are single values; any other blocks.
	Channel consentv1.Channel
	Purpose consentv1.Purpose
	// Subject of the contact, for caps that count by subject; empty: unknown, which
	// counts every attempt. Sector is the trade; empty: none with rules of its own.
	Subject, Sector string
	// Marketing: the message advertises, whatever its purpose. OptOutNotice: it says
	// how to stop.
	Marketing, OptOutNotice bool
	// CallReference is the dialer's id of this call, which does not count itself.
	CallReference string
	// At is the instant of the contact; zero blocks.
	At time.Time

	// Places are all places where the person may be; none: unknown, and then no
	// country's pack permits anything. Areas are finer than a state (US-NY-061), as
	// far as they are known.
	Places []places.Place
	Areas  []string
	// Unassigned: no numbering plan we know assigns the number.
	Unassigned bool

	// View is the state of the number towards the seller, true at Position and,
	// for a question about the past, folded up to At.
	View suppression.View
	// Distrusted tells whether grants of a source no longer count; nil: all count.
	Distrusted func(source string) bool
	// Paused: contact for the seller is paused, since PausedSince if that is known.
	Paused      bool
	PausedSince time.Time
	// Registries are the answers of the lists; one that is not here is not loaded.
	Registries []RegistryAnswer
	// Emergencies are those declared.
	Emergencies []Emergency

	// Attempts are the contacts tried or reserved in the seller's name to this
	// number, newest first, as far back as any cap looks (AttemptsDays). Those after
	// At count too. AttemptsKnown: they are whole; otherwise whatever a cap limits is
	// blocked.
	Attempts      []Attempt
	AttemptsKnown bool

	// Position up to which everything was taken into account.
	Position ledger.Position
	// Tzdata is the version of the zones' data, shown in the decision.
	Tzdata string
}

// AttemptsDays is how far back, in days, attempts must be known.
const AttemptsDays = 31

// Attempt is one contact tried, answered or not, or the reservation of one: caps
// count both alike.
type Attempt struct {
	// At is when it was made or reserved.
	At time.Time
	// Channel and Purpose are single values.
	Channel consentv1.Channel
	Purpose consentv1.Purpose
	// Subject is the campaign's, for caps that count by subject; empty: unknown,
	// which counts towards every subject.
	Subject string
	// Reference names the call in the dialer; a question about the same call does
	// not count itself.
	Reference string
}

// RegistryAnswer is what one registry says about the number.
type RegistryAnswer struct {
	// Registry is the list's id: us_national_dnc …
	Registry string
	// Loaded: a version is there that the seller is licensed for and that covers
	// the number. Without it the rest says nothing.
	Loaded bool
	// VersionDate is the day of the list itself, YYYY-MM-DD.
	VersionDate string
	// Listed: the number is on it.
	Listed bool
	// Since is the earliest day on which the listing can have been published,
	// YYYY-MM-DD; empty: unknown, so that it binds. Only with Listed.
	Since string
}

// Emergency is one that an authority declared.
type Emergency struct {
	// Area is an ISO 3166 code, a county behind its state: US-LA, US-NY-061.
	Area string
	// From is its first instant, Until the first after it; zero: no end is known.
	From, Until time.Time
	// Reporting: utilities must report to the emergency centre.
	Reporting bool
}

// Blocked is the decision where the question cannot even be asked: the number
// cannot be read, the state is stale, the ledger is damaged. An unknown code
// blocks all the same. A zero at is left out.
func Blocked(code string, at time.Time, position ledger.Position) *consentv1.Decision {
	d := &consentv1.Decision{
		Verdict:  consentv1.Verdict_VERDICT_BLOCK,
		Reasons:  []*consentv1.Reason{guard(code)},
		Position: uint64(position),
	}
	if !at.IsZero() {
		d.At = timestamppb.New(at)
	}
	return d
}

// Decide answers a question. Every rule of every pack that applies is judged, all
// reasons are given, the strictest first; one of them is enough to block. What no
// rule allows is blocked too. It reads no clock and does no I/O, and is safe for
// concurrent use. The reasons and packs in the decision are shared: do not change
// them.
func Decide(in Input, packs *Packs) *consentv1.Decision { return decide(&in, packs, nil) }

// DecideOn is Decide without a copy of the input, which nobody else may use
// meanwhile; afterwards it is as it was.
func DecideOn(in *Input, packs *Packs) *consentv1.Decision { return decide(in, packs, nil) }

func decide(in *Input, packs *Packs, n *notes) *consentv1.Decision {
	if in.At.IsZero() || !single(int(in.Channel), channels) || !single(int(in.Purpose), purposes) {
		d := Blocked(CodeConsentMissing, in.At, in.Position)
		d.Reasons[0] = unjudged("The question does not name one channel, one purpose and an instant, so nothing can allow it.")
		return d
	}
	e := judge(in, packs, n)
	defer e.done()
	d := e.decision()
	if next, ok := e.nextAllowed(); ok {
		d.NextAllowedAt = stamp(&e.room.next, next)
	}
	return d
}

func single(v, size int) bool { return v > 1 && v < size }

// unjudged is the reason where no rule speaks.
func unjudged(text string) *consentv1.Reason {
	return &consentv1.Reason{Code: CodeConsentMissing, Text: text, Citation: citePromise4, Rule: "guard-no-rule",
		Fix: "Ask about a channel and purpose that a rule pack covers: `consent rules list`."}
}

// noPack stands where no pack knows the country: what its law asks of sales, hours
// and lists included, nobody here can tell.
var noPack = reason{codeTable(CodeConsentMissing).rank, &consentv1.Reason{Code: CodeConsentMissing, Rule: "guard-no-pack", Citation: citePromise4,
	Text: "No rule pack knows the law of the country where this person may be, so no contact of this kind is made there, with consent neither.",
	Fix:  "Record where the person is, if they are elsewhere; or have a pack written for the country: projections/rules/packs/README.md."}}

// noRule stands where a country's pack is silent.
var noRule = reason{codeTable(CodeConsentMissing).rank, unjudged("No rule we know allows this kind of contact to this number.")}
