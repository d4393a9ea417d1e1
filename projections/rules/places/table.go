package places

import (
	_ "embed"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"
)

var (
	//go:embed area_codes.tsv
	areaCodesFile string
	//go:embed calling_codes.tsv
	callingCodesFile string
	//go:embed regions.tsv
	regionsFile string
)

const (
	// beginningMax is the length of the longest beginning in calling_codes.tsv.
	beginningMax = 4
	// everywhere in a table means every region of the North American plan.
	everywhere = "*"
	// versionMark begins the line that names a table's version.
	versionMark = "# version: "
)

// table is what the files say, made ready.
type table struct {
	version string
	// areas by North American area code; an unknown one has all places of +1.
	areas [1000]*Set
	// beginnings of numbers outside +1, without the '+'.
	beginnings map[string]*Set
	// regions by code, other codes of the same region included.
	regions map[string]*region
	// world has every place once.
	world *Set
}

type region struct {
	code string // the one we use
	set  *Set
	// subdivided: it is a country, and set holds its subdivisions.
	subdivided bool
}

// shared is built on first use, in some milliseconds. A mistake in a table panics:
// the tables are part of the program, and its tests read them all.
var shared = sync.OnceValue(func() *table {
	t := &table{}
	t.readRegions()
	t.readAreaCodes()
	t.readCallingCodes()
	return t
})

// rows gives the lines of a table as columns.
func rows(file string) iter.Seq[[]string] {
	return func(yield func([]string) bool) {
		for line := range strings.Lines(file) {
			line = strings.TrimSuffix(line, "\n")
			if line != "" && line[0] != '#' && !yield(strings.Split(line, "\t")) {
				return
			}
		}
	}
}

func (t *table) readRegions() {
	t.regions = map[string]*region{}
	var order []string
	for row := range rows(regionsFile) {
		code, what := row[0], row[1]
		if t.regions[code] != nil {
			panic("places: regions.tsv has " + code + " twice")
		}
		if other, ok := strings.CutPrefix(what, "="); ok {
			t.regions[code] = t.region(other)
			continue
		}
		var places []Place
		for name := range strings.FieldsSeq(what) {
			places = append(places, Place{code, load(name)})
		}
		t.regions[code] = &region{code: code, set: newSet(places)}
		order = append(order, code)
	}
	var all []Place
	parts := map[string][]Place{}
	for _, code := range order {
		all = append(all, t.regions[code].set.Places...)
		parts[country(code)] = append(parts[country(code)], t.regions[code].set.Places...)
	}
	for code, places := range parts {
		if t.regions[code] == nil {
			t.regions[code] = &region{code: code, set: newSet(places), subdivided: true}
		}
	}
	t.world = newSet(all)
}

func (t *table) region(code string) *region {
	r := t.regions[code]
	if r == nil {
		panic("places: regions.tsv has no " + code)
	}
	return r
}

func (t *table) readAreaCodes() {
	first, _, _ := strings.Cut(areaCodesFile, "\n")
	t.version = strings.TrimPrefix(first, versionMark)
	var inPlan []Place
	overlays := map[int]int{}
	seen := map[int]bool{}
	for row := range rows(areaCodesFile) {
		npa := codeIn(row[0], "%3d")
		if seen[npa] {
			panic("places: area_codes.tsv has a code twice: " + row[0])
		}
		seen[npa] = true
		switch {
		case row[1] == everywhere: // as if it were not here
		case row[1][0] == '=':
			overlays[npa] = codeIn(row[1], "=%3d")
		case len(row) == 2:
			t.areas[npa] = t.region(row[1]).set
		default:
			t.areas[npa] = t.areaSet(row)
			for _, r := range t.areas[npa].Regions {
				inPlan = append(inPlan, t.region(r).set.Places...)
			}
		}
	}
	for npa, parent := range overlays {
		if t.areas[npa] = t.areas[parent]; t.areas[npa] == nil || overlays[parent] != 0 {
			panic(fmt.Sprintf("places: area_codes.tsv: %d overlays a code that has no places of its own", npa))
		}
	}
	plan := newSet(inPlan)
	for npa, s := range t.areas {
		if s == nil {
			t.areas[npa] = plan
		}
	}
}

// codeIn reads an area code out of a column.
func codeIn(column, format string) (npa int) {
	if _, err := fmt.Sscanf(column, format, &npa); err != nil {
		panic("places: area_codes.tsv: no area code: " + column)
	}
	return npa
}

// areaSet pairs each region of an area code with those of the code's zones that
// the region uses.
func (t *table) areaSet(row []string) *Set {
	var places []Place
	names := strings.Fields(row[2])
	used := map[string]bool{}
	for code := range strings.FieldsSeq(row[1]) {
		for _, name := range names {
			zone := load(name)
			if len(using(t.region(code).set.Places, zone)) > 0 {
				places = append(places, Place{code, zone})
				used[name] = true
			}
		}
	}
	if len(used) != len(names) {
		panic("places: area_codes.tsv: " + row[0] + " has a zone that none of its regions uses")
	}
	return newSet(places)
}

func (t *table) readCallingCodes() {
	t.beginnings = map[string]*Set{}
	for row := range rows(callingCodesFile) {
		if t.beginnings[row[0]] != nil || len(row[0]) > beginningMax {
			panic("places: calling_codes.tsv has a beginning twice, or one too long: " + row[0])
		}
		var places []Place
		for code := range strings.FieldsSeq(row[1]) {
			places = append(places, t.region(code).set.Places...)
		}
		t.beginnings[row[0]] = newSet(places)
	}
}

// newSet makes a set; places may have duplicates, of which the first counts.
func newSet(places []Place) *Set {
	s := &Set{Places: make([]Place, 0, len(places))}
	for _, p := range places {
		if slices.Contains(s.Places, p) {
			continue
		}
		s.Places = append(s.Places, p)
		if p.Region != "" && !slices.Contains(s.Regions, p.Region) {
			s.Regions = append(s.Regions, p.Region)
		}
		known := false
		for _, z := range s.Zones {
			known = known || alike(z, p.Zone)
		}
		if !known {
			s.Zones = append(s.Zones, p.Zone)
		}
	}
	return s
}

// using keeps the places whose clocks agree with a zone, and gives them that zone.
func using(places []Place, zone *time.Location) (out []Place) {
	for _, p := range places {
		if alike(p.Zone, zone) {
			out = append(out, Place{p.Region, zone})
		}
	}
	return out
}

// country is the first half of a region's code.
func country(code string) string {
	c, _, _ := strings.Cut(code, "-")
	return c
}
