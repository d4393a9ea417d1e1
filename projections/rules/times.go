package rules

import (
	"slices"
	"time"

	"github.com/consent-ledger/consent-ledger/projections/rules/calendar"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// openWindow is a clock of a window that is open; when it closes is looked up only
// for an ALLOW.
type openWindow struct {
	rule *windowRule
	zone *time.Location
}

// windows judges hours, days of the week and holidays at every place.
func (e *evaluation) windows(c *cell) {
	for _, r := range c.window {
		if e.binds(&r.head) {
			e.window(r)
		}
	}
}

// shut is what is closed of a window, and until when it surely is.
type shut struct {
	hours, day, holiday, nowhere, somewhereOpen bool
	until                                       time.Time
}

func (e *evaluation) window(r *windowRule) {
	s, noted := shut{}, len(e.open)
	if len(e.clocks) == 0 {
		s.nowhere = true
	}
	at := e.clocks
	if r.where != nil {
		at = e.at
	}
	for _, h := range at {
		if r.where == nil || r.where.may(h.place.Region) {
			e.look(r, h, &s)
		}
	}
	if !s.hours && !s.day && !s.holiday && !s.nowhere {
		return
	}
	e.open = e.open[:noted]
	all := e.lift(r.lifts, circumstance{holiday: s.holiday})
	if all.held {
		e.holdsUntil(all.until)
		e.holdsUntil(s.until)
		return
	}
	if s.day {
		s.day = e.partly(r.dayLifts, &s, &all)
	}
	if s.holiday {
		s.holiday = e.partly(r.holidayLifts, &s, &all)
	}
	// A person may agree to a time, and that may begin sooner than the hours.
	until := s.until
	if len(e.in.View.Seller.GetTimeConsents())+len(e.in.View.All.GetTimeConsents()) > 0 {
		change, _ := e.timeAgreed(false)
		until = sooner(until, change)
	}
	blocked := len(e.blocks)
	for _, x := range [...]struct {
		is  bool
		why reason
	}{{s.nowhere, r.nowhere}, {s.holiday, r.holiday}, {s.day, r.day}, {s.hours && !s.somewhereOpen, r.outside}, {s.hours && s.somewhereOpen, r.inZone}} {
		if x.is {
			end := until
			if s.nowhere {
				end = time.Time{}
			}
			e.block(&r.head, x.why, end)
		}
	}
	if len(e.blocks) > blocked {
		e.beside(&r.head, all)
	}
}

// partly tries the lifts of a part of a window.
func (e *evaluation) partly(lifts []lift, s *shut, all *lifting) (stays bool) {
	l := e.lift(lifts, circumstance{holiday: s.holiday})
	if l.held {
		e.holdsUntil(l.until)
		e.holdsUntil(s.until)
		return false
	}
	all.lapsed, all.void = all.lapsed || l.lapsed, all.void || l.void
	return true
}

// look reads all clocks of a window at one place.
func (e *evaluation) look(r *windowRule, h *here, s *shut) {
	if h.place.Zone == nil {
		s.nowhere = true
		return
	}
	open := true
	for _, zone := range r.clocks {
		local := h.local
		if zone == nil {
			zone = h.place.Zone
		} else {
			local = e.in.At.In(zone)
		}
		if e.read(r, zone, local, s) {
			e.open = append(e.open, openWindow{r, zone})
		} else {
			open = false
		}
	}
	s.somewhereOpen = s.somewhereOpen || open
}

// read reads one clock.
func (e *evaluation) read(r *windowRule, zone *time.Location, local time.Time, s *shut) (open bool) {
	if r.onDays != nil && r.onDays.At(local) == calendar.ClosedDay {
		return true
	}
	week := r.week
	_, holiday := r.holidays.Holiday(calendar.Of(local, zone))
	if holiday && r.holidayWeek != nil {
		week, holiday = r.holidayWeek, false
	}
	state := calendar.Open
	if week != nil {
		state = week.At(local)
	}
	if state == calendar.Open && !holiday {
		return true
	}
	s.holiday = s.holiday || holiday
	s.day = s.day || state == calendar.ClosedDay
	s.hours = s.hours || state == calendar.Closed
	if next, ok := r.nextOpen(e.in.At, zone); ok && next.After(s.until) {
		s.until = next
	}
	return false
}

// nextOpen is the first instant at or after one at which a clock may be open; a
// lower bound where holidays have hours of their own or lifts act on a part. ok is
// false if none is found.
func (r *windowRule) nextOpen(t time.Time, zone *time.Location) (next time.Time, ok bool) {
	next = r.opens.After(t, zone, func(t time.Time) time.Time {
		if r.week == nil || r.holidayWeek != nil || r.onDays != nil || len(r.dayLifts)+len(r.holidayLifts) > 0 {
			return sooner(calendar.NextDay(t, zone), r.change(t, zone))
		}
		open, _ := r.week.NextOpen(t, zone, r.closed)
		return open
	})
	return next, !next.IsZero()
}

// change is the first instant after one at which the hours of a clock change, those
// of holidays included; zero: never.
func (r *windowRule) change(t time.Time, zone *time.Location) (next time.Time) {
	for _, w := range []*calendar.Week{r.week, r.holidayWeek} {
		if w != nil {
			next = sooner(next, w.NextChange(t, zone))
		}
	}
	return next
}

// nextClosed is the first instant after one at which an open clock may be closed;
// zero: never.
func (r *windowRule) nextClosed(t time.Time, zone *time.Location) time.Time {
	return r.closes.After(t, zone, func(t time.Time) time.Time {
		if r.holidays == nil && r.onDays == nil {
			if r.week == nil {
				return time.Time{}
			}
			return r.week.NextChange(t, zone)
		}
		return sooner(calendar.NextDay(t, zone), r.change(t, zone))
	})
}

// closed tells whether a date is a holiday.
func (r *windowRule) closed(d calendar.Date) bool {
	_, is := r.holidays.Holiday(d)
	return is
}

// closings notes when the windows that are open close.
func (e *evaluation) closings() {
	for i, o := range e.open {
		if slices.Contains(e.open[:i], o) {
			continue
		}
		e.holdsUntil(o.rule.nextClosed(e.in.At, o.zone))
	}
}

// frequency judges caps.
func (e *evaluation) frequency(c *cell) {
	for _, r := range c.caps {
		if e.binds(&r.head) {
			e.cap(r)
		}
	}
}

// cap judges one cap. A contact that it does not limit, because a lift holds, needs
// no reservation either.
func (e *evaluation) cap(r *capRule) {
	used, free := 0, time.Time{}
	if e.in.AttemptsKnown {
		used, free = e.count(r)
	}
	reached := !e.in.AttemptsKnown || used >= r.max
	if reached {
		l := e.lift(r.lifts, circumstance{})
		if l.held {
			e.holdsUntil(l.until)
			return
		}
		defer e.beside(&r.head, l)
	}
	if !e.in.AttemptsKnown {
		e.block(&r.head, r.unknown, time.Time{})
		return
	}
	e.capUse(r.name, used, r.max)
	if reached {
		e.block(&r.head, r.reached, free)
	}
}

// capUse notes how much of a cap is used.
func (e *evaluation) capUse(rule string, used, most int) {
	var c *consentv1.CapUse
	if n := len(e.caps); n < len(e.room.cap) {
		c = &e.room.cap[n]
	} else {
		c = &consentv1.CapUse{}
	}
	c.Rule, c.Used, c.Max = rule, uint32(used), uint32(most)
	e.caps = append(e.caps, c)
}

// count counts the attempts that count, and gives the first instant at which so
// many of them may be too long ago that one more is within the cap.
func (e *evaluation) count(r *capRule) (used int, free time.Time) {
	for i := range e.in.Attempts {
		if e.counts(r, &e.in.Attempts[i]) {
			used++
		}
	}
	if used < r.max {
		return used, free
	}
	seen := 0
	for i := range e.in.Attempts { // newest first: the max-th must be too long ago
		a := &e.in.Attempts[i]
		if !e.counts(r, a) {
			continue
		}
		if seen++; seen == max(r.max, 1) {
			return used, e.counted(r, a)
		}
	}
	return used, free
}

func (e *evaluation) counts(r *capRule, a *Attempt) bool {
	if r.channels>>a.Channel&1 == 0 || r.purposes>>a.Purpose&1 == 0 || e.itself(a) {
		return false
	}
	if r.perSubject && a.Subject != "" && e.in.Subject != "" && a.Subject != e.in.Subject {
		return false
	}
	return e.in.At.Before(e.counted(r, a))
}

// counted is the first instant at which an attempt no longer counts: a nanosecond
// more than the hours, or when the first of the days is over at every place.
func (e *evaluation) counted(r *capRule, a *Attempt) time.Time {
	if r.hours > 0 {
		return a.At.Add(r.hours + 1)
	}
	_, last := e.dateOf(a.At)
	return e.begun(last + r.days)
}

// coolingOff judges the time after a refusal: its day, and so many whole days after it.
func (e *evaluation) coolingOff(c *cell) {
	for _, r := range c.coolingOff {
		if !e.binds(&r.head) {
			continue
		}
		refused, found := e.in.View.Refused(e.q)
		if !found {
			continue
		}
		end, over := e.term(refused.Time.Latest, 0, r.days)
		if over {
			continue
		}
		if l := e.lift(r.lifts, circumstance{}); l.held {
			e.holdsUntil(l.until)
		} else {
			e.block(&r.head, r.cooling, end)
			e.beside(&r.head, l)
		}
	}
}

// emergencies judges declared emergencies.
func (e *evaluation) emergencies(c *cell) {
	for _, r := range c.emergency {
		if !e.binds(&r.head) {
			continue
		}
		for i := range e.in.Emergencies {
			m := &e.in.Emergencies[i]
			if r.reportingOnly && !m.Reporting || !m.Until.IsZero() && !e.in.At.Before(m.Until) || !e.inArea(r, m.Area) {
				continue
			}
			if m.From.After(e.in.At) {
				e.holdsUntil(m.From)
				continue
			}
			if l := e.lift(r.lifts, circumstance{}); l.held {
				e.holdsUntil(l.until)
			} else {
				e.block(&r.head, r.suspended, m.Until)
				e.beside(&r.head, l)
			}
		}
	}
}

// inArea tells whether the person may be in an area: if we know the county they are
// in, by that; else by the state.
func (e *evaluation) inArea(r *emergencyRule, area string) bool {
	return slices.ContainsFunc(e.at, func(h *here) bool {
		region := h.place.Region
		if r.where != nil && !r.where.may(region) {
			return false
		}
		if inside(region, area) {
			return true
		}
		if !inside(area, region) {
			return false
		}
		finer := false
		for _, a := range e.in.Areas {
			if inside(a, area) || inside(area, a) {
				return true
			}
			finer = finer || inside(a, region) && a != region
		}
		return !finer
	})
}
