package rules

import (
	"embed"
	"fmt"
	"hash/maphash"
	"io/fs"
	"slices"
	"strings"

	"github.com/consent-ledger/consent-ledger/projections/rules/calendar"
)

//go:embed packs/*.yaml packs/*.cases.csv
var embedded embed.FS

// Packs is a set of packs. What it says never changes, and it is safe for concurrent use.
type Packs struct {
	packs     []*Pack // widest layer first, then by id
	countries []string
	relaxed   map[string][]relaxed // by rule, pack/rule
	sectors   []string             // every word for one that a rule names, sorted
	levels    []string             // every level of consent that a rule names, sorted
	plans     plans
}

// relaxed is one seller's relaxation of a registry rule.
type relaxed struct {
	seller   string
	from, to calendar.Date
}

// Embedded gives the packs that come with the program.
func Embedded() (*Packs, error) {
	sub, err := fs.Sub(embedded, "packs")
	if err != nil {
		return nil, fmt.Errorf("rules: embedded packs: %w", err)
	}
	return Load(sub)
}

// EmbeddedCases gives the cases that come with an embedded pack, as CSV.
func EmbeddedCases(id string) ([]byte, error) {
	raw, err := embedded.ReadFile("packs/" + id + ".cases.csv")
	if err != nil {
		return nil, fmt.Errorf("rules: embedded packs: cases of %s: %w", id, err)
	}
	return raw, nil
}

// Load reads every *.yaml of a folder. Any fault in any of them is an error that
// names file and line, because a rule that was quietly left out allows too much.
func Load(fsys fs.FS) (*Packs, error) {
	names, err := fs.Glob(fsys, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("rules: packs: %w", err)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("rules: packs: no *.yaml found")
	}
	var packs []*Pack
	for _, name := range names {
		raw, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("rules: packs: %w", err)
		}
		p, err := Parse(name, raw)
		if err != nil {
			return nil, err
		}
		packs = append(packs, p)
	}
	return New(packs...)
}

// New makes a set of packs that were parsed. An id may occur once, a country has
// one pack, and what a seller's pack relaxes must be a rule that can be relaxed.
func New(packs ...*Pack) (*Packs, error) {
	s := &Packs{packs: slices.Clone(packs), relaxed: map[string][]relaxed{}, plans: plans{seed: maphash.MakeSeed()}}
	slices.SortStableFunc(s.packs, func(a, b *Pack) int {
		if d := slices.Index(layerOrder, a.Layer) - slices.Index(layerOrder, b.Layer); d != 0 {
			return d
		}
		return strings.Compare(a.ID, b.ID)
	})
	for i, p := range s.packs {
		if slices.ContainsFunc(s.packs[:i], func(q *Pack) bool { return q.ID == p.ID }) {
			return nil, fmt.Errorf("rules: two packs are called %q", p.ID)
		}
		for _, r := range p.Applies.Regions {
			if p.Layer == LayerCountry && slices.Contains(s.countries, r) {
				return nil, fmt.Errorf("rules: pack %s: %s has a country's pack already", p.ID, r)
			}
			if p.Layer == LayerCountry {
				s.countries = append(s.countries, r)
			}
		}
	}
	for _, p := range s.packs {
		for i := range p.Relaxes {
			if err := s.relax(p, &p.Relaxes[i]); err != nil {
				return nil, fmt.Errorf("rules: pack %s: relaxes[%d]: %w", p.ID, i, err)
			}
		}
	}
	for _, p := range s.packs {
		for _, r := range p.rules() {
			s.sectors = append(append(s.sectors, r.Sectors...), r.ExceptSectors...)
		}
		s.levels = append(s.levels, p.Levels()...)
	}
	slices.Sort(s.sectors)
	s.sectors = slices.Compact(s.sectors)
	slices.Sort(s.levels)
	s.levels = slices.Compact(s.levels)
	return s, nil
}

// Levels are the levels of consent that the rules and lifts of the pack name.
func (p *Pack) Levels() (out []string) {
	for i := range p.Consent {
		out = append(out, p.Consent[i].Levels...)
	}
	for i := range p.Permit {
		out = append(out, p.Permit[i].Consent...)
	}
	for _, r := range p.rules() {
		for _, l := range r.lifts {
			for i := range l.list {
				out = append(out, l.list[i].Consent...)
				for j := range l.list[i].And {
					out = append(out, l.list[i].And[j].Consent...)
				}
			}
		}
	}
	return out
}

// Levels lists the levels of consent that some rule names, sorted. A grant of any
// other allows nothing: it is a spelling mistake. Do not change it.
func (s *Packs) Levels() []string { return s.levels }

// Sectors lists the words for sectors that some rule names, sorted. A contact that
// declares any other is a spelling mistake: the rule it was meant for would be
// silent. Do not change it.
func (s *Packs) Sectors() []string { return s.sectors }

// relax takes over one relaxation. Only that a list of a state must be at hand can
// be relaxed: it is the seller's choice to buy it, and a listing binds all the same.
func (s *Packs) relax(p *Pack, r *Relax) error {
	id, rule, _ := strings.Cut(r.Rule, "/")
	of := s.Get(id)
	if of == nil {
		return fmt.Errorf("rule: no pack is called %q", id)
	}
	if of.Layer != LayerState || !slices.ContainsFunc(of.Registry, func(g RegistryRule) bool { return g.ID == rule && g.Required }) {
		return fmt.Errorf("rule: %s is no list that a state requires; nothing else can be relaxed", r.Rule)
	}
	from, err := calendar.ParseDate(r.EffectiveFrom)
	if err != nil {
		return fmt.Errorf("effective_from: %w", err)
	}
	to, err := parseTo(r.EffectiveTo)
	if err != nil {
		return fmt.Errorf("effective_to: %w", err)
	}
	s.relaxed[r.Rule] = append(s.relaxed[r.Rule], relaxed{p.Seller, from, to})
	return nil
}

// All lists the packs, widest layer first, then by id. Do not change them.
func (s *Packs) All() []*Pack { return s.packs }

// Get finds a pack by its id; nil if there is none.
func (s *Packs) Get(id string) *Pack {
	i := slices.IndexFunc(s.packs, func(p *Pack) bool { return p.ID == id })
	if i < 0 {
		return nil
	}
	return s.packs[i]
}

// For lists the packs that apply to a question, widest layer first.
func (s *Packs) For(in *Input) (out []*Pack) {
	for _, p := range s.plan(in.Places).packs {
		if p.pack.binds(in.Seller) {
			out = append(out, p.pack)
		}
	}
	return out
}

// At lists the packs that hold at a place, for whatever seller.
func (s *Packs) At(region string) (out []*Pack) {
	for _, p := range s.packs {
		if p.Layer != LayerSeller && (p.Applies.WithoutPack && !s.hasCountry(region) || !p.Applies.WithoutPack && surely(p.Applies.Regions, region)) {
			out = append(out, p)
		}
	}
	return out
}
