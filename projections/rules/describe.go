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
	gone := func(id string) bool { return id == ruleID }
	c.Consent = slices.DeleteFunc(slices.Clone(p.Consent), func(r ConsentRule) bool { return gone(r.ID) })
	c.Permit = slices.DeleteFunc(slices.Clone(p.Permit), func(r PermitRule) bool { return gone(r.ID) })
	c.Confirmation = slices.DeleteFunc(slices.Clone(p.Confirmation), func(r ConfirmationRule) bool { return gone(r.ID) })
	c.Revocation = slices.DeleteFunc(slices.Clone(p.Revocation), func(r RevocationRule) bool { return gone(r.ID) })
	c.CompanyDNC = slices.DeleteFunc(slices.Clone(p.CompanyDNC), func(r CompanyDNCRule) bool { return gone(r.ID) })
	c.Registry = slices.DeleteFunc(slices.Clone(p.Registry), func(r RegistryRule) bool { return gone(r.ID) })
	c.cells = [channels][purposes]*cell{}
	c.compile()
	return &c
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
		fmt.Fprintf(&b, "    Channels:   %s\n    Purposes:   %s\n    Numbers:    %s\n", strings.Join(r.Channels, ", "), strings.Join(r.Purposes, ", "), r.Where)
		for _, line := range p.particulars(r) {
			fmt.Fprintf(&b, "    %s\n", line)
		}
		fmt.Fprintf(&b, "    In force:   %s\n    Citation:   %s (%s)\n", inForce(r.Rule), r.Citation, r.Confidence)
	}
	return b.String()
}

// String says in words to which numbers something applies.
func (w Where) String() string {
	codes := func(list []int) string {
		var out []string
		for _, c := range list {
			out = append(out, fmt.Sprintf("+%d", c))
		}
		return strings.Join(out, ", ")
	}
	switch {
	case len(w.CallingCodes) > 0:
		return codes(w.CallingCodes)
	case len(w.ExceptCallingCodes) > 0:
		return "all but " + codes(w.ExceptCallingCodes)
	}
	return "all"
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
		return []string{"Term:       " + choose(d.TermYears == 0, "for ever", fmt.Sprintf("%d years", d.TermYears)), "Lifted by:  " + lifted(d.OverriddenBy)}
	case "registry":
		g := p.Registry[i]
		return []string{"List:       " + g.Registry + choose(g.Required, ", required", ", counts if it is loaded"),
			fmt.Sprintf("Age:        at most %d days on the day of the contact", g.MaxAgeDays), "Lifted by:  " + lifted(g.OverriddenBy)}
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
