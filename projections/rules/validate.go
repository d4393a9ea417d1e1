package rules

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/consent-ledger/consent-ledger/projections/rules/calendar"
)

// The words of the schema.
var (
	lineWords         = []string{"landline", "wireless", "voip", "toll_free", "fax"}
	subscriberWords   = []string{"individual", "sole_trader", "corporate"}
	relationshipWords = []string{"purchase", "inquiry", "contract", "callback_requested", "personal", "number_volunteered"}
	flagWords         = []string{"details_collected_in_sale", "opt_out_offered", "opt_out_in_every_message", "similar_products", "customer"}
	contentWords      = []string{"opt_out_notice"}
	permitBases       = []string{OKExempt, OKNotListed, OKCorporate}
	liftBases         = []string{OKWrittenConsent, OKExpressConsent, OKImpliedConsent, OKConsentOverride, OKSoftOptIn, OKEBR,
		OKContract, OKCorporate, OKExempt, OKPortGrace}
)

var (
	idPattern     = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)
	wordPattern   = regexp.MustCompile(`^[a-z0-9_]{1,64}$`)
	sellerPattern = regexp.MustCompile(`^[a-z0-9_-]{1,64}$`)
	regionPattern = regexp.MustCompile(`^[A-Z]{2}(-[A-Z0-9]{1,3})?$`)
	rulePattern   = regexp.MustCompile(`^[a-z0-9-]+/[a-z0-9-]+$`)
)

func (v *validator) pack(p *Pack) {
	if !idPattern.MatchString(p.ID) {
		v.bad("$.id", "must match [a-z0-9-]{1,64}")
	} else if p.ID != fileID(v.name) {
		v.bad("$.id", "%q is not what the file is called", p.ID)
	}
	for _, f := range []struct{ path, value string }{{"$.version", p.Version}, {"$.title", p.Title}, {"$.about", p.About}} {
		if strings.TrimSpace(f.value) == "" {
			v.bad(f.path, "is missing")
		}
	}
	if !slices.Contains(layerOrder, p.Layer) {
		v.bad("$.layer", "must be one of %v", layerOrder)
	}
	v.day("$.known_as_of", p.KnownAsOf)
	v.applies(p)
	all := p.rules()
	if len(all) == 0 && len(p.Relaxes) == 0 {
		v.bad("$", "the pack holds no rule")
	}
	for _, r := range all {
		v.rule(r)
	}
	v.overlaps(all)
	v.kinds(p)
	v.relaxes(p)
}

// applies: a pack of law says where it holds, and a seller's whose it is.
func (v *validator) applies(p *Pack) {
	v.regions("$.applies.regions", p.Applies.Regions)
	law := p.Layer == LayerCountry || p.Layer == LayerState
	switch {
	case p.Applies.WithoutPack && (p.Layer != LayerCountry || len(p.Applies.Regions) > 0):
		v.bad("$.applies.without_pack", "is for a pack of layer country without regions")
	case law && !p.Applies.WithoutPack && len(p.Applies.Regions) == 0:
		v.bad("$.applies.regions", "is missing: the places whose law this is, such as [US] or [US-FL]")
	}
	for _, r := range p.Applies.Regions {
		if state := strings.Contains(r, "-"); law && state != (p.Layer == LayerState) {
			v.bad("$.applies.regions", "%q does not fit layer %s", r, p.Layer)
		}
	}
	switch {
	case p.Layer == LayerSeller && !sellerPattern.MatchString(p.Seller):
		v.bad("$.seller", "must be the id of the seller whose pack it is")
	case p.Layer != LayerSeller && p.Seller != "":
		v.bad("$.seller", "belongs to layer seller alone")
	}
	if p.Layer != LayerCountry {
		for i := range p.Permit {
			v.bad(fmt.Sprintf("$.permit[%d]", i), "only a pack of layer country permits; a narrower layer adds demands, and lifts its own")
		}
		for i := range p.Confirmation {
			v.bad(fmt.Sprintf("$.confirmation[%d]", i), "only a pack of layer country permits")
		}
	}
}

// rule checks what all kinds have.
func (v *validator) rule(r placed) {
	if !idPattern.MatchString(r.ID) {
		v.bad(r.path+".id", "must match [a-z0-9-]{1,64}")
	}
	if strings.TrimSpace(r.Says) == "" {
		v.bad(r.path+".says", "is missing: the rule in one plain sentence")
	}
	if strings.TrimSpace(r.Citation) == "" {
		v.bad(r.path+".citation", "is missing: a rule without a source is an opinion")
	}
	if r.Confidence != "verified" && r.Confidence != "secondary" {
		v.bad(r.path+".confidence", "must be verified or secondary")
	}
	if r.KnownAsOf != "" {
		v.day(r.path+".known_as_of", r.KnownAsOf)
	}
	v.effective(r)
	if _, err := parseChannels(r.Channels); err != nil {
		v.bad(r.path+".channels", "%w", err)
	}
	if _, err := parsePurposes(r.Purposes); err != nil {
		v.bad(r.path+".purposes", "%w", err)
	}
	v.regions(r.path+".where.regions", r.Where.Regions)
	v.regions(r.path+".where.except_regions", r.Where.ExceptRegions)
	v.words(r.path+".lines", r.Lines, lineWords)
	v.words(r.path+".subscribers", r.Subscribers, subscriberWords)
	v.sectors(r)
	for _, l := range r.lifts {
		for i := range l.list {
			v.lift(fmt.Sprintf("%s.%s[%d]", r.path, l.key, i), &l.list[i], r)
		}
	}
}

func (v *validator) effective(r placed) {
	from, err := parseFrom(r.EffectiveFrom)
	if err != nil {
		v.bad(r.path+".effective_from", "must be a day, YYYY-MM-DD, `always` or `pending`")
	}
	to, err := parseTo(r.EffectiveTo)
	switch {
	case err != nil:
		v.bad(r.path+".effective_to", "must be a day, YYYY-MM-DD, or absent")
	case r.EffectiveFrom == pending && r.EffectiveTo != "":
		v.bad(r.path+".effective_to", "has no meaning while the first day is pending")
	case to < from && r.EffectiveFrom != pending:
		v.bad(r.path+".effective_to", "is before effective_from")
	}
}

func (v *validator) sectors(r placed) {
	for _, s := range slices.Concat(r.Sectors, r.ExceptSectors) {
		if !wordPattern.MatchString(s) {
			v.bad(r.path+".sectors", "%q must match [a-z0-9_]{1,64}", s)
		}
	}
	if len(r.Sectors) > 0 && len(r.ExceptSectors) > 0 {
		v.bad(r.path+".except_sectors", "name the sectors it is for, or those it is not for, not both")
	}
}

func (v *validator) day(path, s string) {
	if _, err := calendar.ParseDate(s); err != nil {
		v.bad(path, "must be a day, YYYY-MM-DD")
	}
}

func (v *validator) regions(path string, list []string) {
	for i, r := range list {
		if !regionPattern.MatchString(r) {
			v.bad(path, "%q is no region: ISO 3166, such as GB or US-FL", r)
		}
		if slices.Contains(list[:i], r) {
			v.bad(path, "%q is named twice", r)
		}
	}
}

// words checks a list against a closed set.
func (v *validator) words(path string, list, known []string) {
	for i, w := range list {
		if !slices.Contains(known, w) {
			v.bad(path, "%q is none of %s", w, strings.Join(known, ", "))
		}
		if slices.Contains(list[:i], w) {
			v.bad(path, "%q is named twice", w)
		}
	}
}

func (v *validator) between(path string, n, least, most int) {
	if n < least || n > most {
		v.bad(path, "must be %d to %d", least, most)
	}
}

func (v *validator) levels(path string, levels []string, needed bool) {
	if needed && len(levels) == 0 {
		v.bad(path, "is missing: which levels of consent are enough")
	}
	for i, l := range levels {
		if !wordPattern.MatchString(l) {
			v.bad(path, "%q must match [a-z0-9_]{1,64}", l)
		}
		if slices.Contains(levels[:i], l) {
			v.bad(path, "%q is named twice", l)
		}
	}
}

// overlaps finds two versions of a rule in force on one day, and one id used for
// two kinds.
func (v *validator) overlaps(all []placed) {
	for i, b := range all {
		for _, a := range all[:i] {
			if a.ID != b.ID {
				continue
			}
			if a.kind != b.kind {
				v.bad(b.path+".id", "%q is a rule of another kind already (line %d)", b.ID, v.line(a.path+".id"))
				continue
			}
			aFrom, _ := parseFrom(a.EffectiveFrom)
			aTo, _ := parseTo(a.EffectiveTo)
			bFrom, _ := parseFrom(b.EffectiveFrom)
			bTo, _ := parseTo(b.EffectiveTo)
			pendings := a.EffectiveFrom == pending || b.EffectiveFrom == pending
			if aFrom <= bTo && bFrom <= aTo && (!pendings || a.EffectiveFrom == b.EffectiveFrom) {
				v.bad(b.path+".effective_from", "%q overlaps in time with its version in line %d", b.ID, v.line(a.path+".id"))
			}
		}
	}
}

// lift checks one way out of a rule.
func (v *validator) lift(path string, l *Lift, r placed) {
	if l.Basis != "" && !slices.Contains(liftBases, l.Basis) {
		v.bad(path+".basis", "must be one of %s", strings.Join(liftBases, ", "))
	}
	if len(l.Channels) > 0 {
		if got, err := parseChannels(l.Channels); err != nil {
			v.bad(path+".channels", "%w", err)
		} else if all, err := parseChannels(r.Channels); err == nil && !within(got, all) {
			v.bad(path+".channels", "are not all among the rule's")
		}
	}
	if len(l.Purposes) > 0 {
		if got, err := parsePurposes(l.Purposes); err != nil {
			v.bad(path+".purposes", "%w", err)
		} else if all, err := parsePurposes(r.Purposes); err == nil && !within(got, all) {
			v.bad(path+".purposes", "are not all among the rule's")
		}
	}
	v.ground(path, &l.Ground, r.kind)
	for i := range l.And {
		v.ground(fmt.Sprintf("%s.and[%d]", path, i), &l.And[i], r.kind)
	}
	if l.Basis == "" && l.defaultBasis() == "" {
		v.bad(path+".basis", "is missing: this ground has no code of its own")
	}
}

func within(some, all []int) bool {
	return !slices.ContainsFunc(some, func(n int) bool { return !slices.Contains(all, n) })
}

// ground checks that a ground is one thing, and whole.
func (v *validator) ground(path string, g *Ground, kind string) {
	has := 0
	for _, set := range []bool{len(g.Consent) > 0, g.Relationship != "", g.Class != nil, g.TimeConsent, g.PortedWithinDays != 0, g.Content != ""} {
		if set {
			has++
		}
	}
	if has != 1 {
		v.bad(path, "a ground is exactly one of consent, relationship, class, time_consent, ported_within_days, content")
		return
	}
	v.levels(path+".consent", g.Consent, false)
	if (g.Evidence || g.DefaultTermMonths != 0) && len(g.Consent) == 0 {
		v.bad(path, "evidence and default_term_months belong to consent")
	}
	v.between(path+".default_term_months", g.DefaultTermMonths, 0, 1200)
	v.relationship(path, g)
	if g.Class != nil {
		v.words(path+".class.lines", g.Class.Lines, lineWords)
		v.words(path+".class.subscribers", g.Class.Subscribers, subscriberWords)
		if len(g.Class.Lines)+len(g.Class.Subscribers) == 0 {
			v.bad(path+".class", "names neither lines nor subscribers")
		}
	}
	if g.TimeConsent && kind != "window" {
		v.bad(path+".time_consent", "lifts windows alone")
	}
	if g.PortedWithinDays != 0 {
		v.between(path+".ported_within_days", g.PortedWithinDays, 1, 400)
	}
	if g.Content != "" {
		v.words(path+".content", []string{g.Content}, contentWords)
	}
}

func (v *validator) relationship(path string, g *Ground) {
	terms := 0
	for _, n := range []struct {
		key string
		n   int
	}{{"within_months", g.WithinMonths}, {"within_days", g.WithinDays}, {"after_end_months", g.AfterEndMonths}, {"after_end_days", g.AfterEndDays}} {
		if n.n != 0 {
			terms++
			v.between(path+"."+n.key, n.n, 1, 4000)
		}
	}
	if g.Relationship == "" {
		if terms > 0 || g.Active || g.OfferRelated || len(g.Flags) > 0 {
			v.bad(path, "terms, active, offer_related and flags belong to a relationship")
		}
		return
	}
	v.words(path+".relationship", []string{g.Relationship}, relationshipWords)
	v.words(path+".flags", g.Flags, flagWords)
	switch {
	case terms > 1:
		v.bad(path, "name one of within_months, within_days, after_end_months, after_end_days")
	case g.Active && g.AfterEndMonths+g.AfterEndDays > 0:
		v.bad(path+".active", "contradicts a term after the end")
	}
}

func (v *validator) relaxes(p *Pack) {
	for i, r := range p.Relaxes {
		path := fmt.Sprintf("$.relaxes[%d]", i)
		if p.Layer != LayerSeller {
			v.bad(path, "only a pack of layer seller relaxes a rule")
		}
		if !rulePattern.MatchString(r.Rule) {
			v.bad(path+".rule", "must name a rule, pack/rule")
		}
		for _, f := range []struct{ key, value string }{{"reason", r.Reason}, {"officer", r.Officer}} {
			if strings.TrimSpace(f.value) == "" {
				v.bad(path+"."+f.key, "is missing: somebody answers for this")
			}
		}
		v.day(path+".effective_from", r.EffectiveFrom)
		to, err := parseTo(r.EffectiveTo)
		if from, bad := calendar.ParseDate(r.EffectiveFrom); err != nil {
			v.bad(path+".effective_to", "must be a day, YYYY-MM-DD, or absent")
		} else if bad == nil && to < from {
			v.bad(path+".effective_to", "is before effective_from")
		}
	}
}

// calendars reads the pack's own calendars beside the shared ones.
func (v *validator) calendars(p *Pack) *calendar.Set {
	shared, err := calendar.Shared()
	if err != nil {
		v.bad("$.calendars", "%w", err)
		return nil
	}
	set, problems := calendar.NewSet(p.Calendars, shared)
	for _, x := range problems {
		v.bad("$.calendars"+x.Path, "%w", x.Err)
	}
	return set
}

// calendar checks that a rule's calendar is there.
func (v *validator) calendar(path, id string) {
	if v.set != nil && v.set.Get(id) == nil {
		v.bad(path, "no calendar is called %q", id)
	}
}
