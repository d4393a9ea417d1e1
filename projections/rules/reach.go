package rules

import (
	"slices"
	"strings"
)

// reach is a region in which a pack may hold. A decision looks at those of all
// packs, which lie side by side, and then only into the few packs that may apply.
type reach struct {
	region code // 0: the pack may hold anywhere
	pack   int  // in the set
}

// code is an ISO 3166 code as a number, its letters from the highest byte on: of a
// country (GB) or of one part of it (US-NY, AU-NSW). 0 is anything else.
type code uint64

const (
	countryLetters = 2
	partLettersMax = 3 // behind the hyphen
	countryMask    = code(0xffff) << 48
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

func codesOf(regions []string) (out []code) {
	for _, r := range regions {
		out = append(out, codeOf(r))
	}
	return out
}

// touches tells whether of two codes, neither 0, one lies in the other or is it.
func (c code) touches(d code) bool {
	whole := c&^countryMask == 0 || d&^countryMask == 0
	return c == d || whole && (c^d)&countryMask == 0
}

// reaches lists where a pack may hold.
func reaches(p *Pack, index int) (out []reach) {
	if p.Applies.WithoutPack || len(p.regions) == 0 {
		return []reach{{pack: index}}
	}
	for _, c := range p.regions {
		out = append(out, reach{c, index})
	}
	return out
}

// may is false only if none of the places can lie in the region, nor it in them.
func (r *reach) may(at []here) bool {
	if r.region == 0 {
		return true
	}
	for i := range at {
		if c := at[i].code; c == 0 || c.touches(r.region) {
			return true
		}
	}
	return false
}

// mayLieIn tells whether a place may lie in the regions of a pack; no regions: all.
func (h *here) mayLieIn(p *Pack) bool {
	if h.code == 0 || slices.Contains(p.regions, 0) {
		return maybe(p.Applies.Regions, h.place.Region)
	}
	return len(p.regions) == 0 || slices.ContainsFunc(p.regions, h.code.touches)
}

// hasCountry tells whether the country of a place has a pack. A place in no country
// we know has none.
func (s *Packs) hasCountry(h *here) bool {
	if h.code == 0 || slices.Contains(s.countryCodes, 0) {
		return h.place.Region != "" && maybe(s.countries, h.place.Region) && len(s.countries) > 0
	}
	return slices.ContainsFunc(s.countryCodes, h.code.touches)
}
