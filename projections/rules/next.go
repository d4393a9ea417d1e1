package rules

import (
	"time"

	"github.com/consent-ledger/consent-ledger/projections/rules/calendar"
)

// nextSteps bounds the search for the end of a block: more than a year of days.
const nextSteps = 500

// nextAllowed is the first instant at which the contact would be allowed if nothing
// new were recorded. Every block says until when it surely stands, so no earlier
// instant can allow; at the latest of these ends all is judged again, until it is an
// ALLOW or something stands for good.
func (e *evaluation) nextAllowed() (time.Time, bool) {
	if !e.blocked() || e.neverEnds {
		return time.Time{}, false
	}
	e.notes.asked()
	t, asked := e.blockedTo, e.in.At
	defer func() { e.in.At = asked }()
	for range nextSteps {
		e.in.At = t
		e.notes.split(t)
		next := judge(e.in, e.packs, e.notes)
		blocked, ends, to := next.blocked(), !next.neverEnds, next.blockedTo
		next.done()
		switch {
		case !blocked:
			return t, true
		case !ends:
			return time.Time{}, false
		}
		if e.notes.asked(); !to.After(t) {
			return time.Time{}, false // a rule that does not say when it ends
		}
		t = to
	}
	return time.Time{}, false
}

// deadline is how long the law gives to honour a request.
type deadline struct {
	days, business int
	calendar       *calendar.Calendar
}

// after is the last day, counted from the day of the request.
func (d *deadline) after(day calendar.Date) calendar.Date {
	return calendar.AddBusinessDays(day+calendar.Date(d.days), d.business, d.calendar)
}

func (p *Pack) deadline(d *Deadline) *deadline {
	if d == nil {
		return nil
	}
	return &deadline{days: d.Days, business: d.BusinessDays, calendar: p.set.Get(d.Calendar)}
}
