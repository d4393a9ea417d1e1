package rules

import (
	"time"

	"github.com/consent-ledger/consent-ledger/projections/suppression"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// revocation judges requests to stop, which only newer consent that was given and
// can be shown lifts (promise 10), and whether a stop in reply to one programme's message counts
// for the others.
func (e *evaluation) revocation(c *cell) {
	e.replied = false
	for _, r := range c.revocation {
		if !e.binds(&r.head) {
			continue
		}
		e.stoppable = true
		e.replied = e.replied || r.replied
		need := suppression.Need{Distrusted: e.in.Distrusted, CountReplied: r.replied, EvidenceRequired: true, Sufficient: given}
		if stop, stands := e.in.View.Revocation(e.q, need); stands {
			e.deadline(&r.head, r.honour, stop)
			if !e.blockedBy(CodeConsentRevoked) {
				e.block(&r.head, r.revoked, time.Time{})
			}
		} else if found, lifted := e.in.View.Reconsent(e.q, need); lifted {
			e.byConsent(&r.bases, found)
		}
	}
}

// given tells whether a level is consent that a person gave, and not what somebody
// inferred: who asked to be left alone has answered that.
func given(level string) bool { return level != "implied" }

// byConsent notes a grant as a basis, which holds until it ends.
func (e *evaluation) byConsent(b *bases, found suppression.Consent) {
	e.holdsUntil(found.Until)
	e.allow(b.of(found.Grant.GetLevel()))
	if !found.Grant.GetEvidenceHeld() {
		e.allow(b.unshown)
	}
}

// consent judges rules that ask for consent.
func (e *evaluation) consent(c *cell) (spoken bool) {
	for _, r := range c.consent {
		if !e.binds(&r.head) {
			continue
		}
		spoken = true
		found := e.in.View.Consent(e.q, e.need(&r.ask))
		if found.Held {
			e.byConsent(&r.bases, found)
			continue
		}
		l := e.lift(r.lifts, circumstance{})
		if l.held {
			e.holdsUntil(l.until)
			continue
		}
		// The same request to stop is not told twice.
		why := e.why(r, found)
		if code := why.msg.GetCode(); code != CodeConsentRevoked && code != CodeErasedBlock || !e.blockedBy(code) {
			e.block(&r.head, why, time.Time{})
		} else {
			e.ends(&r.head, time.Time{})
		}
		l.failure = 0
		e.beside(&r.head, l)
	}
	return spoken
}

// why picks the reason for which no consent holds.
func (e *evaluation) why(r *consentRule, found suppression.Consent) reason {
	if found.Failure != suppression.FailRevoked || e.blockedBy(CodeConsentRevoked) {
		return r.failures[found.Failure]
	}
	// No request to stop stands. Then either the grant was declared to be none, or
	// a newer one exists and is not enough.
	anyLevel := e.need(&r.ask)
	anyLevel.Sufficient = nil
	if e.in.View.Consent(e.q, anyLevel).Held {
		return r.failures[suppression.FailLevel]
	}
	if found.Against.Kind == suppression.KindInvalidated {
		return r.invalidated
	}
	return r.failures[found.Failure]
}

// permit notes why no consent is needed. That a number is not listed is not said of
// one that is, whatever lifted the listing.
func (e *evaluation) permit(c *cell) (spoken bool) {
	for _, r := range c.permit {
		if !e.permits(&r.head) {
			continue
		}
		spoken = true
		if r.consents {
			if found := e.in.View.Consent(e.q, e.need(&r.ask)); found.Held {
				e.allow(r.bases.of(found.Grant.GetLevel()))
			}
		}
		if !e.listed || r.ok.msg.GetCode() != OKNotListed || len(e.oks) == 0 {
			e.allow(r.ok)
		}
	}
	return spoken
}

// confirmation judges the message that may confirm a stop: any stop on the channel,
// soon after it, as often as the rule says, without advertising.
func (e *evaluation) confirmation(c *cell) (spoken bool) {
	for _, r := range c.confirmation {
		if !e.permits(&r.head) {
			continue
		}
		spoken = true
		e.confirm(r)
	}
	return spoken
}

func (e *evaluation) confirm(r *confirmationRule) {
	q := e.q
	q.Purpose = consentv1.Purpose_PURPOSE_ALL // covered by a stop of any purpose
	stop, found := e.in.View.Revocation(q, suppression.Need{CountReplied: true})
	if !found || stop.Time.Earliest.After(e.in.At) {
		e.block(&r.head, r.nothing, time.Time{})
		return
	}
	end := stop.Time.Earliest.Add(r.within)
	e.notes.split(e.in.At.Add(-r.within - 1)) // whether the end is before the contact
	if e.in.At.After(end) {
		e.block(&r.head, r.late, time.Time{})
		return
	}
	if e.in.Marketing && r.noMarketing {
		e.block(&r.head, r.advertising, time.Time{})
		return
	}
	if !e.in.AttemptsKnown {
		e.block(&r.head, r.unknown, time.Time{})
		return
	}
	used := 0
	for i := range e.in.Attempts {
		a := &e.in.Attempts[i]
		if a.Purpose == e.in.Purpose && !a.At.Before(stop.Time.Earliest) && !e.itself(a) {
			used++
		}
	}
	e.capUse(r.name, used, r.max)
	if used >= r.max {
		e.block(&r.head, r.again, time.Time{})
		return
	}
	e.allow(r.ok)
	e.holdsUntil(end.Add(time.Nanosecond))
}

// itself tells whether an attempt is the contact asked about.
func (e *evaluation) itself(a *Attempt) bool {
	return e.in.CallReference != "" && a.Reference == e.in.CallReference
}

// bans judges what is forbidden.
func (e *evaluation) bans(c *cell) {
	for _, r := range c.ban {
		if !e.binds(&r.head) {
			continue
		}
		if l := e.lift(r.lifts, circumstance{}); l.held {
			e.holdsUntil(l.until)
		} else {
			e.block(&r.head, r.banned, time.Time{})
			e.beside(&r.head, l)
		}
	}
}

// guards are what binds every contact that a person can stop, whatever the packs.
func (e *evaluation) guards() {
	if !e.stoppable {
		return
	}
	need := suppression.Need{Distrusted: e.in.Distrusted}
	if _, erased := e.in.View.Erased(e.q, need); erased && !e.blockedBy(CodeErasedBlock) {
		e.block(&anyTime, reason{codeTable(CodeErasedBlock).rank, guard(CodeErasedBlock)}, time.Time{}) // until a grant counts
	} else if until, lifted := e.in.View.Restored(e.q, need); lifted {
		e.holdsUntil(until)
	}
	if len(e.in.View.Unclear()) > 0 {
		e.guard(CodeStopUnreviewed)
	}
	e.preferences()
}

func (e *evaluation) guard(code string) { e.never(reason{codeTable(code).rank, guard(code)}) }
