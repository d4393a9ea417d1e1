package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/consent-ledger/consent-ledger/projections/rules/calendar"
)

// RuleIDs lists the pack's rules, each id once, in the order of the kinds.
func (p *Pack) RuleIDs() []string {
	var out []string
	for _, r := range p.rules() {
		if !slices.Contains(out, r.ID) {
			out = append(out, r.ID)
		}
	}
	return out
}

// JudgedRuleIDs are those that are or were in force at some time.
func (p *Pack) JudgedRuleIDs() (out []string) {
	for _, r := range p.rules() {
		if r.EffectiveFrom != pending && !slices.Contains(out, r.ID) {
			out = append(out, r.ID)
		}
	}
	return out
}

// Without gives a copy of the pack that lacks a rule, all its versions. It exists
// to prove that each rule has a case, and is not to be decided with: it keeps the
// hash of the whole.
func (p *Pack) Without(ruleID string) *Pack {
	c := *p
	without(&c.Revocation, ruleID)
	without(&c.CompanyDNC, ruleID)
	without(&c.Registry, ruleID)
	without(&c.Preference, ruleID)
	without(&c.Consent, ruleID)
	without(&c.Permit, ruleID)
	without(&c.Confirmation, ruleID)
	without(&c.Window, ruleID)
	without(&c.Cap, ruleID)
	without(&c.CoolingOff, ruleID)
	without(&c.Ban, ruleID)
	without(&c.Emergency, ruleID)
	c.compile()
	return &c
}

func without[T any, P interface {
	*T
	rule() *Rule
}](list *[]T, id string) {
	*list = slices.DeleteFunc(slices.Clone(*list), func(r T) bool { return P(&r).rule().ID == id })
}

// Listing is one line about a pack, for `consent rules list`.
type Listing struct {
	ID        string `json:"id"`
	Version   string `json:"version"`
	Title     string `json:"title"`
	Layer     Layer  `json:"layer"`
	Applies   string `json:"applies"`
	Rules     int    `json:"rules"`
	KnownAsOf string `json:"knownAsOf"`
	SHA256    string `json:"sha256"`
}

// List describes every pack in a line.
func (s *Packs) List() []Listing {
	out := make([]Listing, 0, len(s.packs))
	for _, p := range s.packs {
		out = append(out, Listing{p.ID, p.Version, p.Title, p.Layer, p.Applies.String(), len(p.RuleIDs()), p.KnownAsOf, p.SHA256()})
	}
	return out
}

// Page is a pack as something to read: what it says on one day, or ever.
type Page struct {
	ID        string `json:"id"`
	Version   string `json:"version"`
	Title     string `json:"title"`
	About     string `json:"about"`
	Layer     Layer  `json:"layer"`
	Applies   string `json:"applies"`
	Seller    string `json:"seller,omitempty"`
	KnownAsOf string `json:"knownAsOf"`
	SHA256    string `json:"sha256"`
	// On is the day, YYYY-MM-DD; empty: rules of all times.
	On    string     `json:"on,omitempty"`
	Rules []PageRule `json:"rules"`
	// Also are the packs that hold there too; theirs must be met as well.
	Also []PageAlso `json:"also,omitempty"`
	// Relaxes are an officer's relaxations.
	Relaxes []PageRelax `json:"relaxes,omitempty"`
}

// PageRelax is one relaxation.
type PageRelax struct {
	Rule    string `json:"rule"`
	Reason  string `json:"reason"`
	Officer string `json:"officer"`
	InForce string `json:"inForce"`
}

// PageRule is a rule as something to read.
type PageRule struct {
	ID          string   `json:"id"`
	Kind        string   `json:"kind"`
	Says        string   `json:"says"`
	Channels    []string `json:"channels"`
	Purposes    []string `json:"purposes"`
	Where       string   `json:"where"`
	Who         string   `json:"who,omitempty"`
	Particulars []Detail `json:"particulars,omitempty"`
	InForce     string   `json:"inForce"`
	Citation    string   `json:"citation"`
	Confidence  string   `json:"confidence"`
}

// Detail is what a rule has of its own kind.
type Detail struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// PageAlso is a pack that holds beside one, with the rules in force.
type PageAlso struct {
	ID    string   `json:"id"`
	Title string   `json:"title"`
	Rules []string `json:"rules"`
}

// Page gives a pack as it is on a day (calendar.MinDate: of all times), with the
// packs that hold beside it.
func (s *Packs) Page(p *Pack, on calendar.Date) Page {
	out := Page{ID: p.ID, Version: p.Version, Title: p.Title, About: strings.TrimSpace(p.About), Layer: p.Layer, Applies: p.Applies.String(),
		Seller: p.Seller, KnownAsOf: p.KnownAsOf, SHA256: p.SHA256(), Rules: []PageRule{}}
	if on != calendar.MinDate {
		out.On = on.String()
	}
	for _, r := range p.rules() {
		if r.inForceOn(on) {
			out.Rules = append(out.Rules, p.pageRule(r))
		}
	}
	for _, r := range p.Relaxes {
		out.Relaxes = append(out.Relaxes, PageRelax{r.Rule, r.Reason, r.Officer, forceText(r.EffectiveFrom, r.EffectiveTo)})
	}
	for _, q := range s.beside(p) {
		also := PageAlso{ID: q.ID, Title: q.Title, Rules: []string{}}
		for _, r := range q.rules() {
			if r.inForceOn(on) {
				also.Rules = append(also.Rules, r.ID)
			}
		}
		out.Also = append(out.Also, also)
	}
	return out
}

// beside lists the packs of law that hold wherever a pack does.
func (s *Packs) beside(p *Pack) (out []*Pack) {
	for _, region := range p.Applies.Regions {
		for _, q := range s.At(region) {
			if q != p && !slices.Contains(out, q) {
				out = append(out, q)
			}
		}
	}
	return out
}

// inForceOn: on no day in particular every rule is shown, pending ones too.
func (r *placed) inForceOn(on calendar.Date) bool {
	if on == calendar.MinDate {
		return true
	}
	from, _ := parseFrom(r.EffectiveFrom)
	to, _ := parseTo(r.EffectiveTo)
	return r.EffectiveFrom != pending && from <= on && on <= to
}

func (p *Pack) pageRule(r placed) PageRule {
	return PageRule{ID: r.ID, Kind: r.kind, Says: r.Says, Channels: r.Channels, Purposes: r.Purposes, Where: r.Where.String(), Who: r.who(),
		Particulars: p.particulars(r), InForce: forceText(r.EffectiveFrom, r.EffectiveTo), Citation: r.Citation, Confidence: r.Confidence}
}

// who says in words to which lines, subscribers and sectors a rule is limited.
func (r *Rule) who() string {
	var parts []string
	for _, x := range []struct {
		what string
		list []string
	}{{"lines: ", r.Lines}, {"subscribers: ", r.Subscribers}, {"sectors: ", r.Sectors}, {"not in sectors: ", r.ExceptSectors}} {
		if len(x.list) > 0 {
			parts = append(parts, x.what+words(x.list))
		}
	}
	return strings.Join(parts, "; ")
}

// String is the page as plain text.
func (g Page) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, version %s: %s\n\n%s\n\n", g.ID, g.Version, g.Title, g.About)
	line := func(name, text string) {
		if text != "" {
			fmt.Fprintf(&b, "%-10s %s\n", name+":", text)
		}
	}
	line("Layer", string(g.Layer))
	line("Seller", g.Seller)
	line("Applies", g.Applies)
	line("Law as of", g.KnownAsOf)
	line("SHA-256", g.SHA256)
	line("Shown", choose(g.On == "", "rules of all times", "rules in force on "+g.On))
	if len(g.Rules) == 0 && len(g.Relaxes) == 0 {
		b.WriteString("\nNo rule is in force on that day.\n")
	}
	kind := ""
	for _, r := range g.Rules {
		if r.Kind != kind {
			kind = r.Kind
			fmt.Fprintf(&b, "\n%s\n", strings.ToUpper(kindTitle(kind)))
		}
		r.write(&b)
	}
	for i, r := range g.Relaxes {
		if i == 0 {
			b.WriteString("\nLISTS THAT NEED NOT BE AT HAND\n")
		}
		fmt.Fprintf(&b, "\n  %s\n    %s\n    Officer:    %s\n    In force:   %s\n", r.Rule, r.Reason, r.Officer, r.InForce)
	}
	for i, a := range g.Also {
		if i == 0 {
			b.WriteString("\nALSO APPLYING THERE\n")
		}
		fmt.Fprintf(&b, "\n  %s: %s\n    %s\n", a.ID, a.Title, words(a.Rules))
	}
	return b.String()
}

func (r *PageRule) write(b *strings.Builder) {
	fmt.Fprintf(b, "\n  %s\n    %s\n", r.ID, r.Says)
	line := func(name, text string) {
		if text != "" {
			fmt.Fprintf(b, "    %-11s %s\n", name+":", text)
		}
	}
	line("Channels", words(r.Channels))
	line("Purposes", words(r.Purposes))
	line("Where", choose(r.Where == "all", "", r.Where))
	line("Who", r.Who)
	for _, d := range r.Particulars {
		line(d.Name, d.Text)
	}
	line("In force", r.InForce)
	line("Citation", r.Citation+" ("+r.Confidence+")")
}

// String says in words where something holds.
func (w Where) String() string {
	switch {
	case len(w.Regions) > 0 && len(w.ExceptRegions) > 0:
		return words(w.Regions) + " but for " + words(w.ExceptRegions)
	case len(w.Regions) > 0:
		return words(w.Regions)
	case len(w.ExceptRegions) > 0:
		return "all but " + words(w.ExceptRegions)
	}
	return "all"
}

// String says in words where a pack holds.
func (a Applies) String() string {
	switch {
	case a.WithoutPack:
		return "wherever no other country's pack does"
	case len(a.Regions) > 0:
		return words(a.Regions)
	}
	return "everywhere"
}

func words(list []string) string { return strings.Join(list, ", ") }

func choose(is bool, yes, no string) string {
	if is {
		return yes
	}
	return no
}

func forceText(from, to string) string {
	text := "from " + from
	switch from {
	case always:
		text = "always"
	case pending:
		return "announced, its first day not known: not judged"
	}
	if to != "" {
		return choose(from == always, "until "+to, text+" to "+to)
	}
	return text
}
