package index

import (
	"testing"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// BenchmarkStageAndApply: commits of 1,000 entries, each of a new person.
func BenchmarkStageAndApply(b *testing.B) { benchmarkCommits(b, 1000, false) }

// BenchmarkStageAndApplyKnown: each of a person who is known.
func BenchmarkStageAndApplyKnown(b *testing.B) { benchmarkCommits(b, 1000, true) }

// BenchmarkStageAndApplyOne: commits of one entry.
func BenchmarkStageAndApplyOne(b *testing.B) { benchmarkCommits(b, 1, false) }

func benchmarkCommits(b *testing.B, size int, known bool) {
	ix, h := openTemp(b), newHistory(1)
	number := 0
	make1 := func() []*ledger.Entry {
		entries := make([]*ledger.Entry, size)
		for i := range entries {
			if number++; known {
				number %= 20000
			}
			entries[i] = h.entry(token(number+1), stopFact())
		}
		return entries
	}
	seq := uint64(0)
	if known {
		for range 20 {
			seq++
			must(b, ix.ApplyCommit(seq, make1()))
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		entries := make1()
		b.StartTimer()
		seq++
		must(b, ix.Stage(entries, nil, nil))
		must(b, ix.ApplyCommit(seq, entries))
	}
	b.ReportMetric(float64(size)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}
