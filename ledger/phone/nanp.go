package phone

import (
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/nyaruka/phonenumbers"
)

const nanpCode = 1

// nanpTable knows, for each area code of the North American plan, what the
// library says of every number NPA-[2-9]XX-XXXX, if it says the same of all of
// them. Area codes whose numbers differ (many Caribbean ones, and codes opened
// by halves) are left to the library.
type nanpTable struct {
	members map[string]bool // regions that share the plan
	areas   [1000]area
}

type area struct {
	known bool // the library treats all numbers of this area code alike
	valid bool
	// region as the library names it, empty if it names none.
	region string
}

// newNANPTable reads the library's own patterns, so that a newer library brings
// a newer table. It is derived, not sampled: matchAll walks all numbers of an
// area code through the pattern's automaton at once.
func newNANPTable() *nanpTable {
	t := &nanpTable{members: map[string]bool{}}
	plans, ok := nanpPlans()
	if !ok {
		return t // the library changed its data: everything goes the slow way
	}
	for _, p := range plans {
		t.members[p.region] = true
	}
	for npa := 200; npa <= 999; npa++ {
		t.areas[npa] = areaOf(plans, npa)
	}
	return t
}

// plan is one region's share of the North American plan.
type plan struct {
	region  string
	leading *syntax.Prog // nil if the region is told by validity alone
	general *syntax.Prog
	types   *syntax.Prog
}

// nanpPlans lists the regions in the order in which the library asks them.
func nanpPlans() ([]plan, bool) {
	coll, err := phonenumbers.MetadataCollection()
	if err != nil {
		return nil, false
	}
	byRegion := map[string]*phonenumbers.PhoneMetadata{}
	for _, m := range coll.GetMetadata() {
		byRegion[m.GetId()] = m
	}
	var plans []plan
	for _, region := range phonenumbers.GetRegionCodesForCountryCode(nanpCode) {
		m := byRegion[region]
		if m == nil {
			return nil, false
		}
		p := plan{region: region}
		var okG, okT, okL = true, true, true
		p.general, okG = compile(patternOf(m.GetGeneralDesc()))
		p.types, okT = compile(typePattern(m))
		if lead := m.GetLeadingDigits(); lead != "" {
			p.leading, okL = compile("(?:" + lead + `)\d*`)
		}
		if !okG || !okT || !okL {
			return nil, false
		}
		plans = append(plans, p)
	}
	return plans, true
}

// typePattern matches what any kind of number (getNumberTypeHelper) matches.
func typePattern(m *phonenumbers.PhoneMetadata) string {
	var alts []string
	for _, d := range []*phonenumbers.PhoneNumberDesc{
		m.GetPremiumRate(), m.GetTollFree(), m.GetSharedCost(), m.GetVoip(), m.GetPersonalNumber(),
		m.GetPager(), m.GetUan(), m.GetVoicemail(), m.GetFixedLine(), m.GetMobile(),
	} {
		alts = append(alts, "(?:"+patternOf(d)+")")
	}
	return strings.Join(alts, "|")
}

// patternOf gives a description's pattern for ten digits.
func patternOf(d *phonenumbers.PhoneNumberDesc) string {
	if len(d.GetPossibleLength()) > 0 && !slices.Contains(d.GetPossibleLength(), 10) {
		return `x` // no number of ten digits
	}
	return d.GetNationalNumberPattern()
}

func compile(pattern string) (*syntax.Prog, bool) {
	re, err := syntax.Parse("(?:"+pattern+")", syntax.Perl)
	if err != nil {
		return nil, false
	}
	prog, err := syntax.Compile(re.Simplify())
	if err != nil {
		return nil, false
	}
	for i := range prog.Inst {
		if prog.Inst[i].Op == syntax.InstEmptyWidth {
			return nil, false // an anchor: not a pattern we know how to walk
		}
	}
	return prog, true
}

// areaOf follows GetRegionCodeForNumber and IsValidNumberForRegion.
func areaOf(plans []plan, npa int) area {
	for _, p := range plans {
		decide := p.leading
		if decide == nil {
			decide = p.types
			switch matchAll(p.general, npa) {
			case mixed:
				return area{}
			case none:
				continue
			}
		}
		switch matchAll(decide, npa) {
		case mixed:
			return area{}
		case none:
			continue
		}
		general, types := matchAll(p.general, npa), matchAll(p.types, npa)
		if general == mixed || types == mixed {
			return area{}
		}
		return area{known: true, valid: general == all && types == all, region: p.region}
	}
	return area{known: true}
}

type matched int

const (
	none matched = iota
	all
	mixed
)

// matchAll tells whether a pattern matches all numbers NPA-[2-9]XX-XXXX, none of
// them, or some. It walks the pattern's automaton by sets of states: as long as
// every digit leads to the same set, the numbers cannot be told apart. It may
// say mixed where it is not, never the reverse.
func matchAll(prog *syntax.Prog, npa int) matched {
	states := closure(prog, []uint32{uint32(prog.Start)})
	for _, d := range []rune{rune('0' + npa/100), rune('0' + npa/10%10), rune('0' + npa%10)} {
		states = step(prog, states, d)
	}
	for i := range 7 {
		first := rune('0')
		if i == 0 {
			first = '2'
		}
		next := step(prog, states, first)
		for d := first + 1; d <= '9'; d++ {
			if !slices.Equal(next, step(prog, states, d)) {
				return mixed
			}
		}
		if states = next; len(states) == 0 {
			return none
		}
	}
	for _, s := range states {
		if prog.Inst[s].Op == syntax.InstMatch {
			return all
		}
	}
	return none
}

// step gives the states after one digit, sorted.
func step(prog *syntax.Prog, states []uint32, d rune) []uint32 {
	var next []uint32
	for _, s := range states {
		if in := &prog.Inst[s]; in.Op != syntax.InstMatch && in.MatchRune(d) {
			next = append(next, in.Out)
		}
	}
	return closure(prog, next)
}

// closure follows what consumes nothing; only consuming and matching states are
// kept, sorted and once.
func closure(prog *syntax.Prog, todo []uint32) []uint32 {
	seen := make(map[uint32]bool, len(todo))
	var out []uint32
	for len(todo) > 0 {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[s] {
			continue
		}
		seen[s] = true
		switch in := &prog.Inst[s]; in.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			todo = append(todo, in.Out, in.Arg)
		case syntax.InstCapture, syntax.InstNop:
			todo = append(todo, in.Out)
		case syntax.InstFail:
		default:
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return out
}
