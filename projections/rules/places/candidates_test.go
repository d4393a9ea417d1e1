package places

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var (
	day1 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	day2 = day1.AddDate(0, 0, 1)
)

// TestCandidates: what people and addresses say, before the number.
func TestCandidates(t *testing.T) {
	toldBy := func(b Basis, at time.Time, region, zone string) Location {
		return Location{Region: region, Zone: zone, Basis: b, At: at}
	}
	for _, c := range []struct {
		name, number string
		told         []Location
		regions      string
		zones        string
	}{
		{"nothing told: the number", number(850), nil, "US-FL", "America/Chicago America/New_York"},
		{"an address takes the place of the number", number(850), []Location{toldBy(BasisAddress, day1, "US-FL", "America/Chicago")}, "US-FL", "America/Chicago"},
		{"also in another state", number(212), []Location{toldBy(BasisAddress, day1, "US-CA", "America/Los_Angeles")}, "US-CA", "America/Los_Angeles"},
		{"also in another country", number(212), []Location{toldBy(BasisAddress, day1, "FR", "Europe/Paris")}, "FR", "Europe/Paris"},
		{"the newest address", number(212), []Location{toldBy(BasisAddress, day2, "US-CA", ""), toldBy(BasisAddress, day1, "US-HI", "")}, "US-CA", "America/Los_Angeles"},
		{"two as new: both", number(212), []Location{toldBy(BasisAddress, day1, "US-CA", ""), toldBy(BasisAddress, day1, "US-HI", "")}, "US-CA US-HI", "America/Los_Angeles Pacific/Honolulu"},
		{"a word before an older address", number(212), []Location{toldBy(BasisAddress, day1, "US-CA", ""), toldBy(BasisPerson, day2, "US-HI", "")}, "US-HI", "Pacific/Honolulu"},
		{"a word before a newer address", number(212), []Location{toldBy(BasisAddress, day2, "US-CA", ""), toldBy(BasisPerson, day1, "US-HI", "")}, "US-HI", "Pacific/Honolulu"},

		{"a state alone: all its zones", number(212), []Location{toldBy(BasisPerson, day1, "US-TN", "")}, "US-TN", "America/Chicago America/New_York"},
		{"written carelessly", number(212), []Location{toldBy(BasisPerson, day1, " us-tn ", "")}, "US-TN", "America/Chicago America/New_York"},
		{"a territory under its other code", number(212), []Location{toldBy(BasisPerson, day1, "PR", "")}, "US-PR", "America/Puerto_Rico"},
		{"an overseas department under France's code", "+33639", []Location{toldBy(BasisAddress, day1, "FR-RE", "Indian/Reunion")}, "RE", "Indian/Reunion"},
		{"islands by their code", "+34600", []Location{toldBy(BasisAddress, day1, "ES-CN", "")}, "ES-CN", "Atlantic/Canary"},
		{"a part of Spain that we do not list: all of Spain's", "+34600", []Location{toldBy(BasisAddress, day1, "ES-MD", "")}, "ES-MD", "Europe/Madrid Atlantic/Canary"},
		{"and with its zone", "+34600", []Location{toldBy(BasisAddress, day1, "ES-MD", "Europe/Madrid")}, "ES-MD", "Europe/Madrid"},
		{"Australia with its zone", "+614", []Location{toldBy(BasisAddress, day1, "AU", "Australia/Brisbane")}, "AU-QLD", "Australia/Brisbane"},

		{"a country that says less than the number", number(850), []Location{toldBy(BasisPerson, day1, "US", "")}, "US-FL", "America/Chicago America/New_York"},
		{"a country that the number is not of", number(204), []Location{toldBy(BasisPerson, day1, "GB", "")}, "GB", "Europe/London"},
		{"a country and a zone", number(709), []Location{toldBy(BasisAddress, day1, "CA", "America/St_Johns")}, "CA-NL", "America/St_Johns"},
		{"a country and a zone that the number is not of", number(709), []Location{toldBy(BasisAddress, day1, "CA", "America/Winnipeg")}, "CA-MB CA-ON", "America/Winnipeg"},

		{"a zone alone: the number's states that use it", number(850), []Location{toldBy(BasisPerson, day1, "", "America/Chicago")}, "US-FL", "America/Chicago"},
		{"by its clock, not by its name", number(313), []Location{toldBy(BasisPerson, day1, "", "America/Detroit")}, "US-MI", "America/Detroit"},
		{"an old name", number(212), []Location{toldBy(BasisPerson, day1, "US-NY", "US/Eastern")}, "US-NY", "US/Eastern"},
		{"a zone alone that the number does not use: all who do", number(212), []Location{toldBy(BasisPerson, day1, "", "Pacific/Honolulu")}, "US-HI CK PF", "Pacific/Honolulu"},

		{"a zone that does not exist adds the number", number(850), []Location{toldBy(BasisPerson, day1, "US-HI", "Mars/Olympus")}, "US-HI US-FL", "Pacific/Honolulu America/Chicago America/New_York"},
		{"neither: the number", number(212), []Location{toldBy(BasisPerson, day1, "", "")}, "US-NY", "America/New_York"},
		{"a word that says nothing leaves the address", number(212), []Location{toldBy(BasisPerson, day2, "", "x"), toldBy(BasisAddress, day1, "US-HI", "")}, "US-HI", "Pacific/Honolulu"},
		{"a state and a zone that it does not use: both, and the number", number(212), []Location{toldBy(BasisAddress, day1, "US-GA", "America/Chicago")}, "US-GA US-NY", "America/New_York America/Chicago"},
		{"UTC is what systems write for nothing", number(212), []Location{toldBy(BasisAddress, day1, "", "UTC")}, "US-NY", "UTC America/New_York"},
		{"a fixed offset is nobody's place", number(212), []Location{toldBy(BasisAddress, day1, "", "Etc/GMT+10")}, "US-NY", "Etc/GMT+10 America/New_York"},
		{"unless it is where they live", number(212), []Location{toldBy(BasisAddress, day1, "IS", "UTC")}, "IS", "UTC"},

		{"somebody's reading of the number narrows nothing", number(850), []Location{toldBy(BasisPrefix, day1, "US-FL", "America/Chicago")}, "US-FL", "America/Chicago America/New_York"},
		{"and adds", number(850), []Location{toldBy(BasisPrefix, day1, "US-AL", "")}, "US-FL US-AL", "America/Chicago America/New_York"},
		{"but not to an address", number(850), []Location{toldBy(BasisPrefix, day2, "US-AL", ""), toldBy(BasisAddress, day1, "US-HI", "")}, "US-HI", "Pacific/Honolulu"},
		{"a basis that we do not know narrows nothing", number(850), []Location{toldBy("vendor", day1, "US-FL", "America/Chicago")}, "US-FL", "America/Chicago America/New_York"},
		{"nor does none", number(850), []Location{toldBy("", day1, "US-HI", "")}, "US-FL US-HI", "America/Chicago America/New_York Pacific/Honolulu"},
		{"it adds even to a word", number(850), []Location{toldBy("", day1, "US-AL", ""), toldBy(BasisPerson, day1, "US-HI", "")}, "US-HI US-AL", "Pacific/Honolulu America/Chicago"},

		{"a number of no country: the word", "+8701", []Location{toldBy(BasisPerson, day1, "US-HI", "")}, "US-HI", "Pacific/Honolulu"},
		{"a number of no country: somebody's reading is nothing", "+8701", []Location{toldBy(BasisPrefix, day1, "US-HI", "")}, "", ""},
		{"nor is a basis that we do not know", "+8701", []Location{toldBy("", day1, "US-HI", "")}, "", ""},
		{"nor a word in doubt", "+8701", []Location{toldBy(BasisPerson, day1, "US-HI", "Mars/Olympus")}, "", ""},
	} {
		s := Candidates(c.number, c.told)
		if regions(s) != c.regions || names(s) != c.zones {
			t.Errorf("%s: %s, %s\nwant %s, %s", c.name, regions(s), names(s), c.regions, c.zones)
		}
	}
}

// TestRegionWeDoNotKnow: its zone still says where its users may live, and the number
// adds what it says.
func TestRegionWeDoNotKnow(t *testing.T) {
	s := Candidates(number(212), []Location{{Region: "US-XX", Zone: "America/Chicago", Basis: BasisAddress, At: day1}})
	for _, region := range []string{"US-NY", "US-AL", "US-TX", "MX"} {
		if !slices.Contains(s.Regions, region) {
			t.Errorf("%s is missing: %s", region, regions(s))
		}
	}
	if names(s) != "America/Chicago America/New_York" {
		t.Errorf("zones %s", names(s))
	}
}

// TestWordsThatCannotBeRead: the person is somewhere else than we can tell, so they
// may be anywhere in the number's country.
func TestWordsThatCannotBeRead(t *testing.T) {
	for _, l := range []Location{{Region: "California"}, {Region: "US-XX"}, {Zone: "Pacific Time"}, {Region: "Texas", Zone: "Mars/Olympus"}} {
		for _, l.Basis = range []Basis{BasisPerson, BasisAddress} {
			s := Candidates(number(212), []Location{l})
			for _, region := range []string{"US-NY", "US-CA", "US-HI"} {
				if !slices.Contains(s.Regions, region) {
					t.Errorf("%v: %s is missing: %s", l, region, regions(s))
				}
			}
		}
	}
}

// TestStateWrittenAsCountry: IN may be Indiana, so for an American number it takes
// nothing away; with a zone that India keeps it is India.
func TestStateWrittenAsCountry(t *testing.T) {
	for region, want := range map[string]string{"IN": "IN US-NY US-IN", "CA": "CA US-NY US-CA", "de": "DE US-NY US-DE"} {
		s := Candidates(number(212), []Location{{Region: region, Basis: BasisAddress, At: day1}})
		for _, w := range strings.Fields(want) {
			if !slices.ContainsFunc(s.Regions, func(r string) bool { return r == w || w == "CA" && strings.HasPrefix(r, "CA-") }) {
				t.Errorf("%s: %s is missing: %s", region, w, regions(s))
			}
		}
	}
	s := Candidates(number(212), []Location{{Region: "IN", Zone: "Asia/Kolkata", Basis: BasisAddress, At: day1}})
	if regions(s) != "IN" {
		t.Errorf("with its zone it is a country: %s", regions(s))
	}
}

// TestNothingToldIsShared: without a location there is nothing to make.
func TestNothingToldIsShared(t *testing.T) {
	if Candidates(number(850), nil) != OfNumber(number(850)) {
		t.Error("two sets")
	}
}

func locations() *rapid.Generator[Location] {
	return rapid.Custom(func(t *rapid.T) Location {
		return Location{
			Region: rapid.SampledFrom([]string{"", "US", "US-FL", "US-TN", "US-AZ", "CA", "CA-NU", "PR", "GB", "AU", "ES-MD", "US-XX", "ZZ", "Florida"}).Draw(t, "region"),
			Zone: rapid.SampledFrom([]string{"", "America/Chicago", "America/Detroit", "America/Phoenix", "Europe/London", "US/Eastern", "UTC",
				"Etc/GMT+5", "EST", "Mars/Olympus", "Local", "../x"}).Draw(t, "zone"),
			Basis: rapid.SampledFrom([]Basis{BasisPerson, BasisAddress, BasisPrefix, "", "vendor"}).Draw(t, "basis"),
			At:    rapid.SampledFrom([]time.Time{{}, day1, day2}).Draw(t, "at"),
		}
	})
}

func drawNumber(t *rapid.T) string {
	return rapid.SampledFrom([]string{number(212), number(850), number(800), number(709), number(299), "+34600", "+614", "+447700900123", "+8701", ""}).Draw(t, "number")
}

// within tells whether every place of a set is in another.
func within(a, b *Set) bool {
	return !slices.ContainsFunc(a.Places, func(p Place) bool { return !slices.Contains(b.Places, p) })
}

// TestOnlyCertainEvidenceNarrows: whatever is told, the number's places are ruled out
// only by a word or an address that we can place; and what lacks such a basis takes
// no place away from what else is known.
func TestOnlyCertainEvidenceNarrows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := drawNumber(t)
		told := rapid.SliceOfN(locations(), 0, 5).Draw(t, "told")
		s := Candidates(n, told)
		weak := slices.DeleteFunc(slices.Clone(told), func(l Location) bool {
			return l.Basis == BasisPerson || l.Basis == BasisAddress
		})
		if !within(OfNumber(n), Candidates(n, weak)) {
			t.Fatalf("weak evidence narrowed %s to %v", n, Candidates(n, weak).Places)
		}
		strong := slices.DeleteFunc(slices.Clone(told), func(l Location) bool {
			return l.Basis != BasisPerson && l.Basis != BasisAddress
		})
		base := Candidates(n, strong)
		if len(base.Places) > 0 && !within(base, s) {
			t.Fatalf("weak evidence took from %v: %v", base.Places, s.Places)
		}
		if len(base.Places) == 0 && len(s.Places) > 0 {
			t.Fatalf("weak evidence placed a number of no country: %v", s.Places)
		}
		for _, l := range strong {
			if l.Zone == "Mars/Olympus" && len(strong) == 1 && len(OfNumber(n).Places) > 0 && !within(OfNumber(n), s) {
				t.Fatalf("a zone that does not exist narrowed %s to %v", n, s.Places)
			}
		}
	})
}

// TestOrderDoesNotMatter: facts arrive in any order, and twice.
func TestOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := drawNumber(t)
		told := rapid.SliceOfN(locations(), 0, 6).Draw(t, "told")
		s := Candidates(n, told)
		again := append(slices.Clone(told), told...)
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		rng.Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
		if other := Candidates(n, again); !within(s, other) || !within(other, s) {
			t.Fatalf("%v, and in another order %v", s.Places, other.Places)
		}
	})
}
