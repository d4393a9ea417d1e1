package scrub

import (
	"cmp"
	"maps"
	"slices"
	"time"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Summary says what came of a scrub. Its JSON names are a contract.
type Summary struct {
	// Rows are Allow and Block; Invalid ones, whose number cannot be read, are
	// among Block, and so are Later ones, which would be allowed at another instant.
	Rows    int `json:"rows"`
	Allow   int `json:"allow"`
	Block   int `json:"block"`
	Invalid int `json:"invalid"`
	Later   int `json:"later"`
	// Reasons counts the blocked rows by reason; a row with several counts for each.
	Reasons map[string]*Blocked `json:"reasons"`
	// Bases counts the allowed rows by what makes them lawful.
	Bases map[string]int `json:"bases"`
	// Position up to which everything was counted in every row; rows that came later
	// count more, up to PositionLast.
	Position     uint64 `json:"position"`
	PositionLast uint64 `json:"positionLast"`
	// From and To are the first and the last instant that was judged.
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// Lists and Packs that were used, each with its version.
	Lists []string `json:"lists"`
	Packs []string `json:"packs"`
	// Seconds that it took.
	Seconds float64 `json:"seconds"`
	// ResumedAt is the row behind which an earlier scrub was gone on with.
	ResumedAt int `json:"resumedAt,omitempty"`
}

// Blocked is how many rows a reason blocks.
type Blocked struct {
	// Rows that have the reason, Alone those that have no other, and Never those
	// among Rows for which no later instant is known that would allow.
	Rows  int `json:"rows"`
	Alone int `json:"alone"`
	Never int `json:"never"`
}

func newSummary() *Summary {
	return &Summary{Reasons: map[string]*Blocked{}, Bases: map[string]int{}, Lists: []string{}, Packs: []string{}}
}

// add counts rows that have the same answer; Rows is counted elsewhere.
func (s *Summary) add(row *consentv1.ScrubRow, rows int) {
	s.Lists, s.Packs = union(s.Lists, versionsOf(row)), union(s.Packs, row.GetPacks())
	if p := row.GetPosition(); s.Position == 0 || p < s.Position {
		s.Position = p
	}
	s.PositionLast = max(s.PositionLast, row.GetPosition())
	if row.GetAt() != nil {
		at := row.GetAt().AsTime()
		if s.From.IsZero() || at.Before(s.From) {
			s.From = at
		}
		if at.After(s.To) {
			s.To = at
		}
	}
	if allowed(row) {
		s.Allow += rows
		s.Bases[row.GetBasis()] += rows
		return
	}
	s.Block += rows
	if row.GetInvalid() {
		s.Invalid += rows
	}
	later := row.GetNextAllowedAt() != nil
	if later {
		s.Later += rows
	}
	codes := slices.Compact(slices.Sorted(slices.Values(row.GetReasons())))
	for _, code := range codes {
		b := s.Reasons[code]
		if b == nil {
			b = &Blocked{}
			s.Reasons[code] = b
		}
		b.Rows += rows
		if len(codes) == 1 {
			b.Alone += rows
		}
		if !later {
			b.Never += rows
		}
	}
}

// union adds to a sorted list what it lacks.
func union(all, more []string) []string {
	for _, m := range more {
		if at, there := slices.BinarySearch(all, m); !there {
			all = slices.Insert(all, at, m)
		}
	}
	return all
}

// ByRows gives the codes of the reasons, the commonest first.
func (s *Summary) ByRows() []string {
	return slices.SortedFunc(maps.Keys(s.Reasons), func(a, b string) int {
		return cmp.Or(cmp.Compare(s.Reasons[b].Rows, s.Reasons[a].Rows), cmp.Compare(a, b))
	})
}
