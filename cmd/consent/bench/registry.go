package bench

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/spf13/cobra"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	"github.com/consent-ledger/consent-ledger/consumers/lists"
	"github.com/consent-ledger/consent-ledger/node"
	"github.com/consent-ledger/consent-ledger/projections/registry"
	"github.com/consent-ledger/consent-ledger/projections/rules"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

func benchRegistryCommand() *cobra.Command {
	var f benchFlags
	var numbers, changes int
	c := &cobra.Command{
		Use:   "registry",
		Short: "A national list: load, change, look up, restart",
		Long: `Make a list of numbers over the American area codes as the FTC's flat files, load it
through the API, apply a change list while look-ups go on, and restart. Then look
numbers up in it, in a sorted array and in a roaring bitmap of the same numbers, in
turn. A list smaller than the national one has fewer area codes of the same density,
so that what a number takes is comparable.`,
		Example: "  consent bench registry --numbers 10000000\n  consent bench registry --numbers 258500000 --tmp /var/tmp",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			dir, remove, err := f.temp()
			if err != nil {
				return err
			}
			defer remove()
			b := &registryBench{out: c.OutOrStdout(), stderr: c.ErrOrStderr(), dir: dir, flags: f, maker: newListMaker(numbers), day: time.Now().UTC().AddDate(0, 0, -1)}
			return b.run(c.Context(), changes)
		},
	}
	f.add(c)
	c.Flags().IntVar(&numbers, "numbers", 10_000_000, "numbers on the list; the national one has 258,500,000")
	c.Flags().IntVar(&changes, "changes", 100_000, "rows of the change list")
	return c
}

type registryBench struct {
	out, stderr io.Writer
	dir         string
	flags       benchFlags
	maker       *listMaker
	day         time.Time
	numbers     int64
}

func (b *registryBench) say(format string, args ...any) { fmt.Fprintf(b.out, format+"\n", args...) }

func (b *registryBench) run(ctx context.Context, changes int) error {
	lists := filepath.Join(b.dir, "files")
	if err := os.Mkdir(lists, 0o700); err != nil {
		return err
	}
	began := time.Now()
	files, n, bytes, err := b.maker.write(lists, b.day)
	if err != nil {
		return err
	}
	b.numbers = n
	b.say("%d numbers of %d area codes in %d MB of flat files (made in %.1f s)", n, len(b.maker.codes), bytes/1e6, time.Since(began).Seconds())
	before := heapBytes()
	err = withNode(ctx, b.dir, func(ctx context.Context, n *node.Node) error {
		if err := registerSeller(ctx, n.Recorder(), "acme"); err != nil {
			return err
		}
		if err := b.load(ctx, n, files, bytes); err != nil {
			return err
		}
		if err := os.RemoveAll(lists); err != nil {
			return err
		}
		b.memory(n, before)
		if err := b.change(ctx, n, changes); err != nil {
			return err
		}
		return b.lookups(n.Lists())
	})
	if err != nil {
		return err
	}
	return b.restart(ctx)
}

func (b *registryBench) load(ctx context.Context, n *node.Node, files []string, bytes int64) error {
	began := time.Now()
	res, err := b.send(ctx, n, &lists.List{Paths: files})
	if err != nil {
		return err
	}
	took := time.Since(began)
	b.say("load through the API: %.1f s, %.1f M numbers/s, %.0f MB/s (%d numbers); at this rate the national list takes %.0f s (bar: 180)", took.Seconds(),
		float64(b.numbers)/1e6/took.Seconds(), float64(bytes)/1e6/took.Seconds(), res.GetRows(), took.Seconds()*nationalNumbers/float64(b.numbers))
	if err := n.ListsKept(ctx); err != nil {
		return err
	}
	b.say("copy on this disk whole after another %.1f s", (time.Since(began) - took).Seconds())
	return nil
}

// send loads files as import registry does.
func (b *registryBench) send(ctx context.Context, n *node.Node, list *lists.List) (*consentv1.LoadRegistryResponse, error) {
	cl, err := client.New(n.URL(), n.AdminKey(), client.Options{})
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	list.Registry = "us_national_dnc"
	return lists.Send(ctx, cl, list, func(string, int64) (func(int64), func()) { return func(int64) {}, func() {} })
}

func (b *registryBench) memory(n *node.Node, before uint64) {
	numbers, dates := n.Lists().Bytes()
	per := func(bytes uint64) float64 { return float64(bytes) / float64(b.numbers) }
	b.say("memory: %.2f bytes a number (%d MB; bar 1.6), days %.2f; heap %.2f, all of it; resident %d MB", per(numbers), numbers>>20, per(dates),
		per(heapBytes()-before), residentBytes()>>20)
	disk := folderBytes(filepath.Join(b.dir, "ledger", "lists"))
	b.say("disk: %.2f bytes a number for the copy (%d MB; bar 1), jetstream with the object %d MB", per(disk), disk>>20, folderBytes(filepath.Join(b.dir, "ledger", "jetstream"))>>20)
}

// change applies a change list while somebody looks numbers up.
func (b *registryBench) change(ctx context.Context, n *node.Node, rows int) error {
	path := filepath.Join(b.dir, "changes.txt")
	if err := b.maker.writeChanges(path, rows, func(number uint64) bool {
		return n.Lists().AppendAnswers(nil, number, "acme", time.Now())[0].Listed
	}); err != nil {
		return err
	}
	var stop atomic.Bool
	worst, count := time.Duration(0), 0
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		dst := make([]rules.RegistryAnswer, 0, 1)
		for ; !stop.Load(); count++ {
			began := time.Now()
			dst = n.Lists().AppendAnswers(dst[:0], b.probe(), "acme", began)
			worst = max(worst, time.Since(began))
		}
	}()
	began := time.Now()
	res, err := b.send(ctx, n, &lists.List{VersionDate: b.day.AddDate(0, 0, 1).Format(time.DateOnly),
		Plan: &consentv1.RegistryPlan{BaseDate: b.day.Format(time.DateOnly)}, Paths: []string{path}})
	took := time.Since(began)
	stop.Store(true)
	<-ended
	if err != nil {
		return err
	}
	b.say("change list of %d rows (+%d -%d) visible after %.2f s (bar 2); meanwhile %d look-ups, the slowest %s", rows, res.GetAdded(), res.GetRemoved(), took.Seconds(), count, worst)
	if err := n.ListsKept(ctx); err != nil {
		return err
	}
	numbers, dates := n.Lists().Bytes()
	disk := folderBytes(filepath.Join(b.dir, "ledger", "lists"))
	b.say("kept after %.2f s; memory then %.2f + %.2f bytes a number, disk %.2f", time.Since(began).Seconds(), float64(numbers)/float64(b.numbers),
		float64(dates)/float64(b.numbers), float64(disk)/float64(b.numbers))
	return nil
}

// probe is a number of the list's area codes, listed or not.
func (b *registryBench) probe() uint64 {
	return uint64(1e10) + uint64(b.maker.codes[rand.IntN(len(b.maker.codes))])*1e7 + 2_000_000 + rand.Uint64N(8_000_000)
}

// lookups compares ways of holding the same numbers, in turn.
func (b *registryBench) lookups(s *registry.Snapshot) error {
	set := s.Numbers("us_national_dnc")
	sorted := make([]uint64, 0, set.Len())
	for n := range set.All() {
		sorted = append(sorted, n)
	}
	raw := roaring64.New()
	raw.AddMany(sorted)
	raw.RunOptimize()
	probes := make([]uint64, 1<<20)
	for i := range probes {
		if probes[i] = b.probe(); i%10 < 3 {
			probes[i] = sorted[rand.IntN(len(sorted))]
		}
	}
	ascending := slices.Sorted(slices.Values(probes))
	on := make([]bool, len(probes))
	each := func(in []uint64, has func(uint64) bool) func() int {
		return func() (n int) {
			for _, p := range in {
				if has(p) {
					n++
				}
			}
			return n
		}
	}
	inSorted := func(n uint64) bool { _, ok := slices.BinarySearch(sorted, n); return ok }
	many := func(in []uint64) func() int {
		return func() (n int) {
			set.ContainsMany(in, on)
			for _, yes := range on {
				if yes {
					n++
				}
			}
			return n
		}
	}
	ways := []struct {
		name string
		do   func() int
	}{
		{"set, one by one", each(probes, set.Contains)}, {"set, many at once", many(probes)}, {"set, ascending", many(ascending)},
		{"sorted array, one by one", each(probes, inSorted)}, {"sorted array, ascending", each(ascending, inSorted)},
		{"roaring, one by one", each(probes, raw.Contains)}, {"roaring, ascending", each(ascending, raw.Contains)},
	}
	took := make([][]time.Duration, len(ways))
	want := ways[0].do()
	for range b.flags.rounds {
		for i, w := range ways {
			began := time.Now()
			if got := w.do(); got != want {
				return fmt.Errorf("%s found %d numbers, not %d", w.name, got, want)
			}
			took[i] = append(took[i], time.Since(began))
		}
	}
	b.say("look-ups of %d numbers, 3 in 10 of them listed (ns each, median of %d):", len(probes), b.flags.rounds)
	for i, w := range ways {
		slices.Sort(took[i])
		b.say("  %-26s %7.1f", w.name, float64(took[i][len(took[i])/2].Nanoseconds())/float64(len(probes)))
	}
	b.say("bytes a number: set %.2f, sorted array 8.00, roaring %.2f", float64(set.Bytes())/float64(set.Len()), float64(raw.GetSizeInBytes())/float64(set.Len()))
	return nil
}

// restart opens the ledger again and asks until somebody may be called.
func (b *registryBench) restart(ctx context.Context) error {
	debug.FreeOSMemory()
	began := time.Now()
	return openNode(ctx, benchConfig(b.dir), func(ctx context.Context, n *node.Node) error {
		question := &consentv1.CheckRequest{Question: &consentv1.Question{Number: fmt.Sprintf("+1%d5550100", b.maker.codes[0]), Seller: "acme",
			Channel: consentv1.Channel_CHANNEL_VOICE_LIVE, Purpose: consentv1.Purpose_PURPOSE_MARKETING}}
		err := until(ctx, func() bool {
			res, err := n.Decider().Check(ctx, question)
			return err == nil && slices.ContainsFunc(res.GetDecision().GetLists(), func(l *consentv1.ListUse) bool { return l.GetVersionDate() != "" })
		})
		b.say("restart to the first decision with the list: %.2f s (bar 10); resident %d MB", time.Since(began).Seconds(), residentBytes()>>20)
		return err
	})
}

// until asks every millisecond until something is so.
func until(ctx context.Context, so func() bool) error {
	for !so() {
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func heapBytes() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// residentBytes is what of this process is in memory; 0 where nobody says.
func residentBytes() uint64 {
	raw, err := os.ReadFile("/proc/self/statm")
	fields := strings.Fields(string(raw))
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseUint(fields[1], 10, 64)
	return pages * uint64(os.Getpagesize())
}

func folderBytes(dir string) (sum uint64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error { // what vanishes meanwhile takes no room
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				sum += uint64(info.Size())
			}
		}
		return nil
	})
	return sum
}
