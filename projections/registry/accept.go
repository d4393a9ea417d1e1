package registry

import (
	"fmt"
	"slices"
	"strings"

	"github.com/consent-ledger/consent-ledger/projections/registry/listfile"
)

// acceptAll is the word for every area.
const acceptAll = "all"

// accepted is where somebody accepts what is refused otherwise. That an area code was
// given back is no reason to take a file that was cut off in another, so areas are
// named one by one, or it is said that all are meant.
type accepted struct {
	all   bool
	areas map[area]bool
}

// parseAccepted reads the words of a flag: area codes of +1, first digits of other
// numbers with their plus, or all.
func parseAccepted(flag string, words []string) (out accepted, err error) {
	out.areas = map[area]bool{}
	for _, word := range words {
		begin, abroad := strings.CutPrefix(word, "+")
		n, ok := listfile.Digits([]byte(begin))
		switch {
		case word == acceptAll:
			out.all = true
		case abroad && ok && n > 0 && len(begin) <= 3:
			out.areas[areaOther+area(n)] = true
		case listfile.IsAreaCode(word):
			out.areas[area(n)] = true
		default:
			return out, fmt.Errorf("%w: %s takes area codes such as 305, the first one to three digits of other numbers such as +44, or all", ErrPlan, flag)
		}
	}
	return out, nil
}

// takes tells whether an area is among those that were named.
func (a accepted) takes(x area) bool {
	if a.all || x < areaOther {
		return a.all || a.areas[x]
	}
	for begin := x - areaOther; begin > 0; begin /= 10 {
		if a.areas[areaOther+begin] {
			return true
		}
	}
	return false
}

// takesAll tells whether all areas of a coverage are.
func (a accepted) takesAll(c coverage) bool { return a.takesEach(c.coversArea) }

func (a accepted) takesEach(of func(area) bool) bool {
	if a.all {
		return true
	}
	for x := range area(areasMax) {
		if of(x) && !a.takes(x) {
			return false
		}
	}
	return true
}

// word is an area as it is named on the command line.
func (a area) word() string {
	if a < areaOther {
		return fmt.Sprintf("%03d", int(a))
	}
	return fmt.Sprintf("+%d", int(a)-areaOther)
}

// acceptWords is what to say for some areas, if they are few enough to have been looked at.
func acceptWords(areas []area) string {
	areas = slices.Compact(slices.Sorted(slices.Values(areas)))
	if len(areas) > areasShown {
		return acceptAll
	}
	words := make([]string, len(areas))
	for i, a := range areas {
		words[i] = a.word()
	}
	return strings.Join(words, ",")
}

// acceptWords is what to say for all that is covered.
func (c coverage) acceptWords() string {
	switch codes := c.codes.areaCodes(); {
	case len(codes) > 0 && len(codes) <= areasShown:
		return strings.Join(codes, ",")
	case len(codes) == 0 && c.calling > 1:
		return fmt.Sprintf("+%d", c.calling)
	}
	return acceptAll
}
