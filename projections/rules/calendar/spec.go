package calendar

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Spec is a calendar as a pack writes it.
type Spec struct {
	// ID is what rules and other calendars call it: `[a-z0-9-]{1,64}`.
	ID string `yaml:"id"`
	// Title is the calendar in a few words.
	Title string `yaml:"title"`
	// Citation is the statute or regulation.
	Citation string `yaml:"citation"`
	// Confidence: `verified` if the text was read, `secondary` if somebody's account of it.
	Confidence string `yaml:"confidence"`
	// Note says what the calendar leaves out and how doubts were settled.
	Note string `yaml:"note"`
	// Includes are calendars whose holidays are holidays here too, with their
	// substitute days.
	Includes []string `yaml:"includes"`
	// Weekend is what holds for every holiday that does not say otherwise.
	Weekend  `yaml:",inline"`
	Holidays []HolidaySpec `yaml:"holidays"`
}

// Weekend says what happens to a holiday that falls on a weekend.
type Weekend struct {
	// Saturday and Sunday: none (the default), friday (before), monday (after),
	// both, or next_free (the next day from Monday to Friday that is no holiday).
	Saturday string `yaml:"saturday"`
	Sunday   string `yaml:"sunday"`
	// KeepActual: the day itself stays a holiday beside its substitute. Absent: it
	// does, because that forbids more.
	KeepActual *bool `yaml:"keep_actual"`
}

// HolidaySpec is one holiday: when, or dates.
type HolidaySpec struct {
	Name string `yaml:"name"`
	// When describes its day in every year; see type when.
	When string `yaml:"when"`
	// Dates are its days, YYYY-MM-DD. They are taken as they stand: no substitutes.
	Dates []string `yaml:"dates"`
	// Years: even or odd ones only.
	Years string `yaml:"years"`
	// ExceptYears are those in which it is not kept on this day.
	ExceptYears []int `yaml:"except_years"`
	// EffectiveFrom and EffectiveTo are the first and the last day on which it can
	// fall, YYYY-MM-DD; empty: no bound is known.
	EffectiveFrom string `yaml:"effective_from"`
	EffectiveTo   string `yaml:"effective_to"`
	Weekend       `yaml:",inline"`
}

// Set is a set of calendars by id. It never changes.
type Set struct {
	list  []*Calendar
	outer *Set
}

// Get finds a calendar; nil if there is none.
func (s *Set) Get(id string) *Calendar {
	for ; s != nil; s = s.outer {
		for _, c := range s.list {
			if c.ID == id {
				return c
			}
		}
	}
	return nil
}

// All lists the set's own calendars, in the order they were written.
func (s *Set) All() []*Calendar { return slices.Clone(s.list) }

// NewSet reads the calendars of a pack and gives every fault it finds, by paths
// like "[0].holidays[3].when". They may include each other and those of outer (nil:
// none), and may not take the name of one of those.
func NewSet(specs []Spec, outer *Set) (*Set, []Problem) {
	b := &builder{set: &Set{outer: outer}}
	for i := range specs {
		b.calendar(fmt.Sprintf("[%d]", i), &specs[i])
	}
	for i := range specs {
		b.include(fmt.Sprintf("[%d].includes", i), b.set.list[i], specs[i].Includes)
	}
	for i, c := range b.set.list {
		if c.reaches(c, map[*Calendar]bool{}) {
			b.bad(fmt.Sprintf("[%d].includes", i), "leads back to %q itself", c.ID)
		}
	}
	if len(b.problems) > 0 {
		return nil, b.problems
	}
	return b.set, nil
}

type builder struct {
	set      *Set
	problems []Problem
}

func (b *builder) bad(path, format string, args ...any) {
	b.problems = append(b.problems, Problem{path, fmt.Errorf(format, args...)})
}

var idPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)

func (b *builder) calendar(path string, s *Spec) {
	switch {
	case !idPattern.MatchString(s.ID):
		b.bad(path+".id", "must match [a-z0-9-]{1,64}")
	case b.set.Get(s.ID) != nil:
		b.bad(path+".id", "%q is a calendar already: include it, or take another name", s.ID)
	}
	if strings.TrimSpace(s.Title) == "" {
		b.bad(path+".title", "is missing")
	}
	if strings.TrimSpace(s.Citation) == "" {
		b.bad(path+".citation", "is missing: a calendar without a source is an opinion")
	}
	if s.Confidence != "verified" && s.Confidence != "secondary" {
		b.bad(path+".confidence", "must be verified or secondary")
	}
	if len(s.Holidays)+len(s.Includes) == 0 {
		b.bad(path+".holidays", "is missing, and no calendar is included: it would have no holiday")
	}
	c := &Calendar{ID: s.ID, Title: s.Title, Citation: s.Citation, Confidence: s.Confidence}
	b.weekend(path, s.Weekend)
	for i := range s.Holidays {
		c.rules = append(c.rules, b.holiday(fmt.Sprintf("%s.holidays[%d]", path, i), s, &s.Holidays[i]))
	}
	b.set.list = append(b.set.list, c)
}

func (b *builder) weekend(path string, w Weekend) {
	for _, f := range []struct{ name, value string }{{".saturday", w.Saturday}, {".sunday", w.Sunday}} {
		if f.value != "" && !slices.Contains(shifts, shift(f.value)) {
			b.bad(path+f.name, "%q must be one of %v", f.value, shifts)
		}
	}
}

func (b *builder) holiday(path string, s *Spec, h *HolidaySpec) rule {
	r := rule{name: strings.TrimSpace(h.Name), every: h.Years, exceptYears: h.ExceptYears}
	if r.name == "" {
		b.bad(path+".name", "is missing")
	}
	b.days(path, h, &r)
	b.bounds(path, h, &r)
	b.weekend(path, h.Weekend)
	r.saturday = shift(first(h.Saturday, s.Saturday, string(shiftNone)))
	r.sunday = shift(first(h.Sunday, s.Sunday, string(shiftNone)))
	r.keepActual = true
	for _, keep := range []*bool{h.KeepActual, s.KeepActual} {
		if keep != nil {
			r.keepActual = *keep
			break
		}
	}
	if r.dates != nil { // as they stand
		r.saturday, r.sunday = shiftNone, shiftNone
	}
	return r
}

// days reads when or dates, one of them.
func (b *builder) days(path string, h *HolidaySpec, r *rule) {
	if h.Dates == nil {
		w, err := parseWhen(h.When)
		if err != nil {
			b.bad(path+".when", "%w", err)
		}
		r.when = &w
		return
	}
	if h.When != "" || h.Years != "" || h.ExceptYears != nil || h.Weekend != (Weekend{}) {
		b.bad(path+".dates", "stand for themselves: without when, years, except_years, saturday, sunday, keep_actual")
	}
	for i, text := range h.Dates {
		d, err := ParseDate(text)
		switch {
		case err != nil:
			b.bad(fmt.Sprintf("%s.dates[%d]", path, i), "%w", err)
		case slices.Contains(r.dates, d):
			b.bad(fmt.Sprintf("%s.dates[%d]", path, i), "%s is named twice", d)
		}
		r.dates = append(r.dates, d)
	}
	if len(h.Dates) == 0 {
		b.bad(path+".dates", "is empty")
	}
}

// bounds reads in which years a holiday is kept.
func (b *builder) bounds(path string, h *HolidaySpec, r *rule) {
	r.from, r.to = MinDate, MaxDate
	for _, f := range []struct {
		name, text string
		to         *Date
	}{{".effective_from", h.EffectiveFrom, &r.from}, {".effective_to", h.EffectiveTo, &r.to}} {
		if f.text == "" {
			continue
		}
		d, err := ParseDate(f.text)
		if err != nil {
			b.bad(path+f.name, "%w, or absent", err)
			continue
		}
		*f.to = d
	}
	if r.to < r.from {
		b.bad(path+".effective_to", "is before effective_from")
	}
	if h.Years != "" && h.Years != "even" && h.Years != "odd" {
		b.bad(path+".years", "%q must be even or odd, or absent", h.Years)
	}
	for i, y := range h.ExceptYears {
		if y < 1900 || y > 2200 {
			b.bad(fmt.Sprintf("%s.except_years[%d]", path, i), "%d must be a year from 1900 to 2200", y)
		}
	}
}

func (b *builder) include(path string, c *Calendar, ids []string) {
	for i, id := range ids {
		other := b.set.Get(id)
		switch {
		case other == nil:
			b.bad(fmt.Sprintf("%s[%d]", path, i), "no calendar is called %q", id)
		case slices.Contains(c.includes, other):
			b.bad(fmt.Sprintf("%s[%d]", path, i), "%q is named twice", id)
		default:
			c.includes = append(c.includes, other)
		}
	}
}

// reaches tells whether one calendar includes another, at whatever remove.
func (c *Calendar) reaches(target *Calendar, seen map[*Calendar]bool) bool {
	for _, next := range c.includes {
		if next == target {
			return true
		}
		if !seen[next] {
			seen[next] = true
			if next.reaches(target, seen) {
				return true
			}
		}
	}
	return false
}

// first is the first text that is not empty.
func first(texts ...string) string {
	i := slices.IndexFunc(texts, func(s string) bool { return s != "" })
	return texts[i]
}
