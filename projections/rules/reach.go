package rules

import "strings"

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

// codes are those of some regions; whole: each of them has one.
type codes struct {
	of    []code
	whole bool
}

func codesOf(regions []string) codes {
	out := codes{whole: true}
	for _, r := range regions {
		c := codeOf(r)
		out.of, out.whole = append(out.of, c), out.whole && c != 0
	}
	return out
}

// touch tells whether a code, not 0, touches one of them.
func (s *codes) touch(c code) bool {
	for _, d := range s.of {
		if c.touches(d) {
			return true
		}
	}
	return false
}

// touches tells whether of two codes, neither 0, one lies in the other or is it.
func (c code) touches(d code) bool {
	x := c ^ d
	return x == 0 || x&countryMask == 0 && (c&^countryMask == 0 || d&^countryMask == 0)
}

// reaches lists where a pack may hold.
func reaches(p *Pack, index int) (out []reach) {
	if p.Applies.WithoutPack || len(p.regions.of) == 0 {
		return []reach{{pack: index}}
	}
	for _, c := range p.regions.of {
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
	if h.code == 0 || !p.regions.whole {
		return maybe(p.Applies.Regions, h.place.Region)
	}
	return len(p.regions.of) == 0 || p.regions.touch(h.code)
}

// hasCountry tells whether the country of a place has a pack. A place in no country
// we know has none.
func (s *Packs) hasCountry(h *here) bool {
	if h.code == 0 || !s.countryCodes.whole {
		return h.place.Region != "" && maybe(s.countries, h.place.Region) && len(s.countries) > 0
	}
	return s.countryCodes.touch(h.code)
}
