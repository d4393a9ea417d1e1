package rules

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/consent-ledger/consent-ledger/projections/rules/calendar"
	"github.com/consent-ledger/consent-ledger/projections/suppression"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// A pack is compiled once, so that a decision neither parses nor allocates for
// rules: everything that can be said is said here, and decisions point to it.

// reason is a ready-made reason. Decisions share it; nobody changes it.
type reason struct {
	rank int
	msg  *consentv1.Reason
}

// cell is what a pack says about one channel and purpose.
type cell struct {
	revocation   []revocationRule
	companyDNC   []companyDNCRule
	registry     []registryRule
	consent      []consentRule
	permit       []permitRule
	confirmation []confirmationRule
	// changes are the days on which a rule of the cell begins or no longer
	// holds, sorted.
	changes []calendar.Date
}

// head is what all compiled rules have.
type head struct {
	from, to calendar.Date // both included
	where    Where
}

func (h *head) inForce(on calendar.Date, region string) bool {
	return h.from <= on && on <= h.to && h.where.matches(region)
}

type revocationRule struct {
	head
	replied bool
	revoked reason
}

type companyDNCRule struct {
	head
	termYears int
	override  suppression.Need
	overrides bool
	bases     bases
	listed    reason
}

type registryRule struct {
	head
	registry                string
	required                bool
	maxAge                  calendar.Date
	override                suppression.Need
	overrides               bool
	bases                   bases
	listed                  reason
	missing, tooOld, tooNew reason
}

type consentRule struct {
	head
	need     suppression.Need
	bases    bases
	failures [suppression.FailRevoked + 1]reason
	// invalidated: the grant was declared to be none.
	invalidated reason
}

type permitRule struct {
	head
	ok reason
}

type confirmationRule struct {
	head
	withinSeconds int
	ok            reason
	late, nothing reason
}

// compile fills the pack's cells. The pack has been validated.
func (p *Pack) compile() {
	for i := range p.Revocation {
		r := &p.Revocation[i]
		c := revocationRule{head: r.head(), replied: r.RepliedCounts, revoked: p.reason(CodeConsentRevoked, &r.Rule)}
		p.place(&r.Rule, func(cell *cell) { cell.revocation = append(cell.revocation, c) })
	}
	for i := range p.CompanyDNC {
		r := &p.CompanyDNC[i]
		c := companyDNCRule{head: r.head(), termYears: r.TermYears, override: needLevels(r.consentLevels()),
			overrides: len(r.consentLevels()) > 0, bases: p.bases(&r.Rule), listed: p.reason(CodeCompanyDNC, &r.Rule)}
		p.place(&r.Rule, func(cell *cell) { cell.companyDNC = append(cell.companyDNC, c) })
	}
	for i := range p.Registry {
		c := p.compileRegistry(&p.Registry[i])
		p.place(&p.Registry[i].Rule, func(cell *cell) { cell.registry = append(cell.registry, c) })
	}
	for i := range p.Consent {
		c := p.compileConsent(&p.Consent[i])
		p.place(&p.Consent[i].Rule, func(cell *cell) { cell.consent = append(cell.consent, c) })
	}
	for i := range p.Permit {
		r := &p.Permit[i]
		c := permitRule{head: r.head(), ok: p.reason(r.Basis, &r.Rule)}
		p.place(&r.Rule, func(cell *cell) { cell.permit = append(cell.permit, c) })
	}
	for i := range p.Confirmation {
		r := &p.Confirmation[i]
		c := confirmationRule{head: r.head(), withinSeconds: r.WithinSeconds, ok: p.reason(OKConfirmationText, &r.Rule),
			late: p.reason(CodeConsentRevoked, &r.Rule), nothing: p.reason(CodeConsentMissing, &r.Rule)}
		c.late.msg.Text = "The person asked to stop, and the time in which that may be confirmed is over."
		c.late.msg.Fix = "Nothing: the request is recorded and holds; it needs no confirmation."
		c.nothing.msg.Text = "There is no request to stop that could be confirmed."
		c.nothing.msg.Fix = "Record the request first."
		p.place(&r.Rule, func(cell *cell) { cell.confirmation = append(cell.confirmation, c) })
	}
	for _, row := range p.cells {
		for _, c := range row {
			if c != nil {
				slices.Sort(c.changes)
				c.changes = slices.Compact(c.changes)
			}
		}
	}
}

func (p *Pack) compileRegistry(r *RegistryRule) registryRule {
	c := registryRule{head: r.head(), registry: r.Registry, required: r.Required, maxAge: calendar.Date(r.MaxAgeDays),
		override: needLevels(r.consentLevels()), overrides: len(r.consentLevels()) > 0, bases: p.bases(&r.Rule),
		listed:  p.reason(CodeRegistryListed, &r.Rule),
		missing: p.reason(CodeRegistryStale, &r.Rule),
		tooOld:  p.reason(CodeRegistryStale, &r.Rule),
		tooNew:  p.reason(CodeRegistryStale, &r.Rule),
	}
	load := fmt.Sprintf("`consent import registry --registry %s FILE`", r.Registry)
	c.listed.msg.Text = fmt.Sprintf("The number is on the Do-Not-Call list %s. %s", r.Registry, r.Says)
	if len(r.consentLevels()) > 0 {
		c.listed.msg.Fix = fmt.Sprintf("Only the person's own consent (%s) to contact from this seller lifts this.", strings.Join(r.consentLevels(), " or "))
	}
	c.missing.msg.Text = fmt.Sprintf("The Do-Not-Call list %s is not loaded for this number: not at all, not for its area code, or not for this seller. %s", r.Registry, r.Says)
	c.missing.msg.Fix = fmt.Sprintf("Load a list that covers the number's area code: %s.", load)
	c.tooOld.msg.Text = fmt.Sprintf("The Do-Not-Call list %s is older than %d days. %s", r.Registry, r.MaxAgeDays, r.Says)
	c.tooOld.msg.Fix = fmt.Sprintf("Load the current list: %s.", load)
	c.tooNew.msg.Text = fmt.Sprintf("The Do-Not-Call list %s is of a later day than the contact asked about. %s", r.Registry, r.Says)
	c.tooNew.msg.Fix = fmt.Sprintf("Ask about today, or load the list of that time: %s.", load)
	return c
}

func (p *Pack) compileConsent(r *ConsentRule) consentRule {
	c := consentRule{head: r.head(), need: needLevels(r.Levels), bases: p.bases(&r.Rule)}
	c.need.EvidenceRequired = r.EvidenceRequired
	c.invalidated = p.reason(CodeConsentRevoked, &r.Rule)
	c.invalidated.msg.Text = "The consent on record was found to be invalid. " + r.Says
	c.invalidated.msg.Fix = "Get consent from the person, and record it with its evidence."
	for f := range c.failures {
		code, text, fix := failure(suppression.Failure(f))
		one := p.reason(code, &r.Rule)
		if text != "" {
			one.msg.Text, one.msg.Fix = text, fix
		}
		if code != CodeConsentRevoked && code != CodeErasedBlock {
			one.msg.Text += " " + r.Says
		}
		c.failures[f] = one
	}
	return c
}

// failure says with which code, and if need be in which words of its own, a
// failure of consent is given.
func failure(f suppression.Failure) (code, text, fix string) {
	switch f {
	case suppression.FailScope:
		return CodeConsentScope, "", ""
	case suppression.FailLevel:
		return CodeConsentLevel, "", ""
	case suppression.FailWording:
		return CodeWordingInvalid, "", ""
	case suppression.FailDistrusted:
		return CodeConsentMissing, "The consent on record comes from a source that is no longer trusted.",
			"Get consent directly from the person, and record it."
	case suppression.FailEvidence:
		return CodeEvidenceMissing, "", ""
	case suppression.FailNotYet:
		return CodeConsentMissing, "The consent on record may be later than the contact asked about.",
			"Ask about an instant that is surely after the consent, or get consent again."
	case suppression.FailExpired:
		return CodeConsentExpired, "", ""
	case suppression.FailVoid:
		return CodeNumberReassigned, "", ""
	case suppression.FailErased:
		return CodeErasedBlock, "", ""
	case suppression.FailRevoked:
		return CodeConsentRevoked, "", ""
	default:
		return CodeConsentMissing, "", ""
	}
}

func (r *Rule) head() head {
	from, _ := parseFrom(r.EffectiveFrom) // validated
	to, _ := parseTo(r.EffectiveTo)
	return head{from: from, to: to, where: r.Where}
}

// reason makes the reason of a code for a rule. Rules are named pack/rule.
func (p *Pack) reason(code string, r *Rule) reason {
	c := codeTable(code)
	return reason{c.rank, &consentv1.Reason{Code: code, Text: c.text, Citation: r.Citation, Rule: p.ID + "/" + r.ID, Fix: c.fix}}
}

// place puts a rule into the cells it speaks about.
func (p *Pack) place(r *Rule, put func(*cell)) {
	cs, _ := parseChannels(r.Channels) // validated
	ps, _ := parsePurposes(r.Purposes)
	h := r.head()
	for _, c := range cs {
		for _, u := range ps {
			if p.cells[c][u] == nil {
				p.cells[c][u] = &cell{}
			}
			at := p.cells[c][u]
			put(at)
			if h.from != calendar.MinDate {
				at.changes = append(at.changes, h.from)
			}
			if h.to != calendar.MaxDate {
				at.changes = append(at.changes, h.to+1)
			}
		}
	}
}

// needLevels asks for consent of one of the levels.
func needLevels(levels []string) suppression.Need {
	levels = slices.Clone(levels)
	return suppression.Need{Sufficient: func(level string) bool { return slices.Contains(levels, level) }}
}

// basisOf is the code of an ALLOW that rests on consent of a level. Levels that
// packs add are express consent of some form.
func basisOf(level string) string {
	switch level {
	case "express_written":
		return OKWrittenConsent
	case "implied":
		return OKImpliedConsent
	}
	return OKExpressConsent
}

// bases are the reasons of an ALLOW by consent, one a code.
type bases [3]reason

func (p *Pack) bases(r *Rule) (b bases) {
	for i, code := range []string{OKWrittenConsent, OKExpressConsent, OKImpliedConsent} {
		b[i] = p.reason(code, r)
	}
	return b
}

func (b *bases) of(level string) reason {
	code := basisOf(level)
	for _, r := range b {
		if r.msg.GetCode() == code {
			return r
		}
	}
	return b[1]
}

func byRank(a, b reason) int { return cmp.Compare(a.rank, b.rank) }
