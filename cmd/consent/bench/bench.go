// Package bench measures a machine: it is `consent bench`. Each verb makes a ledger of
// its own in a temporary folder, does one of the works of DESIGN.md 13 on it, and
// where it can does the same work in another way beside it, in the same run.
//
// bench.go has what all share; ledger.go a ledger without projections, made.go state
// of many persons, synthetic.go a ledger with many entries, lists.go registries'
// files, rivals.go the other ways, plot.go drawings. The rest is one file a verb.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/consent-ledger/consent-ledger/node"
)

// benchFlags are common to all benchmarks. Every one makes its own ledger in a
// temporary folder and removes it.
type benchFlags struct {
	dir     string
	seconds float64
	rounds  int
}

// benchVersion is the version that the benchmarks' ledgers name.
const benchVersion = "bench"

// UsageError says that the command line makes no sense.
type UsageError string

func (e UsageError) Error() string { return string(e) }

func usage(format string, args ...any) error { return UsageError(fmt.Sprintf(format, args...)) }

// Command is `consent bench` with its verbs.
func Command() *cobra.Command {
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure this machine",
		Long: `Measure this machine. Each benchmark makes ledgers of its own in a temporary
folder and removes them; nothing touches an existing one. Machines are noisy:
trust ratios within one run, not absolute figures, and not across runs.`,
	}
	c.AddCommand(benchAppendCommand(), benchCheckCommand(), benchCheckClientCommand(), benchScrubCommand(), benchRebuildCommand(), benchImportCommand(),
		benchRegistryCommand(), benchTreeCommand(), benchGrowthCommand())
	new(profiles).addTo(c)
	return c
}

func (f *benchFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.dir, "tmp", "", "folder for temporary ledgers; default the system's")
	c.Flags().Float64Var(&f.seconds, "seconds", 3, "length of one measurement")
	c.Flags().IntVar(&f.rounds, "rounds", 3, "measurements of each side, in turn; the median is reported")
}

func (f *benchFlags) length() time.Duration { return time.Duration(f.seconds * float64(time.Second)) }

// temp makes a temporary folder and gives its removal.
func (f *benchFlags) temp() (string, func(), error) {
	dir, err := os.MkdirTemp(f.dir, "consent-bench-")
	if err != nil {
		return "", nil, err
	}
	return dir, func() { os.RemoveAll(dir) }, nil
}

func benchConfig(dir string) node.Config {
	return node.Config{Dir: dir + "/ledger", Listen: "127.0.0.1:0", NATSListen: node.NATSListenNone, Version: benchVersion}
}

// withNode runs do on a fresh node and closes it.
func withNode(ctx context.Context, dir string, do func(ctx context.Context, n *node.Node) error) error {
	node.RoomForGarbage()
	cfg := benchConfig(dir)
	if _, err := node.Init(ctx, cfg); err != nil {
		return err
	}
	return openNode(ctx, cfg, do)
}

// openNode runs do on a node that is there and closes it.
func openNode(ctx context.Context, cfg node.Config, do func(ctx context.Context, n *node.Node) error) error {
	n, err := node.Open(ctx, cfg)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx); cancel() }() // its end ends whatever waits for it
	err = do(ctx, n)
	cancel()
	return errors.Join(<-ended, err, n.Close())
}

// load calls do from many goroutines for a while and gives the rate and the
// quantiles of its latency.
func load(callers int, length time.Duration, do func(caller, i int) error) (measured, error) {
	var wg sync.WaitGroup
	var failed atomic.Pointer[error]
	took := make([][]time.Duration, callers)
	begin, used := time.Now(), processorTime()
	for c := range callers {
		wg.Go(func() {
			for i := 0; time.Since(begin) < length && failed.Load() == nil; i++ {
				start := time.Now()
				if err := do(c, i); err != nil {
					failed.CompareAndSwap(nil, &err)
					return
				}
				took[c] = append(took[c], time.Since(start))
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(begin)
	if err := failed.Load(); err != nil {
		return measured{}, *err
	}
	m := measure(slices.Concat(took...), elapsed)
	m.Cost = (processorTime() - used) / time.Duration(max(1, len(slices.Concat(took...))))
	return m, nil
}

// measured is one measurement.
type measured struct {
	Rate float64 // per second
	P50  time.Duration
	P99  time.Duration
	Cost time.Duration // of the processor, each
}

func measure(took []time.Duration, elapsed time.Duration) measured {
	if len(took) == 0 {
		return measured{}
	}
	slices.Sort(took)
	return measured{Rate: float64(len(took)) / elapsed.Seconds(), P50: took[len(took)/2], P99: took[len(took)*99/100]}
}

// median of several measurements, by rate.
func median(ms []measured) measured {
	slices.SortFunc(ms, func(a, b measured) int {
		switch {
		case a.Rate < b.Rate:
			return -1
		case a.Rate > b.Rate:
			return 1
		}
		return 0
	})
	return ms[len(ms)/2]
}

func report(w io.Writer, name string, m measured) {
	fmt.Fprintf(w, "%-44s %12.0f/s   p50 %9s   p99 %9s", name, m.Rate, m.P50.Round(time.Microsecond), m.P99.Round(time.Microsecond))
	if m.Cost > 0 {
		fmt.Fprintf(w, "   processor %6.1f us", float64(m.Cost.Nanoseconds())/1e3)
	}
	fmt.Fprintln(w)
}
