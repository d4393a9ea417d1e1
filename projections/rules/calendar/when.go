package calendar

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// when finds the one day of a year that a phrase describes:
//
//	07-04                                    a date, month and day
//	3rd monday of january                    1st to 4th, or last
//	easter - 2                               or: orthodox easter + 1
//	4th thursday of november + 1             days after any of the above
//	tuesday after 1st monday of november     or: before, on or after, on or before
//	monday before 05-25
type when struct {
	base   func(year int) Date
	offset Date
	seek   *seek
}

// seek is the weekday nearest to a day on one side of it.
type seek struct {
	day    time.Weekday
	before bool
	orOn   bool
}

// in gives the day. It lies in the year, or beside it where the offset leads out.
func (w when) in(year int) Date {
	d := w.base(year) + w.offset
	if w.seek == nil {
		return d
	}
	forward := Date((7 + w.seek.day - d.Weekday()) % 7) // 0: d is that weekday
	switch {
	case forward == 0 && w.seek.orOn:
		return d
	case w.seek.before:
		return d + forward - 7
	case forward == 0:
		return d + 7
	}
	return d + forward
}

const whenForms = "a date 07-04, `3rd monday of january`, `last monday of may`, `easter - 2`, `orthodox easter + 1`, `tuesday after 1st monday of november`, `monday before 05-25`"

var (
	fullDays   = []string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}
	fullMonths = []string{"january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"}
	ordinals   = []string{"last", "1st", "2nd", "3rd", "4th"}
)

// parseWhen reads a phrase.
func parseWhen(s string) (w when, err error) {
	words := strings.Fields(s)
	if len(words) == 0 {
		return w, errors.New("is missing: " + whenForms)
	}
	if w.seek = parseSeek(&words); len(words) >= 2 {
		if w.offset, err = parseOffset(&words); err != nil {
			return w, fmt.Errorf("%q: %w", s, err)
		}
	}
	if w.base, err = parseBase(words); err != nil {
		return w, fmt.Errorf("%q: %w", s, err)
	}
	return w, nil
}

// parseSeek takes `monday on or after` and its like from the front; nil if the
// phrase does not begin so.
func parseSeek(words *[]string) *seek {
	w := *words
	day := slices.Index(fullDays, w[0])
	if day < 0 || len(w) < 2 {
		return nil
	}
	s, rest := &seek{day: time.Weekday(day)}, w[1:]
	if len(rest) > 2 && rest[0] == "on" && rest[1] == "or" {
		s.orOn, rest = true, rest[2:]
	}
	if rest[0] != "before" && rest[0] != "after" {
		return nil
	}
	s.before = rest[0] == "before"
	*words = rest[1:]
	return s
}

// parseOffset takes `- 2` from the end.
func parseOffset(words *[]string) (Date, error) {
	w := *words
	sign := w[len(w)-2]
	if sign != "+" && sign != "-" {
		return 0, nil
	}
	const far = 180
	n, err := strconv.Atoi(w[len(w)-1])
	if err != nil || n < 1 || n > far {
		return 0, fmt.Errorf("%q must be 1 to %d days", w[len(w)-1], far)
	}
	if sign == "-" {
		n = -n
	}
	*words = w[:len(w)-2]
	return Date(n), nil
}

func parseBase(words []string) (func(int) Date, error) {
	switch strings.Join(words, " ") {
	case "easter":
		return easter, nil
	case "orthodox easter":
		return orthodoxEaster, nil
	}
	switch {
	case len(words) == 1:
		return parseFixed(words[0])
	case len(words) == 4 && words[2] == "of":
		return parseNth(words[0], words[1], words[3])
	}
	return nil, errors.New("is not understood; write " + whenForms)
}

// parseFixed reads MM-DD. 29 February is refused: what its holiday does in other
// years must be said by dates.
func parseFixed(s string) (func(int) Date, error) {
	const common = "2001-" // any year without a leap day
	t, err := time.Parse(time.DateOnly, common+s)
	if err != nil || len(s) != len("01-02") {
		return nil, errors.New("is no day of every year, MM-DD; write " + whenForms)
	}
	return func(year int) Date { return On(year, t.Month(), t.Day()) }, nil
}

func parseNth(nth, weekday, month string) (func(int) Date, error) {
	n, day, m := slices.Index(ordinals, nth), slices.Index(fullDays, weekday), time.Month(slices.Index(fullMonths, month)+1)
	switch {
	case n < 0:
		return nil, fmt.Errorf("%q must be 1st, 2nd, 3rd, 4th or last (not every month has a 5th)", nth)
	case day < 0:
		return nil, fmt.Errorf("%q is no day of the week: monday …", weekday)
	case m == 0:
		return nil, fmt.Errorf("%q is no month: january …", month)
	}
	return func(year int) Date {
		first, weeks := On(year, m, 1), Date(n-1)
		if n == 0 {
			first, weeks = On(year, m+1, 1), -1
		}
		return first + Date((7+time.Weekday(day)-first.Weekday())%7) + 7*weeks
	}, nil
}

// easter is Easter Sunday of the western churches, by the usual reckoning of the
// Gregorian calendar (Oudin's form of it).
func easter(year int) Date {
	century := year / 100
	golden := year % 19
	moon := (century - century/4 - (century-(century-17)/25)/3 + 19*golden + 15) % 30
	moon -= moon / 28 * (1 - moon/28*(29/(moon+1))*((21-golden)/11))
	sunday := moon - (year+year/4+moon+2-century+century/4)%7
	month := 3 + (sunday+40)/44
	return On(year, time.Month(month), sunday+28-31*(month/4))
}

// orthodoxEaster is Easter Sunday of the churches that keep the Julian calendar,
// as a date of ours (Meeus's form of it).
func orthodoxEaster(year int) Date {
	moon := (19*(year%19) + 15) % 30
	day := moon + (2*(year%4)+4*(year%7)-moon+34)%7 + 114
	behind := year/100 - year/400 - 2 // days from the Julian to our calendar
	return On(year, time.Month(day/31), day%31+1+behind)
}
