package registry

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// openShare: a list may open one in so many of the numbers of an area that are
// blocked now. From one version to the next real lists lose a few in a thousand;
// one that loses more was cut off, is another list, or half of one.
const openShare = 10

// opens refuses a version that would open numbers: more than a tenth of those of
// an area that some seller is not to call now, because of the versions that answer
// now. Each of these is compared that the new one stands in front of, for
// whichever sellers and areas it does: that it covers more, or serves others, is no
// reason. v counts as the newest of its day. Where it may open them, it is told how many.
func (s *Snapshot) opens(v *listVersion, n *numbers, may accepted) (told []string, err error) {
	var newer []*linked // that answer before w, and behind v
	var found openings
	for _, w := range s.of(v.registry).inUse {
		if !w.usable() || w.day.After(v.day) {
			continue
		}
		if whom, some := inCommon(v.licensees, w.licensees); some {
			before := slices.DeleteFunc(slices.Clone(newer), func(x *linked) bool { return !x.serves(whom) })
			if err := v.opensOf(w, n, before, may, &found); err != nil {
				return nil, err
			}
		}
		newer = append(newer, w)
	}
	return found.judge(may)
}

// inCommon is the sellers that two versions serve, none meaning all, and whether
// there are any.
func inCommon(a, b []string) (whom []string, some bool) {
	if len(a) == 0 {
		return b, true
	}
	if len(b) == 0 {
		return a, true
	}
	whom = slices.DeleteFunc(slices.Clone(a), func(s string) bool { return !slices.Contains(b, s) })
	return whom, len(whom) > 0
}

// opensOf compares v with a version w, as far as none of those behind v answers
// before it.
func (v *listVersion) opensOf(w *linked, n *numbers, before []*linked, may accepted, found *openings) error {
	within := &mask{}
	anywhere, elsewhere := false, v.coverage.calling != 1 && w.coverage.calling != 1
	for code := range within {
		a := area(code)
		within[code] = v.coverage.coversArea(a) && w.coverage.coversArea(a) &&
			!slices.ContainsFunc(before, func(x *linked) bool { return !x.washed && x.coverage.coversArea(a) })
		anywhere = anywhere || within[code]
	}
	if slices.ContainsFunc(before, func(x *linked) bool { return !x.washed && x.coverage.calling != 1 && x.coverage.includes(w.coverage) }) {
		elsewhere = false
	}
	if !anywhere && !elsewhere {
		return nil
	}
	compared := func(a area) bool {
		if a < areaOther {
			return within[a]
		}
		return elsewhere && v.coverage.coversArea(a) && w.coverage.coversArea(a)
	}
	if w.numbers == nil {
		if may.takesEach(compared) {
			return nil
		}
		return fmt.Errorf("%w: the numbers of the version of %s are not here yet, so what this one would open is not known; try again when they are, or "+
			"say --accept-shrunk %s",
			ErrShrunk, w.date, acceptAll)
	}
	listed := w.numbers.set
	if v.washed {
		listed = minus(n.asked, minus(n.asked, listed, nil), nil)
	}
	for _, x := range before {
		if x.washed && x.numbers != nil {
			listed = minus(listed, x.numbers.asked, nil)
		}
	}
	only := within
	if elsewhere {
		only = nil
	}
	lost := minus(listed, n.set, only)
	if lost.Len() == 0 {
		return nil
	}
	was, gone, now := new(tally).of(listed, nil), new(tally).of(lost, nil), new(tally).of(n.set, nil)
	for i := range gone {
		if a := area(i); compared(a) && gone[i]*openShare > was[i] {
			found.areas = append(found.areas, opening{a, was[i], now[i], gone[i]})
			found.dates = append(found.dates, w.date)
		}
	}
	return nil
}

// opening is an area of which a list would open too many numbers.
type opening struct {
	area              area
	listed, now, gone uint64
}

func (o opening) String() string {
	return fmt.Sprintf("%s: %d listed now, %d of them gone, %d in this list", o.area, o.listed, o.gone, o.now)
}

// openings are those of one list, and the days of the versions that block there now.
type openings struct {
	areas []opening
	dates []string
}

// judge refuses them where nobody accepts them, all in one error, and tells the others.
func (o *openings) judge(may accepted) (told []string, err error) {
	var refused, taken []opening
	var where []area
	for _, x := range o.areas {
		if may.takes(x.area) {
			taken = append(taken, x)
			continue
		}
		refused, where = append(refused, x), append(where, x.area)
	}
	if len(refused) > 0 {
		slices.Sort(o.dates)
		return nil, fmt.Errorf("%w: it would open more than a tenth of what the version of %s blocks (%s); if the list is whole and the registry's own, "+
			"name these areas: --accept-shrunk %s",
			ErrShrunk, strings.Join(slices.Compact(o.dates), ", "), strings.Join(counts(refused), "; "), acceptWords(where))
	}
	return counts(taken), nil
}

// counts says of areas how many numbers were listed and are, the greatest loss first.
func counts(all []opening) (out []string) {
	slices.SortStableFunc(all, func(a, b opening) int { return cmp.Compare(b.gone, a.gone) })
	for _, o := range all[:min(len(all), areasShown)] {
		out = append(out, o.String())
	}
	if n := len(all) - areasShown; n > 0 {
		out = append(out, fmt.Sprintf("and %d more areas", n))
	}
	return out
}
