package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/projections"
	"github.com/consent-ledger/consent-ledger/projections/attempts"
	"github.com/consent-ledger/consent-ledger/projections/listing"
	"github.com/consent-ledger/consent-ledger/projections/parties"
	"github.com/consent-ledger/consent-ledger/projections/publication"
	"github.com/consent-ledger/consent-ledger/projections/registry"
	"github.com/consent-ledger/consent-ledger/projections/runner"
	"github.com/consent-ledger/consent-ledger/projections/suppression"
	"github.com/consent-ledger/consent-ledger/projections/timeline"
)

func benchRebuildCommand() *cobra.Command {
	var f benchFlags
	var persons, entries, sealed int
	c := &cobra.Command{
		Use:   "rebuild",
		Short: "Fold all projections anew, in bulk and one entry after another",
		Long: `Make a ledger of so many persons in an embedded JetStream: a grant each, and then
revocations, more grants and a few erasures at random. Then fold all projections
from it into an empty database, in turn one entry after another, as a server does
that keeps up, and in bulk, as it does after its projections were deleted, and
compare the state hashes. The ledger is written without the writer and without
fsync, because 20 million persons would take an hour: what a fold reads is real,
what it never opens are random bytes of the same size.`,
		Example: "  consent bench rebuild --persons 1000000\n  consent bench rebuild --persons 20000000 --rounds 1 --tmp /var/tmp",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if entries == 0 {
				entries = persons + persons/10
			}
			return benchRebuild(c, f, persons, entries, sealed)
		},
	}
	f.add(c)
	c.Flags().IntVar(&persons, "persons", 300_000, "persons in the ledger")
	c.Flags().IntVar(&entries, "entries", 0, "entries in the ledger, at least one a person; default a tenth more than persons")
	c.Flags().IntVar(&sealed, "sealed", 2, "sealed parts an entry keeps, number and event id; fewer save disk where 20 million persons are too many for it")
	return c
}

func benchRebuild(c *cobra.Command, f benchFlags, persons, entries, sealed int) error {
	dir, remove, err := f.temp()
	if err != nil {
		return err
	}
	defer remove()
	return withSyntheticLedger(c.Context(), dir, persons, entries, sealed, c.ErrOrStderr(), func(ctx context.Context, l *syntheticLedger) error {
		b := &rebuildBench{l: l, folder: filepath.Join(dir, "projections"), out: c.OutOrStdout()}
		fmt.Fprintf(b.out, "%d persons, %d entries of %d bytes in commits of %.0f, made in %.1f s\n", persons, l.tail, l.bytes/int64(l.tail), l.entriesPerCommit(), l.took.Seconds())
		for range f.rounds {
			if err := errors.Join(b.fold(ctx, false), b.fold(ctx, true)); err != nil {
				return err
			}
		}
		one, bulk := median(b.oneByOne), median(b.inBulk)
		fmt.Fprintf(b.out, "rebuild of %d persons from %d entries: %.0f entries/s, %.1f us of processor an entry; one after another %.0f, %.1f us: %.2f x (bar: 150,000/s on 2 cores; here %d); state hashes equal\n",
			persons, l.tail, bulk.Rate, micros(bulk.Cost), one.Rate, micros(one.Cost), bulk.Rate/one.Rate, runtime.GOMAXPROCS(0))
		return nil
	})
}

// rebuildBench folds one ledger again and again.
type rebuildBench struct {
	l                *syntheticLedger
	folder           string
	out              io.Writer
	oneByOne, inBulk []measured
	want             map[string]ledger.Hash
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

// everyProjection is what a server folds from the ledger.
func everyProjection() []projections.Projection {
	return []projections.Projection{suppression.Projection{}, timeline.Projection{}, parties.Projection{}, listing.New(), registry.New(nil), publication.New(), attempts.Anchors{}}
}

// fold folds the ledger into an empty database; in bulk, it does so again over what
// is there then, as consent rebuild does.
func (b *rebuildBench) fold(ctx context.Context, inBulk bool) (err error) {
	defer func() { err = errors.Join(err, os.RemoveAll(b.folder)) }()
	db, err := store.Open(b.folder, store.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	name, o, into := "one after another", runner.Options{Through: func() ledger.Position { return b.l.tail }}, &b.oneByOne
	if inBulk {
		name, into = "in bulk", &b.inBulk
	} else {
		o.BulkEntriesMin = math.MaxInt
	}
	r, err := runner.Open(db, b.l, everyProjection(), o)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	run := func() error {
		go pprof.Do(ctx, pprof.Labels("fold", name), func(ctx context.Context) { ended <- r.Run(ctx) })
		return r.WaitApplied(ctx, b.l.tail)
	}
	m, err := b.measure(ctx, name, r, run)
	if *into = append(*into, m); err == nil && inBulk {
		_, err = b.measure(ctx, "in bulk, again", r, func() error { return r.Rebuild(ctx, nil) })
	}
	cancel()
	if e := <-ended; !errors.Is(e, context.Canceled) {
		err = errors.Join(err, e)
	}
	return err
}

// measure times what folds the ledger, and looks whether the state is as ever.
func (b *rebuildBench) measure(ctx context.Context, name string, r *runner.Runner, do func() error) (m measured, err error) {
	debug.FreeOSMemory()
	resetPeak()
	disk := watchFolder(b.folder)
	began, used := time.Now(), processorTime()
	err = do()
	took, most := time.Since(began), disk()
	if err != nil {
		return m, err
	}
	m = measured{Rate: float64(b.l.tail) / took.Seconds(), Cost: (processorTime() - used) / time.Duration(b.l.tail)}
	fmt.Fprintf(b.out, "  %-20s %8.2f s %10.0f entries/s %6.1f us of processor an entry (%.2f cores), at most %d MB resident and %d MB on disk\n",
		name, took.Seconds(), m.Rate, micros(m.Cost), m.Cost.Seconds()*m.Rate, peakBytes()>>20, most>>20)
	hashes, err := r.StateHash(ctx)
	if err == nil && b.want != nil && !maps.Equal(b.want, hashes) {
		err = fmt.Errorf("folded %s, the state is another: %v, not %v", name, hashes, b.want)
	}
	b.want = hashes
	return m, err
}

// watchFolder looks now and then how much is in a folder, and gives the most it saw.
func watchFolder(dir string) (end func() uint64) {
	stop, most := make(chan struct{}), make(chan uint64)
	go func() {
		var seen uint64
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				seen = max(seen, folderBytes(dir))
			case <-stop:
				most <- max(seen, folderBytes(dir))
				return
			}
		}
	}()
	return func() uint64 { close(stop); return <-most }
}

// resetPeak makes peakBytes count from now, where the kernel can.
func resetPeak() { _ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) }

// peakBytes is the most of this process that was in memory; 0 where nobody says.
func peakBytes() uint64 {
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(raw), "VmHWM:")
	kb, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	n, _ := strconv.ParseUint(kb, 10, 64)
	return n << 10
}
