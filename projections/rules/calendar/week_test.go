package calendar

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

// week reads a window as a pack writes it.
func week(t testing.TB, text string) *Week {
	t.Helper()
	var rows []Hours
	if err := yaml.NewDecoder(strings.NewReader(text), yaml.Strict()).Decode(&rows); err != nil {
		t.Fatal(err)
	}
	w, problems := NewWeek(rows)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return w
}

const (
	france = `[{days: mon-fri, from: "10:00", to: "13:00"}, {days: [mon-fri], from: "14:00", to: "20:00"}]`
	canada = `[{days: mon-fri, from: "09:00", to: "21:30"}, {days: [sat, sun], from: "10:00", to: "18:00"}]`
	always = `[{days: mon-sun, from: "00:00", to: "24:00"}]`
)

func TestAt(t *testing.T) {
	paris := zone(t, "Europe/Paris")
	for _, c := range []struct {
		week, local string
		want        State
	}{
		{france, "2026-11-23T09:59:59.999999999", Closed},
		{france, "2026-11-23T10:00:00", Open},
		{france, "2026-11-23T13:00:00", Open},
		{france, "2026-11-23T13:00:00.000000001", Closed},
		{france, "2026-11-23T13:59:59.999999999", Closed},
		{france, "2026-11-23T14:00:00", Open},
		{france, "2026-11-27T20:00:00", Open},
		{france, "2026-11-27T20:00:00.000000001", Closed},
		{france, "2026-11-27T23:59:59.999999999", Closed},
		{france, "2026-11-28T00:00:00", ClosedDay},
		{france, "2026-11-29T12:00:00", ClosedDay},
		{france, "2026-11-30T00:00:00", Closed},
		{canada, "2026-11-23T21:30:00", Open},
		{canada, "2026-11-23T21:30:00.000000001", Closed},
		{canada, "2026-11-29T18:00:00", Open},
		{canada, "2026-11-29T09:59:00", Closed},
		{always, "2026-11-23T00:00:00", Open},
		{always, "2026-11-23T23:59:59.999999999", Open},
		{`[{days: [mon], from: "20:00", to: "24:00"}]`, "2026-11-23T23:59:59.999999999", Open},
		{`[{days: [mon], from: "20:00", to: "24:00"}]`, "2026-11-24T00:00:00", ClosedDay},
		{`[{days: [mon, tue], from: "20:00", to: "24:00"}]`, "2026-11-24T00:00:00", Closed},
		{`[{days: [sun], from: "00:00", to: "00:01"}]`, "1969-12-28T00:01:00", Open},
	} {
		local, err := time.ParseInLocation("2006-01-02T15:04:05.999999999", c.local, paris)
		if err != nil {
			t.Fatal(err)
		}
		if got := week(t, c.week).At(local); got != c.want {
			t.Errorf("%s at %s is %s, want %s", c.week, c.local, got, c.want)
		}
	}
	if got := new(Week).At(time.Now()); got != ClosedDay {
		t.Errorf("a week that nobody wrote is %s", got)
	}
}

func TestNewWeekRefuses(t *testing.T) {
	for _, c := range []struct{ rows, want string }{
		{`[]`, `: is missing`},
		{`[{from: "10:00", to: "13:00"}]`, `[0].days: is missing`},
		{`[{days: [mon, lundi], from: "10:00", to: "13:00"}]`, `[0].days: "lundi" is no day`},
		{`[{days: Mon, from: "10:00", to: "13:00"}]`, `[0].days: "Mon" is no day`},
		{`[{days: fri-mon, from: "10:00", to: "13:00"}]`, `[0].days: "fri-mon" must run forwards`},
		{`[{days: mon-mon, from: "10:00", to: "13:00"}]`, `[0].days: "mon-mon" must run forwards`},
		{`[{days: mon-, from: "10:00", to: "13:00"}]`, `[0].days: "mon-" is no day`},
		{`[{days: mon-wed-fri, from: "10:00", to: "13:00"}]`, `[0].days: "mon-wed-fri" is no day`},
		{`[{days: [mon-fri, wed], from: "10:00", to: "13:00"}]`, `[0].days: wed is named twice`},
		{`[{days: mon, to: "13:00"}]`, `[0].from: "" must be`},
		{`[{days: mon, from: "9:00", to: "13:00"}]`, `[0].from: "9:00" must be`},
		{`[{days: mon, from: "24:00", to: "24:00"}]`, `[0].from: "24:00" must be`},
		{`[{days: mon, from: "10:00", to: "24:01"}]`, `[0].to: "24:01" must be`},
		{`[{days: mon, from: "10:00", to: "10:60"}]`, `[0].to: "10:60" must be`},
		{`[{days: mon, from: "10:00", to: "10:00"}]`, `[0].to: 10:00 is not after from`},
		{`[{days: mon, from: "20:00", to: "08:00"}]`, `over midnight is two rows`},
		{`[{days: mon, from: "00:00", to: "00:00"}]`, `[0].to: 00:00 is not after from`},
		{`[{days: mon, from: "10:00", to: "13:00"}, {days: mon-fri, from: "12:59", to: "14:00"}]`, `[1]: overlaps or touches another row on mon`},
		{`[{days: mon, from: "10:00", to: "13:00"}, {days: mon, from: "13:00", to: "14:00"}]`, `[1]: overlaps or touches`},
		{`[{days: mon, from: "10:00", to: "13:00"}, {days: mon, from: "08:00", to: "20:00"}]`, `[1]: overlaps or touches`},
	} {
		var rows []Hours
		if err := yaml.Unmarshal([]byte(c.rows), &rows); err != nil {
			t.Fatal(c.rows, err)
		}
		w, problems := NewWeek(rows)
		if w != nil || !strings.Contains(fmt.Sprint(problems), c.want) {
			t.Errorf("%s: %v, want %q", c.rows, problems, c.want)
		}
	}
	_, problems := NewWeek([]Hours{{}, {Days: Days{"x"}, From: "y", To: "z"}})
	if len(problems) != 6 {
		t.Errorf("all faults are named at once: %v", problems)
	}
}

// TestRowsInAnyOrder: the order in which rows stand means nothing.
func TestRowsInAnyOrder(t *testing.T) {
	a := week(t, france)
	b := week(t, `[{days: [fri, thu, mon-wed], from: "14:00", to: "20:00"}, {days: mon-fri, from: "10:00", to: "13:00"}]`)
	if fmt.Sprint(a) != fmt.Sprint(b) {
		t.Errorf("%v and %v", a, b)
	}
}

func TestParseClock(t *testing.T) {
	if loc, err := ParseClock("local"); err != nil || loc != nil {
		t.Errorf("local: %v, %v", loc, err)
	}
	for s, want := range map[string]int{"-06:00": -21600, "+05:30": 19800, "+00:00": 0, "+14:00": 50400, "-12:00": -43200} {
		loc, err := ParseClock(s)
		if err != nil {
			t.Fatal(err)
		}
		for _, month := range []time.Month{1, 7} {
			if name, off := time.Date(2026, month, 1, 0, 0, 0, 0, loc).Zone(); off != want || name != s {
				t.Errorf("%s in month %d is %q, %d s", s, month, name, off)
			}
		}
	}
	for _, bad := range []string{"", "Local", "CST", "America/Chicago", "-6", "-0600", "-06:00:00", "06:00", "-06:60", "+14:01", "-24:00", "Z"} {
		if loc, err := ParseClock(bad); err == nil {
			t.Errorf("%q is read as %v", bad, loc)
		}
	}
}
