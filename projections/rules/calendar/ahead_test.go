package calendar

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestAheadIsWhatIsFound: whatever was asked before, in whatever order and zone, the
// answer is the one that a search gives.
func TestAheadIsWhatIsFound(t *testing.T) {
	week, problems := NewWeek([]Hours{{Days{"mon-fri"}, "08:00", "12:00"}, {Days{"mon-fri"}, "13:30", "20:00"}, {Days{"sun"}, "00:00", "24:00"}})
	if problems != nil {
		t.Fatal(problems)
	}
	zones := []*time.Location{time.UTC, zone(t, "America/New_York"), zone(t, "Australia/Lord_Howe"), zone(t, "America/Sao_Paulo")}
	holiday := func(d Date) bool { return d%5 == 0 }
	kinds := map[string]func(time.Time, *time.Location) time.Time{
		"change": week.NextChange,
		"day":    NextDay,
		"open": func(at time.Time, z *time.Location) time.Time {
			next, _ := week.NextOpen(at, z, holiday)
			return next
		},
	}
	rapid.Check(t, func(t *rapid.T) {
		for name, find := range kinds {
			var a Ahead
			at := time.Date(2026, 10, 24, 0, 0, 0, 0, time.UTC)
			for range rapid.IntRange(1, 25).Draw(t, "questions") {
				switch rapid.IntRange(0, 3).Draw(t, "step") {
				case 0:
					at = at.Add(-time.Duration(rapid.Int64Range(0, int64(100*time.Hour)).Draw(t, "back")))
				case 1:
					at = find(at, zones[0]).Add(time.Duration(rapid.IntRange(-1, 1).Draw(t, "near")))
				default:
					at = at.Add(time.Duration(rapid.Int64Range(0, int64(9*time.Hour)).Draw(t, "on")))
				}
				z := rapid.SampledFrom(zones).Draw(t, "zone")
				got := a.After(at, z, func(at time.Time) time.Time { return find(at, z) })
				if want := find(at, z); !got.Equal(want) {
					t.Fatalf("%s after %v in %v: %v, a search finds %v", name, at, z, got, want)
				}
			}
		}
	})
}
