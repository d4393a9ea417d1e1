package zones

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestVersion: the release is part of every decision, so that it changes only on purpose.
func TestVersion(t *testing.T) {
	if got := Version(); got != "2026f" {
		t.Errorf("release %q: write the new one here and in README.md, and say in the commit which clocks changed", got)
	}
}

// TestEveryZoneLoads: a zone that is in the archive and cannot be read would block
// everybody who lives there.
func TestEveryZoneLoads(t *testing.T) {
	n := 0
	for name := range archive() {
		if name == versionFile {
			continue
		}
		n++
		l, err := Load(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if l.String() != name {
			t.Errorf("%s calls itself %s", name, l)
		}
	}
	if n < 590 {
		t.Errorf("%d zones, expected about 600", n)
	}
}

func TestUnknownNames(t *testing.T) {
	for _, name := range []string{"", "Local", "local", versionFile, "Factory", "America/Nowhere", "america/new_york", "/etc/localtime",
		"../VERSION", "America", "America/", "EST6"} {
		l, err := Load(name)
		if !errors.Is(err, ErrUnknown) || l != nil {
			t.Errorf("%q: %v, %v", name, l, err)
		}
		if err != nil && !strings.Contains(err.Error(), "America/New_York") {
			t.Errorf("%q: %v names no fix", name, err)
		}
	}
}

// TestNotTheMachines: no setting of the machine reaches a zone.
func TestNotTheMachines(t *testing.T) {
	t.Setenv("ZONEINFO", t.TempDir())
	t.Setenv("TZ", "Asia/Tokyo")
	l, err := Load("America/Vancouver")
	if err != nil {
		t.Fatal(err)
	}
	if got := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC).In(l).Format("15:04 -0700"); got != "05:00 -0700" {
		t.Errorf("noon UTC is %s in Vancouver, want 05:00 -0700: permanent since March 2026", got)
	}
}

// TestClocks: what release 2026f knows and 2025c did not, the days on which clocks
// change, and the zones that never change or differ by half an hour.
func TestClocks(t *testing.T) {
	for _, c := range []struct{ zone, utc, want string }{
		{"America/Edmonton", "2026-11-24T12:00:00Z", "06:00 -0600"},
		{"America/Winnipeg", "2026-11-24T12:00:00Z", "07:00 -0500"},
		{"America/Rainy_River", "2026-11-24T12:00:00Z", "07:00 -0500"},
		{"America/Yellowknife", "2026-11-24T12:00:00Z", "06:00 -0600"},
		{"America/Regina", "2026-11-24T12:00:00Z", "06:00 -0600"},
		{"America/New_York", "2026-03-08T06:59:59Z", "01:59 -0500"},
		{"America/New_York", "2026-03-08T07:00:00Z", "03:00 -0400"},
		{"America/New_York", "2026-11-01T05:59:59Z", "01:59 -0400"},
		{"America/New_York", "2026-11-01T06:00:00Z", "01:00 -0500"},
		{"America/St_Johns", "2026-11-24T12:00:00Z", "08:30 -0330"},
		{"America/Phoenix", "2026-07-01T12:00:00Z", "05:00 -0700"},
		{"America/Ojinaga", "2022-11-03T12:00:00Z", "06:00 -0600"}, // slim files say 07:00
		{"Europe/London", "2026-10-25T01:00:00Z", "01:00 +0000"},
		{"Australia/Lord_Howe", "2026-11-24T12:00:00Z", "23:00 +1100"},
		{"Africa/Casablanca", "2026-11-24T12:00:00Z", "12:00 +0000"},
	} {
		l, err := Load(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		at, err := time.Parse(time.RFC3339, c.utc)
		if err != nil {
			t.Fatal(err)
		}
		if got := at.In(l).Format("15:04 -0700"); got != c.want {
			t.Errorf("%s at %s: %s, want %s", c.zone, c.utc, got, c.want)
		}
	}
}

// TestLongAndShortDays: the day clocks go forward has 23 hours, the day they go
// back 25, and the wall clock tells them.
func TestLongAndShortDays(t *testing.T) {
	for _, c := range []struct {
		zone  string
		day   time.Time
		hours float64
	}{
		{"America/New_York", time.Date(2026, 3, 8, 0, 0, 0, 0, time.UTC), 23},
		{"America/New_York", time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), 25},
		{"Europe/Berlin", time.Date(2026, 3, 29, 0, 0, 0, 0, time.UTC), 23},
		{"Australia/Lord_Howe", time.Date(2026, 4, 5, 0, 0, 0, 0, time.UTC), 24.5},
		{"America/Vancouver", time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), 24},
	} {
		l, err := Load(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		y, m, d := c.day.Date()
		if got := time.Date(y, m, d+1, 0, 0, 0, 0, l).Sub(time.Date(y, m, d, 0, 0, 0, 0, l)).Hours(); got != c.hours {
			t.Errorf("%s in %s has %v hours, want %v", c.day.Format(time.DateOnly), c.zone, got, c.hours)
		}
	}
}

// TestConcurrentLoads: who loads a zone at the same time gets the same one.
func TestConcurrentLoads(t *testing.T) {
	const callers = 32
	got := make([]*time.Location, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() { got[i], _ = Load("Antarctica/Troll") })
	}
	wg.Wait()
	for _, l := range got {
		if l == nil || l != got[0] {
			t.Fatalf("%p and %p", l, got[0])
		}
	}
}
