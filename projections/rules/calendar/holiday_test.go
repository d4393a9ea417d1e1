package calendar

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "rewrite testdata")

func sharedSet(t testing.TB) *Set {
	t.Helper()
	s, err := Shared()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// get finds a shared calendar.
func get(t testing.TB, id string) *Calendar {
	t.Helper()
	c := sharedSet(t).Get(id)
	if c == nil {
		t.Fatalf("no calendar is called %s", id)
	}
	return c
}

// written reads one calendar from the rows of its holidays and what stands above them.
func written(t testing.TB, text string) *Calendar {
	t.Helper()
	s, err := Parse("test.yaml", []byte("calendars:\n- {id: test, title: T, citation: C, confidence: secondary, "+text+"}"))
	if err != nil {
		t.Fatal(err)
	}
	return s.Get("test")
}

// TestConformance are the days that the conformance cases name.
func TestConformance(t *testing.T) {
	for _, c := range []struct {
		id, date, calendar string
		want               bool
	}{
		{"UST-204", "2026-07-06", "us-ri", true},
		{"UST-205", "2026-11-03", "us-ri", true},
		{"the year after UST-205", "2027-11-02", "us-ri", false},
		{"Victory Day", "2026-08-10", "us-ri", true},
		{"UST-207", "2026-07-03", "us-ut", true},
		{"Utah keeps Juneteenth on a Monday", "2026-06-15", "us-ut", true},
		{"and not on the day", "2026-06-19", "us-ut", false},
		{"Pioneer Day", "2026-07-24", "us-ut", true},
		{"Pioneer Day on a Saturday", "2027-07-23", "us-ut", true},
		{"Good Friday before the law", "2026-04-03", "us-ut", false},
		{"Good Friday under it", "2027-03-26", "us-ut", true},
		{"UST-208", "2026-07-03", "us-al", true},
		{"UST-081", "2026-11-26", "us-al", true},
		{"Mardi Gras, most of Alabama", "2026-02-17", "us-al", false},
		{"Mardi Gras, Mobile", "2026-02-17", "us-al-mobile-baldwin", true},
		{"UST-210", "2026-02-17", "us-la", true},
		{"UST-091", "2026-11-26", "us-la", true},
		{"Good Friday", "2026-04-03", "us-la", true},
		{"All Saints", "2027-11-01", "us-la", true},
		{"UST-076", "2026-04-03", "us-pa", true},
		{"Flag Day", "2027-06-14", "us-pa", true},
		{"UST-088", "2022-09-05", "us-ms", true},
		{"ESP-006", "2026-12-25", "es", true},
		{"AUS-008", "2026-12-25", "au", true},
		{"Boxing Day's Monday", "2026-12-28", "au", true},
		{"no Juneteenth yet", "2020-06-19", "us-federal", false},
		{"the first Juneteenth's Friday", "2021-06-18", "us-federal", true},
		{"the Tuesday after a Sunday Christmas", "2022-12-27", "gb-eng", true},
		{"Victoria Day", "2026-05-18", "ca-federal", true},
		{"a working day", "2026-11-23", "us-federal", false},
	} {
		if _, got := get(t, c.calendar).Holiday(date(t, c.date)); got != c.want {
			t.Errorf("%s: %s in %s is a holiday: %v, want %v", c.id, c.date, c.calendar, got, c.want)
		}
	}
}

func TestAddBusinessDays(t *testing.T) {
	federal := get(t, "us-federal")
	for _, c := range []struct {
		from string
		n    int
		want string
	}{
		{"2026-11-23", 10, "2026-12-08"},
		{"2026-12-18", 10, "2027-01-05"},
		{"2026-11-03", 10, "2026-11-18"},
		{"2026-11-25", 1, "2026-11-27"}, // Thanksgiving between
		{"2026-11-27", 1, "2026-11-30"},
		{"2026-11-28", 1, "2026-11-30"}, // received on a Saturday
		{"2026-07-02", 1, "2026-07-06"}, // the Friday stands for Saturday the 4th
		{"2027-12-30", 1, "2028-01-03"}, // and for New Year of the next year
		{"2026-11-23", 0, "2026-11-23"},
		{"2026-11-23", -3, "2026-11-23"},
	} {
		if got := AddBusinessDays(date(t, c.from), c.n, federal).String(); got != c.want {
			t.Errorf("%s and %d business days is %s, want %s", c.from, c.n, got, c.want)
		}
	}
	if got := AddBusinessDays(date(t, "2026-12-24"), 1, nil).String(); got != "2026-12-25" {
		t.Errorf("without a calendar only weekends count: %s", got)
	}
}

func TestSubstitutes(t *testing.T) {
	// 2026-07-04 is a Saturday, 2027-07-04 a Sunday, 2028-07-04 a Tuesday.
	for _, c := range []struct{ rule, want string }{
		{``, "2026-07-04 2027-07-04 2028-07-04"},
		{`saturday: none, sunday: none`, "2026-07-04 2027-07-04 2028-07-04"},
		{`saturday: friday, sunday: monday`, "2026-07-03 2026-07-04 2027-07-04 2027-07-05 2028-07-04"},
		{`saturday: monday, sunday: friday`, "2026-07-04 2026-07-06 2027-07-02 2027-07-04 2028-07-04"},
		{`saturday: both, sunday: both`, "2026-07-03 2026-07-04 2026-07-06 2027-07-02 2027-07-04 2027-07-05 2028-07-04"},
		{`saturday: next_free, sunday: next_free`, "2026-07-04 2026-07-06 2027-07-04 2027-07-05 2028-07-04"},
		{`saturday: friday, sunday: monday, keep_actual: false`, "2026-07-03 2027-07-05 2028-07-04"},
		{`saturday: friday, keep_actual: false`, "2026-07-03 2027-07-04 2028-07-04"},
	} {
		above, row := written(t, `holidays: [{name: H, when: 07-04}], `+strings.TrimPrefix(c.rule+`, note: x`, ", ")), written(t, `holidays: [{`+strings.TrimPrefix(c.rule+`, name: H, when: 07-04`, ", ")+`}]`)
		for _, cal := range []*Calendar{above, row} {
			if got := days(cal, 2026, 2028); got != c.want {
				t.Errorf("%s: %s, want %s", c.rule, got, c.want)
			}
		}
	}
	own := written(t, `saturday: friday, keep_actual: false, holidays: [{name: H, when: 07-04, saturday: none}, {name: K, when: 07-04, saturday: monday, keep_actual: true}]`)
	if got, want := days(own, 2026, 2026), "2026-07-04 2026-07-06"; got != want {
		t.Errorf("a row has its own rule: %s, want %s", got, want)
	}
}

// days lists the holidays of some years.
func days(c *Calendar, from, to int) string {
	var out []string
	for y := from; y <= to; y++ {
		for _, h := range c.Year(y) {
			out = append(out, h.Date.String())
		}
	}
	return strings.Join(out, " ")
}

// TestSubstituteOfTheNextYear: New Year of 2028 is a Saturday, so 2027 ends with it.
func TestSubstituteOfTheNextYear(t *testing.T) {
	c := written(t, `saturday: friday, sunday: friday, holidays: [{name: New Year, when: 01-01, effective_from: 2028-01-01}, {name: Eve, when: 12-31, saturday: monday, sunday: monday, effective_to: 2022-12-31}]`)
	for d, want := range map[string]string{
		"2027-12-31": "New Year (observed)",
		"2022-12-31": "Eve",
		"2023-01-02": "Eve (observed)",
		"2023-01-01": "", // not yet in force
		"2022-12-30": "",
	} {
		if got, _ := c.Holiday(date(t, d)); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
}

// TestNextFree: substitutes do not take each other's place, nor an included day's.
func TestNextFree(t *testing.T) {
	s, err := Parse("test.yaml", []byte(`
calendars:
- {id: a, title: T, citation: C, confidence: verified, holidays: [{name: Taken, when: 12-28}]}
- id: b
  title: T
  citation: C
  confidence: verified
  includes: [a]
  saturday: next_free
  sunday: next_free
  holidays: [{name: Boxing, when: 12-26}, {name: Christmas, when: 12-25}]`))
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(s.Get("b").Year(2027)) // 25 December 2027 is a Saturday
	want := "[{2027-12-25 Christmas} {2027-12-26 Boxing} {2027-12-27 Christmas (observed)} {2027-12-28 Taken} {2027-12-29 Boxing (observed)}]"
	if got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestBounds(t *testing.T) {
	c := written(t, `holidays: [
		{name: Bounded, when: 06-19, effective_from: 2021-06-19, effective_to: 2023-06-19},
		{name: Even, when: 08-01, years: even},
		{name: Odd, when: 08-02, years: odd, except_years: [2023]},
		{name: Once, dates: [2022-08-06, 2024-02-29]},
		{name: Late, dates: [2022-03-03, 2023-03-03], effective_from: 2023-01-01}]`)
	want := "2020-08-01 2021-06-19 2021-08-02 2022-06-19 2022-08-01 2022-08-06 2023-03-03 2023-06-19 2024-02-29 2024-08-01"
	if got := days(c, 2020, 2024); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestIncludes(t *testing.T) {
	s, err := Parse("test.yaml", []byte(`
calendars:
- {id: c, title: T, citation: C, confidence: verified, includes: [b, a]}
- {id: b, title: T, citation: C, confidence: verified, includes: [a], holidays: [{name: Ours, when: 07-04}]}
- {id: a, title: T, citation: C, confidence: verified, saturday: friday, holidays: [{name: Theirs, when: 07-04}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(s.Get("c").Year(2026)), "[{2026-07-03 Theirs (observed)} {2026-07-04 Ours}]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	pack, problems := NewSet([]Spec{{ID: "x", Title: "T", Citation: "C", Confidence: "verified", Includes: []string{"us-federal"}}}, sharedSet(t))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if _, is := pack.Get("x").Holiday(date(t, "2026-11-26")); !is || pack.Get("us-ut") == nil || len(pack.All()) != 1 {
		t.Errorf("a pack sees the shared calendars")
	}
	var none *Set
	if none.Get("us-ut") != nil {
		t.Errorf("no set holds nothing")
	}
}

func TestNewSetRefuses(t *testing.T) {
	const good = "{id: a, title: T, citation: C, confidence: verified, holidays: [{name: H, when: 01-01}]}"
	row := func(h string) string {
		return "[{id: b, title: T, citation: C, confidence: verified, holidays: [{name: H, when: 01-01}, {" + h + "}]}]"
	}
	for _, c := range []struct{ text, want string }{
		{`[{id: B, title: T, citation: C, confidence: verified, holidays: [{name: H, when: 01-01}]}]`, `calendars[0].id: must match`},
		{`[` + good + `,` + good + `]`, `calendars[1].id: "a" is a calendar already`},
		{`[{id: b, holidays: [{name: H, when: 01-01}]}]`, `calendars[0].title: is missing`},
		{`[{id: b, title: T, holidays: [{name: H, when: 01-01}]}]`, `calendars[0].citation: is missing`},
		{`[{id: b, title: T, citation: C, confidence: sure, holidays: [{name: H, when: 01-01}]}]`, `calendars[0].confidence: must be verified or secondary`},
		{`[{id: b, title: T, citation: C, confidence: verified}]`, `calendars[0].holidays: is missing`},
		{`[{id: b, title: T, citation: C, confidence: verified, includes: [z]}]`, `calendars[0].includes[0]: no calendar is called "z"`},
		{`[{id: b, title: T, citation: C, confidence: verified, includes: [b]}]`, `calendars[0].includes: leads back to "b" itself`},
		{`[{id: b, title: T, citation: C, confidence: verified, includes: [c]}, {id: c, title: T, citation: C, confidence: verified, includes: [b]}]`, `calendars[1].includes: leads back to "c" itself`},
		{`[` + good + `, {id: b, title: T, citation: C, confidence: verified, includes: [a, a]}]`, `calendars[1].includes[1]: "a" is named twice`},
		{`[{id: b, title: T, citation: C, confidence: verified, saturday: sunday, holidays: [{name: H, when: 01-01}]}]`, `calendars[0].saturday: "sunday" must be one of`},
		{row(`when: 01-01`), `calendars[0].holidays[1].name: is missing`},
		{row(`name: H`), `calendars[0].holidays[1].when: is missing`},
		{row(`name: H, when: 02-29`), `calendars[0].holidays[1].when: "02-29": is no day of every year`},
		{row(`name: H, when: 01-02, dates: [2026-01-01]`), `calendars[0].holidays[1].dates: stand for themselves`},
		{row(`name: H, dates: [2026-01-01], sunday: monday`), `calendars[0].holidays[1].dates: stand for themselves`},
		{row(`name: H, dates: [2026-01-01], years: even`), `calendars[0].holidays[1].dates: stand for themselves`},
		{row(`name: H, dates: []`), `calendars[0].holidays[1].dates: is empty`},
		{row(`name: H, dates: [2026-01-01, 2026-02-29]`), `calendars[0].holidays[1].dates[1]: "2026-02-29" must be a day that exists`},
		{row(`name: H, dates: [2026-01-01, 2026-01-01]`), `calendars[0].holidays[1].dates[1]: 2026-01-01 is named twice`},
		{row(`name: H, when: 01-02, effective_from: 2026-06-31`), `calendars[0].holidays[1].effective_from: "2026-06-31" must be a day that exists`},
		{row(`name: H, when: 01-02, effective_from: 2026-02-01, effective_to: 2026-01-31`), `calendars[0].holidays[1].effective_to: is before effective_from`},
		{row(`name: H, when: 01-02, years: leap`), `calendars[0].holidays[1].years: "leap" must be even or odd`},
		{row(`name: H, when: 01-02, except_years: [26]`), `calendars[0].holidays[1].except_years[0]: 26 must be a year`},
		{row(`name: H, when: 01-02, sunday: next`), `calendars[0].holidays[1].sunday: "next" must be one of`},
		{row(`name: H, when: 01-02, sundays: monday`), `unknown field "sundays"`},
	} {
		s, err := Parse("test.yaml", []byte("calendars: "+c.text))
		if s != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s:\n%v\nwant %s", c.text, err, c.want)
		}
	}
}

// TestYears: the years that are kept, those that are not, and the edges between.
func TestYears(t *testing.T) {
	c := get(t, "us-federal")
	for y := cachedFrom - 3; y <= cachedFrom+cachedYears+3; y++ {
		got := c.Year(y)
		for range 2 {
			if again := c.Year(y); !slices.Equal(again, got) {
				t.Fatalf("%d: %v, then %v", y, got, again)
			}
		}
		if _, is := c.Holiday(On(y, 12, 25)); !is {
			t.Errorf("%d has no Christmas", y)
		}
	}
	for _, d := range []Date{On(-400, 2, 29), On(9999, 12, 31)} {
		c.Holiday(d)
	}
}

func TestNext(t *testing.T) {
	for _, c := range []struct{ from, calendar, want string }{
		{"2026-11-23", "us-federal", "2026-11-26 Thanksgiving Day"},
		{"2026-11-26", "us-federal", "2026-12-25 Christmas Day"},
		{"2027-12-25", "us-federal", "2027-12-31 New Year's Day (observed)"},
	} {
		d, name, ok := get(t, c.calendar).Next(date(t, c.from))
		if got := d.String() + " " + name; !ok || got != c.want {
			t.Errorf("after %s: %s, want %s", c.from, got, c.want)
		}
	}
	over := written(t, `holidays: [{name: H, dates: [2026-01-01]}]`)
	if d, name, ok := over.Next(date(t, "2026-01-01")); ok {
		t.Errorf("a calendar that has ended goes on with %s %s", d, name)
	}
	if _, _, ok := (*Calendar)(nil).Next(0); ok {
		t.Errorf("no calendar has a holiday")
	}
}

// TestMovedByHand: rows that a phrase cannot say are dates, and must agree with
// what the statute says of every year.
func TestMovedByHand(t *testing.T) {
	ie, nl := get(t, "ie"), get(t, "nl")
	kept := func(c *Calendar, d Date, name string) bool { got, _ := c.Holiday(d); return got == name }
	for y := 2023; y <= 2069; y++ {
		first := On(y, 2, 1)
		want := first + Date((7+time.Monday-first.Weekday())%7)
		if first.Weekday() == time.Friday {
			want = first
		}
		for d := first; d < first+8; d++ {
			if kept(ie, d, "St Brigid's Day") != (d == want) {
				t.Errorf("St Brigid's Day of %d is %s", y, want)
			}
		}
	}
	for y := 2014; y <= 2063; y++ {
		want := On(y, 4, 27)
		if want.Weekday() == time.Sunday {
			want--
		}
		for d := On(y, 4, 24); d < On(y, 4, 30); d++ {
			if kept(nl, d, "Koningsdag") != (d == want) {
				t.Errorf("Koningsdag of %d is %s", y, want)
			}
		}
	}
}

// TestUtahJuneteenth: the third Monday of June is what Utah's two sentences about
// the weekday of the 19th come to.
func TestUtahJuneteenth(t *testing.T) {
	c := get(t, "us-ut")
	for y := 2022; y < 2099; y++ {
		d := On(y, 6, 19)
		switch w := d.Weekday(); w {
		case time.Saturday:
			d += 2
		case time.Sunday:
			d++
		default:
			d -= Date(w - time.Monday)
		}
		if name, is := c.Holiday(d); !is || d.Weekday() != time.Monday {
			t.Errorf("%s: %q", d, name)
		}
	}
}

// TestBusinessDaysCount: between a date and its n-th business day lie n of them.
func TestBusinessDaysCount(t *testing.T) {
	all := sharedSet(t).All()
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.SampledFrom(all).Draw(t, "calendar")
		from, n := drawDate(t, 1975, 2070), rapid.IntRange(1, 40).Draw(t, "n")
		to, count := AddBusinessDays(from, n, c), 0
		for d := from + 1; d <= to; d++ {
			_, holiday := c.Holiday(d)
			if d.Weekday() != time.Saturday && d.Weekday() != time.Sunday && !holiday {
				count++
			}
		}
		if count != n || !c.BusinessDay(to) {
			t.Fatalf("from %s to %s are %d business days, want %d", from, to, count, n)
		}
	})
}

// TestConcurrentYears lets many ask for the same new years at once.
func TestConcurrentYears(t *testing.T) {
	c := written(t, `saturday: friday, holidays: [{name: H, when: 07-04}]`)
	want := days(written(t, `saturday: friday, holidays: [{name: H, when: 07-04}]`), 1990, 2040)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if got := days(c, 1990, 2040); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		})
	}
	wg.Wait()
}

func TestHolidayAllocatesNothing(t *testing.T) {
	c, d := get(t, "us-ri"), date(t, "2026-07-06")
	c.Holiday(d)
	if n := testing.AllocsPerRun(100, func() { c.Holiday(d); c.Holiday(d + 1) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestShared compares two years of every shared calendar with a page that a person
// has read: `go test ./projections/rules/calendar -update` rewrites it.
func TestShared(t *testing.T) {
	var b strings.Builder
	for _, c := range sharedSet(t).All() {
		fmt.Fprintf(&b, "%s: %s (%s)\n", c.ID, c.Title, c.Confidence)
		for y := 2026; y <= 2027; y++ {
			for _, h := range c.Year(y) {
				fmt.Fprintf(&b, "  %s %.3s  %s\n", h.Date, h.Date.Weekday(), h.Name)
			}
		}
	}
	const page = "testdata/shared.txt"
	if *update {
		if err := os.WriteFile(page, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("shared calendars are not what %s says (-page +calendars):\n%s", page, diff)
	}
	if len(SharedSHA256()) != 64 {
		t.Errorf("hash %q", SharedSHA256())
	}
}

// FuzzParse: whatever a seller's pack holds, it is read or refused.
func FuzzParse(f *testing.F) {
	f.Add([]byte("calendars: [{id: a, title: T, citation: C, confidence: verified, holidays: [{name: H, when: easter - 2}]}]"))
	f.Add([]byte("calendars: !!a\n- {id"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := Parse("fuzz.yaml", raw)
		if (s == nil) == (err == nil) {
			t.Fatalf("%v, %v", s, err)
		}
		if err == nil {
			for _, c := range s.All() {
				c.Year(2026)
				AddBusinessDays(On(2026, 12, 24), 10, c)
			}
		}
	})
}

func BenchmarkHoliday(b *testing.B) {
	c, d := get(b, "us-ri"), date(b, "2026-07-06")
	b.ReportAllocs()
	for b.Loop() {
		if _, is := c.Holiday(d); !is {
			b.Fatal("no holiday")
		}
	}
}

func BenchmarkAddBusinessDays(b *testing.B) {
	c, d := get(b, "us-federal"), date(b, "2026-11-23")
	b.ReportAllocs()
	for b.Loop() {
		AddBusinessDays(d, 10, c)
	}
}

func BenchmarkReckonYear(b *testing.B) {
	c := get(b, "us-ri")
	b.ReportAllocs()
	for b.Loop() {
		c.reckon(2026)
	}
}
