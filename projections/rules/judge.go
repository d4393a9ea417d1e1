package rules

import (
	"slices"
	"time"

	"github.com/consent-ledger/consent-ledger/projections/rules/calendar"
	"github.com/consent-ledger/consent-ledger/projections/suppression"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// pack judges one pack. What it permits opens nothing but its own demand for
// consent.
func (e *evaluation) pack(p *Pack) {
	e.packs = append(e.packs, p.use)
	c := p.cells[e.in.Channel][e.in.Purpose]
	if c == nil {
		return
	}
	if i, _ := slices.BinarySearch(c.changes, e.day+1); i < len(c.changes) {
		e.holdsUntil(e.firstInstant(c.changes[i]))
	}
	replied := e.revocation(c)
	for i := range c.companyDNC {
		if r := &c.companyDNC[i]; r.inForce(e.day, e.in.Region) {
			e.companyDNC(r, replied)
		}
	}
	for i := range c.registry {
		if r := &c.registry[i]; r.inForce(e.day, e.in.Region) {
			e.registry(r, replied)
		}
	}
	spoken := e.consent(c, replied)
	if p.Layer == LayerCountry {
		e.spoken = e.spoken || spoken
	}
}

// revocation judges requests to stop, and tells whether a stop in reply to one
// programme's message counts for the others.
func (e *evaluation) revocation(c *cell) (replied bool) {
	for i := range c.revocation {
		r := &c.revocation[i]
		if !r.inForce(e.day, e.in.Region) {
			continue
		}
		e.stoppable = true
		replied = replied || r.replied
		if e.blockedBy(CodeConsentRevoked) {
			continue
		}
		need := suppression.Need{Distrusted: e.in.Distrusted, CountReplied: r.replied}
		if _, stands := e.in.View.Revocation(e.q, need); stands {
			e.block(r.revoked)
		}
	}
	return replied
}

// companyDNC judges the seller's own list. What the person asked for binds from
// its first possible instant, and its term ends at the last.
func (e *evaluation) companyDNC(r *companyDNCRule, replied bool) {
	added, listed := e.in.View.Dnc(e.q, suppression.Need{}, false)
	if !listed {
		return
	}
	var end time.Time
	if r.termYears > 0 {
		end = added.Time.Latest.AddDate(r.termYears, 0, 0)
		if !e.in.At.Before(end) {
			return
		}
	}
	if r.overrides {
		need := e.need(r.override, replied)
		if _, still := e.in.View.Dnc(e.q, need, true); !still {
			e.allowBy(e.in.View.Consent(e.q, need), &r.bases)
			return
		}
	}
	if end.IsZero() {
		e.block(r.listed)
	} else {
		e.blockUntil(r.listed, end)
	}
}

// registry judges a public list: its age, then what it says. Consent that makes
// the list irrelevant makes its age irrelevant too.
func (e *evaluation) registry(r *registryRule, replied bool) {
	answer := e.answer(r.registry)
	e.use(r.registry, answer)
	problem, fresh := e.age(r, answer)
	if !r.required {
		fresh = true
	}
	if fresh && !answer.Listed {
		if answer.Loaded && r.required {
			listed, _ := calendar.ParseDate(answer.VersionDate)
			e.holdsUntil(e.firstInstant(listed + r.maxAge + 1))
		}
		return
	}
	if r.overrides {
		if c := e.in.View.Consent(e.q, e.need(r.override, replied)); c.Held {
			e.allowBy(c, &r.bases)
			return
		}
	}
	if answer.Listed {
		e.block(r.listed)
	}
	if !fresh {
		e.block(problem)
	}
}

// answer finds a registry's answer; the zero answer, not loaded, if there is none.
func (e *evaluation) answer(registry string) RegistryAnswer {
	for _, a := range e.in.Registries {
		if a.Registry == registry && a.Loaded {
			return a
		}
	}
	return RegistryAnswer{}
}

func (e *evaluation) use(registry string, a RegistryAnswer) {
	for _, l := range e.lists {
		if l.GetRegistry() == registry {
			return
		}
	}
	e.lists = append(e.lists, &consentv1.ListUse{Registry: registry, VersionDate: a.VersionDate, Listed: a.Listed})
}

// age tells whether the list is current on the day of the contact. The age that
// counts is that of the list, in calendar days, not that of the check.
func (e *evaluation) age(r *registryRule, a RegistryAnswer) (problem reason, fresh bool) {
	if !a.Loaded {
		return r.missing, false
	}
	listed, err := calendar.ParseDate(a.VersionDate)
	switch {
	case err != nil:
		return r.missing, false
	case e.day-listed > r.maxAge:
		return r.tooOld, false
	case listed > e.day+1: // days begin earlier elsewhere
		return r.tooNew, false
	}
	return reason{}, true
}

// consent judges what makes the contact lawful: no consent needed, consent, or
// the confirmation of a stop. It tells whether any rule speaks.
func (e *evaluation) consent(c *cell, replied bool) (spoken bool) {
	for i := range c.consent {
		r := &c.consent[i]
		if !r.inForce(e.day, e.in.Region) {
			continue
		}
		spoken = true
		found := e.in.View.Consent(e.q, e.need(r.need, replied))
		if found.Held {
			e.allowBy(found, &r.bases)
			continue
		}
		why := e.why(r, found, replied)
		// The same request to stop is not told twice.
		if code := why.msg.GetCode(); code != CodeConsentRevoked && code != CodeErasedBlock || !e.blockedBy(code) {
			e.block(why)
		}
	}
	for i := range c.permit {
		if r := &c.permit[i]; r.inForce(e.day, e.in.Region) {
			spoken = true
			e.oks = append(e.oks, r.ok)
		}
	}
	for i := range c.confirmation {
		if r := &c.confirmation[i]; r.inForce(e.day, e.in.Region) {
			spoken = true
			e.confirmation(r)
		}
	}
	return spoken
}

// why picks the reason for which no consent holds.
func (e *evaluation) why(r *consentRule, found suppression.Consent, replied bool) reason {
	if found.Failure != suppression.FailRevoked || e.blockedBy(CodeConsentRevoked) {
		return r.failures[found.Failure]
	}
	// No request to stop stands. Then either the grant was declared to be none, or
	// a newer one exists and is not enough.
	anyLevel := e.need(r.need, replied)
	anyLevel.Sufficient = nil
	if e.in.View.Consent(e.q, anyLevel).Held {
		return r.failures[suppression.FailLevel]
	}
	if found.Against.Kind == suppression.KindInvalidated {
		return r.invalidated
	}
	return r.failures[found.Failure]
}

// confirmation judges the one message that may confirm a stop: any stop on the
// channel, soon after it. That it is the only one is for a cap to say.
func (e *evaluation) confirmation(r *confirmationRule) {
	q := e.q
	q.Purpose = consentv1.Purpose_PURPOSE_ALL // covered by a stop of any purpose
	stop, found := e.in.View.Revocation(q, suppression.Need{CountReplied: true})
	if !found || stop.Time.Earliest.After(e.in.At) {
		e.block(r.nothing)
		return
	}
	end := stop.Time.Earliest.Add(time.Duration(r.withinSeconds) * time.Second)
	if e.in.At.After(end) {
		e.block(r.late)
		return
	}
	e.oks = append(e.oks, r.ok)
	e.holdsUntil(end.Add(time.Nanosecond))
}

// need completes what a rule asks of a grant.
func (e *evaluation) need(n suppression.Need, replied bool) suppression.Need {
	n.Distrusted, n.CountReplied = e.in.Distrusted, replied
	return n
}

// allowBy notes consent as a basis, as the rule that asked for it puts it.
func (e *evaluation) allowBy(c suppression.Consent, by *bases) {
	if !c.Held {
		return
	}
	ok := by.of(c.Grant.GetLevel())
	e.holdsUntil(c.Until)
	for _, r := range e.oks {
		if r.msg.GetCode() == ok.msg.GetCode() {
			return
		}
	}
	e.oks = append(e.oks, ok)
}
