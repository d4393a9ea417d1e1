package keeper

import (
	"context"
	"flag"
	"fmt"
	"iter"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
)

// benchNumbers is how many numbers the benchmarks begin with: 10 million is what
// test/bench/RESULTS.md reports, with -benchtime 1x.
var benchNumbers = flag.Int("directory.numbers", 100_000, "numbers in the directory")

// many is a ledger of one entry for each number, and then of what is sent.
type many struct {
	keys *seal.Keyring
	n    int
	sent chan []*ledger.Entry
	next ledger.Position
}

const benchCommit = 1000

func (m *many) commit(about func(i int) int, n int) []*ledger.Entry {
	out := make([]*ledger.Entry, n)
	for i := range out {
		x, err := m.keys.Exchange(phone(about(i)))
		if err != nil {
			panic(err)
		}
		out[i] = &ledger.Entry{Position: m.next, RecordedAt: time.Unix(int64(m.next), 0), Exchange: x, Leaf: ledger.LeafHash([]byte{byte(m.next)})}
		m.next++
	}
	return out
}

// Entries implements Source, from the beginning.
func (m *many) Entries(ctx context.Context, _ ledger.Position) iter.Seq2[[]*ledger.Entry, error] {
	return func(yield func([]*ledger.Entry, error) bool) {
		for at := 0; at < m.n; at += benchCommit {
			if !yield(m.commit(func(i int) int { return at + i }, min(benchCommit, m.n-at)), nil) {
				return
			}
		}
		for {
			select {
			case c := <-m.sent:
				if !yield(c, nil) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

// BenchmarkDirectory folds all numbers into an empty folder (a rebuild from the
// ledger), hashes all buckets (the first commit), and then commits after some have
// changed: its comparison is that of hashing everything again each time.
func BenchmarkDirectory(b *testing.B) {
	keys, err := seal.Create(filepath.Join(b.TempDir(), "keys"))
	if err != nil {
		b.Fatal(err)
	}
	m := &many{keys: keys, n: *benchNumbers, sent: make(chan []*ledger.Entry), next: 1}
	k, err := Open(Config{Dir: tempDir(b), Source: m, Keys: keys, Acked: func() ledger.Position { return 0 }})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- k.Run(ctx) }()
	defer func() {
		stop()
		<-ended
		if err := k.Close(); err != nil {
			b.Error(err)
		}
	}()
	take := func(b *testing.B, at ledger.Position) (v *view) {
		v, err := k.view(ctx, at)
		if err != nil {
			b.Fatal(err)
		}
		return v
	}
	applied := func(at ledger.Position) {
		for k.Status().Applied < at {
			<-time.After(time.Millisecond)
		}
	}
	before := cpu(b)
	applied(ledger.Position(m.n))
	fold := cpu(b) - before
	before = cpu(b)
	v := take(b, 0)
	all := cpu(b) - before
	b.Run("rebuild", func(b *testing.B) {
		for b.Loop() {
			continue // measured above: it cannot be had twice
		}
		b.ReportMetric(float64(fold.Nanoseconds())/float64(m.n), "cpu-ns/entry")
		b.ReportMetric(float64(all.Microseconds())/1000, "hash-all-cpu-ms")
		b.ReportMetric(0, "ns/op")
	})
	b.Run("prove", func(b *testing.B) {
		c := &Committed{Statement: v.statement, keys: keys, nodes: v.nodes, snap: v.snap}
		i := 0
		for b.Loop() {
			i += 7919
			if _, _, err := c.Prove(phone(i % (2 * m.n))); err != nil {
				b.Fatal(err)
			}
		}
	})
	if err := v.snap.Close(); err != nil {
		b.Fatal(err)
	}
	for _, touched := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("commit/touched=%d", touched), func(b *testing.B) {
			var spent time.Duration
			for b.Loop() {
				for at := 0; at < touched; at += benchCommit {
					m.sent <- m.commit(func(i int) int { return (at + i) * 104729 % m.n }, min(benchCommit, touched-at))
				}
				at := m.next - 1
				applied(at)
				before := cpu(b)
				v := take(b, at)
				spent += cpu(b) - before
				if err := v.snap.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(spent.Microseconds())/1000/float64(b.N), "cpu-ms/commit")
			b.ReportMetric(float64(all)*float64(b.N)/float64(spent), "x-hash-all")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// cpu is the processor time of the process: the machine's other work does not count.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
