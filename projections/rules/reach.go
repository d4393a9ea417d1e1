package rules

import "strings"

// reach is where a pack may hold at all. A decision looks at those of all packs,
// which lie side by side, and then only into the few packs that may apply.
type reach struct {
	region code // of the pack's one region; 0: there are more, or none
	mask   code // the part of a place's code that must equal it
}

// code is an ISO 3166 code as a number, its letters from the highest byte on: of a
// country (GB) or of one part of it (US-NY, AU-NSW). 0 is anything else.
type code uint64

const (
	countryLetters = 2
	partLettersMax = 3 // behind the hyphen
	countryMask    = code(0xffff) << 48
	wholeMask      = ^code(0)
)

func codeOf(region string) (c code) {
	if n := len(region); n != countryLetters &&
		(n < countryLetters+2 || n > countryLetters+1+partLettersMax || strings.IndexByte(region, '-') != countryLetters || strings.LastIndexByte(region, '-') != countryLetters) {
		return 0
	}
	for i := range len(region) {
		c |= code(region[i]) << (56 - 8*i)
	}
	return c
}

func newReach(p *Pack) reach {
	if p.Applies.WithoutPack || len(p.Applies.Regions) != 1 {
		return reach{}
	}
	r := p.Applies.Regions[0]
	if len(r) == countryLetters {
		return reach{codeOf(r), countryMask}
	}
	return reach{codeOf(r), wholeMask}
}

// may is false only if a pack certainly holds at none of the places.
func (r reach) may(at []here) bool {
	if r.region == 0 {
		return true
	}
	for i := range at {
		h := &at[i]
		if h.code == 0 || (h.code^r.region)&r.mask == 0 ||
			len(h.place.Region) == countryLetters && (h.code^r.region)&countryMask == 0 {
			return true
		}
	}
	return false
}
