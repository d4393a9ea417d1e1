package rules

import (
	"slices"
	"strings"
)

// reach is a region in which a pack may hold. A decision looks at those of all
// packs, which lie side by side, and then only into the few packs that may apply.
type reach struct {
	region code // 0: the pack may hold anywhere
	mask   code // the part of a place's code that must equal it
	pack   int  // in the set
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

// reaches lists where a pack may hold.
func reaches(p *Pack, index int) (out []reach) {
	for _, r := range p.Applies.Regions {
		mask := wholeMask
		if len(r) == countryLetters {
			mask = countryMask
		}
		out = append(out, reach{codeOf(r), mask, index})
	}
	if p.Applies.WithoutPack || len(out) == 0 {
		return []reach{{pack: index}}
	}
	return out
}

// may is false only if none of the places can lie in the region, nor it in them.
func (r *reach) may(at []here) bool {
	if r.region == 0 {
		return true
	}
	for i := range at {
		h := &at[i]
		if h.code == 0 || (h.code^r.region)&r.mask == 0 || h.code&^countryMask == 0 && (h.code^r.region)&countryMask == 0 {
			return true
		}
	}
	return false
}

// hasCountry tells whether the country of a place has a pack. A place in no country
// we know has none.
func (s *Packs) hasCountry(region string) bool {
	if c := codeOf(region) & countryMask; c != 0 && !slices.Contains(s.countryCodes, 0) {
		return slices.Contains(s.countryCodes, c)
	}
	return region != "" && maybe(s.countries, region) && len(s.countries) > 0
}
