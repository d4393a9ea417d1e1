package calendar

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Problem is one fault in what a pack says. Path leads to the field from the thing
// that was read, in the manner of YAML paths: "[2].from".
type Problem struct {
	Path string
	Err  error
}

func (p Problem) Error() string { return p.Path + ": " + p.Err.Error() }

// Unwrap is what is wrong there.
func (p Problem) Unwrap() error { return p.Err }

// Hours is one row of a weekly window as a pack writes it. Several rows may name a
// day: what lies between them is a gap.
type Hours struct {
	// Days are mon, tue, wed, thu, fri, sat, sun, or a range of them: mon-fri.
	Days Days `yaml:"days"`
	// From is the first minute, HH:MM on the wall clock.
	From string `yaml:"from"`
	// To is the last instant, HH:MM, up to 24:00; it is itself still within.
	To string `yaml:"to"`
}

// Days are the days of a row. One word may stand without a list: `days: mon-fri`.
type Days []string

// UnmarshalYAML reads a list or a single word.
func (d *Days) UnmarshalYAML(unmarshal func(any) error) error {
	var one string
	if unmarshal(&one) == nil {
		*d = Days{one}
		return nil
	}
	var list []string
	err := unmarshal(&list)
	*d = list
	return err
}

// State is what a week says of one reading of a wall clock.
type State uint8

// States. The zero value permits nothing.
const (
	// Closed: the day has hours, and this is outside them.
	Closed State = iota
	// ClosedDay: this day of the week has no hours at all.
	ClosedDay
	// Open: within the hours, both ends included.
	Open
)

func (s State) String() string { return [...]string{"closed", "closed day", "open"}[s] }

// Week is a weekly window: for each day of the week the spans that are open. The
// zero value is never open. What it judges is the wall clock, whatever the zone did
// that day: an hour that is skipped is never seen, one that is repeated counts twice.
type Week struct{ days [7][]span }

// span is open from one instant of a day to another, both included, in nanoseconds
// since midnight.
type span struct{ from, to int64 }

const (
	minuteNS int64 = 60 * 1e9
	dayNS    int64 = daySeconds * 1e9
)

// NewWeek reads rows and gives every fault it finds.
func NewWeek(rows []Hours) (*Week, []Problem) {
	w := &Week{}
	var problems []Problem
	if len(rows) == 0 {
		problems = append(problems, Problem{"", errors.New("is missing: a window without hours is never open; forbid the contact instead")})
	}
	for i, r := range rows {
		problems = append(problems, w.add(fmt.Sprintf("[%d]", i), r)...)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return w, nil
}

// add puts one row into the week.
func (w *Week) add(path string, r Hours) (problems []Problem) {
	bad := func(field string, err error) { problems = append(problems, Problem{path + field, err}) }
	days, err := r.Days.parse()
	if err != nil {
		bad(".days", err)
	}
	from, err := parseClockTime(r.From)
	if err != nil || from == dayNS {
		bad(".from", fmt.Errorf("%q must be 00:00 to 23:59, written HH:MM", r.From))
	}
	to, err := parseClockTime(r.To)
	if err != nil {
		bad(".to", fmt.Errorf("%q must be 00:01 to 24:00, written HH:MM", r.To))
	}
	if len(problems) > 0 {
		return problems
	}
	if to <= from {
		bad(".to", fmt.Errorf("%s is not after from, %s; a window over midnight is two rows", r.To, r.From))
		return problems
	}
	for _, d := range days {
		if err := w.insert(d, span{from, to}); err != nil {
			bad("", err)
		}
	}
	return problems
}

// insert keeps the spans of a day in order and apart. Spans that touch are refused
// too: the instant between them would be open twice, and one row says it better.
func (w *Week) insert(d time.Weekday, s span) error {
	at := 0
	for _, other := range w.days[d] {
		if s.from <= other.to && other.from <= s.to {
			return fmt.Errorf("overlaps or touches another row on %s: write one row, or leave a gap", dayWords[d])
		}
		if other.from < s.from {
			at++
		}
	}
	w.days[d] = slices.Insert(w.days[d], at, s)
	return nil
}

// dayWords are the days in the order of time.Weekday.
var dayWords = [...]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// parse gives the days of the week, each once.
func (d Days) parse() (out []time.Weekday, err error) {
	if len(d) == 0 {
		return nil, errors.New("is missing: mon, tue … or a range, mon-fri")
	}
	for _, word := range d {
		first, last, isRange := strings.Cut(word, "-")
		if !isRange {
			last = first
		}
		from, to := slices.Index(dayWords[:], first), slices.Index(dayWords[:], last)
		if from < 0 || to < 0 {
			return nil, fmt.Errorf("%q is no day: mon, tue, wed, thu, fri, sat, sun, or a range, mon-fri", word)
		}
		// A week runs from Monday to Sunday here.
		from, to = (from+6)%7, (to+6)%7
		if isRange && to <= from {
			return nil, fmt.Errorf("%q must run forwards within mon to sun", word)
		}
		for n := from; n <= to; n++ {
			day := time.Weekday((n + 1) % 7)
			if slices.Contains(out, day) {
				return nil, fmt.Errorf("%s is named twice", dayWords[day])
			}
			out = append(out, day)
		}
	}
	return out, nil
}

// parseClockTime reads HH:MM as nanoseconds since midnight, 24:00 included.
func parseClockTime(s string) (int64, error) {
	if s == "24:00" {
		return dayNS, nil
	}
	t, err := time.Parse("15:04", s)
	if err != nil || len(s) != len("15:04") {
		return 0, errors.New("must be HH:MM")
	}
	return (int64(t.Hour())*60 + int64(t.Minute())) * minuteNS, nil
}

// ParseClock reads the clock of a window: `local` is the called party's own (nil),
// "-06:00" a clock that keeps one distance from UTC all year.
func ParseClock(s string) (*time.Location, error) {
	if s == "local" {
		return nil, nil
	}
	if s != "" && (s[0] == '-' || s[0] == '+') {
		if ns, err := parseClockTime(s[1:]); err == nil && ns <= 14*60*minuteNS {
			off := int(ns / 1e9)
			if s[0] == '-' {
				off = -off
			}
			return time.FixedZone(s, off), nil
		}
	}
	return nil, fmt.Errorf("%q must be local or a distance from UTC of at most 14 hours, written \"-06:00\"", s)
}

// At judges a wall clock: local must be in the zone that counts. The closing
// instant is still open ("not after 9 p.m."), a nanosecond later is not. 24:00 is
// the next day's 00:00, and that day's hours decide about it.
func (w *Week) At(local time.Time) State {
	d, ns, _ := wall(local)
	return w.at(d, ns)
}

func (w *Week) at(d Date, ns int64) State {
	spans := w.days[d.Weekday()]
	if len(spans) == 0 {
		return ClosedDay
	}
	for _, s := range spans {
		if ns < s.from {
			break
		}
		if ns <= s.to {
			return Open
		}
	}
	return Closed
}
