package calendar

import "time"

// searchDays bounds how far ahead an opening is looked for.
const searchDays = 400

// weekRepeats is after how many days a week that has not changed its state never
// will: twice seven, because a window may lie in the very hour or day that a zone
// skipped in the first week.
const weekRepeats = 16

// NextChange is the first instant after t at which the state of the week is
// another one on the wall clocks of a zone; the zero time if it never changes.
// After a closing instant that is one nanosecond later.
func (w *Week) NextChange(t time.Time, loc *time.Location) time.Time {
	was := w.At(t.In(loc))
	for end := t.AddDate(0, 0, weekRepeats); t.Before(end); {
		t = edge(t, loc, w)
		if w.At(t.In(loc)) != was {
			return t
		}
	}
	return time.Time{}
}

// NextOpen is the first instant at or after t at which the week is open on a
// zone's wall clocks, on a date that is not closed. It looks 400 days ahead.
// closed may be nil: no date is closed.
func (w *Week) NextOpen(t time.Time, loc *time.Location, closed func(Date) bool) (time.Time, bool) {
	end := t.AddDate(0, 0, searchDays)
	for !t.After(end) {
		d, ns, _ := wall(t.In(loc))
		switch {
		case closed != nil && closed(d):
			t = NextDay(t, loc)
		case w.at(d, ns) == Open:
			return t, true
		default:
			t = edge(t, loc, w)
		}
	}
	return time.Time{}, false
}

// Clock is a week, the clock it is read from, and the dates on which it is closed
// altogether (nil: none).
type Clock struct {
	Week   *Week
	Zone   *time.Location
	Closed func(Date) bool
}

// NextOpenAll is the first instant at or after t at which all are open at once,
// within 400 days.
func NextOpenAll(t time.Time, clocks []Clock) (time.Time, bool) {
	end := t.AddDate(0, 0, searchDays)
	for agreed := 0; agreed < len(clocks); {
		agreed = 0
		for _, c := range clocks {
			next, ok := c.Week.NextOpen(t, c.Zone, c.Closed)
			if !ok || next.After(end) {
				return time.Time{}, false
			}
			if next.After(t) {
				t = next
				break // those before must be asked again
			}
			agreed++
		}
	}
	return t, true
}

// edge is the next instant after t at which a zone's wall clocks show a beginning,
// an end (a nanosecond after it) or a midnight, or at which they are moved. Between
// two edges no state changes. A nil week has midnights only.
func edge(t time.Time, loc *time.Location, w *Week) time.Time {
	d, ns, off := wall(t.In(loc))
	d, ns = w.after(d, ns)
	return moved(t, time.Unix(int64(d)*daySeconds-off, ns), loc).In(t.Location())
}

// after is the next edge of a wall clock that nobody moves.
func (w *Week) after(d Date, ns int64) (Date, int64) {
	if w == nil {
		return d + 1, 0
	}
	for _, s := range w.days[d.Weekday()] {
		if ns < s.from {
			return d, s.from
		}
		if ns <= s.to && s.to+1 < dayNS {
			return d, s.to + 1
		}
	}
	return d + 1, 0
}
