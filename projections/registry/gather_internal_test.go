package registry

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/consent-ledger/consent-ledger/projections/registry/listfile"
)

// TestTheLatestChangeCounts: whatever the order of a change list's rows, and however they
// are taken over; where the instants do not tell, the number is listed.
func TestTheLatestChangeCounts(t *testing.T) {
	row := func(n uint64, at int64, removed bool) listfile.Row {
		return listfile.Row{Number: n, At: at, Removed: removed}
	}
	rows := []listfile.Row{
		row(1, 5, false), row(1, 2, true), // put on again after it was taken off
		row(2, 2, false), row(2, 5, true), row(2, 1, true),
		row(3, 4, false), row(3, 4, true),
		row(4, 0, true), row(4, 0, false),
		row(5, 9, true), row(5, 3, true),
		row(6, 9, false),
	}
	for i := range 100 {
		rand.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		var c changer
		for _, r := range rows {
			if err := c.add(r); err != nil {
				t.Fatal(err)
			}
			if i%2 == 1 { // as if the list were too long to be looked at as a whole
				c.flush()
			}
		}
		a, r := c.done()
		added, removed := slices.Collect(a.All()), slices.Collect(r.All())
		wantAdded, wantRemoved := []uint64{1, 3, 4, 6}, []uint64{2, 5}
		if i%2 == 1 {
			wantAdded, wantRemoved = []uint64{1, 2, 3, 4, 6}, []uint64{5}
		}
		if !slices.Equal(added, wantAdded) || !slices.Equal(removed, wantRemoved) {
			t.Fatalf("added %d, removed %d; want %d, %d; rows %+v", added, removed, wantAdded, wantRemoved, rows)
		}
	}
}
