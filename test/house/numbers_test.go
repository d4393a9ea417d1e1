package house_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/consent-ledger/consent-ledger/ledger/phone"
)

var (
	// candidate is whatever could be dialled: digits with what people put between,
	// which is one thing at a time, so that the columns of a table stay apart.
	candidate = regexp.MustCompile(`(?:\+|00|\()?\d(?:(?: - | ?\(|\) ?|[ ./-])?\d){8,14}`)
	// instant is a date with or without a time of day; it dials nobody.
	instant = regexp.MustCompile(`\b(19|20)\d\d-[01]\d-[0-3]\d([ T][0-2]\d:[0-5]\d(:[0-5]\d)?)?\b`)
	// ftcLine is a line of the FTC's list: area code, comma, the rest.
	ftcLine = regexp.MustCompile(`\b([2-9]\d\d),([2-9]\d{6})\b`)
	// fiction are the ranges that no exchange assigns: the North American
	// 555-0100 to 0199, and the numbers for drama of Ofcom, of the
	// Bundesnetzagentur (Berlin 23125), of the ARCEP (06 39 98) and of the ACMA
	// (0491 570 006 and a few more).
	fiction = regexp.MustCompile(`^\+(1[2-9]\d\d55501\d\d|447700900\d{3}|441632960\d{3}|442079460\d{3}|` +
		`3363998\d{4}|493023125\d{3}|61491570(006|110|156|157|158|159))$`)
)

// notNumbers are digits that could be dialled and are something else, with the reason.
var notNumbers = map[string]string{
	"+4953-09709":     "a latitude and longitude of zone.tab",
	"+5333-11328":     "a latitude and longitude of zone.tab",
	"+4906-11631":     "a latitude and longitude of zone.tab",
	"+492717-0023210": "a latitude and longitude of zone.tab",
	"+550737-1313435": "a latitude and longitude of zone.tab",
}

// TestNumbersAreFiction: samples get copied into demos and dialers, so no number
// in this repository may belong to somebody. A number counts if our own reading
// of numbers says that it is assigned, in the form a reader would take it in.
func TestNumbersAreFiction(t *testing.T) {
	for _, f := range textFiles(t) {
		if strings.HasPrefix(f.path, generated) || strings.HasSuffix(f.path, "go.sum") {
			continue
		}
		for i, line := range strings.Split(f.text, "\n") {
			for _, c := range numbersIn(line) {
				if notNumbers[c] == "" {
					t.Errorf("%s:%d: %q can be dialled, and is outside the ranges for fiction "+
						"(+1 NPA 555-01xx, +44 7700 900xxx, +44 1632 960xxx, +44 20 7946 0xxx, +49 30 23125xxx, +33 6 3998xxxx, +61 491 570006 …)", f.path, i+1, c)
				}
			}
		}
	}
}

// numbersIn gives what in a line is an assigned number outside the fiction ranges.
func numbersIn(line string) (out []string) {
	line = instant.ReplaceAllString(line, "|")
	for _, m := range candidate.FindAllStringIndex(line, -1) {
		if c := line[m[0]:m[1]]; !partOfWord(line, m[0], m[1]) && assigned(c) {
			out = append(out, c)
		}
	}
	for _, m := range ftcLine.FindAllStringSubmatch(line, -1) {
		if assigned(m[1] + m[2]) {
			out = append(out, m[0])
		}
	}
	return out
}

// partOfWord tells whether letters or more digits touch: hex, ids, decimals.
func partOfWord(line string, from, to int) bool {
	word := func(b byte) bool {
		return b == '_' || b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z'
	}
	return from > 0 && word(line[from-1]) || to < len(line) && word(line[to])
}

// assigned reads a candidate as an American, as a Briton if it begins with a
// zero, and as international if it says so.
func assigned(c string) bool {
	region := "US"
	if strings.HasPrefix(c, "0") && !strings.HasPrefix(c, "00") {
		region = "GB"
	}
	if rest, ok := strings.CutPrefix(c, "00"); ok {
		c = "+" + rest
	}
	n, err := phone.Parse(c, region)
	return err == nil && !n.Unassigned && !fiction.MatchString(n.E164)
}

// TestNumbersIn shows what is found and what is let pass. The numbers that must
// be found are made here, so that they stand nowhere.
func TestNumbersIn(t *testing.T) {
	planted := "212" + "736" + "5000"
	for line, want := range map[string]int{
		"call " + planted:                                           1,
		"call +1" + planted + ".":                                   1,
		planted[:3] + "," + planted[3:]:                             1,
		"(" + planted[:3] + ") " + planted[3:6] + "-" + planted[6:]: 1,
		"+44 20 7" + "930 4832":                                     1,
		"020 7" + "930 4832":                                        1,
		"deadbeef" + planted:                                        0,
		"call (212) 555-0143 or 2125550199":                         0,
		"212,5550143":                                               0,
		"+44 7700 900123, 07700 900123, 020 7946 0123":              0,
		"212 - 736 - " + planted[6:]:                                1,
		"1 212." + "736.5000":                                       1,
		"1   2026-11-23 22:15:01  2026-11-23T22:15 ":                0,
		"on 2026-11-23 at 10:00":                                    0,
		"1767225600, 1767225600000000000":                           0,
		"127.0.0.1:8420":                                            0,
	} {
		if got := numbersIn(line); len(got) != want {
			t.Errorf("%q: found %q, want %d", line, got, want)
		}
	}
}
