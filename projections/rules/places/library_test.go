package places

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nyaruka/phonenumbers"
)

// libraryZones is what the phone library says of the numbers that begin with some
// digits, over all of the given number of digits that may follow; what it says of
// the country as a whole, for want of anything better, is left out.
func libraryZones(t *testing.T, beginning, country string, more int) (out []string) {
	t.Helper()
	whole, err := phonenumbers.GetTimezonesForPrefix(country)
	if err != nil {
		t.Fatal(err)
	}
	count := 1
	for range more {
		count *= 10
	}
	for i := range count {
		digits := beginning
		if more > 0 {
			digits += fmt.Sprintf("%0*d", more, i)
		}
		got, err := phonenumbers.GetTimezonesForPrefix(digits)
		if err != nil {
			t.Fatal(err)
		}
		if beginning != country && slices.Equal(got, whole) {
			continue
		}
		for _, z := range got {
			if z != "Etc/Unknown" && !slices.Contains(out, z) {
				out = append(out, z)
			}
		}
	}
	return out
}

// wrong are zones that the library has for an area code in which nobody keeps them.
var wrong = map[int][]string{
	474: {"America/Winnipeg"},    // overlays 306: Saskatchewan, -6 all year; Manitoba is -5 since 2026
	689: {"America/Chicago"},     // overlays 407: Orlando
	709: {"America/Puerto_Rico"}, // Labrador's south coast keeps Newfoundland time
	879: {"America/Puerto_Rico"}, // overlays 709
	907: {"Pacific/Honolulu"},    // the Aleutians, which are as Hawaii in winter and have daylight time
}

// TestNoNarrowerThanTheLibrary: for each area code, the clocks of all its exchanges
// are among ours, from the change of clocks in November 2026 on. Before that day the
// library's Winnipeg for Nunavut and Vancouver for Yukon were right by accident.
func TestNoNarrowerThanTheLibrary(t *testing.T) {
	asked := 0
	for npa := 200; npa <= 999; npa++ {
		library := libraryZones(t, fmt.Sprintf("1%03d", npa), "1", 3)
		if len(library) > 0 {
			asked++
		}
		ours := OfNumber(number(npa))
		missing := missingClocks(t, library, ours)
		if !slices.Equal(missing, wrong[npa]) {
			t.Errorf("%d: the library has %v too; missing here: %v, known to be wrong there: %v", npa, library, missing, wrong[npa])
		}
	}
	if asked < 400 {
		t.Errorf("the library knows %d area codes: this test proves little", asked)
	}
}

// missingClocks gives the zones whose offset is at some instant not in a set.
func missingClocks(t *testing.T, zones []string, s *Set) (missing []string) {
	t.Helper()
	for _, name := range zones {
		z := mustLoad(t, name)
		if slices.ContainsFunc(coming(), func(at time.Time) bool {
			_, o := at.In(z).Zone()
			return !slices.Contains(offsetsAt(s, at), o)
		}) {
			missing = append(missing, name)
		}
	}
	return missing
}

// wrongCountries are zones that stand in the library for a country whose clocks they
// have not shown for years.
var wrongCountries = map[int][]string{
	52:  {"America/New_York"}, // Quintana Roo has no daylight time
	211: {"Africa/Nairobi"},   // South Sudan is +2 since 2021
	212: {"Atlantic/Canary"},  // Morocco
	213: {"Europe/Paris"},     // Algeria has no daylight time
	218: {"Europe/Bucharest"}, // nor has Libya
	505: {"America/Chicago"},  // nor has Nicaragua
}

// TestCountriesAreNoNarrower: the same for every other calling code.
func TestCountriesAreNoNarrower(t *testing.T) {
	for code := range phonenumbers.GetSupportedCallingCodes() {
		cc := fmt.Sprint(code)
		if code == 1 || slices.Equal(phonenumbers.GetRegionCodesForCountryCode(code), []string{"001"}) {
			continue
		}
		union := &Set{}
		for beginning, s := range shared().beginnings {
			if strings.HasPrefix(beginning, cc) {
				union = newSet(append(slices.Clone(union.Places), s.Places...))
			}
		}
		missing := missingClocks(t, append(libraryZones(t, cc, cc, 0), libraryZones(t, cc, cc, 3)...), union)
		slices.Sort(missing)
		if missing = slices.Compact(missing); !slices.Equal(missing, wrongCountries[code]) {
			t.Errorf("+%d: missing %v, known to be wrong in the library: %v; here: %s", code, missing, wrongCountries[code], names(union))
		}
		for _, country := range phonenumbers.GetRegionCodesForCountryCode(code) {
			if !slices.ContainsFunc(union.Regions, func(r string) bool { return r == country || strings.HasPrefix(r, country+"-") }) {
				t.Errorf("+%d: %s is missing", code, country)
			}
		}
	}
}

// TestEveryCallingCode: whoever the library can place, we can; and no number of a
// calling code that it does not know is placed by us.
func TestEveryCallingCode(t *testing.T) {
	known := phonenumbers.GetSupportedCallingCodes()
	for code := range known {
		empty := len(OfNumber(fmt.Sprintf("+%d212555", code)).Places) == 0
		ofNone := slices.Equal(phonenumbers.GetRegionCodesForCountryCode(code), []string{"001"})
		if empty != ofNone {
			t.Errorf("+%d: unknown %v, of no country %v", code, empty, ofNone)
		}
	}
	for beginning := range shared().beginnings {
		if !slices.ContainsFunc([]int{1, 2, 3}, func(n int) bool {
			var code int
			_, err := fmt.Sscan(beginning[:min(n, len(beginning))], &code)
			return err == nil && known[code]
		}) {
			t.Errorf("+%s is no calling code", beginning)
		}
	}
}

// TestRegionsOfTheLibrary: state and province of every area code are those of the
// library's geocoder, where it knows one. 257 is misspelt there.
func TestRegionsOfTheLibrary(t *testing.T) {
	asked := 0
	for npa := 200; npa <= 999; npa++ {
		n, err := phonenumbers.Parse(number(npa), "US")
		if err != nil {
			continue
		}
		country := phonenumbers.GetRegionCodeForNumber(n)
		if country == "" {
			continue // not a number there
		}
		place, err := phonenumbers.GetGeocodingForNumber(n, "en")
		if err != nil {
			t.Fatal(err)
		}
		if i := strings.LastIndex(place, ", "); i >= 0 {
			place = place[i+2:]
		}
		for _, want := range strings.Split(place, "/") {
			region := subdivisions[want]
			switch {
			case want == "United States" || want == "Canada":
				continue
			case country == "US" && region == "":
				region = "US-" + want
			case country == "CA" && region == "":
				region = "CA-" + want
			case region == "":
				region = country
			}
			asked++
			if r := shared().regions[region]; r == nil || !slices.Contains(OfNumber(number(npa)).Regions, r.code) {
				t.Errorf("%d is in %q (%s) by the library, here in %s", npa, want, region, regions(OfNumber(number(npa))))
			}
		}
	}
	if asked < 400 {
		t.Errorf("asked for %d area codes: this test proves little", asked)
	}
}

// TestZoneTab: the zones of every country are those of the tz database, clock by clock.
func TestZoneTab(t *testing.T) {
	raw, err := os.ReadFile("testdata/zone.tab")
	if err != nil {
		t.Fatal(err)
	}
	countries := map[string][]string{}
	for line := range strings.Lines(string(raw)) {
		if f := strings.Fields(line); len(f) >= 3 && line[0] != '#' {
			countries[f[0]] = append(countries[f[0]], f[2])
		}
	}
	if len(countries) < 240 {
		t.Fatalf("%d countries in zone.tab", len(countries))
	}
	for _, territory := range []string{"PR", "VI", "GU", "MP", "AS"} {
		countries["US"] = append(countries["US"], countries[territory]...)
	}
	for code, theirs := range countries {
		if code == "UM" { // nobody lives there and no number is of there
			continue
		}
		r := shared().regions[code]
		if r == nil {
			t.Errorf("%s is no region", code)
			continue
		}
		var ours []string
		for _, p := range r.set.Places {
			ours = append(ours, p.Zone.String())
		}
		if code == "CA" {
			theirs = append(theirs, "America/Halifax") // Magdalen Islands: not named, there anyway
		}
		for _, pair := range [][2][]string{{theirs, ours}, {ours, theirs}} {
			for _, z := range pair[0] {
				if !slices.ContainsFunc(pair[1], func(o string) bool { return alike(mustLoad(t, z), mustLoad(t, o)) }) {
					t.Errorf("%s: %s is in one table only: here %v, there %v", code, z, ours, theirs)
				}
			}
		}
	}
}

var subdivisions = map[string]string{
	"Alabama": "US-AL", "Alaska": "US-AK", "Arizona": "US-AZ", "Arkansas": "US-AR", "California": "US-CA", "Colorado": "US-CO",
	"Connecticut": "US-CT", "Delaware": "US-DE", "Washington D.C.": "US-DC", "Florida": "US-FL", "Georgia": "US-GA", "Hawaii": "US-HI",
	"Idaho": "US-ID", "Illinois": "US-IL", "Indiana": "US-IN", "Iowa": "US-IA", "Kansas": "US-KS", "Kentucky": "US-KY",
	"Louisiana": "US-LA", "Maine": "US-ME", "Maryland": "US-MD", "Massachusetts": "US-MA", "Michigan": "US-MI", "Minnesota": "US-MN",
	"Mississippi": "US-MS", "Missouri": "US-MO", "Montana": "US-MT", "Nebraska": "US-NE", "Nevada": "US-NV", "New Hampshire": "US-NH",
	"New Jersey": "US-NJ", "New Mexico": "US-NM", "New York": "US-NY", "North Carolina": "US-NC", "North Dakota": "US-ND",
	"Ohio": "US-OH", "Oklahoma": "US-OK", "Oregon": "US-OR", "Pennsylvania": "US-PA", "Rhode Island": "US-RI", "South Carolina": "US-SC",
	"South Dakota": "US-SD", "Tennessee": "US-TN", "Texas": "US-TX", "Utah": "US-UT", "Vermont": "US-VT", "Virginia": "US-VA",
	"Washington State": "US-WA", "West Virginia": "US-WV", "Wisconsin": "US-WI", "Wyoming": "US-WY",
	"Alberta": "CA-AB", "British Columbia": "CA-BC", "British Colombia": "CA-BC", "Manitoba": "CA-MB", "New Brunswick": "CA-NB",
	"Newfoundland and Labrador": "CA-NL", "Northwest Territories": "CA-NT", "Nova Scotia": "CA-NS", "Nunavut": "CA-NU", "Ontario": "CA-ON",
	"Prince Edward Island": "CA-PE", "Quebec": "CA-QC", "Saskatchewan": "CA-SK", "Yukon": "CA-YT",
}
