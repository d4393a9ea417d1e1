package registry

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// model is a set that is a map.
type model map[uint64]bool

func (m model) set() *Set { return setOf(m.sorted()) }

func (m model) sorted() (out []uint64) {
	for n, in := range m {
		if in {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out
}

// drawModel makes sets with sparse, dense and full blocks, in neighbouring and in
// far pages, of several countries, with the lowest and the highest numbers.
func drawModel(t *rapid.T, name string) model {
	m := model{}
	bases := []uint64{0, 12_125_550_000 &^ 4095, 12_125_550_000&^4095 + 4096, 12_125_550_000&^4095 + 1<<21, 441_632_960_000 &^ 4095, 1 << 40, numberMax &^ 4095}
	for range rapid.IntRange(0, 5).Draw(t, name+" blocks") {
		base := rapid.SampledFrom(bases).Draw(t, name+" base")
		step := rapid.SampledFrom([]uint64{1, 2, 15, 16, 17, 500}).Draw(t, name+" step")
		first := rapid.Uint64Range(0, 40).Draw(t, name+" first")
		for n := base + first; n < base+blockNumbers && n <= numberMax; n += step {
			m[n] = true
		}
	}
	return m
}

// probes are numbers of a set, their neighbours, and numbers far from any.
func (m model) probes() []uint64 {
	out := []uint64{0, 1, 4095, 4096, 1 << 21, 12_125_550_142, 1e14, numberMax}
	for _, n := range m.sorted() {
		out = append(out, n, n+1, n-min(n, 1), n+4096)
	}
	return out
}

func (m model) check(t *rapid.T, s *Set) {
	want := m.sorted()
	if got := slices.Collect(s.All()); !slices.Equal(got, want) {
		t.Fatalf("%d numbers, want %d, or others", len(got), len(want))
	}
	if s.Len() != uint64(len(want)) {
		t.Fatalf("Len %d, want %d", s.Len(), len(want))
	}
	probes := m.probes()
	on := make([]bool, len(probes))
	s.ContainsMany(probes, on)
	for i, n := range probes {
		if s.Contains(n) != m[n] || on[i] != m[n] {
			t.Fatalf("probe %d: Contains %v, many %v, want %v", i, s.Contains(n), on[i], m[n])
		}
	}
	for _, p := range s.eachPage {
		for _, b := range p.blocks {
			if len(b) == 0 || len(b) > bitmapWords || len(b) == bitmapWords && b.count() <= arrayMax {
				t.Fatal("a block is not in its smallest form")
			}
		}
	}
}

// TestSetEqualsAMap: whatever is done with whole sets, a map of numbers agrees.
func TestSetEqualsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawModel(t, "a"), drawModel(t, "b")
		sa, sb := a.set(), b.set()
		a.check(t, sa)
		b.check(t, sb)

		union, without, only := model{}, model{}, model{}
		for n := range a {
			union[n], without[n] = true, !b[n]
		}
		for n := range b {
			union[n], only[n] = true, !a[n]
		}
		union.check(t, sa.edit(sb, nil))
		without.check(t, sa.edit(nil, sb))
		added, removed := compare(sa, sb, nil)
		only.check(t, added)
		without.check(t, removed)
		b.check(t, sa.edit(added, removed))
		a.check(t, sa) // what was shared was not changed

		only.check(t, minus(sb, sa, nil))
		without.check(t, minus(sa, sb, nil))
		if got, want := disjoint(sa, sb), len(union) == len(a)+len(b); got != want {
			t.Fatalf("disjoint %v, want %v", got, want)
		}
		if got, want := contains(sa, sb), len(only.sorted()) == 0; got != want {
			t.Fatalf("contains %v, want %v", got, want)
		}
		m := &mask{}
		m[rapid.SampledFrom([]int{212, 213}).Draw(t, "code")] = true
		covered := model{}
		for n, in := range only {
			covered[n] = in && m.covers(n)
		}
		added, _ = compare(sa, sb, m)
		covered.check(t, added)
	})
}

// TestChangesShare: a change of a few numbers copies a few blocks.
func TestChangesShare(t *testing.T) {
	m := model{}
	for n := uint64(12_125_550_000) &^ 4095; len(m) < 400_000; n += 3 {
		m[n] = true
	}
	s := m.set()
	next := s.edit(setOf([]uint64{12_125_550_001}), nil)
	shared, copied := 0, 0
	for no, p := range next.eachPage {
		for i, b := range p.each {
			if old := s.block(no<<pageBits | i); len(old) > 0 && &old[0] == &b[0] {
				shared++
			} else {
				copied++
			}
		}
	}
	if copied != 1 || shared < 200 {
		t.Errorf("%d blocks copied, %d shared", copied, shared)
	}
}

func TestContainsAllocatesNothing(t *testing.T) {
	s := model{12_125_550_101: true}.set()
	numbers, on := make([]uint64, 1000), make([]bool, 1000)
	if n := testing.AllocsPerRun(100, func() { s.Contains(12_125_550_101); s.ContainsMany(numbers, on) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestRunsFarApart: numbers of many countries, with huge gaps, take little room.
func TestRunsFarApart(t *testing.T) {
	m := model{}
	for i := range uint64(2000) {
		m[i*499_999_999_999+7] = true
	}
	s := m.set()
	if len(s.runs) != 2000 || s.Bytes() > 2000*300 {
		t.Errorf("%d runs, %d bytes", len(s.runs), s.Bytes())
	}
	for n := range m {
		if !s.Contains(n) || s.Contains(n+1) {
			t.Fatal("a number is not where it was, or its neighbour is")
		}
	}
}
