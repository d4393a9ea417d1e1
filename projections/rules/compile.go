package rules

import (
	"slices"
	"time"

	"github.com/consent-ledger/consent-ledger/projections/rules/calendar"
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
	revocation   []*revocationRule
	companyDNC   []*companyDNCRule
	registry     []*registryRule
	preference   []*preferenceRule
	consent      []*consentRule
	permit       []*permitRule
	confirmation []*confirmationRule
	window       []*windowRule
	caps         []*capRule
	coolingOff   []*coolingOffRule
	ban          []*banRule
	emergency    []*emergencyRule
	// changes are the days on which a rule of the cell begins or no longer
	// holds, sorted.
	changes []calendar.Date
}

// mask is a set of words of a closed list; 0 is none stated.
type mask uint8

func maskOf(known []string, words ...string) (m mask) {
	for _, w := range words {
		if i := slices.Index(known, w); i >= 0 {
			m |= 1 << i
		}
	}
	return m
}

// may tells whether what is known (0: nothing) may be among the mask's; an empty
// mask is everything.
func (m mask) may(known mask) bool { return m == 0 || known == 0 || m&known != 0 }

// must tells whether it surely is.
func (m mask) must(known mask) bool { return m == 0 || m&known != 0 }

// head is what all compiled rules have.
type head struct {
	from, to               calendar.Date // both included
	where                  *Where        // nil: everywhere the pack is for
	lines, subscribers     mask
	sectors, exceptSectors []string
	lifts                  []lift
	side                   sides // what to say beside a block
	name, citation         string
}

type revocationRule struct {
	head
	replied bool
	revoked reason
	bases   bases // of the consent that lifts it
	honour  *deadline
}

type companyDNCRule struct {
	head
	months, days int // of the term; both 0: for ever
	party        bool
	stops        bool
	listed       reason
	unknown      reason // of a party whose requests were not loaded
	honour       *deadline
}

type registryRule struct {
	head
	registry  string
	required  bool
	maxDays   calendar.Date // 0: not by days
	maxMonths int
	issues    []issue
	grace     calendar.Date
	voids     bool
	spared    *ground
	listed, inGrace,
	missing, tooOld, tooNew reason
}

// issue is a day of the year.
type issue struct {
	month time.Month
	day   int
}

type preferenceRule struct {
	head
	registry                   string
	blocked, day, band, closed reason
}

type consentRule struct {
	head
	ask      ask
	bases    bases
	failures [len(failureCodes)]reason
	// invalidated: the grant was declared to be none.
	invalidated reason
}

type permitRule struct {
	head
	ok       reason
	consents bool // consent of the ask's levels is a basis too
	ask      ask
	bases    bases
}

type confirmationRule struct {
	head
	within                            time.Duration
	max                               int
	noMarketing                       bool
	ok                                reason
	late, nothing, again, advertising reason
	unknown                           reason
}

type windowRule struct {
	head
	clocks                                 []*time.Location   // nil: the person's own
	week                                   *calendar.Week     // nil: every hour
	holidays                               *calendar.Calendar // nil: none
	onDays                                 *calendar.Week     // nil: every day of the week
	holidayWeek                            *calendar.Week     // nil: closed
	dayLifts, holidayLifts                 []lift
	outside, inZone, day, holiday, nowhere reason

	opens, closes calendar.Ahead
}

type capRule struct {
	head
	max                int
	hours              time.Duration // 0: by days
	days               calendar.Date
	perSubject         bool
	channels, purposes uint32 // bits by enum number
	reached, unknown   reason
}

type coolingOffRule struct {
	head
	days    calendar.Date
	cooling reason
}

type banRule struct {
	head
	banned reason
}

type emergencyRule struct {
	head
	reportingOnly bool
	suspended     reason
}

// compile fills the pack's cells. The pack has been validated.
func (p *Pack) compile() {
	p.cells = [channels][purposes]*cell{}
	compileAll(p, p.Revocation, p.revocationRule, func(c *cell) *[]*revocationRule { return &c.revocation })
	compileAll(p, p.CompanyDNC, p.companyDNCRule, func(c *cell) *[]*companyDNCRule { return &c.companyDNC })
	compileAll(p, p.Registry, p.registryRule, func(c *cell) *[]*registryRule { return &c.registry })
	compileAll(p, p.Preference, p.preferenceRule, func(c *cell) *[]*preferenceRule { return &c.preference })
	compileAll(p, p.Consent, p.consentRule, func(c *cell) *[]*consentRule { return &c.consent })
	compileAll(p, p.Permit, p.permitRule, func(c *cell) *[]*permitRule { return &c.permit })
	compileAll(p, p.Confirmation, p.confirmationRule, func(c *cell) *[]*confirmationRule { return &c.confirmation })
	compileAll(p, p.Window, p.windowRule, func(c *cell) *[]*windowRule { return &c.window })
	compileAll(p, p.Cap, p.capRule, func(c *cell) *[]*capRule { return &c.caps })
	compileAll(p, p.CoolingOff, p.coolingOffRule, func(c *cell) *[]*coolingOffRule { return &c.coolingOff })
	compileAll(p, p.Ban, p.banRule, func(c *cell) *[]*banRule { return &c.ban })
	compileAll(p, p.Emergency, p.emergencyRule, func(c *cell) *[]*emergencyRule { return &c.emergency })
	for _, row := range p.cells {
		for _, c := range row {
			if c != nil {
				slices.Sort(c.changes)
				c.changes = slices.Compact(c.changes)
			}
		}
	}
}

// compileAll compiles the rules of one kind and puts each into the cells it speaks
// about. A pending rule is put nowhere.
func compileAll[T, C any, P interface {
	*T
	rule() *Rule
}](p *Pack, rules []T, compile func(P) *C, list func(*cell) *[]*C) {
	for i := range rules {
		r := P(&rules[i]).rule()
		if r.EffectiveFrom == pending {
			continue
		}
		done := compile(P(&rules[i]))
		p.place(r, func(c *cell) { *list(c) = append(*list(c), done) })
	}
}

// place visits the cells a rule speaks about.
func (p *Pack) place(r *Rule, put func(*cell)) {
	cs, _ := parseChannels(r.Channels) // validated
	ps, _ := parsePurposes(r.Purposes)
	from, _ := parseFrom(r.EffectiveFrom)
	to, _ := parseTo(r.EffectiveTo)
	for _, c := range cs {
		for _, u := range ps {
			if p.cells[c][u] == nil {
				p.cells[c][u] = &cell{}
			}
			at := p.cells[c][u]
			put(at)
			if from != calendar.MinDate {
				at.changes = append(at.changes, from)
			}
			if to != calendar.MaxDate {
				at.changes = append(at.changes, to+1)
			}
		}
	}
}

// head compiles what all rules have; kind is for what stands beside a block.
func (p *Pack) head(r *Rule, kind string, lifts []Lift) head {
	h := head{name: p.ID + "/" + r.ID, citation: r.Citation,
		lines: maskOf(lineWords, r.Lines...), subscribers: maskOf(subscriberWords, r.Subscribers...),
		sectors: r.Sectors, exceptSectors: r.ExceptSectors, lifts: p.compileLifts(r, lifts)}
	h.from, _ = parseFrom(r.EffectiveFrom) // validated
	h.to, _ = parseTo(r.EffectiveTo)
	if len(r.Where.Regions)+len(r.Where.ExceptRegions) > 0 {
		h.where = &r.Where
	}
	h.side = p.sidesOf(r, kind, h.lifts)
	return h
}

// reason makes the reason of a code for a rule. Rules are named pack/rule. What
// the rule says stands behind what the code means.
func (p *Pack) reason(code string, r *Rule) reason {
	c := codeTable(code)
	return reason{c.rank, &consentv1.Reason{Code: code, Text: c.text + " " + r.Says, Citation: r.Citation, Rule: p.ID + "/" + r.ID, Fix: c.fix}}
}

// worded is a reason in words of its own.
func (p *Pack) worded(code string, r *Rule, text, fix string) reason {
	out := p.reason(code, r)
	out.msg.Text, out.msg.Fix = text, fix
	return out
}
