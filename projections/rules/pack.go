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
	// Applies says to which numbers; absent: to all.
	Applies Where `yaml:"applies"`

	Consent      []ConsentRule      `yaml:"consent"`
	Permit       []PermitRule       `yaml:"permit"`
	Confirmation []ConfirmationRule `yaml:"confirmation"`
	Revocation   []RevocationRule   `yaml:"revocation"`
	CompanyDNC   []CompanyDNCRule   `yaml:"company_dnc"`
	Registry     []RegistryRule     `yaml:"registry"`

	hash  [sha256.Size]byte
	use   *consentv1.PackUse
	cells [channels][purposes]*cell
}

// SHA256 is the hash of the file's bytes, hex.
func (p *Pack) SHA256() string { return hex.EncodeToString(p.hash[:]) }

// Where says to which numbers something applies. Both lists empty: to all.
type Where struct {
	// CallingCodes are those it is for: 1, 44 …
	CallingCodes []int `yaml:"calling_codes"`
	// ExceptCallingCodes are those it is not for.
	ExceptCallingCodes []int `yaml:"except_calling_codes"`
}

func (w *Where) matches(callingCode int) bool {
	return (len(w.CallingCodes) == 0 || slices.Contains(w.CallingCodes, callingCode)) &&
		!slices.Contains(w.ExceptCallingCodes, callingCode)
}

// Rule is what all kinds of rules have.
type Rule struct {
	// ID names the rule within its pack: `[a-z0-9-]{1,64}`. Versions of one rule
	// share it and must not overlap in time.
	ID string `yaml:"id"`
	// Says is the rule in one plain sentence, for people.
	Says string `yaml:"says"`
	// Citation is the statute or regulation.
	Citation string `yaml:"citation"`
	// Confidence: `verified` if the rule's text was read, `secondary` if somebody's
	// account of it.
	Confidence string `yaml:"confidence"`
	// EffectiveFrom is its first day, YYYY-MM-DD, or `always`.
	EffectiveFrom string `yaml:"effective_from"`
	// EffectiveTo is its last day, YYYY-MM-DD; empty: no end is known.
	EffectiveTo string `yaml:"effective_to"`
	// Channels and Purposes it speaks about; `all` alone is every one.
	Channels []string `yaml:"channels"`
	Purposes []string `yaml:"purposes"`
	// Where says to which numbers; absent: to all of the pack's.
	Where Where `yaml:"where"`
}

// ConsentRule: a contact of this kind needs consent.
type ConsentRule struct {
	Rule `yaml:",inline"`
	// Levels of consent that are enough, strongest first.
	Levels []string `yaml:"levels"`
	// EvidenceRequired refuses consent of which nothing is held.
	EvidenceRequired bool `yaml:"evidence_required"`
}

// PermitRule: a contact of this kind needs no consent.
type PermitRule struct {
	Rule `yaml:",inline"`
	// Basis is the code of why: OK_EXEMPT, OK_NOT_LISTED.
	Basis string `yaml:"basis"`
}

// ConfirmationRule: one message may confirm a request to stop.
type ConfirmationRule struct {
	Rule `yaml:",inline"`
	// WithinSeconds is how long after the request.
	WithinSeconds int `yaml:"within_seconds"`
}

// RevocationRule: a request to stop blocks, also where no consent is needed.
type RevocationRule struct {
	Rule `yaml:",inline"`
	// RepliedCounts: a stop that answers one programme's message blocks the
	// seller's other programmes too.
	RepliedCounts bool `yaml:"replied_counts"`
}

// CompanyDNCRule: the seller's own Do-Not-Call list blocks.
type CompanyDNCRule struct {
	Rule `yaml:",inline"`
	// TermYears is for how long a request binds; 0: for ever.
	TermYears int `yaml:"term_years"`
	// OverriddenBy are the levels of consent that, given later, override it.
	OverriddenBy []string `yaml:"overridden_by"`
}

// RegistryRule: a public Do-Not-Call list blocks.
type RegistryRule struct {
	Rule `yaml:",inline"`
	// Registry is the list's id: us_national_dnc …
	Registry string `yaml:"registry"`
	// Required: without a current list the contact is blocked. Otherwise a list
	// counts only if it is there.
	Required bool `yaml:"required"`
	// MaxAgeDays is the greatest age of the list itself on the day of the contact.
	MaxAgeDays int `yaml:"max_age_days"`
	// OverriddenBy are the levels of consent that make the list irrelevant.
	OverriddenBy []string `yaml:"overridden_by"`
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
		if p.Applies.matches(in.CallingCode) {
			out = append(out, p)
		}
	}
	return out
}

// fileID is the id a file's name promises.
func fileID(name string) string { return strings.TrimSuffix(path.Base(name), ".yaml") }
