package rules

import (
	"slices"
	"time"

	"github.com/consent-ledger/consent-ledger/projections/rules/calendar"
	"github.com/consent-ledger/consent-ledger/projections/suppression"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// lift is one way out of one rule.
type lift struct {
	channels, purposes uint32 // bits by enum number; 0: all of the rule's
	grounds            []ground
	ok                 reason
	byLevel            bool // the level of the consent says which basis it is
	bases              bases
}

// ground is one state of affairs.
type ground struct {
	kind groundKind
	ask  ask // of consent

	relation           consentv1.RelationshipKind
	months, days       int // since it began; 0: no such term
	endMonths, endDays int // since it ended
	offer              bool
	flags              mask
	lines, subscribers mask
	ported             calendar.Date
}

type groundKind uint8

const (
	groundConsent groundKind = iota
	groundRelationship
	groundClass
	groundTime
	groundPorted
	groundNotice
)

// ask is what a rule or lift asks of a grant.
type ask struct {
	need suppression.Need
	term int // months after which a grant ends that names no end; 0: never
}

// circumstance is what a lift must know of the block it would undo.
type circumstance struct {
	// after: consent counts only if it is later, but for what is spared.
	after  time.Time
	spared *ground
	// holiday: the block is about a holiday.
	holiday bool
}

// lifting is what came of the lifts of a rule.
type lifting struct {
	held  bool
	until time.Time // of what holds; zero: for good
	// Without one that holds, what came close.
	lapsed, void, voided, listed, company bool
	unshown                               bool   // consent of which nothing is held
	refused                               uint32 // kinds of relationship that lack what else a lift asks, bits by enum number
	failure                               suppression.Failure
}

// lift tries all lifts and notes the basis of each that holds.
func (e *evaluation) lift(lifts []lift, c circumstance) (out lifting) {
	for i := range lifts {
		l := &lifts[i]
		if l.channels != 0 && l.channels>>e.in.Channel&1 == 0 || l.purposes != 0 && l.purposes>>e.in.Purpose&1 == 0 {
			continue
		}
		out.unshown = false
		until, level, ok := e.stands(l, c, &out)
		if !ok {
			continue
		}
		if l.byLevel {
			e.allow(l.bases.of(level))
		} else {
			e.allow(l.ok)
		}
		if out.unshown {
			e.allow(l.bases.unshown)
		}
		if !out.held || !out.until.IsZero() && (until.IsZero() || until.After(out.until)) {
			out.until = until
		}
		out.held = true
	}
	return out
}

// stands tells whether all grounds of a lift hold, until when, and by which level
// of consent.
func (e *evaluation) stands(l *lift, c circumstance, out *lifting) (until time.Time, level string, ok bool) {
	for i := range l.grounds {
		g := &l.grounds[i]
		end, lvl, holds := e.holds(g, c, out)
		if !holds {
			for _, before := range l.grounds[:i] {
				out.refused |= 1 << before.relation
			}
			return time.Time{}, "", false
		}
		until = sooner(until, end)
		if level == "" {
			level = lvl
		}
	}
	return until, level, true
}

func (e *evaluation) holds(g *ground, c circumstance, out *lifting) (until time.Time, level string, ok bool) {
	switch g.kind {
	case groundConsent:
		return e.consents(g, c, out)
	case groundRelationship:
		until, ok = e.related(g, out)
	case groundClass:
		ok = g.lines.must(e.known.line) && g.subscribers.must(e.known.subscriber)
	case groundTime:
		until, ok = e.timeAgreed(c.holiday)
	case groundPorted:
		until, ok = e.ported(g, out)
	case groundNotice:
		ok = e.in.OptOutNotice
	}
	return until, "", ok
}

// consents: a grant that holds, and is later than what it must be later than.
func (e *evaluation) consents(g *ground, c circumstance, out *lifting) (time.Time, string, bool) {
	need := e.need(&g.ask)
	need.After = c.after
	found := e.in.View.Consent(e.q, need)
	if !found.Held && found.Failure == suppression.FailSuperseded && c.spared != nil {
		out.voided = true
		for _, r := range e.relations() {
			if _, ok, _ := e.fits(c.spared, &r); ok {
				need.After = r.Since.Latest.Add(-1)
				if found = e.in.View.Consent(e.q, need); found.Held {
					break
				}
			}
		}
	}
	if !found.Held {
		out.failure = max(out.failure, found.Failure)
		return time.Time{}, "", false
	}
	out.voided, out.unshown = false, !found.Grant.GetEvidenceHeld()
	return found.Until, found.Grant.GetLevel(), true
}

// need completes what is asked of a grant.
func (e *evaluation) need(a *ask) suppression.Need {
	n := a.need
	n.Distrusted, n.CountReplied = e.in.Distrusted, e.replied
	if term := a.term; term > 0 {
		n.Ends = func(earliest time.Time) time.Time {
			first, _ := e.dateOf(earliest)
			end := e.begins(first.AddMonths(term))
			e.notes.split(end)
			return end
		}
	}
	return n
}

// relations are those known, looked up once.
func (e *evaluation) relations() []suppression.Relationship {
	if !e.known.relationsLooked {
		e.known.relations, e.known.relationsLooked = e.in.View.AllRelationships(e.in.At), true
	}
	return e.known.relations
}

// related: one relationship that fits, the one that fits longest.
func (e *evaluation) related(g *ground, out *lifting) (until time.Time, ok bool) {
	all := e.relations()
	for i := range all {
		end, fits, lapsed := e.fits(g, &all[i])
		switch {
		case fits:
			if !ok || !until.IsZero() && (end.IsZero() || end.After(until)) {
				until = end
			}
			ok = true
		case lapsed:
			out.lapsed = true
		case all[i].Kind == g.relation && all[i].Void:
			out.void = true
		case all[i].Kind == g.relation:
			out.refused |= 1 << g.relation
		}
	}
	return until, ok
}

// fits tells whether a relationship is what a ground wants, and until when; lapsed:
// only time is against it.
func (e *evaluation) fits(g *ground, r *suppression.Relationship) (until time.Time, ok, lapsed bool) {
	if r.Kind != g.relation || r.Void || e.stoppedSince(r.Since.Earliest) || g.offer && !isTrue(r.OfferRelated) || !stated(r, g.flags) {
		return until, false, false
	}
	if g.months > 0 || g.days > 0 {
		if until, ok = e.within(r.Since.Earliest, g.months, g.days); !ok {
			return until, false, true
		}
	}
	if ended := r.Ended; ended != (suppression.Span{}) {
		switch {
		case ended.Earliest.After(e.in.At):
			until = sooner(until, ended.Earliest)
		case g.endMonths+g.endDays == 0:
			return until, false, true
		default:
			end, ok := e.within(ended.Earliest, g.endMonths, g.endDays)
			if !ok {
				return until, false, true
			}
			until = sooner(until, end)
		}
	}
	return until, true, false
}

func isTrue(b *bool) bool { return b != nil && *b }

// stated tells whether all flags are stated of a relationship.
func stated(r *suppression.Relationship, flags mask) bool {
	if flags == 0 {
		return true
	}
	have := [...]*bool{r.DetailsCollectedInSale, r.OptOutOffered, r.OptOutInEveryMessage, r.SimilarProducts, r.Customer} // as flagWords
	for i, b := range have {
		if flags>>i&1 == 1 && !isTrue(b) {
			return false
		}
	}
	return true
}

// stoppedSince tells whether the person asked to be left alone at an instant or
// later, whatever came after: that ends a relationship.
func (e *evaluation) stoppedSince(began time.Time) bool {
	k := &e.known
	if !k.stopSeen {
		k.stop, k.stopped = e.in.View.LastStop(e.q)
		k.stopSeen = true
	}
	return k.stopped && !k.stop.Time.Latest.Before(began)
}

// within tells whether something happened at most so long before the contact, on
// the calendar of each of the pack's places, and the first instant at which that
// may no longer be so. 31 August minus six months is the end of February.
func (e *evaluation) within(t time.Time, months, days int) (until time.Time, ok bool) {
	recent := func(then, now calendar.Date) bool {
		return then >= now.AddMonths(-months)-calendar.Date(days)
	}
	e.noteSide(t, everywhere, func(h *here) calendar.Date { return h.last.AddMonths(-months) - calendar.Date(days) })
	first, _ := e.unnotedDateOf(t)
	if len(e.clocks) == 0 {
		if !recent(first, e.day) {
			return until, false
		}
	}
	for _, h := range e.clocks {
		then := first
		if h.place.Zone != nil {
			then = calendar.Of(t, h.place.Zone)
		}
		if !recent(then, h.last) {
			return until, false
		}
	}
	end := first.AddMonths(months) + calendar.Date(days) + 1
	for end <= e.day || recent(first, end) {
		end++
	}
	return e.begins(end), true
}

// ported: a line known as a landline went to wireless a few days ago, and nobody
// has found that out since; the number is on no list.
func (e *evaluation) ported(g *ground, out *lifting) (until time.Time, ok bool) {
	ports, checks := e.in.View.Marks(suppression.MarkPorted), e.in.View.Marks(suppression.MarkLineType)
	if len(ports) != 1 || len(checks) != 1 || ports[0].Value != "wireless" || checks[0].Value != "landline" ||
		!checks[0].Time.Latest.Before(ports[0].Time.Earliest) {
		return until, false
	}
	if until, ok = e.within(ports[0].Time.Earliest, 0, int(g.ported)); !ok {
		return until, false
	}
	out.listed = slices.ContainsFunc(e.in.Registries, func(a RegistryAnswer) bool { return a.Loaded && a.Listed })
	_, out.company = e.in.View.Dnc(e.q, suppression.Need{}, false)
	return until, !out.listed && !out.company
}

// beside adds to a block what nearly lifted it.
func (e *evaluation) beside(h *head, l lifting) {
	s := &h.side
	say := func(r reason) {
		if r.msg != nil && !slices.Contains(e.blocks, r) {
			e.blocks = append(e.blocks, r)
		}
	}
	if l.lapsed {
		say(s.lapsed)
	}
	if l.void {
		say(s.void)
	}
	if l.voided {
		say(s.voided)
	}
	if l.listed {
		say(s.listed)
	}
	if l.company {
		say(s.company)
	}
	say(s.failures[l.failure])
	if s.notApplicable.msg != nil && e.idleRelation(s.relations&^l.refused) {
		say(s.notApplicable)
	}
}

// idleRelation tells whether a relationship lives, by the measure of the FCC
// (18 months from a purchase, 3 from an inquiry, a contract while it runs), of a
// kind that a rule does not know, or of which the rule asks more than is there.
func (e *evaluation) idleRelation(known uint32) bool {
	all := e.relations()
	for i := range all {
		r := &all[i]
		if known>>r.Kind&1 == 1 {
			continue
		}
		g := ground{relation: r.Kind}
		switch r.Kind {
		case consentv1.RelationshipKind_RELATIONSHIP_KIND_PURCHASE:
			g.months = 18
		case consentv1.RelationshipKind_RELATIONSHIP_KIND_INQUIRY:
			g.months = 3
		case consentv1.RelationshipKind_RELATIONSHIP_KIND_CONTRACT:
		default:
			continue
		}
		if _, ok, _ := e.fits(&g, r); ok {
			return true
		}
	}
	return false
}
