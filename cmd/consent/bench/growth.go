package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/consent-ledger/consent-ledger/node"
)

func benchGrowthCommand() *cobra.Command {
	var f benchFlags
	var sizes []int
	var rows, persons int
	var data, plot string
	c := &cobra.Command{
		Use:   "growth",
		Short: "Checks and scrubs as the national list grows",
		Long: `For each size of the national list, measure single checks in process and a scrub from
file to file, and draw both against the size. The points go to a CSV file and the drawing
is made from that file alone; --draw only draws.`,
		Example: "  consent bench growth --sizes 1000000,10000000\n  consent bench growth --draw --data test/bench/growth.csv --plot test/bench/growth.svg",
		Args:    cobra.NoArgs,
	}
	draw := c.Flags().Bool("draw", false, "measure nothing; draw what --data holds")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if !*draw {
			points, err := measureGrowth(c, f, sizes, rows, persons)
			if err != nil {
				return err
			}
			if err := os.WriteFile(data, growthCSV(points), 0o644); err != nil {
				return err
			}
		}
		raw, err := os.ReadFile(data)
		if err != nil {
			return err
		}
		points, err := parseGrowth(raw)
		if err != nil {
			return fmt.Errorf("%s: %w", data, err)
		}
		return os.WriteFile(plot, growthSVG(points), 0o644)
	}
	f.add(c)
	c.Flags().IntSliceVar(&sizes, "sizes", []int{1_000_000, 10_000_000, 100_000_000, nationalNumbers}, "numbers on the list, one ledger for each")
	c.Flags().IntVar(&rows, "rows", 3_000_000, "rows of the calling list")
	c.Flags().IntVar(&persons, "persons", 1_000_000, "persons with state")
	c.Flags().StringVar(&data, "data", "growth.csv", "file for the points")
	c.Flags().StringVar(&plot, "plot", "growth.svg", "file for the drawing")
	return c
}

// growthPoint is what was measured with a list of one size: medians of the rounds.
type growthPoint struct {
	Numbers int64 // on the list
	// CheckP99 of one caller in process, and what a check costs the processor, in microseconds.
	CheckP99, CheckCost float64
	// ScrubRate is in million rows a second, ScrubCost the processor's microseconds a row.
	ScrubRate, ScrubCost float64
	ResidentMB           int
}

func measureGrowth(c *cobra.Command, f benchFlags, sizes []int, rows, persons int) (points []growthPoint, err error) {
	dir, remove, err := f.temp()
	if err != nil {
		return nil, err
	}
	defer remove()
	for _, size := range sizes {
		one := filepath.Join(dir, fmt.Sprint(size))
		if err := os.Mkdir(one, 0o700); err != nil {
			return nil, err
		}
		b := newScrubBench(c, f, one, rows, persons, size)
		p, err := b.growthPoint(c.Context())
		if err != nil {
			return nil, err
		}
		b.say("%d numbers: check p99 %.0f us, %.1f us of processor; scrub %.2f M rows/s, %.2f us of processor a row; resident %d MB",
			p.Numbers, p.CheckP99, p.CheckCost, p.ScrubRate, p.ScrubCost, p.ResidentMB)
		if points = append(points, p); os.RemoveAll(one) != nil {
			return nil, fmt.Errorf("%s cannot be removed", one)
		}
	}
	return points, nil
}

// growthPoint measures one size.
func (b *scrubBench) growthPoint(ctx context.Context) (p growthPoint, err error) {
	if err := b.prepare(ctx); err != nil {
		return p, err
	}
	err = b.open(ctx, func(ctx context.Context, n *node.Node) error {
		m, err := b.checks(ctx, n)
		if err != nil {
			return err
		}
		ours := b.ours(ctx, n)
		for range b.flags.rounds {
			if err := ours.timed(); err != nil {
				return err
			}
		}
		p = growthPoint{Numbers: b.numbers, CheckP99: micros(m.P99), CheckCost: micros(m.Cost), ScrubRate: float64(b.rows) / 1e6 / middle(ours.took),
			ScrubCost: middle(ours.cost) * 1e6 / float64(b.rows), ResidentMB: int(residentBytes() / 1e6)}
		return nil
	})
	return p, err
}

// checks asks about persons and strangers, half each, after a warm-up as long.
func (b *scrubBench) checks(ctx context.Context, n *node.Node) (measured, error) {
	c := &checkBench{persons: b.made}
	ask, at := c.asker(), openHours(time.Now())
	check := func(_, _ int) error {
		_, err := n.Decider().Check(ctx, ask(rand.IntN(2*b.persons), at))
		return err
	}
	if _, err := load(1, b.flags.length(), check); err != nil {
		return measured{}, err
	}
	return rounds(b.flags, func(int) (measured, error) { return load(1, b.flags.length(), check) })
}
