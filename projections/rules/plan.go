package rules

import (
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/consent-ledger/consent-ledger/projections/rules/places"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// plan is what follows from the candidate places alone: which packs may hold where,
// and which places have one clock. Most numbers share one of some four hundred sets
// of places, so it is worked out once for each set. It never changes.
type plan struct {
	places []places.Place
	clock  []int    // for each place, the first one with the same zone
	clocks []int    // one place for each zone
	zones  []string // their names
	packs  []planned
	uses   []*consentv1.PackUse // of all those packs
	sole   bool                 // none of the packs is a seller's own
}

// planned is a pack that may hold, and where.
type planned struct {
	pack   *Pack
	at     []int // places in the plan
	clocks []int // one of them for each zone
}

func (s *Packs) newPlan(at []places.Place) *plan {
	p := &plan{places: slices.Clone(at), sole: true}
	all := make([]int, len(at))
	for i := range at {
		all[i] = i
		p.clock = append(p.clock, slices.IndexFunc(at, func(q places.Place) bool { return q.Zone == at[i].Zone }))
		if z := at[i].Zone; z != nil && !slices.Contains(p.zones, z.String()) {
			p.zones = append(p.zones, z.String())
		}
	}
	p.clocks = p.clocksOf(all)
	for _, pack := range s.packs {
		holds := planned{pack: pack}
		for i := range at {
			if s.mayHold(pack, at[i].Region) {
				holds.at = append(holds.at, i)
			}
		}
		if len(holds.at) == 0 && (len(at) > 0 || !pack.Applies.WithoutPack && len(pack.Applies.Regions) > 0) {
			continue
		}
		holds.clocks = p.clocksOf(holds.at)
		p.packs, p.uses = append(p.packs, holds), append(p.uses, pack.use)
		p.sole = p.sole && pack.Layer != LayerSeller
	}
	p.uses, p.zones = slices.Clip(p.uses), slices.Clip(p.zones)
	return p
}

// clocksOf keeps of some places the first with each zone.
func (p *plan) clocksOf(at []int) (out []int) {
	for _, i := range at {
		if !slices.ContainsFunc(out, func(j int) bool { return p.places[j].Zone == p.places[i].Zone }) {
			out = append(out, i)
		}
	}
	return out
}

// mayHold tells whether a pack may hold at a place.
func (s *Packs) mayHold(p *Pack, region string) bool {
	if p.Applies.WithoutPack {
		return !s.hasCountry(region)
	}
	return maybe(p.Applies.Regions, region)
}

// hasCountry tells whether the country of a place has a pack. A place in no country
// we know has none.
func (s *Packs) hasCountry(region string) bool {
	return region != "" && len(s.countries) > 0 && maybe(s.countries, region)
}

// plansMax bounds the plans remembered by one set of packs.
const plansMax = 4096

// plans remembers plans. They are found by a hash and compared with the places
// themselves, so that neither a collision nor a caller who changes a list of places
// can lead to the plan of other places.
type plans struct {
	seed maphash.Seed
	of   atomic.Pointer[map[uint64]*plan]
	mu   sync.Mutex // for those who add
}

func (s *Packs) plan(at []places.Place) *plan {
	h := uint64(len(at))
	for i := range at {
		h = h*31 ^ maphash.Comparable(s.plans.seed, at[i])
	}
	if known := s.plans.of.Load(); known != nil {
		if p := (*known)[h]; p != nil && slices.Equal(p.places, at) {
			return p
		}
	}
	p := s.newPlan(at)
	s.plans.add(h, p)
	return p
}

func (m *plans) add(hash uint64, p *plan) {
	m.mu.Lock()
	defer m.mu.Unlock()
	next := map[uint64]*plan{hash: p}
	if known := m.of.Load(); known != nil && len(*known) < plansMax {
		for h, q := range *known {
			if h != hash {
				next[h] = q
			}
		}
	}
	m.of.Store(&next)
}
