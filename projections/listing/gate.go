package listing

import (
	"slices"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// Turn is one pause or resumption.
type Turn struct {
	Paused bool // else resumed
	Span   Span
	// RecordedAt is when it became known.
	RecordedAt time.Time
}

// Gate is the newest pause and resumption of one seller, or of all. What forbids
// ranks by its latest instant and what permits by its earliest, so that doubt
// keeps the gate shut.
type Gate struct{ Paused, Resumed Span }

func (g *Gate) turn(t Turn) {
	if t.Paused {
		g.pause(t.Span)
	} else {
		g.resume(t.Span)
	}
}

func (g *Gate) pause(s Span) {
	if s.Latest.After(g.Paused.Latest) || s.Latest.Equal(g.Paused.Latest) && s.Earliest.Before(g.Paused.Earliest) {
		g.Paused = s
	}
}

func (g *Gate) resume(s Span) {
	if s.Earliest.After(g.Resumed.Earliest) || s.Earliest.Equal(g.Resumed.Earliest) && s.Latest.After(g.Resumed.Latest) {
		g.Resumed = s
	}
}

// Holds tells whether contact is paused: the pause is not older than the
// resumption.
func (g Gate) Holds() bool {
	return !g.Paused.Latest.IsZero() && !g.Paused.Latest.Before(g.Resumed.Earliest)
}

// Paused tells whether a seller may contact nobody, and since when at the
// earliest. A pause of all is not lifted for one seller, nor one seller's by a
// resumption of all: each ends as it began.
func (s *Snapshot) Paused(seller string) (since time.Time, paused bool) {
	return pausedBy(s.gates[ledger.All], s.gates[seller])
}

// PausedAt is Paused at an instant, by what was recorded by asOf (zero: by
// everything). A pause counts from its first possible instant, a resumption from
// its last.
func (s *Snapshot) PausedAt(seller string, at, asOf time.Time) (since time.Time, paused bool) {
	gate := func(id string) (g Gate) {
		for _, t := range s.turns[id] {
			from := t.Span.Latest
			if t.Paused {
				from = t.Span.Earliest
			}
			if !from.After(at) && (asOf.IsZero() || !t.RecordedAt.After(asOf)) {
				g.turn(t)
			}
		}
		return g
	}
	return pausedBy(gate(ledger.All), gate(seller))
}

func pausedBy(gates ...Gate) (since time.Time, paused bool) {
	for _, g := range gates {
		if g.Holds() && (!paused || g.Paused.Earliest.Before(since)) {
			since, paused = g.Paused.Earliest, true
		}
	}
	return since, paused
}

// Emergency is one that an authority declared.
type Emergency struct {
	Area string // ISO 3166 code, with a county behind the state's: US-LA, US-NY-061
	From time.Time
	// Until is when it ends; zero: no end is known.
	Until time.Time
	// Reporting: the authority asks for reports.
	Reporting bool
	// RecordedAt is when it became known.
	RecordedAt time.Time
}

// Emergencies lists those declared, by area, then beginning. One that was declared
// again, for the same area from the same instant, is as it was last declared.
func (s *Snapshot) Emergencies() []Emergency { return s.emergencies }

// EmergenciesAsOf lists those that were recorded by an instant, as they were then.
func (s *Snapshot) EmergenciesAsOf(asOf time.Time) []Emergency {
	return lastDeclared(slices.DeleteFunc(slices.Clone(s.declared), func(e Emergency) bool { return e.RecordedAt.After(asOf) }))
}

// lastDeclared keeps the last of those that agree in area and beginning; all is in
// the order of recording.
func lastDeclared(all []Emergency) []Emergency {
	same := func(a, b Emergency) bool { return a.Area == b.Area && a.From.Equal(b.From) }
	out := make([]Emergency, 0, len(all))
	for i, e := range all {
		if !slices.ContainsFunc(all[i+1:], func(later Emergency) bool { return same(e, later) }) {
			out = append(out, e)
		}
	}
	slices.SortStableFunc(out, func(a, b Emergency) int {
		if a.Area != b.Area {
			if a.Area < b.Area {
				return -1
			}
			return 1
		}
		return a.From.Compare(b.From)
	})
	return out
}
