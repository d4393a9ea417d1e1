package publication

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/projections/rules"
)

// Snapshot is what was published up to a position. It never changes.
type Snapshot struct {
	// Position is what it is true at.
	Position ledger.Position

	all   []Published // in the order of the ledger
	files map[ledger.Hash]*rules.Pack
	live  *sets
	past  *pastSets
}

// sets are the packs of one moment.
type sets struct {
	// base are the packs that bind everybody; nil: not all are at hand.
	base *rules.Packs
	// own are base and a seller's own packs, of sellers that have some; nil: not
	// all are at hand, or they do not fit.
	own      map[string]*rules.Packs
	problems []string
}

// pastSets are sets of the past, by how many publications they know. They are made
// when somebody asks.
type pastSets struct {
	mu sync.Mutex
	m  map[int]*sets
}

func newSnapshot(at ledger.Position, all []Published, files map[ledger.Hash]*rules.Pack) *Snapshot {
	return &Snapshot{Position: at, all: all, files: files, live: newSets(all, files), past: &pastSets{m: map[int]*sets{}}}
}

// at is the same snapshot, further on.
func (s *Snapshot) at(position ledger.Position) *Snapshot {
	return &Snapshot{Position: position, all: s.all, files: s.files, live: s.live, past: s.past}
}

// Packs gives the packs that a seller's contacts are judged by. ok is false if not
// all of them are at hand: then nothing may be allowed.
func (s *Snapshot) Packs(seller string) (packs *rules.Packs, ok bool) { return s.live.of(seller) }

// PacksAsOf gives the packs that were known at an instant.
func (s *Snapshot) PacksAsOf(seller string, asOf time.Time) (packs *rules.Packs, ok bool) {
	n := sort.Search(len(s.all), func(i int) bool { return s.all[i].RecordedAt.After(asOf) })
	if n == len(s.all) {
		return s.Packs(seller)
	}
	s.past.mu.Lock()
	defer s.past.mu.Unlock()
	if s.past.m[n] == nil {
		s.past.m[n] = newSets(s.all[:n], s.files)
	}
	return s.past.m[n].of(seller)
}

func (s *sets) of(seller string) (*rules.Packs, bool) {
	if own, has := s.own[seller]; has {
		return own, own != nil
	}
	return s.base, s.base != nil
}

// AsksRegistry tells whether a rule of anybody's packs asks what a registry says; ok
// is false if not all of them are at hand.
func (s *Snapshot) AsksRegistry(registry string) (asks, ok bool) {
	all, ok := []*rules.Packs{s.live.base}, s.live.base != nil
	for _, own := range s.live.own {
		all, ok = append(all, own), ok && own != nil
	}
	return slices.ContainsFunc(all, func(p *rules.Packs) bool { return p != nil && p.AsksRegistry(registry) }), ok
}

// Published lists every publication, in the order of the ledger. Do not change it.
func (s *Snapshot) Published() []Published { return s.all }

// Newest gives the newest publication of a pack.
func (s *Snapshot) Newest(id string) (Published, bool) {
	for _, p := range slices.Backward(s.all) {
		if p.ID == id {
			return p, true
		}
	}
	return Published{}, false
}

// newestOf keeps the newest publication of each pack, by id.
func newestOf(all []Published) []Published {
	newest := map[string]int{}
	for i, p := range all {
		newest[p.ID] = i
	}
	out := make([]Published, 0, len(newest))
	for i, p := range all {
		if newest[p.ID] == i {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b Published) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// newSets puts the newest versions together. A seller's pack that is missing or
// does not fit concerns that seller alone; any other concerns everybody.
func newSets(all []Published, files map[ledger.Hash]*rules.Pack) *sets {
	out := &sets{own: map[string]*rules.Packs{}}
	var base []*rules.Pack
	sellers, whole := map[string][]*rules.Pack{}, len(all) > 0
	for _, p := range newestOf(all) {
		if p.Withdrawn {
			continue
		}
		f := files[p.SHA256]
		if f != nil && (f.ID != p.ID || f.Seller != p.Seller) {
			out.problems = append(out.problems, fmt.Sprintf("rule pack %s (position %d): its file is that of another pack, %s; "+
				"what depends on it blocks", p.ID, p.Position, f.ID))
			f = nil
		}
		switch {
		case p.Seller != "":
			sellers[p.Seller] = append(sellers[p.Seller], f)
		case f == nil:
			whole = false
		default:
			base = append(base, f)
		}
	}
	if whole {
		var err error
		if out.base, err = rules.New(base...); err != nil {
			out.base = nil
			out.problems = append(out.problems, fmt.Sprintf("the published rule packs do not fit together, so every check blocks: %v", err))
		}
	}
	for seller, own := range sellers {
		out.own[seller] = nil
		if out.base == nil || slices.Contains(own, nil) {
			continue
		}
		packs, err := rules.New(append(slices.Clip(base), own...)...)
		if err != nil {
			out.problems = append(out.problems, fmt.Sprintf("the rule packs of seller %s do not fit the others, so its checks block: %v", seller, err))
			continue
		}
		out.own[seller] = packs
	}
	slices.Sort(out.problems)
	return out
}

// NewestOfEach lists the newest publication of each pack, by id; what was withdrawn too.
func (s *Snapshot) NewestOfEach() []Published { return newestOf(s.all) }

// Has tells whether the file of a publication is at hand.
func (s *Snapshot) Has(p Published) bool { return s.files[p.SHA256] != nil }

// missing are the files of newest publications that are not at hand, then those of
// older ones, which questions about the past need.
func (s *Snapshot) missing() (out []ledger.Hash) {
	add := func(p Published) {
		if s.files[p.SHA256] == nil && !slices.Contains(out, p.SHA256) {
			out = append(out, p.SHA256)
		}
	}
	for _, p := range newestOf(s.all) {
		add(p)
	}
	for _, p := range slices.Backward(s.all) {
		add(p)
	}
	return out
}
