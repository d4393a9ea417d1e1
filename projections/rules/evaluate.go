package rules

import (
	"slices"
	"strings"
	"time"

	"github.com/consent-ledger/consent-ledger/projections/rules/calendar"
	"github.com/consent-ledger/consent-ledger/projections/rules/places"
	"github.com/consent-ledger/consent-ledger/projections/suppression"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// evaluation gathers what the rules say about one question.
type evaluation struct {
	in    *Input
	packs *Packs
	notes *notes // nil: nobody asks who else has the answer
	plan  *plan
	q     suppression.Question

	here  []here // every candidate place
	known facts

	// Of the pack being judged: the places where it may hold, of those one for each
	// zone, and its days there.
	at, clocks []*here
	first, day calendar.Date // earliest and latest date of the contact at them
	replied    bool          // a stop in reply to one programme counts for all
	listed     bool          // some list of the pack names the number, or is not at hand to tell

	blocks []reason
	oks    []reason
	lists  []*consentv1.ListUse
	uses   []*consentv1.PackUse
	caps   []*consentv1.CapUse
	due    []*consentv1.Deadline

	// countries counts the packs of the country's layer that apply.
	countries int
	// stoppable: some rule lets a request to stop bind this contact. An emergency
	// message, for one, is not.
	stoppable bool

	validUntil time.Time // zero: no end known
	blockedTo  time.Time // before it some block surely stands
	neverEnds  bool      // something blocks without a known end
	open       []openWindow

	// Room for the usual answer: what stays in the evaluation, which is used again,
	// and what the decision keeps.
	hereBuf  [6]here
	atBuf    [6]*here
	clockBuf [6]*here
	okBuf    [4]reason
	blockBuf [6]reason
	openBuf  [6]openWindow
	room     *room
}

// here is one candidate place at the instant of the contact.
type here struct {
	place *places.Place
	local time.Time // in UTC if the zone is not known
	// first and last date it may be there; the same but for a place without a zone.
	first, last calendar.Date
}

// facts are what is known of the number, looked up once.
type facts struct {
	line, subscriber  mask // 0: not known
	relations         []suppression.Relationship
	relationsLooked   bool
	stop              suppression.Prohibition
	stopped, stopSeen bool
	wake              time.Time
	wakeSeen          bool
}

// run judges every pack that applies.
func (e *evaluation) run() {
	in := e.in
	e.q = suppression.Question{Programme: in.Programme, Channel: in.Channel, Purpose: in.Purpose, At: in.At}
	e.plan = e.packs.plan(in.Places)
	e.oks, e.blocks, e.open, e.lists = e.okBuf[:0], e.blockBuf[:0], e.openBuf[:0], e.room.lists[:0]
	e.caps = e.room.caps[:0]
	e.here, e.at, e.clocks = e.hereBuf[:0], e.atBuf[:0], e.clockBuf[:0]
	if n := len(in.Places); n > len(e.hereBuf) {
		e.here, e.at, e.clocks = make([]here, 0, n), make([]*here, 0, n), make([]*here, 0, n)
	}
	for i := range in.Places {
		e.here = append(e.here, e.newHere(i))
	}
	e.who()
	if in.Paused {
		e.paused()
	}
	if e.uses = e.plan.uses; !e.plan.sole {
		e.uses = e.room.uses[:0]
	}
	for i := range e.plan.packs {
		if p := &e.plan.packs[i]; p.pack.binds(in.Seller) {
			if !e.plan.sole {
				e.uses = append(e.uses, p.pack.use)
			}
			e.stand(p.at, p.clocks)
			e.pack(p.pack)
		}
	}
	e.guards()
	if e.countries == 0 || len(e.oks)+len(e.blocks) == 0 {
		e.never(noRule)
	}
}

// newHere looks at the clock of a place. Many places have one clock.
func (e *evaluation) newHere(i int) here {
	p := &e.in.Places[i]
	if first := e.plan.clock[i]; first < i {
		h := e.here[first]
		h.place = p
		return h
	}
	h := here{place: p, local: e.in.At.UTC()}
	if p.Zone != nil {
		h.local = e.in.At.In(p.Zone)
		h.first = calendar.Of(e.in.At, p.Zone)
		h.last = h.first
		return h
	}
	h.first, h.last = anywhere(e.in.At)
	return h
}

// stand puts the places of what is judged next into at and clocks.
func (e *evaluation) stand(at, clocks []int) {
	e.at, e.clocks = e.at[:0], e.clocks[:0]
	for _, i := range at {
		e.at = append(e.at, &e.here[i])
	}
	for _, i := range clocks {
		e.clocks = append(e.clocks, &e.here[i])
	}
	if len(clocks) == 0 {
		e.first, e.day = anywhere(e.in.At)
		return
	}
	e.first, e.day = e.clocks[0].first, e.clocks[0].last
	for _, h := range e.clocks[1:] {
		e.first, e.day = min(e.first, h.first), max(e.day, h.last)
	}
}

// anywhere gives the first and the last date that anybody on earth may have.
func anywhere(at time.Time) (first, last calendar.Date) {
	return calendar.Of(at.Add(-westward), time.UTC), calendar.Of(at.Add(eastward), time.UTC)
}

// How far clocks are behind and ahead of UTC at most.
const (
	westward = 12 * time.Hour
	eastward = 14 * time.Hour
)

// who looks up what kind of line and of subscriber it is.
func (e *evaluation) who() {
	if e.in.View.Seller == nil && e.in.View.All == nil {
		return
	}
	if line, _, ok := e.in.View.Line(e.in.At); ok {
		e.known.line = maskOf(lineWords, line)
	}
	if class, ok := e.in.View.Subscriber(e.in.At); ok {
		e.known.subscriber = maskOf(subscriberWords, class)
	}
}

// maybe tells whether a place may lie in one of the regions; no regions: all.
func maybe(regions []string, place string) bool {
	if len(regions) == 0 {
		return true
	}
	for _, r := range regions {
		if len(r) == len(place) && r != place { // neither holds the other
			continue
		}
		if inside(place, r) || inside(r, place) {
			return true
		}
	}
	return false
}

// surely tells whether a place lies in one of the regions; no regions: all.
func surely(regions []string, place string) bool {
	if len(regions) == 0 {
		return true
	}
	for _, r := range regions {
		if inside(place, r) {
			return true
		}
	}
	return false
}

// inside tells whether a region lies in another or is it: US-FL in US.
func inside(region, in string) bool {
	return in != "" && strings.HasPrefix(region, in) && (len(region) == len(in) || region[len(in)] == '-')
}

// may tells whether a place may be one that something is for.
func (w *Where) may(place string) bool {
	return maybe(w.Regions, place) && (len(w.ExceptRegions) == 0 || !surely(w.ExceptRegions, place))
}

// must tells whether a place surely is one.
func (w *Where) must(place string) bool {
	return surely(w.Regions, place) && (len(w.ExceptRegions) == 0 || !maybe(w.ExceptRegions, place))
}

// binds tells whether a rule that forbids speaks: where something about the
// contact is not known, it does.
func (e *evaluation) binds(h *head) bool {
	return h.from <= e.day && e.first <= h.to && h.lines.may(e.known.line) && h.subscribers.may(e.known.subscriber) &&
		e.sector(h) && (h.where == nil || slices.ContainsFunc(e.at, func(p *here) bool { return h.where.may(p.place.Region) }))
}

// permits tells whether a rule that permits speaks: only where all is known.
func (e *evaluation) permits(h *head) bool {
	return h.from <= e.first && e.day <= h.to && h.lines.must(e.known.line) && h.subscribers.must(e.known.subscriber) &&
		e.sector(h) && (h.where == nil || len(e.at) > 0 && !slices.ContainsFunc(e.at, func(p *here) bool { return !h.where.must(p.place.Region) }))
}

func (e *evaluation) sector(h *head) bool {
	return (len(h.sectors) == 0 || slices.Contains(h.sectors, e.in.Sector)) && !slices.Contains(h.exceptSectors, e.in.Sector)
}

// never blocks without a known end.
func (e *evaluation) never(r reason) {
	e.blocks = append(e.blocks, r)
	e.neverEnds = true
}

// block blocks by a rule, surely until an instant; zero: for as long as the rule
// holds and nothing new becomes known.
func (e *evaluation) block(h *head, r reason, until time.Time) {
	e.blocks = append(e.blocks, r)
	e.ends(h, until)
}

// ends notes until when a block of a rule surely stands.
func (e *evaluation) ends(h *head, until time.Time) {
	if h.to != calendar.MaxDate {
		until = sooner(until, e.begins(h.to+1))
	}
	if !e.known.wakeSeen {
		e.known.wake, e.known.wakeSeen = e.in.View.Wake(e.in.At), true
	}
	if !e.known.wake.IsZero() && e.notes != nil {
		e.notes.ends = append(e.notes.ends, exactly(e.known.wake))
	}
	until = sooner(until, e.known.wake)
	switch {
	case until.IsZero():
		e.neverEnds = true
	case until.After(e.blockedTo):
		e.blockedTo = until
	}
}

// sooner is the earlier of two instants, zero being never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// holdsUntil says that what was just found holds until then; zero: for good.
func (e *evaluation) holdsUntil(end time.Time) { e.validUntil = sooner(e.validUntil, end) }

// begins is the first instant at which it may be a date at one of the pack's places.
func (e *evaluation) begins(d calendar.Date) (first time.Time) {
	for _, h := range e.clocks {
		if h.place.Zone == nil {
			return d.Start(time.UTC).Add(-14 * time.Hour)
		}
		first = sooner(first, d.Start(h.place.Zone))
	}
	if first.IsZero() {
		return d.Start(time.UTC).Add(-14 * time.Hour)
	}
	return first
}

// begun is the first instant at which it is surely a date at all of the pack's places.
func (e *evaluation) begun(d calendar.Date) (last time.Time) {
	for _, h := range e.clocks {
		if h.place.Zone == nil {
			return d.Start(time.UTC).Add(12 * time.Hour)
		}
		if t := d.Start(h.place.Zone); t.After(last) {
			last = t
		}
	}
	if last.IsZero() {
		return d.Start(time.UTC).Add(12 * time.Hour)
	}
	return last
}

// dateOf gives the first and last date of an instant at the pack's places.
func (e *evaluation) dateOf(t time.Time) (first, last calendar.Date) {
	e.noteDates(t)
	return e.unnotedDateOf(t)
}

// unnotedDateOf is dateOf for who notes by itself what was read.
func (e *evaluation) unnotedDateOf(t time.Time) (first, last calendar.Date) {
	if len(e.clocks) == 0 {
		return anywhere(t)
	}
	first, last = calendar.MaxDate, calendar.MinDate
	for _, h := range e.clocks {
		a, b := anywhere(t)
		if h.place.Zone != nil {
			a = calendar.Of(t, h.place.Zone)
			b = a
		}
		first, last = min(first, a), max(last, b)
	}
	return first, last
}

func (e *evaluation) blockedBy(code string) bool {
	return slices.ContainsFunc(e.blocks, func(r reason) bool { return r.msg.GetCode() == code })
}

// allow notes a basis, once a code.
func (e *evaluation) allow(ok reason) {
	for _, r := range e.oks {
		if r.msg.GetCode() == ok.msg.GetCode() {
			return
		}
	}
	e.oks = append(e.oks, ok)
}

func (e *evaluation) paused() {
	g := guard(CodeContactPaused)
	if !e.in.PausedSince.IsZero() {
		g.Text = "All contact for this seller is paused since " + e.in.PausedSince.UTC().Format(time.RFC3339) + "."
	}
	e.never(reason{codeTable(CodeContactPaused).rank, g})
}

// pack judges one pack at the places in e.at. What it permits opens nothing but
// its own demands.
func (e *evaluation) pack(p *Pack) {
	if p.country {
		e.countries++
	}
	c, next := p.cells[e.in.Channel][e.in.Purpose], time.Time{}
	if c == nil {
		if p.country {
			e.unspoken(p, next)
		}
		return
	}
	if i, _ := slices.BinarySearch(c.changes, e.first+1); i < len(c.changes) {
		next = e.begins(c.changes[i])
		e.holdsUntil(next)
	}
	e.listed = false
	e.revocation(c)
	e.companyDNC(c)
	e.registries(c)
	e.registryPreferences(c)
	spoken := e.consent(c)
	spoken = e.permit(c) || spoken
	spoken = e.confirmation(c) || spoken
	e.windows(c)
	e.frequency(c)
	e.coolingOff(c)
	e.bans(c)
	e.emergencies(c)
	if !spoken && p.country {
		e.unspoken(p, next)
	}
}

// unspoken blocks where a country's pack does not say what makes the contact
// lawful, until a rule begins or ends.
func (e *evaluation) unspoken(p *Pack, next time.Time) {
	why := noRule
	if p.Applies.WithoutPack {
		why = noPack
	}
	e.blocks = append(e.blocks, why)
	if next.IsZero() {
		e.neverEnds = true
	} else if next.After(e.blockedTo) {
		e.blockedTo = next
	}
}

func (e *evaluation) blocked() bool { return len(e.blocks) > 0 }
