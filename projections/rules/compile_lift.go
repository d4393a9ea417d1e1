package rules

import (
	"slices"
	"strings"

	"github.com/consent-ledger/consent-ledger/projections/rules/calendar"
	"github.com/consent-ledger/consent-ledger/projections/suppression"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// sides are what a rule says beside its block.
type sides struct {
	lapsed, notApplicable, void, voided, listed, company reason
	failures                                             [len(failureCodes)]reason
	relations                                            uint32 // kinds that the lifts know, bits by enum number
}

// failureCodes say with which code each failure of consent is given.
var failureCodes = [...]string{
	suppression.FailMissing:    CodeConsentMissing,
	suppression.FailScope:      CodeConsentScope,
	suppression.FailLevel:      CodeConsentLevel,
	suppression.FailWording:    CodeWordingInvalid,
	suppression.FailDistrusted: CodeConsentMissing,
	suppression.FailEvidence:   CodeEvidenceMissing,
	suppression.FailNotYet:     CodeConsentMissing,
	suppression.FailExpired:    CodeConsentExpired,
	suppression.FailVoid:       CodeNumberReassigned,
	suppression.FailErased:     CodeErasedBlock,
	suppression.FailRevoked:    CodeConsentRevoked,

	suppression.FailSuperseded: CodeConsentRevoked,
}

// sidesOf prepares what stands beside a rule's block. Which relationship would have
// done is of interest for consent and lists; which consent, for lists alone, because
// a rule that asks for consent says so itself.
func (p *Pack) sidesOf(r *Rule, kind string, lifts []lift) (s sides) {
	consents := false
	for i := range lifts {
		for _, g := range lifts[i].grounds {
			switch g.kind {
			case groundConsent:
				consents = true
			case groundRelationship:
				s.relations |= 1 << g.relation
			}
		}
	}
	s.void = p.reason(CodeNumberReassigned, r)
	s.lapsed = p.reason(CodeEBRExpired, r)
	s.listed = p.worded(CodeRegistryListed, r, "The number is on a Do-Not-Call list, so the grace after a port does not help. "+r.Says, "Get the person's consent, and record it.")
	s.company = p.worded(CodeCompanyDNC, r, "The number is on the seller's own Do-Not-Call list, so the grace after a port does not help. "+r.Says, "Get the person's consent, and record it.")
	switch kind {
	case "consent":
		s.lapsed = p.worded(CodeConsentExpired, r, "The relationship that stood for consent ended too long ago. "+r.Says, codeTable(CodeConsentExpired).fix)
		s.notApplicable = p.reason(CodeEBRNotApplicable, r)
	case "registry":
		s.notApplicable = p.reason(CodeEBRNotApplicable, r)
		s.voided = p.worded(CodeConsentRevoked, r, "Being listed ended the consent that was given before. "+r.Says, "Only consent given after the listing lifts this.")
	}
	if !consents || kind != "registry" && kind != "company_dnc" && kind != "preference" {
		return s
	}
	for _, f := range []suppression.Failure{suppression.FailScope, suppression.FailLevel, suppression.FailWording, suppression.FailEvidence,
		suppression.FailExpired, suppression.FailVoid} {
		s.failures[f] = p.reason(failureCodes[f], r)
	}
	return s
}

// compileLifts compiles a list of lifts of a rule.
func (p *Pack) compileLifts(r *Rule, list []Lift) []lift {
	out := make([]lift, len(list))
	for i := range list {
		l := &list[i]
		c := &out[i]
		c.channels, c.purposes = bitsOf(l.Channels, parseChannels), bitsOf(l.Purposes, parsePurposes)
		c.grounds = append(c.grounds, compileGround(&l.Ground))
		for j := range l.And {
			c.grounds = append(c.grounds, compileGround(&l.And[j]))
		}
		basis := l.Basis
		c.byLevel = basis == "" && len(l.Consent) > 0
		if basis == "" {
			basis = l.defaultBasis()
		}
		c.ok = p.reason(basis, r)
		c.bases = p.bases(r)
		if l.Says != "" {
			c.ok.msg.Text = l.Says
			for j := range c.bases.byLevel {
				c.bases.byLevel[j].msg.Text = l.Says
			}
		}
	}
	return out
}

// bitsOf reads words as bits; none: 0.
func bitsOf(words []string, parse func([]string) ([]int, error)) (bits uint32) {
	if len(words) == 0 {
		return 0
	}
	all, _ := parse(words) // validated
	for _, n := range all {
		bits |= 1 << n
	}
	return bits
}

func compileGround(g *Ground) ground {
	c := ground{months: g.WithinMonths, days: g.WithinDays, endMonths: g.AfterEndMonths, endDays: g.AfterEndDays, offer: g.OfferRelated,
		flags: maskOf(flagWords, g.Flags...), ported: calendar.Date(g.PortedWithinDays)}
	switch {
	case len(g.Consent) > 0:
		c.kind, c.ask = groundConsent, ask{needLevels(g.Consent), g.DefaultTermMonths}
		c.ask.need.EvidenceRequired = g.Evidence
	case g.Relationship != "":
		c.kind = groundRelationship
		c.relation = consentv1.RelationshipKind(consentv1.RelationshipKind_value["RELATIONSHIP_KIND_"+strings.ToUpper(g.Relationship)])
	case g.Class != nil:
		c.kind, c.lines, c.subscribers = groundClass, maskOf(lineWords, g.Class.Lines...), maskOf(subscriberWords, g.Class.Subscribers...)
	case g.TimeConsent:
		c.kind = groundTime
	case g.PortedWithinDays > 0:
		c.kind = groundPorted
	default:
		c.kind = groundNotice
	}
	return c
}

// needLevels asks for consent of one of the levels.
func needLevels(levels []string) suppression.Need {
	levels = slices.Clone(levels)
	return suppression.Need{Sufficient: func(level string) bool { return slices.Contains(levels, level) }}
}

// bases are the reasons of an ALLOW by consent, one a code, and what stands beside
// them if nothing is held that shows it.
type bases struct {
	byLevel [3]reason
	unshown reason
}

func (p *Pack) bases(r *Rule) (b bases) {
	for i, code := range []string{OKWrittenConsent, OKExpressConsent, OKImpliedConsent} {
		b.byLevel[i] = p.reason(code, r)
	}
	unshown := codeTable(OKEvidenceNotHeld)
	b.unshown = p.worded(OKEvidenceNotHeld, r, unshown.text, unshown.fix)
	return b
}

// of is the basis for a level. Levels that packs add are express consent of some form.
func (b *bases) of(level string) reason {
	switch level {
	case suppression.LevelWritten:
		return b.byLevel[0]
	case "implied":
		return b.byLevel[2]
	}
	return b.byLevel[1]
}
