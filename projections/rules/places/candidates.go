package places

import (
	"slices"
	"strings"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger/zones"
)

// Basis is who says where a person is, as in a LocationRecorded fact.
type Basis string

// The bases, strongest first. Any other word is a basis we do not know.
const (
	BasisPerson  Basis = "person"  // the person said so
	BasisAddress Basis = "address" // a verified address
	BasisPrefix  Basis = "prefix"  // somebody else's reading of the number
)

// Location is where the person is, as somebody recorded it.
type Location struct {
	// Region is an ISO 3166-1 or 3166-2 code, and Zone an IANA time zone; either
	// may be empty. Neither need be known to us.
	Region, Zone string
	Basis        Basis
	// At orders locations of one basis: the newest counts, several if equal.
	At time.Time
}

// Candidates gives where the person may be: by their own word if there is one, else
// by a verified address, else by the number, else by its country. A person's word
// counts before an address whatever their dates; within one basis the newest counts,
// and all that are as new.
//
// What we cannot place (a zone or region we do not know, a zone that the region does
// not use) is a doubt: it adds what the weaker evidence says instead of ruling it out.
// A location of basis prefix, or of one we do not know, only ever adds. If then the
// number itself is of no known country, nothing is known.
func Candidates(e164 string, told []Location) *Set {
	number := OfNumber(e164)
	if len(told) == 0 {
		return number
	}
	var found []Place
	sure := false
	for _, basis := range [...]Basis{BasisPerson, BasisAddress} {
		places, known := placesOf(told, basis, number)
		found = append(found, places...)
		if sure = known; sure {
			break
		}
	}
	if !sure {
		if len(number.Places) == 0 {
			return unknown
		}
		places, _ := placesOf(told, BasisPrefix, number)
		found = append(append(found, number.Places...), places...)
		if slices.ContainsFunc(told, func(l Location) bool { return shared().unreadable(l, number) }) {
			found = append(found, shared().wholeCountry(number)...)
		}
	}
	places, _ := placesOf(told, "", number)
	return newSet(append(found, places...))
}

// placesOf gives what the newest locations of one basis say; the empty basis stands
// for all that we do not know. known: there is one, and each was placed.
func placesOf(told []Location, basis Basis, number *Set) (places []Place, known bool) {
	newest, any := time.Time{}, false
	for _, l := range told {
		if strength(l.Basis) == basis && (!any || l.At.After(newest)) {
			newest, any = l.At, true
		}
	}
	known = any
	for _, l := range told {
		if strength(l.Basis) == basis && l.At.Equal(newest) {
			p, ok := shared().place(l, number)
			places, known = append(places, p...), known && ok
		}
	}
	return places, known
}

// strength maps the words that we do not know to one.
func strength(b Basis) Basis {
	switch b {
	case BasisPerson, BasisAddress, BasisPrefix:
		return b
	}
	return ""
}

// place reads one location. known is false if a part of it means nothing to us, or
// the parts contradict each other; what it does say is given all the same.
func (t *table) place(l Location, number *Set) (places []Place, known bool) {
	code := strings.ToUpper(strings.TrimSpace(l.Region))
	home, within := t.home(code, number)
	if l.Zone == "" {
		// A country without a zone may be a state of the number's: IN for Indiana.
		state := slices.DeleteFunc(t.stateOf(code, number), func(p Place) bool { return slices.Contains(home, p) })
		return append(slices.Clip(home), state...), len(home) > 0 && len(state) == 0
	}
	zone, err := zones.Load(l.Zone)
	if err != nil {
		return home, false
	}
	if len(home) == 0 {
		places, known = t.inZone(zone, number)
		return places, known && code == ""
	}
	for _, area := range [][]Place{home, within} {
		if there := using(area, zone); len(there) > 0 {
			return there, true
		}
	}
	// A zone that the region does not use: one of the two is wrong.
	return append(append(places, home...), Place{home[0].Region, zone}), false
}

// unreadable tells whether a person's word or an address names a place of which we can
// read nothing.
func (t *table) unreadable(l Location, number *Set) bool {
	if l.Basis != BasisPerson && l.Basis != BasisAddress || l.Region == "" && l.Zone == "" {
		return false
	}
	places, _ := t.place(l, number)
	return len(places) == 0
}

// wholeCountry gives all places of the countries in which a number lies.
func (t *table) wholeCountry(number *Set) (places []Place) {
	var seen []string
	for _, p := range number.Places {
		if c := country(p.Region); t.regions[c] != nil && !slices.Contains(seen, c) {
			seen = append(seen, c)
			places = append(places, t.regions[c].set.Places...)
		}
	}
	return places
}

// stateOf gives the places of the state, in a country of the number, that has the
// letters of another country.
func (t *table) stateOf(code string, number *Set) (places []Place) {
	if code != country(code) {
		return nil
	}
	for _, p := range t.wholeCountry(number) {
		if c := country(p.Region); c != code && p.Region == c+"-"+code {
			places = append(places, p)
		}
	}
	return places
}

// home gives the places of a region: all of them, with one exception. A country
// alone says less than the number where the number lies in that country, so then
// the number's places there count; within are all the country's. Both are empty for
// a region that we do not know.
func (t *table) home(code string, number *Set) (home, within []Place) {
	r := t.regions[code]
	if r == nil {
		// A subdivision that we do not list has its country's zones, unless we
		// list all of that country's.
		r = t.regions[country(code)]
		if r == nil || r.subdivided {
			return nil, nil
		}
		for _, p := range r.set.Places {
			home = append(home, Place{code, p.Zone})
		}
		return home, home
	}
	within = r.set.Places
	if r.code == country(r.code) {
		for _, p := range number.Places {
			if country(p.Region) == r.code {
				home = append(home, p)
			}
		}
	}
	if len(home) == 0 {
		home = within
	}
	return home, within
}

// inZone gives the places of a zone: the number's if it has any there, else all in
// the world. A name such as UTC or Etc/GMT+5, which systems write where nobody said
// anything, is not known to be anybody's place.
func (t *table) inZone(zone *time.Location, number *Set) (places []Place, known bool) {
	if there := using(number.Places, zone); len(there) > 0 {
		return there, true
	}
	name := zone.String()
	geographic := strings.Contains(name, "/") && !strings.HasPrefix(name, "Etc/")
	if there := using(t.world.Places, zone); geographic && len(there) > 0 {
		return there, true
	}
	return []Place{{"", zone}}, false
}
