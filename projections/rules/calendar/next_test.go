package calendar

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// drawWeek makes a week whose edges love the small hours, in which clocks are moved.
func drawWeek(t *rapid.T) *Week {
	var rows []Hours
	for len(rows) == 0 {
		for _, day := range dayWords {
			for from := 0; from < 24*4; {
				gap := rapid.SampledFrom([]int{0, 1, 2, 4, 6, 9, 40, 96}).Draw(t, "gap")
				long := rapid.SampledFrom([]int{1, 2, 3, 5, 20, 96}).Draw(t, "length")
				open, end := from+gap, min(from+gap+long, 24*4)
				if open >= end {
					break
				}
				clock := func(q int) string { return fmt.Sprintf("%02d:%02d", q/4, q%4*15) }
				rows = append(rows, Hours{Days{day}, clock(open), clock(end)})
				from = end + 1
			}
		}
	}
	w, problems := NewWeek(rows)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return w
}

// drawInstant prefers the hours around a move of the clocks.
func drawInstant(t *rapid.T, loc *time.Location) time.Time {
	at := time.Unix(rapid.Int64Range(On(1975, 1, 1).Start(time.UTC).Unix(), On(2070, 1, 1).Start(time.UTC).Unix()).Draw(t, "instant"), 0)
	if _, moved := at.In(loc).ZoneBounds(); !moved.IsZero() && rapid.IntRange(0, 3).Draw(t, "near") > 0 {
		at = moved.Add(time.Duration(rapid.IntRange(-36*60, 36*60).Draw(t, "minutes")) * time.Minute)
	}
	return at.Add(rapid.SampledFrom([]time.Duration{0, 0, 1, -1, time.Second}).Draw(t, "ns"))
}

// instants are all from t on at which anything drawn above can change: each minute
// and a nanosecond after it, but for t itself.
func instants(t time.Time, days int, stop func(time.Time) bool) (time.Time, bool) {
	for m := t.Truncate(time.Minute); m.Before(t.AddDate(0, 0, days)); m = m.Add(time.Minute) {
		for _, at := range []time.Time{m, m.Add(1)} {
			if at.After(t) && stop(at) {
				return at, true
			}
		}
	}
	return time.Time{}, false
}

// TestNextChangeIsTheFirst compares with looking at every minute.
func TestNextChangeIsTheFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, loc := drawWeek(t), drawZone(t)
		from := drawInstant(t, loc)
		was := w.At(from.In(loc))
		want, _ := instants(from, weekRepeats, func(at time.Time) bool { return w.At(at.In(loc)) != was })
		if got := w.NextChange(from, loc); !got.Equal(want) {
			t.Fatalf("%v in %s, %s since %s: got %s, want %s", w, loc, was, from.In(loc), got.In(loc), want.In(loc))
		}
	})
}

// TestNextOpenIsTheFirst does too, with some dates closed.
func TestNextOpenIsTheFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, loc := drawWeek(t), drawZone(t)
		from := drawInstant(t, loc)
		every := Date(rapid.IntRange(1, 5).Draw(t, "every"))
		closed := func(d Date) bool { return every > 1 && d%every < every/2 }
		open := func(at time.Time) bool { return w.At(at.In(loc)) == Open && !closed(Of(at, loc)) }
		want, ok := from, open(from)
		if !ok {
			want, ok = instants(from, 40, open)
		}
		got, found := w.NextOpen(from, loc, closed)
		if found && !open(got) {
			t.Fatalf("%v in %s: %s is not open", w, loc, got.In(loc))
		}
		if ok && (!found || !got.Equal(want)) {
			t.Fatalf("%v in %s from %s: got %s, want %s", w, loc, from.In(loc), got.In(loc), want.In(loc))
		}
	})
}

// TestNextOpenAllIsTheFirst: of two weeks in two zones.
func TestNextOpenAllIsTheFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		clocks := []Clock{{drawWeek(t), drawZone(t), nil}, {drawWeek(t), drawZone(t), func(d Date) bool { return d%3 == 0 }}}
		from := drawInstant(t, clocks[0].Zone)
		open := func(at time.Time) bool {
			for _, c := range clocks {
				if c.Week.At(at.In(c.Zone)) != Open || c.Closed != nil && c.Closed(Of(at, c.Zone)) {
					return false
				}
			}
			return true
		}
		want, ok := from, open(from)
		if !ok {
			want, ok = instants(from, 30, open)
		}
		got, found := NextOpenAll(from, clocks)
		if found && !open(got) {
			t.Fatalf("%s is not open", got)
		}
		if ok && (!found || !got.Equal(want)) {
			t.Fatalf("got %v %s, want %s", found, got, want)
		}
	})
}

func TestNextOpen(t *testing.T) {
	christmas := func(d Date) bool { _, m, day := d.Civil(); return m == 12 && day == 25 }
	for _, c := range []struct {
		why, week, zone, from string
		closed                func(Date) bool
		want                  string
	}{
		{"open now", france, "Europe/Paris", "2026-11-23T12:00:00+01:00", nil, "2026-11-23T12:00:00+01:00"},
		{"closing instant", france, "Europe/Paris", "2026-11-23T13:00:00+01:00", nil, "2026-11-23T13:00:00+01:00"},
		{"gap", france, "Europe/Paris", "2026-11-23T13:00:00.000000001+01:00", nil, "2026-11-23T14:00:00+01:00"},
		{"weekend", france, "Europe/Paris", "2026-11-27T20:00:00.000000001+01:00", nil, "2026-11-30T10:00:00+01:00"},
		{"holiday, then weekend", france, "Europe/Paris", "2026-12-24T21:00:00+01:00", christmas, "2026-12-28T10:00:00+01:00"},
		{"in the holiday", france, "Europe/Paris", "2026-12-25T11:00:00+01:00", christmas, "2026-12-28T10:00:00+01:00"},
		{"begins in the skipped hour", `[{days: sun, from: "02:30", to: "05:00"}]`, "America/New_York", "2026-03-08T00:00:00-05:00", nil, "2026-03-08T03:00:00-04:00"},
		{"lies in the skipped hour", `[{days: sun, from: "02:15", to: "02:45"}]`, "America/New_York", "2026-03-08T00:00:00-05:00", nil, "2026-03-15T02:15:00-04:00"},
		{"ends in the repeated hour, first time", `[{days: sun, from: "01:15", to: "01:45"}]`, "America/New_York", "2026-11-01T00:00:00-04:00", nil, "2026-11-01T01:15:00-04:00"},
		{"ends in the repeated hour, again", `[{days: sun, from: "01:15", to: "01:45"}]`, "America/New_York", "2026-11-01T01:50:00-04:00", nil, "2026-11-01T01:15:00-05:00"},
		{"half an hour is skipped", `[{days: sun, from: "02:10", to: "03:00"}]`, "Australia/Lord_Howe", "2026-10-04T00:00:00+10:30", nil, "2026-10-04T02:30:00+11:00"},
		{"midnight is skipped", `[{days: sun, from: "00:00", to: "09:00"}]`, "America/Santiago", "2026-09-05T12:00:00-04:00", nil, "2026-09-06T01:00:00-03:00"},
		{"the date is skipped", `[{days: fri, from: "09:00", to: "17:00"}]`, "Pacific/Apia", "2011-12-29T12:00:00-10:00", nil, "2012-01-06T09:00:00+14:00"},
		{"leap day", `[{days: mon-sun, from: "08:00", to: "21:00"}]`, "UTC", "2028-02-28T22:00:00Z", nil, "2028-02-29T08:00:00Z"},
	} {
		want := at(t, c.want)
		got, ok := week(t, c.week).NextOpen(at(t, c.from), zone(t, c.zone), c.closed)
		if !ok || !got.Equal(want) {
			t.Errorf("%s: got %v %s, want %s", c.why, ok, got, want)
		}
	}
}

func TestNeverOpen(t *testing.T) {
	from := at(t, "2026-11-23T12:00:00Z")
	if got, ok := new(Week).NextOpen(from, time.UTC, nil); ok {
		t.Errorf("a week that nobody wrote opens at %s", got)
	}
	if got, ok := week(t, always).NextOpen(from, time.UTC, func(Date) bool { return true }); ok {
		t.Errorf("a year of closed dates opens at %s", got)
	}
	mondays := Clock{week(t, `[{days: mon, from: "08:00", to: "09:00"}]`), time.UTC, nil}
	later := Clock{week(t, `[{days: mon, from: "09:01", to: "10:00"}]`), time.UTC, nil}
	if got, ok := NextOpenAll(from, []Clock{mondays, later}); ok {
		t.Errorf("two weeks that never meet meet at %s", got)
	}
	if got, ok := NextOpenAll(from, nil); !ok || !got.Equal(from) {
		t.Errorf("no week at all: %v %s", ok, got)
	}
	for _, w := range []*Week{new(Week), week(t, always)} {
		if got := w.NextChange(from, zone(t, "America/Havana")); !got.IsZero() {
			t.Errorf("%v changes at %s", w, got)
		}
	}
}

// TestStandardTimeOnly is Mississippi's statute: central standard time all year,
// read together with the local clock.
func TestStandardTimeOnly(t *testing.T) {
	standard, err := ParseClock("-06:00")
	if err != nil {
		t.Fatal(err)
	}
	w := week(t, `[{days: mon-sat, from: "08:00", to: "20:00"}]`)
	clocks := []Clock{{w, zone(t, "America/Chicago"), nil}, {w, standard, nil}}
	for from, want := range map[string]string{
		"2026-07-13T07:00:00-05:00":           "2026-07-13T09:00:00-05:00",
		"2026-07-13T20:00:00-05:00":           "2026-07-13T20:00:00-05:00",
		"2026-07-13T20:00:00.000000001-05:00": "2026-07-14T09:00:00-05:00",
		"2026-11-23T07:00:00-06:00":           "2026-11-23T08:00:00-06:00",
		"2026-11-21T20:00:00.000000001-06:00": "2026-11-23T08:00:00-06:00",
	} {
		if got, ok := NextOpenAll(at(t, from), clocks); !ok || !got.Equal(at(t, want)) {
			t.Errorf("from %s: %v %s, want %s", from, ok, got, want)
		}
	}
}

func BenchmarkAt(b *testing.B) {
	w, local := week(b, france), at(b, "2026-11-23T14:30:00Z").In(zone(b, "Europe/Paris"))
	b.ReportAllocs()
	for b.Loop() {
		if w.At(local) != Open {
			b.Fatal("closed")
		}
	}
}

func BenchmarkNextChange(b *testing.B) {
	w, paris, from := week(b, france), zone(b, "Europe/Paris"), at(b, "2026-11-27T20:30:00Z")
	b.ReportAllocs()
	for b.Loop() {
		w.NextChange(from, paris)
	}
}

func BenchmarkNextOpenNever(b *testing.B) {
	w, paris, from := week(b, france), zone(b, "Europe/Paris"), at(b, "2026-11-27T20:30:00Z")
	b.ReportAllocs()
	for b.Loop() {
		w.NextOpen(from, paris, func(Date) bool { return true })
	}
}
