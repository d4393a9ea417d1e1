package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"strings"

	"github.com/consent-ledger/consent-ledger/projections/rules/calendar"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

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

	// Calendars are those of holidays that windows and deadlines name, beside the
	// shared ones.
	Calendars []calendar.Spec `yaml:"calendars"`

	set  *calendar.Set
	hash [sha256.Size]byte

	// What a decision reads, side by side.
	use     *consentv1.PackUse
	country bool // it is of the country's layer
	cells   [channels][purposes]*cell
}

// SHA256 is the hash of the file's bytes, hex.
func (p *Pack) SHA256() string { return hex.EncodeToString(p.hash[:]) }

// binds tells whether the pack is for everybody, or the seller's own.
func (p *Pack) binds(seller string) bool { return p.Layer != LayerSeller || p.Seller == seller }

// fileID is the id a file's name promises.
func fileID(name string) string { return strings.TrimSuffix(path.Base(name), ".yaml") }

// Applies says where a pack holds: in its regions, in every place whose country
// has no pack, or, with neither, everywhere.
type Applies struct {
	// Regions, ISO 3166: a country (GB) or a state of one (US-FL). A person who may
	// be there is treated as if they were.
	Regions []string `yaml:"regions"`
	// WithoutPack: in the places that no other pack of the country's layer is for.
	WithoutPack bool `yaml:"without_pack"`
}
