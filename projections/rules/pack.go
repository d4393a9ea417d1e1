package rules

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

//go:embed packs/*.yaml
var embedded embed.FS

// Layer is the level of law a pack stands for. All packs that apply are judged;
// an exemption in one layer never opens another.
type Layer string

// Layers, widest first.
const (
	LayerCountry Layer = "country"
	LayerState   Layer = "state"
	LayerSector  Layer = "sector"
	LayerCarrier Layer = "carrier"
	LayerSeller  Layer = "seller"
)

var layerOrder = []Layer{LayerCountry, LayerState, LayerSector, LayerCarrier, LayerSeller}

// Pack is one file of rules. Its rules stand in one list a kind; the kinds are a
// closed set, so that a file says nothing the program does not understand.
type Pack struct {
	// ID names the pack for ever: `[a-z0-9-]{1,64}`.
	ID string `yaml:"id"`
	// Version changes with every change of the file.
	Version string `yaml:"version"`
	// Title is the pack in a few words.
	Title string `yaml:"title"`
	// About says what it covers and what it leaves out.
	About string `yaml:"about"`
	// Layer is the level of law.
	Layer Layer `yaml:"layer"`
	// KnownAsOf is the day up to which its makers followed the law, YYYY-MM-DD.
	KnownAsOf string `yaml:"known_as_of"`
	// Applies says where.
	Applies Applies `yaml:"applies"`
	// Seller is whose pack it is, in the layer of sellers.
	Seller string `yaml:"seller"`

	Revocation   []RevocationRule   `yaml:"revocation"`
	CompanyDNC   []CompanyDNCRule   `yaml:"company_dnc"`
	Registry     []RegistryRule     `yaml:"registry"`
	Preference   []PreferenceRule   `yaml:"preference"`
	Consent      []ConsentRule      `yaml:"consent"`
	Permit       []PermitRule       `yaml:"permit"`
	Confirmation []ConfirmationRule `yaml:"confirmation"`
	Window       []WindowRule       `yaml:"window"`
	Cap          []CapRule          `yaml:"cap"`
	CoolingOff   []CoolingOffRule   `yaml:"cooling_off"`
	Ban          []BanRule          `yaml:"ban"`
	Emergency    []EmergencyRule    `yaml:"emergency"`
	Relaxes      []Relax            `yaml:"relaxes"`

	hash  [sha256.Size]byte
	use   *consentv1.PackUse
	cells [channels][purposes]*cell
}

// SHA256 is the hash of the file's bytes, hex.
func (p *Pack) SHA256() string { return hex.EncodeToString(p.hash[:]) }

// Applies says where a pack holds: in its regions, in every place whose country
// has no pack, or, with neither, everywhere.
type Applies struct {
	// Regions, ISO 3166: a country (GB) or a state of one (US-FL). A person who may
	// be there is treated as if they were.
	Regions []string `yaml:"regions"`
	// WithoutPack: in the places that no other pack of the country's layer is for.
	WithoutPack bool `yaml:"without_pack"`
}

func (a *Applies) matches(region string) bool {
	return len(a.Regions) == 0 || slices.Contains(a.Regions, region)
}

// Packs is a set of packs. It never changes and is safe for concurrent use.
type Packs struct{ packs []*Pack }

// Embedded gives the packs that come with the program.
func Embedded() (*Packs, error) {
	sub, err := fs.Sub(embedded, "packs")
	if err != nil {
		return nil, fmt.Errorf("rules: embedded packs: %w", err)
	}
	return Load(sub)
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

// New makes a set of packs that were parsed. An id may occur once.
func New(packs ...*Pack) (*Packs, error) {
	sorted := slices.Clone(packs)
	slices.SortStableFunc(sorted, func(a, b *Pack) int {
		if d := slices.Index(layerOrder, a.Layer) - slices.Index(layerOrder, b.Layer); d != 0 {
			return d
		}
		return strings.Compare(a.ID, b.ID)
	})
	seen := map[string]bool{}
	for _, p := range sorted {
		if seen[p.ID] {
			return nil, fmt.Errorf("rules: two packs are called %q", p.ID)
		}
		seen[p.ID] = true
	}
	return &Packs{sorted}, nil
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
func (s *Packs) For(in *Input) []*Pack {
	out := make([]*Pack, 0, len(s.packs))
	for _, p := range s.packs {
		if p.Applies.matches(in.Region) {
			out = append(out, p)
		}
	}
	return out
}

// fileID is the id a file's name promises.
func fileID(name string) string { return strings.TrimSuffix(path.Base(name), ".yaml") }
