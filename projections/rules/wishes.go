package rules

import (
	"slices"
	"time"

	"github.com/consent-ledger/consent-ledger/projections/rules/calendar"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// preferences are the person's own limits. Where the person is decides about
// times of day, so without a zone no time is certain.
func (e *evaluation) preferences() {
	p := e.in.View.Preferences()
	e.stand(nil, e.plan.clocks)
	for _, windows := range p.Windows {
		change := e.wishChange(windows)
		e.holdsUntil(change)
		if !e.everywhere(windows) {
			g := guard(CodePreferenceWindow)
			e.block(&anyTime, reason{codeTable(CodePreferenceWindow).rank, g}, change)
			break
		}
	}
	for _, f := range p.Frequencies {
		if !e.seldom(int(f.Max), int(f.Days)) {
			break
		}
	}
}

// anyTime is the head of what stands in no pack.
var anyTime = head{from: calendar.MinDate, to: calendar.MaxDate}

// everywhere tells whether the instant lies in one of the windows at every place.
func (e *evaluation) everywhere(windows []*consentv1.TimeWindow) bool {
	return len(e.clocks) > 0 && !slices.ContainsFunc(e.clocks, func(h *here) bool { return h.place.Zone == nil || !inWindows(windows, h.local) })
}

// seldom judges how often the person wants to be contacted, and notes it as a cap.
// Days are those of their calendar, the day of the contact included.
func (e *evaluation) seldom(most, days int) bool {
	g := guard(CodePreferenceFrequency)
	if !e.in.AttemptsKnown || days > AttemptsDays || days < 1 {
		e.never(reason{codeTable(CodePreferenceFrequency).rank, g})
		return false
	}
	c := capRule{head: anyTime, max: most, days: calendar.Date(days), channels: ^uint32(0), purposes: ^uint32(0)}
	used, free := e.count(&c)
	e.capUse(g.GetRule(), used, most)
	if used < most {
		return true
	}
	e.block(&anyTime, reason{codeTable(CodePreferenceFrequency).rank, g}, free)
	return false
}

func inWindows(windows []*consentv1.TimeWindow, local time.Time) bool {
	minute := uint32(local.Hour()*60 + local.Minute())
	for _, w := range windows {
		if w.GetFromMinute() <= minute && minute < w.GetToMinute() && onWeekday(w.GetWeekdays(), local) {
			return true
		}
	}
	return false
}

// onWeekday: ISO weekdays; none stands for all.
func onWeekday(days []uint32, local time.Time) bool {
	weekday := uint32(local.Weekday()) // ISO: Sunday is 7
	if weekday == 0 {
		weekday = 7
	}
	return len(days) == 0 || slices.Contains(days, weekday)
}

// wishChange is the first instant after the contact at which a window may open or
// close at one of the places; zero if the time there is not known.
func (e *evaluation) wishChange(windows []*consentv1.TimeWindow) (next time.Time) {
	for _, h := range e.clocks {
		if h.place.Zone == nil {
			continue
		}
		tomorrow := calendar.NextDay(e.in.At, h.place.Zone)
		next = sooner(next, tomorrow)
		if _, now := h.local.Zone(); offset(tomorrow.In(h.place.Zone)) != now {
			// The clocks are moved today: an edge may come twice, or never.
			next = sooner(next, e.in.At.Truncate(quarter).Add(quarter))
		}
		y, m, d := h.local.Date()
		for _, w := range windows {
			for _, minute := range [...]uint32{w.GetFromMinute(), w.GetToMinute()} {
				edge := time.Date(y, m, d, 0, int(minute), 0, 0, h.place.Zone)
				if edge.After(e.in.At) {
					next = sooner(next, edge)
				}
			}
		}
	}
	return next
}

// quarter divides every distance between clocks.
const quarter = 15 * time.Minute

func offset(local time.Time) int {
	_, off := local.Zone()
	return off
}

// timeAgreed tells whether the person agreed to be contacted at this time, at
// whichever place they are, and the first instant at which that may change.
func (e *evaluation) timeAgreed(holiday bool) (until time.Time, ok bool) {
	for _, c := range e.in.View.TimeConsents(e.q) {
		until = sooner(until, e.wishChange(c.Windows))
		if holiday && !c.Holidays {
			continue
		}
		ok = ok || len(e.clocks) > 0 && !slices.ContainsFunc(e.clocks, func(h *here) bool {
			return h.place.Zone == nil || !(len(c.Weekdays) > 0 && onWeekday(c.Weekdays, h.local) || inWindows(c.Windows, h.local))
		})
	}
	return until, ok
}
