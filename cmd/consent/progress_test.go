package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// TestProgressWords: what is counted is named; only bytes are MB.
func TestProgressWords(t *testing.T) {
	for _, tc := range []struct {
		what, unit  string
		total, done int64
		rows        int
		want        string
	}{
		{"folded", "entries", 1_000_000, 250_000, 0, "consent: folded 250000 of 1000000 entries, 25000/s, 25%, about 30s left"},
		{"folded", "entries", -1, 250_000, 0, "consent: folded 250000 entries, 25000/s"},
		{"scrubbed", "", 4_000_000, 1_000_000, 50_000, "consent: scrubbed 50000 rows, 5000/s, 25%, about 30s left"},
		{"sorted", "", 4_000_000, 1_000_000, 0, "consent: sorted 1 MB, 0 MB/s, 25%, about 30s left"},
	} {
		if got := newCount(&bytes.Buffer{}, tc.what, tc.unit, tc.total).text(tc.done, tc.rows, 10*time.Second); got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
}

// TestRebuildShowsItsPhases: each phase is told once, and each is a line of its own
// where lines are asked for.
func TestRebuildShowsItsPhases(t *testing.T) {
	var talk bytes.Buffer
	var lines []consentv1.RebuildPhase
	s := &rebuildShow{w: &talk, line: func(m *consentv1.RebuildResponse) error { lines = append(lines, m.GetPhase()); return nil }}
	const all = consentv1.RebuildPhase_REBUILD_PHASE_DONE
	for phase := consentv1.RebuildPhase_REBUILD_PHASE_READING; phase <= all; phase++ {
		for range 3 {
			if err := s.at(&consentv1.RebuildResponse{Phase: phase, Position: 7, Target: 7, SortingBytes: 9}); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.finish()
	for _, want := range []string{"all 7 entries are read; sorting", "handing the tables", "folding contact attempts", "directory", "for its hashes"} {
		if strings.Count(talk.String(), want) != 1 {
			t.Errorf("%q is not told once in %q", want, talk.String())
		}
	}
	if len(lines) != int(all)-1 {
		t.Errorf("lines %v", lines)
	}
}
