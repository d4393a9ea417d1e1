package rules

import (
	"slices"
	"strings"
	"time"

	"github.com/consent-ledger/consent-ledger/projections/rules/places"
	"github.com/consent-ledger/consent-ledger/projections/suppression"
)

// Located says where the person behind a number may be, by what is on record and
// else by the number; and in which areas finer than a state. The places are shared:
// do not change them.
func Located(v suppression.View, e164 string) (at []places.Place, areas []string) {
	if v.Seller == nil && v.All == nil {
		return places.OfNumber(e164).Places, nil
	}
	var told []places.Location
	for _, m := range v.Locations() {
		region, zone := m.Place()
		told = append(told, places.Location{Region: region, Zone: zone, Basis: places.Basis(m.Basis), At: latest(m.Time)})
	}
	for _, m := range v.Areas() {
		areas = append(areas, m.Value)
		// Who is in a county is in its state, whatever the number says: a place more.
		if region, ok := stateOf(m.Value); ok && !slices.ContainsFunc(told, func(l places.Location) bool { return strings.EqualFold(l.Region, region) }) {
			told = append(told, places.Location{Region: region, At: latest(m.Time)})
		}
	}
	return places.Candidates(e164, told).Places, areas
}

// stateOf gives the state of an area finer than one: US-NY of US-NY-061.
func stateOf(area string) (region string, ok bool) {
	parts := strings.SplitN(area, "-", 3)
	if len(parts) < 3 {
		return area, len(parts) == 2
	}
	return parts[0] + "-" + parts[1], true
}

func latest(s suppression.Span) time.Time { return s.Latest }
