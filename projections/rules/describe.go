package rules

import (
	"fmt"
	"slices"
	"strings"
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
	c.cells = [channels][purposes]*cell{}
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
	ID, Version, Title string
	Layer              Layer
	Rules              int
	KnownAsOf, SHA256  string
}

// List describes every pack in a line.
func (s *Packs) List() []Listing {
	out := make([]Listing, 0, len(s.packs))
	for _, p := range s.packs {
		out = append(out, Listing{p.ID, p.Version, p.Title, p.Layer, len(p.rules()), p.KnownAsOf, p.SHA256()})
	}
	return out
}

// Describe renders a pack as plain text that a lawyer can check: every rule with
// what it says, whom it binds, from when to when, and on what authority.
func Describe(p *Pack) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, version %s: %s\n\n", p.ID, p.Version, p.Title)
	fmt.Fprintf(&b, "%s\n\nLayer:    %s\nApplies:  %s\nLaw as of %s\nSHA-256:  %s\n", strings.TrimSpace(p.About), p.Layer, p.Applies, p.KnownAsOf, p.SHA256())
	kind := ""
	for _, r := range p.rules() {
		if r.kind != kind {
			kind = r.kind
			fmt.Fprintf(&b, "\n%s\n", strings.ToUpper(kindTitle(kind)))
		}
		fmt.Fprintf(&b, "\n  %s\n    %s\n", r.ID, r.Says)
		fmt.Fprintf(&b, "    Channels:   %s\n    Purposes:   %s\n    Where:      %s\n", strings.Join(r.Channels, ", "), strings.Join(r.Purposes, ", "), r.Where)
		for _, line := range p.particulars(r) {
			fmt.Fprintf(&b, "    %s\n", line)
		}
		fmt.Fprintf(&b, "    In force:   %s\n    Citation:   %s (%s)\n", inForce(r.Rule), r.Citation, r.Confidence)
	}
	return b.String()
}

// String says in words where something holds.
func (w Where) String() string {
	switch {
	case len(w.Regions) > 0 && len(w.ExceptRegions) > 0:
		return strings.Join(w.Regions, ", ") + " but for " + strings.Join(w.ExceptRegions, ", ")
	case len(w.Regions) > 0:
		return strings.Join(w.Regions, ", ")
	case len(w.ExceptRegions) > 0:
		return "all but " + strings.Join(w.ExceptRegions, ", ")
	}
	return "all"
}

// String says in words where a pack holds.
func (a Applies) String() string {
	switch {
	case a.WithoutPack:
		return "wherever no other country's pack does"
	case len(a.Regions) > 0:
		return strings.Join(a.Regions, ", ")
	}
	return "everywhere"
}

func kindTitle(kind string) string {
	switch kind {
	case "company_dnc":
		return "the seller's own Do-Not-Call list"
	case "registry":
		return "public Do-Not-Call registries"
	case "consent":
		return "consent needed"
	case "permit":
		return "no consent needed"
	case "confirmation":
		return "confirming a request to stop"
	case "revocation":
		return "requests to stop"
	}
	return kind
}

// particulars is what a rule has of its own kind.
func (p *Pack) particulars(r placed) []string {
	var i int
	if _, err := fmt.Sscanf(r.path, "$."+r.kind+"[%d]", &i); err != nil {
		return nil
	}
	switch r.kind {
	case "revocation":
		return []string{"Replies:    " + choose(p.Revocation[i].RepliedCounts, "a stop in reply to one programme counts for all", "a stop in reply to one programme counts for that one")}
	case "company_dnc":
		d := p.CompanyDNC[i]
		return []string{"Term:       " + choose(d.TermYears == 0, "for ever", fmt.Sprintf("%d years", d.TermYears)), "Lifted by:  " + lifted(d.consentLevels())}
	case "registry":
		g := p.Registry[i]
		return []string{"List:       " + g.Registry + choose(g.Required, ", required", ", counts if it is loaded"),
			fmt.Sprintf("Age:        at most %d days on the day of the contact", g.MaxAgeDays), "Lifted by:  " + lifted(g.consentLevels())}
	case "consent":
		c := p.Consent[i]
		return []string{"Levels:     " + strings.Join(c.Levels, ", ") + choose(c.EvidenceRequired, ", with evidence", "")}
	case "permit":
		return []string{"Basis:      " + p.Permit[i].Basis}
	case "confirmation":
		return []string{fmt.Sprintf("Within:     %d seconds of the request", p.Confirmation[i].WithinSeconds)}
	}
	return nil
}

func lifted(levels []string) string {
	if len(levels) == 0 {
		return "nothing"
	}
	return "later consent of level " + strings.Join(levels, ", ")
}

func choose(is bool, yes, no string) string {
	if is {
		return yes
	}
	return no
}

func inForce(r *Rule) string {
	from := "from " + r.EffectiveFrom
	if r.EffectiveFrom == always {
		from = "always"
	}
	if r.EffectiveTo != "" {
		return from + " to " + r.EffectiveTo
	}
	return from
}
