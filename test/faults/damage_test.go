package faults

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// chosen tells whether a half of the table is tried: all of it is by make soak. A row is
// three starts of a server, and the tests of the README end within ten minutes.
func chosen(place string) bool {
	return os.Getenv("CONSENT_SOAK") != "" || place == "middle" || place == "end, crashed"
}

// TestDamagedBits: one bit, in every region of a record, in the middle of the
// stream and at its end, after a clean stop and after a crash.
func TestDamagedBits(t *testing.T) {
	t.Parallel()
	d := newDamaged(t)
	middle, last := d.seqOf("g-3"), len(d.commits)
	for _, place := range []struct {
		name   string
		seq    int
		index  bool
		states []string
	}{
		{"middle", middle, true, []string{"OK, mended"}},
		{"middle, crashed", middle, false, []string{"OK, mended"}},
		{"end", last, true, []string{"OK, mended", "TAIL_REPAIRED"}},
		{"end, crashed", last, false, []string{"OK, mended", "TAIL_REPAIRED"}},
	} {
		for _, r := range regions {
			if !chosen(place.name) {
				continue
			}
			t.Run(place.name+"/"+r.name, func(t *testing.T) {
				d.row(t, func() { d.flipIn(place.seq, r, place.index) }, place.seq == last, place.states...)
			})
		}
	}
}

// TestDamagedBitsWithoutCopies: the same where the tree has no copies any more: the
// numbers that are touched are blocked, the others are answered, and a backup mends
// it. Where positions could be used twice, the start is refused.
func TestDamagedBitsWithoutCopies(t *testing.T) {
	t.Parallel()
	d := newDamaged(t)
	middle, last := d.seqOf("g-3"), len(d.commits)
	for _, place := range []struct {
		name   string
		seq    int
		index  bool
		states []string
	}{
		{"middle", middle, true, []string{"DAMAGED"}},
		{"middle, crashed", middle, false, []string{"DAMAGED"}},
		{"end", last, true, []string{"DAMAGED", "refused ROLLED_BACK", "refused DAMAGED"}},
		{"end, crashed", last, false, []string{"DAMAGED", "refused ROLLED_BACK"}},
	} {
		for _, r := range regions {
			if !chosen(place.name) || !slices.Contains([]string{"sequence", "length of the subject", "length of the headers", "middle of the message"}, r.name) {
				continue
			}
			t.Run(place.name+"/"+r.name, func(t *testing.T) {
				d.row(t, func() { d.withoutTail(); d.flipIn(place.seq, r, place.index) }, false, place.states...)
			})
		}
	}
}

// flipIn flips a bit in a region of a message's record.
func (d *damaged) flipIn(seq int, r region, index bool) {
	file, off, length := d.record(seq)
	d.flip(file, off+r.at(d.headers[seq-1], length))
	if !index {
		d.withoutIndex()
	}
}

// TestDamagedFiles: whole files of the stream cut, emptied or gone.
func TestDamagedFiles(t *testing.T) {
	t.Parallel()
	d := newDamaged(t)
	cut := func(file string, bytes int64) {
		info, err := os.Stat(file)
		if err == nil {
			err = os.Truncate(file, info.Size()-bytes)
		}
		if err != nil {
			d.t.Fatal(err)
		}
	}
	remove := func(file string) {
		if err := os.Remove(file); err != nil {
			d.t.Fatal(err)
		}
	}
	first := func() string { return d.blocks()[0] }
	last := func() string { b := d.blocks(); return b[len(b)-1] }
	for _, tc := range []struct {
		name   string
		breaks func()
		again  bool
		states []string
	}{
		{"index removed", func() { d.withoutIndex() }, false, []string{"OK"}},
		{"last file cut", func() { cut(last(), 100) }, true, []string{"TAIL_REPAIRED", "OK, mended"}},
		{"last file cut, crashed", func() { cut(last(), 100); d.withoutIndex() }, true, []string{"TAIL_REPAIRED"}},
		{"last file gone, crashed", func() { remove(last()); d.withoutIndex() }, true, []string{"TAIL_REPAIRED"}},
		{"first file gone", func() { remove(first()) }, false, []string{"OK, mended"}},
		{"first file gone, crashed", func() { remove(first()); d.withoutIndex() }, false, []string{"OK, mended"}},
		{"first file gone, no copies", func() { d.withoutTail(); remove(first()) }, false, []string{"DAMAGED"}},
		{"first file cut, no copies, crashed", func() { d.withoutTail(); cut(first(), 100); d.withoutIndex() }, false, []string{"DAMAGED"}},
		{"last file gone, no copies, crashed", func() { d.withoutTail(); remove(last()); d.withoutIndex() }, false, []string{"refused ROLLED_BACK"}},
		{"tree and first file gone", func() {
			if err := os.RemoveAll(filepath.Join(d.dir, "tree")); err != nil {
				d.t.Fatal(err)
			}
			remove(first())
		}, false, []string{"refused DAMAGED"}},
	} {
		t.Run(tc.name, func(t *testing.T) { d.row(t, tc.breaks, tc.again, tc.states...) })
	}
}
