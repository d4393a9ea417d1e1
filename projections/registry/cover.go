package registry

import (
	"fmt"
	"slices"
	"strings"

	"github.com/consent-ledger/consent-ledger/projections/registry/listfile"
)

// area is a part of the world that is counted by itself: an area code of +1, 200 to
// 999, or whatever else begins with the same three digits, plus areaOther.
type area int

const (
	areaOther = 1000
	areasMax  = 2000
)

func areaOf(number uint64) area {
	if number/1e10 == 1 {
		return area(areaCode(number))
	}
	for number >= 1000 {
		number /= 10
	}
	return area(areaOther + number)
}

func (a area) String() string {
	if a < areaOther {
		return fmt.Sprintf("area code %03d", int(a))
	}
	return fmt.Sprintf("numbers that begin with +%d", int(a)-areaOther)
}

// coversArea is covers for all numbers of an area.
func (c coverage) coversArea(a area) bool {
	switch {
	case c.calling == 0:
		return true
	case c.calling == 1:
		return a < areaOther && (c.codes == nil || c.codes[a])
	case a < areaOther:
		return false
	}
	begin := uint64(a - areaOther)
	for begin > c.calling {
		begin /= 10
	}
	return begin == c.calling
}

// meets tells whether two coverages have an area in common.
func (c coverage) meets(other coverage) bool {
	for a := range area(areasMax) {
		if c.coversArea(a) && other.coversArea(a) {
			return true
		}
	}
	return false
}

// tally counts numbers by area.
type tally [areasMax]uint64

func (t *tally) count(number uint64) { t[areaOf(number)]++ }

// of counts the numbers of a set within a mask. It looks into few pages: most lie
// in one area, and know how many numbers they hold.
func (t *tally) of(s *Set, within *mask) *tally {
	add := func(first, last uint64, n int) bool {
		if areaOf(first) != areaOf(last) {
			return false
		}
		if within.covers(first) {
			t[areaOf(first)] += uint64(n)
		}
		return true
	}
	for no, p := range s.eachPage {
		if add(no<<(pageBits+blockBits), (no+1)<<(pageBits+blockBits)-1, int(p.numbers)) {
			continue
		}
		for i, b := range p.each {
			first := (no<<pageBits | i) << blockBits
			if add(first, first|(blockNumbers-1), b.count()) {
				continue
			}
			b.each(func(low uint16) bool { return add(first|uint64(low), first|uint64(low), 1) })
		}
	}
	return t
}

// split tells how many of the numbers are covered, and where the others are.
func (t *tally) split(c coverage) (covered, others uint64, where []area) {
	for i, n := range t {
		switch {
		case n == 0:
		case c.coversArea(area(i)):
			covered += n
		default:
			others, where = others+n, append(where, area(i))
		}
	}
	return covered, others, where
}

// areasShown is how many areas an error names.
const areasShown = 20

// name lists areas with how many numbers they have, the fewest first: a stray line
// is what somebody must see.
func (t *tally) name(areas []area) string {
	areas = slices.Clone(areas)
	slices.SortStableFunc(areas, func(a, b area) int { return int(t[a]) - int(t[b]) })
	var out []string
	for _, a := range areas[:min(len(areas), areasShown)] {
		out = append(out, fmt.Sprintf("%s: %d", a.word(), t[a]))
	}
	if n := len(areas) - areasShown; n > 0 {
		out = append(out, fmt.Sprintf("and %d more", n))
	}
	return strings.Join(out, ", ")
}

// said takes over what a file's name says that it covers, and checks that its rows
// say the same. A list's silence is what opens numbers, so a file that has nothing,
// or something else than its name says, is not taken on its name alone.
func (b *Builder) said(name listfile.FileName, rows *tally) error {
	for i, n := range rows {
		b.rows[i] += n
	}
	scope, whose := coverage{calling: b.form.calling}, fmt.Sprintf("the list is one of +%d", b.form.calling)
	n, ok := listfile.Digits([]byte(name.AreaCode))
	switch {
	case ok && b.form.calling == 1:
		b.codes[n] = true
		scope.codes, whose = &mask{}, "the file's name says area code "+name.AreaCode
		scope.codes[n] = true
	case b.form.calling == 1 && len(b.plan.AreaCodes) > 0:
		b.named, scope.codes, whose = false, b.plan.mask(), "--area-code says "+strings.Join(b.plan.AreaCodes, ", ")
	default:
		b.named = false
	}
	covered, others, where := rows.split(scope)
	switch {
	case covered+others == 0 && !b.form.empty.takesAll(scope):
		of := "a file"
		if name.AreaCode != "" {
			of = "the file of area code " + name.AreaCode
		}
		return fmt.Errorf("%w: %s has no numbers, so it would say of all it covers that nobody is listed; if it is meant to have none, say --accept-empty %s",
			ErrEmpty, of, scope.acceptWords())
	case b.plan.BaseDate != "" && others > 0:
		return fmt.Errorf("%w: %s, but %d of its %d rows are of others (%s); a change that is passed over would be lost, so give the file under the name, or with the --area-code, of all it changes",
			ErrCover, whose, others, covered+others, rows.name(where))
	case b.plan.Wash == "" && float64(others)*100 > b.plan.badShareMax()*float64(covered+others):
		return fmt.Errorf("%w: %s, but %d of its %d numbers are of others (%s); give the file that belongs there, or say what this one covers", ErrCover, whose, others, covered+others, rows.name(where))
	}
	return nil
}

// mask is the area codes that were said; nil: none.
func (p *Plan) mask() *mask {
	if len(p.AreaCodes) == 0 {
		return nil
	}
	m := &mask{}
	for _, code := range p.AreaCodes {
		n, _ := listfile.Digits([]byte(code))
		m[n] = true
	}
	return m
}

// errNotWhole: the files are those of area codes.
var errNotWhole = fmt.Errorf("%w: a file's name says an area code, so it is not the list of the whole country; leave --whole-country out", ErrCover)

// saidCodes are the area codes that files' names and --area-code say.
func (b *Builder) saidCodes() mask {
	said := b.codes
	if m := b.plan.mask(); m != nil {
		for code, covered := range m {
			said[code] = said[code] || covered
		}
	}
	return said
}

// cover is what a list covers: what its files' names and --area-code say, or all of
// its country. It is never guessed from the numbers: one stray line would make all
// its neighbours look unlisted. A washed list covers what was sent, wherever it is.
func (b *Builder) cover() (coverage, error) {
	c, said := coverage{calling: b.form.calling}, b.saidCodes()
	switch {
	case b.plan.Wash != "" || b.form.calling != 1:
		return c, nil
	case b.plan.WholeCountry:
		if b.codes != (mask{}) {
			return c, errNotWhole
		}
		return c, nil
	case !b.named && len(b.plan.AreaCodes) == 0:
		_, _, where := b.rows.split(coverage{calling: 1, codes: &said})
		return c, fmt.Errorf("%w: a file's name says no area code, and it is not guessed from the numbers, because a stray line would open all its neighbours; "+
			"say --area-code for each that it is the whole list of, or --whole-country (numbers by area code: %s)", ErrCover, b.rows.name(where))
	}
	c.codes = &said
	var empty []area
	for code, covered := range said {
		if covered && b.rows[code] == 0 && !b.form.empty.takes(area(code)) {
			empty = append(empty, area(code))
		}
	}
	if len(empty) > 0 {
		return c, fmt.Errorf("%w: the list covers area codes of which it has no number, so it would say that nobody there is listed (%s); "+
			"if it is meant to have none there, say --accept-empty %s", ErrEmpty, b.rows.name(empty), acceptWords(empty))
	}
	return c, nil
}
