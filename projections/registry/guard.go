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
	for _, w := range s.of(v.registry).inUse {
		if !w.usable() || w.day.After(v.day) {
			continue
		}
		if whom, some := inCommon(v.licensees, w.licensees); some {
			more, err := v.opensOf(w, n, slices.DeleteFunc(slices.Clone(newer), func(x *linked) bool { return !x.serves(whom) }), may)
			if err != nil {
				return nil, err
			}
			told = append(told, more...)
		}
		newer = append(newer, w)
	}
	return told, nil
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
func (v *listVersion) opensOf(w *linked, n *numbers, before []*linked, may accepted) (told []string, err error) {
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
		return nil, nil
	}
	compared := func(a area) bool {
		if a < areaOther {
			return within[a]
		}
		return elsewhere && v.coverage.coversArea(a) && w.coverage.coversArea(a)
	}
	if w.numbers == nil {
		if may.takesEach(compared) {
			return nil, nil
		}
		return nil, fmt.Errorf("%w: the numbers of the version of %s are not here yet, so what this one would open is not known; try again when they are, or say --accept-shrunk %s",
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
		return nil, nil
	}
	o := opening{date: w.date, listed: new(tally).of(listed, nil), lost: new(tally).of(lost, nil), now: new(tally).of(n.set, nil)}
	return o.judge(compared, may)
}

// opening is what one version would open of another, by area.
type opening struct {
	date              string // of the other
	listed, now, lost *tally
}

// judge refuses it where too many numbers would be opened and nobody accepts that, and
// tells where somebody does.
func (o *opening) judge(compared func(area) bool, may accepted) (told []string, err error) {
	var where, taken []area
	for i := range o.lost {
		switch a := area(i); {
		case !compared(a) || o.lost[i]*openShare <= o.listed[i]:
		case may.takes(a):
			taken = append(taken, a)
		default:
			where = append(where, a)
		}
	}
	if len(where) > 0 {
		return nil, fmt.Errorf("%w: it would open more than a tenth of what the version of %s blocks (%s); if the list is whole and the registry's own, name these areas: --accept-shrunk %s",
			ErrShrunk, o.date, strings.Join(o.counts(where), "; "), acceptWords(where))
	}
	return o.counts(taken), nil
}

// counts says of areas how many numbers were listed and are, the greatest loss first.
func (o *opening) counts(areas []area) (out []string) {
	areas = slices.SortedStableFunc(slices.Values(areas), func(a, b area) int { return cmp.Compare(o.lost[b], o.lost[a]) })
	for _, a := range areas[:min(len(areas), areasShown)] {
		out = append(out, fmt.Sprintf("%s: %d listed now, %d in this list, %d of them gone", a, o.listed[a], o.now[a], o.lost[a]))
	}
	if n := len(areas) - areasShown; n > 0 {
		out = append(out, fmt.Sprintf("and %d more areas", n))
	}
	return out
}
