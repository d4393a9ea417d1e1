package bench

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/node"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

func benchCheckCommand() *cobra.Command {
	b := &checkBench{}
	var persons int
	c := &cobra.Command{
		Use:   "check",
		Short: "Checks in process and over HTTP, and a restart",
		Long: `Write the state of many persons straight into a ledger's projections, restart it,
and check numbers with all rules: half of them known, half of them calls and half
texts, over all American area codes; in hours when calling is allowed and at night;
in process, and over HTTP: from a client in a process of its own, at the bar's rate,
each check timed from when it was due, and as fast as it goes. --listed loads a national list first,
through the API.`,
		Example: "  consent bench check --persons 1000000\n  consent bench check --persons 10000000 --listed 258500000 --tmp /var/tmp",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if persons < 1 || b.listed < 0 || b.connections < 1 {
				return usage("--persons, --listed and --connections: numbers of persons, numbers and connections")
			}
			dir, remove, err := b.flags.temp()
			if err != nil {
				return err
			}
			defer remove()
			b.out, b.stderr, b.dir, b.persons = c.OutOrStdout(), c.ErrOrStderr(), dir, newMadePersons(persons)
			return b.run(c.Context())
		},
	}
	b.flags.add(c)
	c.Flags().IntVar(&persons, "persons", 1_000_000, "persons with state")
	c.Flags().IntVar(&b.listed, "listed", 0, "numbers on the national list; 0: no list is loaded, which blocks calls")
	c.Flags().IntVar(&b.connections, "connections", 64, "connections of the client over HTTP, with at most one check under way on each")
	c.Flags().Float64Var(&b.warm, "warm", 5, "seconds of checks before the first measurement")
	return c
}

// checkBench measures answers from much state.
type checkBench struct {
	out, stderr io.Writer
	dir         string
	flags       benchFlags
	persons     *madePersons
	listed      int
	warm        float64
	connections int
}

func (b *checkBench) say(format string, args ...any) { fmt.Fprintf(b.out, format+"\n", args...) }

func (b *checkBench) run(ctx context.Context) error {
	if err := withNode(ctx, b.dir, b.prepare); err != nil {
		return err
	}
	if err := b.persons.write(ctx, filepath.Join(b.dir, "ledger"), b.stderr); err != nil {
		return err
	}
	debug.FreeOSMemory()
	began := time.Now()
	return openNode(ctx, benchConfig(b.dir), func(ctx context.Context, n *node.Node) error {
		if err := b.restarted(ctx, n, began); err != nil {
			return err
		}
		if err := b.inProcess(ctx, n); err != nil {
			return err
		}
		return b.overHTTP(ctx, n)
	})
}

// prepare registers the seller and loads the list. Projections that hold nothing
// when they are opened take it that no token has state, so it waits for them.
func (b *checkBench) prepare(ctx context.Context, n *node.Node) error {
	if err := registerSeller(ctx, n.Recorder(), "acme"); err != nil {
		return err
	}
	if err := n.WaitApplied(ctx); err != nil || b.listed == 0 {
		return err
	}
	lists := filepath.Join(b.dir, "files")
	if err := os.Mkdir(lists, 0o700); err != nil {
		return err
	}
	r := &registryBench{out: b.stderr, stderr: b.stderr, dir: b.dir, flags: b.flags, maker: newListMaker(b.listed), day: time.Now().UTC().AddDate(0, 0, -1)}
	files, numbers, bytes, err := r.maker.write(lists, r.day)
	if err != nil {
		return err
	}
	r.numbers = numbers
	if err := r.load(ctx, n, files, bytes); err != nil {
		return err
	}
	return os.RemoveAll(lists)
}

// restarted waits for the first ALLOW and for the resident sets.
func (b *checkBench) restarted(ctx context.Context, n *node.Node, began time.Time) error {
	ask, at := b.asker(), openHours(time.Now())
	err := until(ctx, func() bool {
		res, err := n.Decider().Check(ctx, ask(rand.IntN(b.persons.n), at))
		return err == nil && res.GetDecision().GetVerdict() == consentv1.Verdict_VERDICT_ALLOW
	})
	if err != nil {
		return err
	}
	first := time.Since(began)
	err = until(ctx, func() bool { return n.StateResident() })
	b.say("restart to the first ALLOW, %d persons: %.2f s (bar 10); what is unknown costs no read after %.2f s; resident %d MB", b.persons.n, first.Seconds(), time.Since(began).Seconds(), residentBytes()>>20)
	return err
}

// asker makes questions: about whom, and whether a text or a call, is by chance.
func (b *checkBench) asker() func(person int, at time.Time) *consentv1.CheckRequest {
	return func(person int, at time.Time) *consentv1.CheckRequest {
		channel := consentv1.Channel_CHANNEL_SMS
		if rand.IntN(2) == 0 {
			channel = consentv1.Channel_CHANNEL_VOICE_LIVE
		}
		return &consentv1.CheckRequest{Question: &consentv1.Question{Number: b.persons.number(person), Seller: "acme", Channel: channel,
			Purpose: consentv1.Purpose_PURPOSE_MARKETING, At: timestamppb.New(at)}}
	}
}

// openHours is the next Tuesday at 18:00 UTC, when calling is allowed from New York
// to Hawaii; night is ten hours later. Both lie ahead: what is asked is what
// holds now.
func openHours(now time.Time) time.Time {
	day := now.UTC().Truncate(24*time.Hour).AddDate(0, 0, 1)
	for day.Weekday() != time.Tuesday {
		day = day.AddDate(0, 0, 1)
	}
	return day.Add(18 * time.Hour)
}

func (b *checkBench) inProcess(ctx context.Context, n *node.Node) error {
	d, ask := n.Decider(), b.asker()
	for _, hours := range []struct {
		name string
		at   time.Time
	}{{"by day", openHours(time.Now())}, {"at night", openHours(time.Now()).Add(10 * time.Hour)}} {
		questions := make([]*consentv1.CheckRequest, 1<<16) // made beforehand: a caller has them
		check := func(_, i int) error {
			if i %= len(questions); i == 0 {
				for k := range questions {
					questions[k] = ask(rand.IntN(2*b.persons.n), hours.at)
				}
			}
			_, err := d.Check(ctx, questions[i])
			return err
		}
		if _, err := load(1, time.Duration(b.warm*float64(time.Second)), check); err != nil {
			return err
		}
		before := n.StateCache()
		m, err := rounds(b.flags, func(int) (measured, error) { return load(1, b.flags.length(), check) })
		if err != nil {
			return err
		}
		after := n.StateCache()
		hits, misses := after.Hits-before.Hits, after.Misses-before.Misses
		report(b.out, "in process, 1 caller, "+hours.name+" (bar: 100,000/s, 50 us)", m)
		i := 0
		allocs := testing.AllocsPerRun(2000, func() { i++; _ = check(0, i) })
		b.say("  allocations a check: %.1f; blocks found in the cache: %.1f%% of %d; cache %d MB; resident %d MB; %d cores", allocs,
			100*float64(hits)/float64(max(1, hits+misses)), hits+misses, after.Bytes>>20, residentBytes()>>20, runtime.GOMAXPROCS(0))
		if err := b.verdicts(ctx, n, hours.at); err != nil {
			return err
		}
	}
	return nil
}

// verdicts says what was answered, so that a fast refusal is not taken for a fast
// decision.
func (b *checkBench) verdicts(ctx context.Context, n *node.Node, at time.Time) error {
	const asked = 20_000
	ask, counts := b.asker(), map[string]int{}
	for range asked {
		res, err := n.Decider().Check(ctx, ask(rand.IntN(2*b.persons.n), at))
		if err != nil {
			return err
		}
		what := strings.TrimPrefix(res.GetDecision().GetVerdict().String(), "VERDICT_")
		for _, r := range res.GetDecision().GetReasons()[:1] {
			what += " " + r.GetCode()
		}
		counts[what]++
	}
	var words []string
	for what := range counts {
		words = append(words, what)
	}
	slices.SortFunc(words, func(x, y string) int { return cmp.Compare(counts[y], counts[x]) })
	for i, what := range words {
		words[i] = fmt.Sprintf("%s %.1f%%", what, 100*float64(counts[what])/asked)
	}
	b.say("  %s", strings.Join(words, ", "))
	return nil
}
