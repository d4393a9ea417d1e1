package rules

import (
	"time"

	"github.com/consent-ledger/consent-ledger/projections/rules/calendar"
	"github.com/consent-ledger/consent-ledger/projections/suppression"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// companyDNC judges the seller's own list. What the person asked for binds from
// its first possible instant; its term counts from the last.
func (e *evaluation) companyDNC(c *cell) {
	for _, r := range c.companyDNC {
		if !e.binds(&r.head) {
			continue
		}
		added, found := e.in.View.Dnc(e.q, suppression.Need{}, false)
		if r.party {
			added, found = e.in.View.PartyDnc(e.q, suppression.Need{Distrusted: e.in.Distrusted, CountReplied: e.replied}, false)
		}
		if !found {
			continue
		}
		if added.Kind == suppression.KindPartyUnknown {
			e.block(&r.head, r.unknown, time.Time{})
			continue
		}
		var end time.Time
		if r.months > 0 || r.days > 0 {
			var over bool
			if end, over = e.term(added.Time.Latest, r.months, calendar.Date(r.days)); over {
				continue
			}
		}
		l := e.lift(r.lifts, circumstance{after: added.Time.Latest})
		if l.held {
			e.holdsUntil(l.until)
			continue
		}
		e.deadline(&r.head, r.honour, added)
		e.block(&r.head, r.listed, end)
		e.beside(&r.head, l)
	}
}

// term is the end of so many months and days, all of them whole at every place, after the day
// of something on record, and whether it is over.
func (e *evaluation) term(since time.Time, months int, days calendar.Date) (end time.Time, over bool) {
	after := func(last calendar.Date) time.Time { return e.begun(last.AddMonths(months) + days + 1) }
	_, last := e.unnotedDateOf(since)
	end = after(last)
	over = !e.in.At.Before(end)
	if e.notes != nil {
		begins := e.day.AddMonths(-months) - days // the first day whose term is not over, or near it
		for ; !e.in.At.Before(after(begins)); begins++ {
		}
		for ; e.in.At.Before(after(begins - 1)); begins-- {
		}
		e.noteSide(since, somewhere, func(*here) calendar.Date { return begins })
		e.noteEnd(since)
	}
	return end, over
}

// deadline notes until when the law wants a request honoured. It is nobody else's.
func (e *evaluation) deadline(h *head, d *deadline, asked suppression.Prohibition) {
	if d == nil || e.notes != nil {
		return
	}
	_, day := e.dateOf(asked.Time.Latest)
	if due := d.after(day); e.first <= due {
		e.due = append(e.due, &consentv1.Deadline{Rule: h.name, Text: "The request to stop must be honoured everywhere by then.", Due: due.String(), Citation: h.citation})
	}
}

// registries judges public lists.
func (e *evaluation) registries(c *cell) {
	for _, r := range c.registry {
		if e.binds(&r.head) {
			e.registry(r)
		}
	}
}

// registry judges a public list: its age, then what it says. What makes the list
// irrelevant makes its age irrelevant too, but for a list that ends consent: only a
// current one tells whether consent survived.
func (e *evaluation) registry(r *registryRule) {
	a := e.answer(r.registry)
	e.use(r.registry, a)
	problem, stale := e.age(r, a)
	if stale && !r.required || !a.Loaded && e.isRelaxed(r) {
		stale = false
	}
	binds := a.Listed
	e.listed = e.listed || a.Listed || stale // or not known not to be
	if a.Listed {
		if from, graced := e.grace(r, a); graced {
			e.allow(r.inGrace)
			e.holdsUntil(from)
			binds = false
		}
	}
	if !binds && !stale {
		return
	}
	l := e.lift(r.lifts, circumstance{after: e.voidedBy(r, a), spared: r.spared})
	if l.held {
		e.holdsUntil(l.until)
		if binds = false; !r.voids {
			return
		}
	}
	if stale {
		e.block(&r.head, problem, e.newEnough(r, a, problem))
	}
	if binds {
		e.block(&r.head, r.listed, time.Time{})
		e.beside(&r.head, l)
	}
}

// answer finds a registry's answer; the zero answer, not loaded, if there is none.
func (e *evaluation) answer(registry string) *RegistryAnswer {
	for i := range e.in.Registries {
		if a := &e.in.Registries[i]; a.Registry == registry && a.Loaded {
			return a
		}
	}
	return &noAnswer
}

var noAnswer RegistryAnswer

func (e *evaluation) use(registry string, a *RegistryAnswer) {
	for _, l := range e.lists {
		if l.GetRegistry() == registry {
			return
		}
	}
	var l *consentv1.ListUse
	if n := len(e.lists); n < len(e.room.list) {
		l = &e.room.list[n]
	} else {
		l = &consentv1.ListUse{}
	}
	l.Registry, l.VersionDate, l.Listed = registry, a.VersionDate, a.Listed
	e.lists = append(e.lists, l)
}

// age tells whether the list is too old on the day of the contact. The age that
// counts is that of the list, by the calendar, not that of the check. Until when a
// good list stays good is noted.
func (e *evaluation) age(r *registryRule, a *RegistryAnswer) (problem reason, stale bool) {
	if !a.Loaded {
		return r.missing, true
	}
	version, err := calendar.ParseDate(a.VersionDate)
	if err != nil {
		return r.missing, true
	}
	last := r.goodTo(version)
	switch {
	case e.day > last:
		return r.tooOld, true
	case version > e.day+1: // days begin earlier elsewhere
		return r.tooNew, true
	}
	if r.required {
		e.holdsUntil(e.begins(last + 1))
	}
	return reason{}, false
}

// goodTo is the last day on which a list of a day may be used.
func (r *registryRule) goodTo(version calendar.Date) calendar.Date {
	switch {
	case r.maxDays > 0:
		return version + r.maxDays
	case r.maxMonths > 0:
		last := version.AddMonths(r.maxMonths)
		for version >= (last + 1).AddMonths(-r.maxMonths) { // as relationships are counted
			last++
		}
		return last
	}
	year, _, _ := version.Civil()
	for ; ; year++ {
		for _, i := range r.issues {
			if d := calendar.On(year, i.month, i.day); d > version {
				return d - 1
			}
		}
	}
}

// newEnough is the first instant at which a list of a later day may be used; zero
// for any other problem.
func (e *evaluation) newEnough(r *registryRule, a *RegistryAnswer, problem reason) time.Time {
	if problem != r.tooNew {
		return time.Time{}
	}
	version, _ := calendar.ParseDate(a.VersionDate)
	return e.begins(version - 1)
}

// grace tells whether a listing is too fresh to bind, and from when it does. Both
// days are taken as they are written.
func (e *evaluation) grace(r *registryRule, a *RegistryAnswer) (from time.Time, graced bool) {
	since, err := calendar.ParseDate(a.Since)
	if r.grace == 0 || err != nil || e.day-since >= r.grace {
		return from, false
	}
	return e.begins(since + r.grace), true
}

// voidedBy is the last instant at which consent can have been given that a listing
// ended; zero: none. A listing of unknown date ended all consent.
func (e *evaluation) voidedBy(r *registryRule, a *RegistryAnswer) time.Time {
	if !r.voids || !a.Listed {
		return time.Time{}
	}
	since, err := calendar.ParseDate(a.Since)
	if err != nil {
		return e.in.At
	}
	last := e.begun(since + 1).Add(-1)
	e.notes.split(last)
	return last
}

func (e *evaluation) isRelaxed(r *registryRule) bool {
	for _, x := range e.packs.relaxed[r.name] {
		if x.seller == e.in.Seller && x.from <= e.first && e.day <= x.to {
			if x.to != calendar.MaxDate {
				e.holdsUntil(e.begins(x.to + 1))
			}
			return true
		}
	}
	return false
}

// registryPreferences judges what a subscriber told a registry.
func (e *evaluation) registryPreferences(c *cell) {
	for _, r := range c.preference {
		if !e.binds(&r.head) {
			continue
		}
		wishes := e.in.View.RegistryPreferences(r.registry, e.q)
		if len(wishes) == 0 {
			continue
		}
		why, until := e.unwished(r, wishes)
		if why.msg == nil {
			continue
		}
		if l := e.lift(r.lifts, circumstance{}); l.held {
			e.holdsUntil(l.until)
		} else {
			e.block(&r.head, why, until)
			e.beside(&r.head, l)
		}
	}
}

// unwished finds the preference that the contact offends, and the first instant at
// which another word may hold; zero: none.
func (e *evaluation) unwished(r *preferenceRule, wishes []suppression.RegistryPreference) (why reason, until time.Time) {
	for i := range wishes {
		w := &wishes[i]
		if w.Blocked && len(w.Weekdays)+len(w.Windows) == 0 {
			e.listed = true
			return r.blocked, time.Time{}
		}
		change := e.wishChange(w.Windows)
		e.holdsUntil(change)
		until = sooner(until, change)
		onDay, inTime := false, len(w.Windows) == 0
		all := len(e.clocks) > 0
		for _, h := range e.clocks {
			d := h.place.Zone == nil || onWeekday(w.Weekdays, h.local)
			t := h.place.Zone == nil || len(w.Windows) == 0 || inWindows(w.Windows, h.local)
			onDay, inTime = onDay || d && t, inTime || d && t
			all = all && h.place.Zone != nil && d && t
		}
		switch {
		case w.Blocked && (onDay || len(e.clocks) == 0) && len(w.Windows) == 0:
			why = r.day
		case w.Blocked && (onDay || len(e.clocks) == 0):
			why = r.band
		case !w.Blocked && !all:
			why = r.closed
		}
	}
	return why, until
}
