// Package calendar tells what time and what day it is where the called party
// lives, as far as a statute cares: civil dates (date.go), weekly windows on a
// wall clock (week.go, next.go), holidays with their substitute days (holiday.go,
// when.go, shared/*.yaml) and business days.
//
// It is pure: standard library and YAML only, no clock of its own. Everything
// that was made is safe for concurrent use and never changes.
package calendar

import (
	"fmt"
	"time"
)

// Date is a day of the proleptic Gregorian calendar, counted from 1970-01-01,
// without a time zone.
type Date int32

// MinDate and MaxDate stand for "always" and "no end". They can be compared, but
// neither written nor counted with.
const (
	MinDate Date = -1 << 31
	MaxDate Date = 1<<31 - 1
)

const daySeconds = 24 * 60 * 60

// Of is the date that the wall clocks of a zone show at an instant.
func Of(t time.Time, loc *time.Location) Date {
	d, _, _ := wall(t.In(loc))
	return d
}

// On is the date with a year, a month and a day of the month. Like time.Date it
// carries on: 32 January is 1 February.
func On(year int, month time.Month, day int) Date {
	// Years begin in March here, so that a leap day comes last.
	y, m := int64(year), int64(month)-1
	y, m = y+floorDiv(m, 12), m-12*floorDiv(m, 12)
	m -= 2
	if m < 0 {
		y, m = y-1, m+12
	}
	const toEpoch = 719468 // days from 0000-03-01 to 1970-01-01
	return Date(365*y + floorDiv(y, 4) - floorDiv(y, 100) + floorDiv(y, 400) + (153*m+2)/5 + int64(day) - 1 - toEpoch)
}

// ParseDate reads YYYY-MM-DD. It may be asked for each number and each list.
func ParseDate(s string) (Date, error) {
	const form = "0000-00-00"
	numbers, well := [3]int{}, len(s) == len(form)
	for i, part := 0, 0; well && i < len(form); i++ {
		if form[i] == '-' {
			part, well = part+1, s[i] == '-'
			continue
		}
		numbers[part], well = 10*numbers[part]+int(s[i]-'0'), s[i] >= '0' && s[i] <= '9'
	}
	year, month, day := numbers[0], time.Month(numbers[1]), numbers[2]
	if well && month >= time.January && month <= time.December && day >= 1 {
		if d := On(year, month, day); d < On(year, month+1, 1) {
			return d, nil
		}
	}
	return 0, fmt.Errorf("%q must be a day that exists, YYYY-MM-DD", s)
}

// Civil is the date's year, month and day of the month.
func (d Date) Civil() (year int, month time.Month, day int) {
	return time.Unix(int64(d)*daySeconds, 0).UTC().Date()
}

// String is YYYY-MM-DD.
func (d Date) String() string {
	y, m, day := d.Civil()
	return fmt.Sprintf("%04d-%02d-%02d", y, m, day)
}

// Weekday is the date's day of the week.
func (d Date) Weekday() time.Weekday {
	const epoch = int64(time.Thursday)
	n := (int64(d) + epoch) % 7
	if n < 0 {
		n += 7
	}
	return time.Weekday(n)
}

// AddMonths moves the date by months, backwards too. Where the month is too short
// for the day, its last day is meant: six months before 31 August is 28 or 29 February.
func (d Date) AddMonths(n int) Date {
	y, m, day := d.Civil()
	first := On(y, m+time.Month(n), 1)
	next := On(y, m+time.Month(n)+1, 1)
	return min(first+Date(day)-1, next-1)
}

// AddYears moves the date by years; 29 February becomes the 28th in common years.
func (d Date) AddYears(n int) Date { return d.AddMonths(12 * n) }

// Start is the first instant at which a zone's wall clocks show the date. That is
// mostly midnight; where midnight was skipped, it is the first instant after it,
// and where the whole date was skipped (Samoa, 2011-12-30), the first of the next.
func (d Date) Start(loc *time.Location) time.Time {
	const west = 16 * 60 * 60 // no zone was ever further from UTC
	midnight := int64(d) * daySeconds
	for t := time.Unix(midnight-west, 0); ; {
		today, _, off := wall(t.In(loc))
		if today >= d {
			return t.In(loc)
		}
		t = moved(t, time.Unix(midnight-off, 0), loc)
	}
}

// NextDay is the first instant after t at which a zone's wall clocks show another
// date than at t. Where clocks are put back over midnight it may be an earlier one.
func NextDay(t time.Time, loc *time.Location) time.Time {
	today := Of(t, loc)
	for {
		t = edge(t, loc, nil)
		if Of(t, loc) != today {
			return t
		}
	}
}

// wall reads a wall clock: the date, the nanoseconds since its midnight as the
// clock shows them, and how many seconds the clock is ahead of UTC.
func wall(local time.Time) (d Date, ns, off int64) {
	_, ahead := local.Zone()
	off = int64(ahead)
	s := local.Unix() + off
	day := floorDiv(s, daySeconds)
	return Date(day), (s-day*daySeconds)*1e9 + int64(local.Nanosecond()), off
}

// moved is the first instant after t at which a zone's clocks have been put
// forward or back, or until, if they are not before it. It does not ask
// time.Time.ZoneBounds, which in Go 1.26 ends too early on the last day of a leap
// year: a loop over its bounds never leaves 2064. No zone moves its clocks twice
// in the two days or less between t and until.
func moved(t, until time.Time, loc *time.Location) time.Time {
	offset := func(unix int64) int {
		_, off := time.Unix(unix, 0).In(loc).Zone()
		return off
	}
	before, after := t.Unix(), until.Unix()
	off := offset(before)
	if offset(after) == off {
		return until
	}
	for after-before > 1 {
		if middle := before + (after-before)/2; offset(middle) == off {
			before = middle
		} else {
			after = middle
		}
	}
	return time.Unix(after, 0)
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
