// Package places answers where the person behind a number may be, and with that
// what time it is there and whose law applies.
//
// A number does not say where somebody is; it says where it was given out. So the
// answer is a set of candidates, and a contact is allowed only if it is allowed at
// all of them (DESIGN 6). Doubt adds places and never takes one away: an unknown
// area code is all of North America, and a number of no country is no place at all,
// which blocks.
//
// The package is pure: its tables lie in the binary, its zones come from the pinned
// tz database. Nothing here does I/O or reads a clock.
//
//	places.go         Place, Set, OfNumber
//	candidates.go     Candidates: what people and addresses say, before the number
//	table.go          reading the tables
//	clocks.go         which zones show the same time
//	area_codes.tsv    North American area codes, with their source and version
//	calling_codes.tsv country calling codes
//	regions.tsv       the zones of each country and state
package places

import (
	"strings"
	"time"
)

// Place is one place where the person may be.
type Place struct {
	// Region is an ISO 3166-2 code where states have laws or zones of their own
	// (US-FL, CA-ON, AU-NSW), else an ISO 3166-1 code (GB). Empty: in none we know.
	Region string
	// Zone is the time zone there.
	Zone *time.Location
}

// Set is where the person may be: all of it counts. An empty set means that it is
// not known, which blocks whatever depends on it. Sets are shared: do not change
// one. Its order is stable.
type Set struct {
	// Places has no duplicates.
	Places []Place
	// Zones are those of the places; of zones whose clocks agree only the first.
	Zones []*time.Location
	// Regions are those of the places.
	Regions []string
}

// unknown is the set of a number of which nothing is known.
var unknown = &Set{}

// OfNumber gives where a number in E.164 may be at home, by its area code or
// country: every place of it, whatever the digits that follow say, because mobile
// and ported numbers do not stay where they were given out. It never returns nil
// and allocates nothing.
func OfNumber(e164 string) *Set {
	if len(e164) < 2 || e164[0] != '+' {
		return unknown
	}
	t := shared()
	if e164[1] == '1' {
		if npa, ok := areaCode(e164); ok {
			return t.areas[npa]
		}
		return unknown
	}
	for n := min(len(e164)-1, beginningMax); n > 0; n-- {
		if s := t.beginnings[e164[1:1+n]]; s != nil {
			return s
		}
	}
	return unknown
}

// areaCode reads the three digits after +1.
func areaCode(e164 string) (npa int, ok bool) {
	if len(e164) < 5 {
		return 0, false
	}
	for _, c := range []byte(e164[2:5]) {
		if c < '0' || c > '9' {
			return 0, false
		}
		npa = npa*10 + int(c-'0')
	}
	return npa, true
}

// Known tells whether a code is that of a country or subdivision, in either case.
func Known(code string) bool { return shared().regions[strings.ToUpper(code)] != nil }

// Version names the table of area codes: the day of the source, then our revision.
// With zones.Version it says which knowledge an answer rests on.
func Version() string { return shared().version }
