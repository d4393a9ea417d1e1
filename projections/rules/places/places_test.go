package places

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger/zones"
)

// number is a number for fiction in an area code.
func number(npa int) string { return fmt.Sprintf("+1%03d5550123", npa) }

// names are the zones of a set, with spaces between.
func names(s *Set) string {
	var out []string
	for _, z := range s.Zones {
		out = append(out, z.String())
	}
	return strings.Join(out, " ")
}

func regions(s *Set) string { return strings.Join(s.Regions, " ") }

// offsetsAt are the UTC offsets of a set at an instant, sorted, each once.
func offsetsAt(s *Set, at time.Time) (out []int) {
	for _, z := range s.Zones {
		_, o := at.In(z).Zone()
		out = append(out, o)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// coming are instants from the first day of 2026f's new clocks to two years later.
func coming() (out []time.Time) {
	for t := time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC); t.Year() < 2029; t = t.AddDate(0, 0, 15) {
		out = append(out, t)
	}
	return out
}

// TestTraps: what the phone library gets wrong, or a table easily does.
func TestTraps(t *testing.T) {
	for _, c := range []struct {
		name, number, regions, zones string
	}{
		{"two zones, the library says Chicago", number(423), "US-TN", "America/New_York America/Chicago"},
		{"two zones, the library says New York", number(850), "US-FL", "America/Chicago America/New_York"},
		{"overlay of 850", number(448), "US-FL", "America/Chicago America/New_York"},
		{"overlay of 270", number(364), "US-KY", "America/Chicago America/New_York"},
		{"overlay of 541", number(458), "US-OR", "America/Los_Angeles America/Denver"},
		{"overlay of 812", number(930), "US-IN", "America/New_York America/Chicago"},
		{"overlay of 208, which NANPA has as Pacific", number(986), "US-ID", "America/Denver America/Los_Angeles"},
		{"overlay of 423, younger than the library", number(729), "US-TN", "America/New_York America/Chicago"},
		{"overlay in Orlando, the library says Chicago", number(689), "US-FL", "America/New_York"},
		{"Navajo Nation", number(928), "US-AZ", "America/Phoenix America/Denver"},
		{"the rest of Arizona", number(602), "US-AZ", "America/Phoenix"},
		{"West Wendover", number(775), "US-NV", "America/Los_Angeles America/Denver"},
		{"Las Vegas", number(702), "US-NV", "America/Los_Angeles"},
		{"Aleutians", number(907), "US-AK", "America/Anchorage America/Adak"},
		{"El Paso", number(915), "US-TX", "America/Denver America/Chicago"},
		{"Mississippi", number(601), "US-MS", "America/Chicago"},
		{"Mississippi, overlay", number(471), "US-MS", "America/Chicago"},
		{"Newfoundland, half an hour apart, and not Puerto Rico", number(709), "CA-NL", "America/St_Johns America/Halifax"},
		{"overlay of 709", number(879), "CA-NL", "America/St_Johns America/Halifax"},
		{"Northwestern Ontario", number(807), "CA-ON", "America/Toronto America/Winnipeg America/Atikokan"},
		{"Saskatchewan and Lloydminster", number(474), "CA-SK", "America/Regina America/Edmonton"},
		{"two provinces", number(902), "CA-NS CA-PE", "America/Halifax"},
		{"three territories", number(867), "CA-YT CA-NT CA-NU",
			"America/Whitehorse America/Edmonton America/Iqaluit America/Rankin_Inlet America/Cambridge_Bay America/Atikokan"},
		{"Puerto Rico is a region of the United States", number(787), "US-PR", "America/Puerto_Rico"},
		{"a country of the plan", number(876), "JM", "America/Jamaica"},
		{"mainland and islands", "+34600", "ES", "Europe/Madrid Atlantic/Canary"},
		{"British mobiles: four places, one clock", "+447700900123", "GB GG IM JE", "Europe/London"},
		{"Ireland and nothing else", "+35385", "IE", "Europe/Dublin"},
		{"Azores", "+351910", "PT", "Europe/Lisbon Atlantic/Azores"},
		{"overseas departments have codes of their own", "+33600", "FR", "Europe/Paris"},
		{"Réunion and Mayotte", "+262692", "RE YT", "Indian/Reunion Indian/Mayotte"},
		{"Kazakhstan", "+7701", "KZ", "Asia/Almaty Asia/Qyzylorda"},
		{"India", "+9190", "IN", "Asia/Kolkata"},
		{"Germany", "+4915", "DE", "Europe/Berlin"},
		{"Italy and the Vatican", "+3933", "IT VA", "Europe/Rome"},
		{"the Netherlands", "+3161", "NL", "Europe/Amsterdam"},
	} {
		s := OfNumber(c.number)
		if regions(s) != c.regions || names(s) != c.zones {
			t.Errorf("%s: %s, %s\nwant %s, %s", c.name, regions(s), names(s), c.regions, c.zones)
		}
	}
}

// TestAustralia: a mobile may be anywhere in the country, and so may a number with
// an area digit, which can be ported and carried by the internet.
func TestAustralia(t *testing.T) {
	for _, n := range []string{"+614", "+6128", "+6189", "+61"} {
		s := OfNumber(n)
		for _, region := range []string{"AU-NSW", "AU-VIC", "AU-QLD", "AU-SA", "AU-WA", "AU-TAS", "AU-NT", "AU-ACT", "CX", "CC"} {
			if !slices.Contains(s.Regions, region) {
				t.Errorf("%s: %s is missing", n, region)
			}
		}
		// Sydney, Brisbane, Adelaide, Darwin, Eucla, Perth, Christmas, Cocos; Lord
		// Howe is as Sydney in summer.
		at := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
		if got := offsetsAt(s, at); !slices.Equal(got, []int{23400, 25200, 28800, 31500, 34200, 36000, 37800, 39600}) {
			t.Errorf("%s: offsets %v", n, got)
		}
	}
}

// TestRussia: Kazakhstan shares +7 and none of its zones are lost; nor are Russia's.
func TestRussia(t *testing.T) {
	s := OfNumber("+7916")
	if got := offsetsAt(s, time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)); len(got) != 11 || regions(s) != "RU" {
		t.Errorf("%s has %d offsets", regions(s), len(got))
	}
	if got := regions(OfNumber("+7336220")); got != "RU KZ" {
		t.Errorf("the beginning that both use: %s", got)
	}
}

// TestOfNoPlace: a number that is of no place may be anywhere where such numbers
// are used, under every law there.
func TestOfNoPlace(t *testing.T) {
	plan := OfNumber(number(800))
	for _, region := range []string{"US-FL", "US-HI", "US-GU", "US-PR", "US-DC", "CA-QC", "CA-NU", "JM", "DO", "BM"} {
		if !slices.Contains(plan.Regions, region) {
			t.Errorf("toll-free: %s is missing", region)
		}
	}
	if n := len(plan.Regions); n != 51+5+13+18 {
		t.Errorf("the plan has %d regions: 51 states, 5 territories, 13 provinces, 18 other countries", n)
	}
	winter := offsetsAt(plan, time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC))
	if winter[0] != -11*3600 || winter[len(winter)-1] != 10*3600 || !slices.Contains(winter, -12600) {
		t.Errorf("toll-free: offsets %v lack Samoa, Guam or Newfoundland", winter)
	}
	for _, npa := range []int{833, 844, 855, 866, 877, 888, 822, 900, 500, 521, 529, 533, 544, 566, 577, 588, 700, 211, 911, 555, 0, 199, 299, 387, 999} {
		if OfNumber(number(npa)) != plan {
			t.Errorf("%03d is not everywhere in the plan", npa)
		}
	}
	for _, npa := range []int{600, 622, 633, 644, 655, 677, 688} {
		s := OfNumber(number(npa))
		if len(s.Regions) != 13 || !slices.Contains(s.Regions, "CA-NL") || slices.Contains(s.Regions, "US-NY") {
			t.Errorf("%d: %s, want all of Canada", npa, regions(s))
		}
	}
	if s := OfNumber(number(710)); len(s.Regions) != 56 || slices.Contains(s.Regions, "CA-ON") {
		t.Errorf("710: %s, want all of the United States", regions(s))
	}
}

// TestUnknown: what is of no country is nowhere, and nowhere blocks.
func TestUnknown(t *testing.T) {
	for _, n := range []string{"", "+", "1", "12125550123", "+0", "+210", "+999123", "+8701", "+88312", "+8001", "+9791", "+1", "+12", "+121", "+1x12", "+1 212", "+٣٤"} {
		if s := OfNumber(n); s == nil || len(s.Places)+len(s.Zones)+len(s.Regions) > 0 {
			t.Errorf("%q: %v", n, s)
		}
	}
}

// TestOverlaysInherit: codes of one area are one set, so no overlay can lack a zone.
func TestOverlaysInherit(t *testing.T) {
	for _, complex := range [][]int{
		{208, 986}, {270, 364}, {423, 729}, {541, 458}, {812, 930}, {850, 448}, {250, 236, 257, 672, 778},
		{418, 273, 367, 581}, {709, 879}, {306, 474, 639},
	} {
		for _, npa := range complex[1:] {
			if OfNumber(number(npa)) != OfNumber(number(complex[0])) {
				t.Errorf("%d is not %d", npa, complex[0])
			}
		}
	}
}

// TestSeveralZones: the area codes in which more than one clock is kept, by the
// phone library's data over all exchanges and by NANPA, have it here too.
func TestSeveralZones(t *testing.T) {
	for _, npa := range []int{208, 219, 250, 270, 308, 418, 423, 541, 574, 605, 606, 620, 701, 709, 775, 785, 807, 812,
		850, 867, 906, 907, 928, 986, 364, 448, 458, 930, 236, 672, 778, 257, 729, 915, 931, 367, 581, 879} {
		s := OfNumber(number(npa))
		several := 0
		for _, at := range append(coming(), time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)) {
			several = max(several, len(offsetsAt(s, at)))
		}
		if several < 2 {
			t.Errorf("%d has one zone: %s", npa, names(s))
		}
	}
}

// TestClocksDecide: hours depend on clocks, not on names, on both sides of a change.
func TestClocksDecide(t *testing.T) {
	for _, c := range []struct {
		npa  int
		utc  string
		want []int // offsets in hours
	}{
		{928, "2026-07-01T12:00:00Z", []int{-7, -6}}, // the Navajo Nation has daylight time
		{928, "2026-12-01T12:00:00Z", []int{-7}},
		{928, "2026-11-01T07:59:59Z", []int{-7, -6}},
		{928, "2026-11-01T08:00:00Z", []int{-7}},
		{604, "2026-11-24T12:00:00Z", []int{-7}}, // permanent since 2026
		{403, "2026-11-24T12:00:00Z", []int{-6}},
		{204, "2026-11-24T12:00:00Z", []int{-5}},
		{807, "2026-11-24T12:00:00Z", []int{-5}},
		{807, "2027-07-01T12:00:00Z", []int{-5, -4}},
		{250, "2026-11-24T12:00:00Z", []int{-7, -6}},
		{867, "2026-11-24T12:00:00Z", []int{-7, -6, -5}},
		{418, "2026-07-01T12:00:00Z", []int{-4, -3}},
		{850, "2026-03-08T07:30:00Z", []int{-6, -4}}, // New York has changed, Chicago not yet
		{850, "2026-03-08T08:00:00Z", []int{-5, -4}},
	} {
		at, err := time.Parse(time.RFC3339, c.utc)
		if err != nil {
			t.Fatal(err)
		}
		var hours []int
		for _, o := range offsetsAt(OfNumber(number(c.npa)), at) {
			hours = append(hours, o/3600)
		}
		if !slices.Equal(hours, c.want) {
			t.Errorf("%d at %s: %v, want %v", c.npa, c.utc, hours, c.want)
		}
	}
}

// TestWellFormed: each set keeps the promises of its fields.
func TestWellFormed(t *testing.T) {
	all := shared()
	sets := []*Set{all.world}
	for _, s := range all.areas {
		sets = append(sets, s)
	}
	for _, s := range all.beginnings {
		sets = append(sets, s)
	}
	for _, r := range all.regions {
		sets = append(sets, r.set)
	}
	for _, s := range sets {
		if len(s.Places) == 0 {
			t.Fatal("a set without a place")
		}
		seen := map[Place]bool{}
		for _, p := range s.Places {
			if seen[p] || p.Region == "" || p.Zone == nil || !slices.Contains(s.Regions, p.Region) ||
				!slices.ContainsFunc(s.Zones, func(z *time.Location) bool { return alike(z, p.Zone) }) {
				t.Errorf("%v in %s, %s", p, regions(s), names(s))
			}
			seen[p] = true
		}
		for i, z := range s.Zones {
			if slices.ContainsFunc(s.Zones[:i], func(other *time.Location) bool { return alike(z, other) }) {
				t.Errorf("%s is there twice by its clock: %s", z, names(s))
			}
		}
	}
}

func TestVersion(t *testing.T) {
	if v := Version(); len(v) != len("2026-09-21.1") || !strings.HasPrefix(v, "2026-") {
		t.Errorf("version %q", v)
	}
}

// TestSharedAndFree: a check asks this for every call, so it must cost nothing.
func TestSharedAndFree(t *testing.T) {
	for _, n := range []string{number(212), number(800), number(555), "+447700900123", "+999", ""} {
		OfNumber(n)
		if got := testing.AllocsPerRun(100, func() { OfNumber(n) }); got != 0 {
			t.Errorf("%q allocates %v times", n, got)
		}
		if OfNumber(n) != OfNumber(strings.Clone(n)) {
			t.Errorf("%q: two sets", n)
		}
	}
}

func FuzzOfNumber(f *testing.F) {
	for _, n := range []string{"", "+", "+1", "+12125550123", "+447700900123", "+7336220", "+1\xff\xff\xff"} {
		f.Add(n)
	}
	f.Fuzz(func(t *testing.T, n string) {
		if OfNumber(n) == nil {
			t.Fatal("nil")
		}
	})
}

func mustLoad(t testing.TB, name string) *time.Location {
	t.Helper()
	l, err := zones.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

var sink *Set

func BenchmarkOfNumber(b *testing.B) {
	for _, n := range []string{number(212), number(800), "+447700900123", "+999123"} {
		OfNumber(n)
		b.Run(n[:4], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				sink = OfNumber(n)
			}
		})
	}
}

func BenchmarkCandidates(b *testing.B) {
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	for _, told := range [][]Location{
		nil,
		{{Region: "US-CA", Zone: "America/Los_Angeles", Basis: BasisAddress, At: at}},
		{{Region: "US-TN", Basis: BasisPerson, At: at}, {Region: "US-CA", Zone: "America/Los_Angeles", Basis: BasisAddress, At: at}},
	} {
		n := number(212)
		Candidates(n, told)
		b.Run(fmt.Sprint(len(told)), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				sink = Candidates(n, told)
			}
		})
	}
}

// BenchmarkTables is what the first call pays, zones already loaded.
func BenchmarkTables(b *testing.B) {
	for b.Loop() {
		t := &table{}
		t.readRegions()
		t.readAreaCodes()
		t.readCallingCodes()
	}
}
