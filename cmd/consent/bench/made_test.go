package bench

import (
	"strconv"
	"testing"
)

// TestMadePersonsOwnTheirNumbers: of all lines of an area code just the persons' are theirs.
func TestMadePersonsOwnTheirNumbers(t *testing.T) {
	m := newMadePersons(5000)
	m.codes = m.codes[:3]
	own := map[int]bool{}
	for i := range m.n {
		n, err := strconv.Atoi(m.number(i)[2:])
		if err != nil || own[n] {
			t.Fatalf("person %d: %v, or a number that comes twice", i, err)
		}
		own[n] = true
	}
	found := 0
	for place, code := range m.codes {
		for line := madeFirst; line < 10_000_000; line++ {
			n := code*1e7 + line
			if m.owns(place, n) != own[n] {
				t.Fatalf("line %d: is a person's %t, and owned %t", line, own[n], m.owns(place, n))
			}
			if own[n] {
				found++
			}
		}
	}
	if found != m.n {
		t.Errorf("%d persons found", found)
	}
}
