package registry

import (
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
// reason. v counts as the newest of its day.
func (s *Snapshot) opens(v *listVersion, n *numbers) error {
	var newer []*linked // that answer before w, and behind v
	for _, w := range s.of(v.registry).inUse {
		if !w.usable() || w.day.After(v.day) {
			continue
		}
		if whom, some := inCommon(v.licensees, w.licensees); some {
			if err := v.opensOf(w, n, slices.DeleteFunc(slices.Clone(newer), func(x *linked) bool { return !x.serves(whom) })); err != nil {
				return err
			}
		}
		newer = append(newer, w)
	}
	return nil
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
func (v *listVersion) opensOf(w *linked, n *numbers, before []*linked) error {
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
	if w.numbers == nil {
		return fmt.Errorf("%w: the numbers of the version of %s are not here yet, so what this one would open is not known; try again when they are, or say --accept-shrunk", ErrShrunk, w.date)
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
	return shrunk(new(tally).of(listed, nil), new(tally).of(lost, nil), new(tally).of(n.set, nil), w.date, func(a area) bool {
		if a < areaOther {
			return within[a]
		}
		return elsewhere && v.coverage.coversArea(a) && w.coverage.coversArea(a)
	})
}

// shrunk says of which areas too many numbers would be opened.
func shrunk(listed, lost, now *tally, date string, compared func(area) bool) error {
	var where []area
	for i := range lost {
		if compared(area(i)) && lost[i]*openShare > listed[i] {
			where = append(where, area(i))
		}
	}
	if len(where) == 0 {
		return nil
	}
	slices.SortFunc(where, func(a, b area) int { return int(lost[b]) - int(lost[a]) })
	var out []string
	for _, a := range where[:min(len(where), areasShown)] {
		out = append(out, fmt.Sprintf("%s: %d listed now, %d in this list, %d of them gone", a, listed[a], now[a], lost[a]))
	}
	if n := len(where) - areasShown; n > 0 {
		out = append(out, fmt.Sprintf("and %d more", n))
	}
	return fmt.Errorf("%w: it would open more than a tenth of what the version of %s blocks (%s); if the list is whole and the registry's own, say --accept-shrunk",
		ErrShrunk, date, strings.Join(out, "; "))
}
