package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	"github.com/consent-ledger/consent-ledger/consumers/lists"
	"github.com/consent-ledger/consent-ledger/consumers/scrub"
	"github.com/consent-ledger/consent-ledger/node"
	"github.com/consent-ledger/consent-ledger/projections/rules/places"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Shares of the rows of a calling list, as DESIGN 13 has them.
const (
	knownShare  = 0.1
	listedShare = 0.3
)

func benchScrubCommand() *cobra.Command {
	var f benchFlags
	var rows, persons, numbers int
	var against []string
	c := &cobra.Command{
		Use:   "scrub",
		Short: "Scrub a calling list, beside what else one could do",
		Long: `Scrub a calling list as consent scrub does, from file to file through the API, with
all rules: one row in ten is a known person, three in ten are on the national list. The persons'
state is written straight into the projections. In
the same rounds the list is read and written by the same code without asking anybody,
which is the limit, and with --against also

  redis     SMISMEMBER, 1,000 numbers a command, pipelined over a Unix socket
  postgres  COPY the numbers in, anti-join with an index, COPY the answers out
  sort      sort the numbers, join with the sorted list

These three only tell whether a number is listed. They start on sockets of their own
in the temporary folder and are stopped again. On Debian:
apt-get install redis-server postgresql.`,
		Example: "  consent bench scrub --rows 1000000\n  consent bench scrub --rows 10000000 --persons 1000000 --numbers 10000000 --against redis,sort",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			dir, remove, err := f.temp()
			if err != nil {
				return err
			}
			defer remove()
			return newScrubBench(c, f, dir, rows, persons, numbers).run(c.Context(), against)
		},
	}
	f.add(c)
	c.Flags().IntVar(&rows, "rows", 1_000_000, "rows of the calling list")
	c.Flags().IntVar(&persons, "persons", 100_000, "persons with state")
	c.Flags().IntVar(&numbers, "numbers", 1_000_000, "numbers on the list; the national one has 258,500,000")
	c.Flags().StringSliceVar(&against, "against", nil, "redis, postgres, sort: each in the same rounds")
	return c
}

// scrubBench is a registryBench with persons and a calling list.
type scrubBench struct {
	registryBench
	rows, persons int
	random        *rand.Rand
	codes         []int    // area codes of a place; nobody calls a toll-free number to sell
	listed        []uint64 // some of the list, in any order
	made          *madePersons
	strangers     float64 // share of the strangers that are listed
}

func newScrubBench(c *cobra.Command, f benchFlags, dir string, rows, persons, numbers int) *scrubBench {
	return &scrubBench{registryBench: registryBench{out: c.OutOrStdout(), stderr: c.ErrOrStderr(), dir: dir, flags: f, maker: newListMaker(numbers),
		day: time.Now().UTC().AddDate(0, 0, -1)}, rows: rows, persons: persons, random: rand.New(rand.NewPCG(11, 12))}
}

// route is a way to scrub the list; its work is timed.
type route struct {
	name   string
	run    func() error
	server int       // process that works for it; 0: none
	took   []float64 // seconds
	cost   []float64 // of the processor: this process, what it ran, and the server
}

func (b *scrubBench) calls() string { return filepath.Join(b.dir, "calls.csv") }

func (b *scrubBench) run(ctx context.Context, against []string) error {
	if err := b.prepare(ctx); err != nil {
		return err
	}
	return b.open(ctx, func(ctx context.Context, n *node.Node) error {
		set := n.Lists().Numbers("us_national_dnc")
		routes := []*route{b.ours(ctx, n), b.limit()}
		for _, name := range against {
			r, stop, err := b.rival(ctx, name, set.All())
			if err != nil {
				return err
			}
			defer stop()
			routes = append(routes, r)
		}
		return b.compare(routes)
	})
}

// prepare makes the ledger, its list and persons, and the calling list.
func (b *scrubBench) prepare(ctx context.Context) error {
	folder := filepath.Join(b.dir, "files")
	if err := os.Mkdir(folder, 0o700); err != nil {
		return err
	}
	files, n, _, err := b.maker.write(folder, b.day)
	if err != nil {
		return err
	}
	b.numbers = n
	err = withNode(ctx, b.dir, func(ctx context.Context, n *node.Node) error {
		if err := registerSeller(ctx, n.Recorder(), "acme"); err != nil {
			return err
		}
		if _, err := b.send(ctx, n, &lists.List{Paths: files}); err != nil {
			return err
		}
		set := n.Lists().Numbers("us_national_dnc")
		b.draw(set.Contains)
		return errors.Join(b.writeCalls(set.Contains), n.ListsKept(ctx), n.WaitApplied(ctx))
	})
	if err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(folder), b.made.write(ctx, filepath.Join(b.dir, "ledger"), b.stderr))
}

// open is another day: the server is started again, and its databases have settled.
func (b *scrubBench) open(ctx context.Context, do func(context.Context, *node.Node) error) error {
	debug.FreeOSMemory()
	return openNode(ctx, benchConfig(b.dir), func(ctx context.Context, n *node.Node) error {
		n.Decider().AwaitPacks(ctx)
		if err := errors.Join(b.listsHere(ctx, n), until(ctx, func() bool { return n.StateResident() })); err != nil {
			return err
		}
		return do(ctx, n)
	})
}

// listsHere waits until the list is in memory.
func (b *scrubBench) listsHere(ctx context.Context, n *node.Node) error {
	for n.Lists().Numbers("us_national_dnc") == nil {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// compare runs all routes in turn and reports the medians.
func (b *scrubBench) compare(routes []*route) error {
	for range b.flags.rounds {
		for _, r := range routes {
			if err := r.timed(); err != nil {
				return err
			}
		}
	}
	ours, work := middle(routes[0].took), middle(routes[0].cost)
	for i, r := range routes {
		took, cost := middle(r.took), middle(r.cost)
		b.say("%-34s %7.2f s %6.2f M rows/s   %5.2f us of processor a row   %s", r.name, took, float64(b.rows)/1e6/took, 1e6*cost/float64(b.rows), []string{
			"(bar: 1.5 M rows/s on 2 cores)",
			fmt.Sprintf("the scrub takes %.1f x as long (bar: 4), %.1f x the processor", ours/took, work/cost),
			fmt.Sprintf("the scrub is %.1f x as fast, %.1f x by processor", took/ours, cost/work)}[min(i, 2)])
	}
	b.say("resident %d MB", residentBytes()/1e6)
	return nil
}

// timed runs a route once.
func (r *route) timed() error {
	began, used := time.Now(), r.used()
	if err := r.run(); err != nil {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	r.took, r.cost = append(r.took, time.Since(began).Seconds()), append(r.cost, (r.used()-used).Seconds())
	return nil
}

// used is the processor time so far of all that work for a route.
func (r *route) used() time.Duration {
	var children syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_CHILDREN, &children) // zero if it cannot be had
	return processorTime() + time.Duration(children.Utime.Nano()+children.Stime.Nano()) + familyTime(r.server)
}

// familyTime is the processor time of a process and its children; 0 if it cannot be had.
func familyTime(pid int) time.Duration {
	if pid == 0 {
		return 0
	}
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux that Go knows
	var sum time.Duration
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		raw, err := os.ReadFile(path)
		_, fields, ok := strings.Cut(string(raw), ") ") // the name before may hold blanks
		f := strings.Fields(fields)
		if err != nil || !ok || len(f) < 15 || path != fmt.Sprintf("/proc/%d/stat", pid) && f[1] != strconv.Itoa(pid) {
			continue
		}
		for _, ticks := range f[11:15] { // utime, stime, and those of children that have ended
			n, _ := strconv.Atoi(ticks)
			sum += time.Duration(n) * tick
		}
	}
	return sum
}

func middle(of []float64) float64 {
	of = slices.Clone(of)
	slices.Sort(of)
	return of[len(of)/2]
}

// ours scrubs as consent scrub does, for an instant at which calls are made.
func (b *scrubBench) ours(ctx context.Context, n *node.Node) *route {
	q := &consentv1.Question{Seller: "acme", Channel: consentv1.Channel_CHANNEL_SMS, Purpose: consentv1.Purpose_PURPOSE_MARKETING,
		At: timestamppb.New(afternoon(time.Now()))}
	rounds := 0
	return &route{name: "consent scrub, whole decision", run: func() error {
		cl, err := client.New(n.URL(), n.AdminKey(), client.Options{})
		if err != nil {
			return err
		}
		defer cl.Close()
		out := filepath.Join(b.dir, "scrubbed.csv")
		sum, err := scrub.Files(ctx, cl.Decisions, b.calls(), out, scrub.Options{Question: q})
		if err != nil {
			return err
		}
		if rounds++; rounds == 1 {
			b.say("%d rows: %d ALLOW, %d BLOCK, %d cannot be read", sum.Rows, sum.Allow, sum.Block, sum.Invalid)
			for _, code := range sum.ByRows() {
				b.say("  %-22s %d", code, sum.Reasons[code].Rows)
			}
		}
		if sum.Rows != b.rows {
			return fmt.Errorf("%d rows came back", sum.Rows)
		}
		return nil
	}}
}

// afternoon is a weekday's, when it is day in all of the country.
func afternoon(now time.Time) time.Time {
	t := time.Date(now.Year(), now.Month(), now.Day(), 19, 0, 0, 0, time.UTC).AddDate(0, 0, 1)
	for t.Weekday() == time.Saturday || t.Weekday() == time.Sunday {
		t = t.AddDate(0, 0, 1)
	}
	return t
}

// cellsOf is what a scrub adds to most rows.
const cellsOf = "BLOCK,REGISTRY_LISTED;CONSENT_MISSING,,,1000000,us_national_dnc 2026-01-01 listed,us 1;us-xx 1;us-carriers 1"

func (b *scrubBench) limit() *route {
	return &route{name: "reading and writing alone", run: func() error {
		return b.pass("copied.csv", cellsOf, nil)
	}}
}

// pass reads the calling list and writes it into a file.
func (b *scrubBench) pass(name, cells string, visit func([]string) ([][]byte, error)) (err error) {
	in, err := os.Open(b.calls())
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(filepath.Join(b.dir, name))
	if err != nil {
		return err
	}
	n, err := scrub.Limit(in, out, cells, visit)
	if err == nil && n != b.rows {
		err = fmt.Errorf("%d rows", n)
	}
	return errors.Join(err, out.Sync(), out.Close())
}

// draw picks numbers that are listed, and the persons; then of how many strangers must be listed so
// that of all rows as many are as should be.
func (b *scrubBench) draw(listed func(uint64) bool) {
	keep := min(1, 2*float64(b.rows)*listedShare/float64(b.numbers))
	for _, code := range b.maker.codes {
		if len(places.OfNumber(fmt.Sprintf("+1%d5550100", code)).Regions) == 1 {
			b.codes = append(b.codes, code)
		}
	}
	b.made = newMadePersons(b.persons)
	b.made.codes = b.codes
	for place, code := range b.codes {
		b.maker.each(code, func(n int) {
			if b.random.Float64() < keep && !b.made.owns(place, n) {
				b.listed = append(b.listed, 1e10+uint64(n))
			}
		})
	}
	b.random.Shuffle(len(b.listed), func(i, j int) { b.listed[i], b.listed[j] = b.listed[j], b.listed[i] })
	sample, on := min(b.persons, 100_000), 0
	for i := range sample {
		if listed(b.person(i)) {
			on++
		}
	}
	b.strangers = (listedShare - knownShare*float64(on)/float64(sample)) / (1 - knownShare)
}

// person is the number of one.
func (b *scrubBench) person(i int) uint64 {
	n, _ := strconv.ParseUint(b.made.number(i)[1:], 10, 64)
	return n
}

// number is a stranger's, listed or not.
func (b *scrubBench) number(listed func(uint64) bool) uint64 {
	if b.random.Float64() < b.strangers {
		return b.listed[b.random.IntN(len(b.listed))]
	}
	for {
		place := b.random.IntN(len(b.codes))
		n := b.codes[place]*1e7 + 2_000_000 + b.random.IntN(8_000_000)
		if !listed(uint64(1e10+n)) && !b.made.owns(place, n) {
			return uint64(1e10 + n)
		}
	}
}

// writeCalls makes the calling list, with numbers as people write them.
func (b *scrubBench) writeCalls(listed func(uint64) bool) error {
	f, err := os.Create(b.calls())
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 128<<10)
	_, _ = w.WriteString("id,name,phone,note\n") // Flush repeats the error
	for i := range b.rows {
		if b.random.Float64() < knownShare {
			b.writeCall(w, i, b.person(b.random.IntN(b.persons)))
		} else {
			b.writeCall(w, i, b.number(listed))
		}
	}
	return errors.Join(w.Flush(), f.Close())
}

func (b *scrubBench) writeCall(w io.Writer, i int, n uint64) {
	area, exchange, line := n/1e7%1000, n/1e4%1000, n%1e4
	switch i % 8 {
	case 0:
		fmt.Fprintf(w, "%d,\"Doe, Ann\",+1%d%d%04d,warm\n", i, area, exchange, line)
	case 1, 2:
		fmt.Fprintf(w, "%d,Ann Doe,(%d) %d-%04d,warm\n", i, area, exchange, line)
	case 3, 4:
		fmt.Fprintf(w, "%d,Ann Doe,%d-%d-%04d,warm\n", i, area, exchange, line)
	default:
		fmt.Fprintf(w, "%d,Ann Doe,%d%d%04d,warm\n", i, area, exchange, line)
	}
}
