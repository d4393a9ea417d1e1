// Package rules decides whether a contact may be made, and says why.
//
// Decide is pure: everything it may know is in its Input, so that live checks,
// scrubs, mirrors and questions about the past get the same answer from the same
// knowledge. The law is data: packs of typed rules, read strictly and hashed.
// Nothing here is legal advice.
//
//	rules.go    Input, Decide, Blocked
//	codes.go    what each reason means, and what would help
//	pack.go     packs and the kinds of rules
//	parse.go    reading packs, strictly
//	compile.go  packs made ready for deciding
//	describe.go a pack as a page a lawyer can check
//	packs/      the packs, with their cases beside them
package rules

import (
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
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
	// At is the instant of the contact; zero blocks.
	At time.Time

	// CallingCode is the number's: 1, 44 …; 0: unknown, which no rule that names
	// calling codes takes for its own.
	CallingCode int
	// Region is the number's, an ISO 3166 code; empty: unknown.
	Region string
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

	// Attempts are the contacts tried or reserved in the seller's name to this
	// number, newest first, as far back as any cap looks (AttemptsDays).
	// AttemptsKnown: they are whole; otherwise whatever a cap limits is blocked.
	Attempts      []Attempt
	AttemptsKnown bool

	// Zones are the candidate time zones of the person; empty: unknown.
	Zones []*time.Location
	// States are the candidate states, ISO 3166-2 codes; empty: unknown.
	States []string

	// Position up to which everything was taken into account.
	Position ledger.Position
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
	// the number. Without it the next two say nothing.
	Loaded bool
	// VersionDate is the day of the list itself, YYYY-MM-DD.
	VersionDate string
	// Listed: the number is on it.
	Listed bool
	// Since is the earliest day, YYYY-MM-DD, on which the listing can have been
	// published; empty: unknown, which counts as long ago. Only with Listed.
	Since string
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
func Decide(in Input, packs *Packs) *consentv1.Decision {
	e := evaluation{
		in: &in,
		q:  suppression.Question{Programme: in.Programme, Channel: in.Channel, Purpose: in.Purpose, At: in.At},
	}
	if in.At.IsZero() || !single(int(in.Channel), channels) || !single(int(in.Purpose), purposes) {
		d := Blocked(CodeConsentMissing, in.At, in.Position)
		d.Reasons[0] = unjudged("The question does not name one channel, one purpose and an instant, so nothing can allow it.")
		return d
	}
	e.day = e.localDay(in.At)
	if in.Paused {
		e.paused()
	}
	for _, p := range packs.packs {
		if p.Applies.matches(in.CallingCode) {
			e.pack(p)
		}
	}
	e.guards()
	if !e.spoken {
		e.block(reason{codeTable(CodeConsentMissing).rank, unjudged("No rule we know allows this kind of contact to this number.")})
	}
	return e.decision()
}

func single(v, size int) bool { return v > 1 && v < size }

// unjudged is the reason where no rule speaks.
func unjudged(text string) *consentv1.Reason {
	return &consentv1.Reason{Code: CodeConsentMissing, Text: text, Citation: citePromise4, Rule: "guard-no-rule",
		Fix: "Ask about a channel and purpose that a rule pack covers: `consent rules list`."}
}

// evaluation gathers what the rules say about one question.
type evaluation struct {
	in  *Input
	q   suppression.Question
	day day // of the contact, where the person is

	blocks []reason
	oks    []reason
	lists  []*consentv1.ListUse
	packs  []*consentv1.PackUse

	// spoken: a pack of the widest layer says what makes this contact lawful. A
	// narrower one may only add to it.
	spoken bool
	// stoppable: some rule lets a request to stop bind this contact. An emergency
	// message, for one, is not.
	stoppable bool

	validUntil  time.Time // zero: no end known
	allowedFrom time.Time // latest end of what blocks
	neverEnds   bool      // something blocks without a known end
}

func (e *evaluation) block(r reason) {
	e.blocks = append(e.blocks, r)
	e.neverEnds = true
}

// blockUntil blocks until an instant that is known.
func (e *evaluation) blockUntil(r reason, end time.Time) {
	e.blocks = append(e.blocks, r)
	if end.After(e.allowedFrom) {
		e.allowedFrom = end
	}
}

// holdsUntil says that what was just found holds until then; zero: for good.
func (e *evaluation) holdsUntil(end time.Time) {
	if !end.IsZero() && (e.validUntil.IsZero() || end.Before(e.validUntil)) {
		e.validUntil = end
	}
}

func (e *evaluation) blockedBy(code string) bool {
	return slices.ContainsFunc(e.blocks, func(r reason) bool { return r.msg.GetCode() == code })
}

func (e *evaluation) paused() {
	g := guard(CodeContactPaused)
	if !e.in.PausedSince.IsZero() {
		g.Text = "All contact for this seller is paused since " + e.in.PausedSince.UTC().Format(time.RFC3339) + "."
	}
	e.block(reason{codeTable(CodeContactPaused).rank, g})
}

// guards are what binds every contact that a person can stop, whatever the packs.
func (e *evaluation) guards() {
	if !e.stoppable {
		return
	}
	if _, erased := e.in.View.Erased(e.q, suppression.Need{Distrusted: e.in.Distrusted}); erased && !e.blockedBy(CodeErasedBlock) {
		e.guard(CodeErasedBlock)
	}
	if len(e.in.View.Unclear()) > 0 {
		e.guard(CodeStopUnreviewed)
	}
	e.preferences()
}

func (e *evaluation) guard(code string) { e.block(reason{codeTable(code).rank, guard(code)}) }

// preferences are the person's own limits. Where the person is decides about
// times of day, so without a zone no time is certain.
func (e *evaluation) preferences() {
	p := e.in.View.Preferences()
	for _, windows := range p.Windows {
		if !e.within(windows) {
			e.guard(CodePreferenceWindow)
			break
		}
	}
	if len(p.Frequencies) > 0 {
		e.guard(CodePreferenceFrequency)
	}
}

// within tells whether the instant lies in one of the windows in every zone.
func (e *evaluation) within(windows []*consentv1.TimeWindow) bool {
	if len(e.in.Zones) == 0 {
		return false
	}
	for _, z := range e.in.Zones {
		if !slices.ContainsFunc(windows, func(w *consentv1.TimeWindow) bool { return inWindow(w, e.in.At.In(z)) }) {
			return false
		}
	}
	return true
}

func inWindow(w *consentv1.TimeWindow, local time.Time) bool {
	weekday := uint32(local.Weekday()) // ISO: Sunday is 7
	if weekday == 0 {
		weekday = 7
	}
	minute := uint32(local.Hour()*60 + local.Minute())
	return w.GetFromMinute() <= minute && minute < w.GetToMinute() &&
		(len(w.GetWeekdays()) == 0 || slices.Contains(w.GetWeekdays(), weekday))
}

// localDay is the day of an instant where the person is: of several candidates
// the latest, because a list is oldest then. Without a zone it is the day in UTC,
// which is never behind America's.
func (e *evaluation) localDay(t time.Time) day {
	latest := dayMin
	for _, z := range e.in.Zones {
		latest = max(latest, dayOf(t.In(z)))
	}
	if latest == dayMin {
		return dayOf(t.UTC())
	}
	return latest
}

// firstInstant is when a day begins where the person is, of several candidates
// the first.
func (e *evaluation) firstInstant(d day) time.Time {
	first := d.start()
	for i, z := range e.in.Zones {
		y, m, n := d.start().Date()
		if t := time.Date(y, m, n, 0, 0, 0, 0, z); i == 0 || t.Before(first) {
			first = t
		}
	}
	return first
}

func (e *evaluation) decision() *consentv1.Decision {
	d := &consentv1.Decision{
		Verdict:    consentv1.Verdict_VERDICT_ALLOW,
		Position:   uint64(e.in.Position),
		At:         timestamppb.New(e.in.At),
		Packs:      e.packs,
		Lists:      e.lists,
		Unassigned: e.in.Unassigned,
	}
	for _, z := range e.in.Zones {
		d.Zones = append(d.Zones, z.String())
	}
	said := e.oks
	if len(e.blocks) > 0 {
		d.Verdict, said = consentv1.Verdict_VERDICT_BLOCK, e.blocks
		if !e.neverEnds {
			d.NextAllowedAt = timestamppb.New(e.allowedFrom)
		}
	} else if !e.validUntil.IsZero() {
		d.ValidUntil = timestamppb.New(e.validUntil)
	}
	slices.SortStableFunc(said, byRank)
	d.Reasons = make([]*consentv1.Reason, 0, len(said))
	for _, r := range said {
		d.Reasons = append(d.Reasons, r.msg)
	}
	if d.Verdict == consentv1.Verdict_VERDICT_ALLOW {
		d.Basis = said[0].msg.GetCode()
	}
	return d
}
