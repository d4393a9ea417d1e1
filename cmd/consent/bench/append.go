package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger/declare"
	"github.com/consent-ledger/consent-ledger/ledger/recorder"
	"github.com/consent-ledger/consent-ledger/ledger/stream"
	"github.com/consent-ledger/consent-ledger/node"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

func benchAppendCommand() *cobra.Command {
	var f benchFlags
	var callers, known int
	var against string
	c := &cobra.Command{
		Use:   "append",
		Short: "Durable appends by many callers",
		Long: `Durable appends: single facts from --callers goroutines, fsync before each receipt.

Measured twice: a whole node, where projections and feed share the cores, and the
ledger alone (declaring, writer, index, sealing, embedded JetStream).

With --against jetstream the same run measures, in turn with the ledger alone,
JetStream alone with fsync on every message and payloads of the size of our
entries: one message for each event, and events packed into messages as our
writer packs them, one message in flight.`,
		Example: "  consent bench append --against jetstream\n  consent bench append --callers 1 --known 1000 --against jetstream",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if against != "" && against != "jetstream" {
				return usage("--against: %q is not known; it takes jetstream", against)
			}
			return benchAppend(c, f, callers, known, against != "")
		},
	}
	f.add(c)
	c.Flags().IntVar(&callers, "callers", 256, "callers that wait for their receipts")
	c.Flags().IntVar(&known, "known", 0, "take numbers from so many known persons; 0: every number is new, and draws keys")
	c.Flags().StringVar(&against, "against", "", "compare with: jetstream")
	return c
}

// appendRates are the medians of one run.
type appendRates struct {
	node, bare, single, packed measured
	bareEntries, packedEntries float64 // in a message, on average
}

func benchAppend(c *cobra.Command, f benchFlags, callers, known int, compare bool) error {
	dir, remove, err := f.temp()
	if err != nil {
		return err
	}
	defer remove()
	ctx := c.Context()
	var r appendRates
	if r.node, err = nodeAppends(ctx, f, dir, callers, known, c.ErrOrStderr()); err != nil {
		return err
	}
	if err := r.compare(ctx, f, dir, callers, known, compare); err != nil {
		return err
	}
	r.print(c.OutOrStdout(), callers, compare)
	return nil
}

// nodeAppends measures a whole server.
func nodeAppends(ctx context.Context, f benchFlags, dir string, callers, known int, progress io.Writer) (m measured, err error) {
	err = withNode(ctx, dir, func(ctx context.Context, n *node.Node) error {
		if err := benchState(ctx, n, known, progress); err != nil {
			return err
		}
		m, err = rounds(f, func(round int) (measured, error) {
			return appendRound(ctx, n.Recorder(), round, callers, known, f.length())
		})
		return err
	})
	return m, err
}

// compare measures the ledger alone and, in turn with it, JetStream alone.
func (r *appendRates) compare(ctx context.Context, f benchFlags, dir string, callers, known int, raw bool) error {
	return withBareLedger(ctx, dir+"/bare", func(ctx context.Context, l *bareLedger) error {
		if err := l.fill(ctx, known); err != nil {
			return err
		}
		bare := func(round int) (measured, error) {
			return appendRound(ctx, l.recorder, round, callers, known, f.length())
		}
		if !raw {
			var err error
			r.bare, err = rounds(f, bare)
			return err
		}
		return withRaw(ctx, dir, func(js jetstream.JetStream) error {
			var bares, singles, packeds []measured
			var sent packedCount
			for round := range f.rounds {
				before := l.commits.sum()
				m, err := bare(round)
				if err != nil {
					return err
				}
				bares = append(bares, m)
				payload := make([]byte, l.commits.sum().since(before).bytesPerEntry())
				_, _ = rand.Read(payload)
				if m, err = load(callers, f.length(), func(int, int) error {
					_, err := js.Publish(ctx, "raw.single", payload)
					return err
				}); err != nil {
					return err
				}
				singles = append(singles, m)
				if m, err = packedRound(ctx, js, payload, callers, f.length(), &sent); err != nil {
					return err
				}
				packeds = append(packeds, m)
			}
			r.bare, r.single, r.packed = median(bares), median(singles), median(packeds)
			r.bareEntries, r.packedEntries = l.commits.sum().entriesPerCommit(), sent.mean()
			return nil
		})
	})
}

func (r *appendRates) print(out io.Writer, callers int, compare bool) {
	report(out, fmt.Sprintf("whole node, %d callers, fsync", callers), r.node)
	report(out, fmt.Sprintf("ledger alone, %d callers, fsync", callers), r.bare)
	if !compare {
		return
	}
	report(out, "JetStream, one message an event, fsync", r.single)
	report(out, "JetStream, events packed by hand, fsync", r.packed)
	fmt.Fprintf(out, "entries in a message: ledger alone %.0f, packed by hand %.0f\n", r.bareEntries, r.packedEntries)
	for _, side := range []struct {
		name string
		m    measured
	}{{"ledger alone", r.bare}, {"whole node", r.node}} {
		fmt.Fprintf(out, "%-12s / one message an event: %5.1f x   / packed: %.2f x   median latency / one publish: %.2f x\n", side.name,
			side.m.Rate/r.single.Rate, side.m.Rate/r.packed.Rate, float64(side.m.P50)/float64(r.single.P50))
	}
	fmt.Fprintln(out, "(bars: ledger alone 0.25 x packed with 256 callers; 1.5 x one publish with 1 caller)")
}

// rounds gives the median of several measurements.
func rounds(f benchFlags, do func(round int) (measured, error)) (measured, error) {
	var out []measured
	for r := range f.rounds {
		m, err := do(r)
		if err != nil {
			return measured{}, err
		}
		out = append(out, m)
	}
	return median(out), nil
}

func appendRound(ctx context.Context, r *recorder.Recorder, round, callers, known int, length time.Duration) (measured, error) {
	return load(callers, length, func(caller, i int) error {
		which := caller*1_000_000 + i*7919 + round*31
		if known > 0 {
			which %= known
		}
		o := r.Record(ctx, []declare.Declaration{{Fact: benchGrant(benchNumber(which), fmt.Sprintf("%d-%d-%d", round, caller, i)), Owned: true}})
		return o[0].Err
	})
}

// benchNumber makes a number for temporary ledgers.
func benchNumber(i int) string { return "+1212" + strconv.Itoa(2000000+i%7999999) }

func benchGrant(number, id string) *consentv1.Fact {
	return &consentv1.Fact{Number: number, Sellers: []string{"acme"}, Source: "bench", EventId: id, OccurredAt: timestamppb.New(time.Now().Add(-time.Hour)),
		Kind: &consentv1.Fact_ConsentGranted{ConsentGranted: &consentv1.ConsentGranted{Level: "express_written", Scope: &consentv1.Scope{
			Channels: []consentv1.Channel{consentv1.Channel_CHANNEL_SMS}, Purposes: []consentv1.Purpose{consentv1.Purpose_PURPOSE_MARKETING}}}}}
}

func registerSeller(ctx context.Context, r *recorder.Recorder, id string) error {
	o := r.Record(ctx, []declare.Declaration{{Fact: &consentv1.Fact{Source: "bench", EventId: "seller-" + id,
		Kind: &consentv1.Fact_SellerRegistered{SellerRegistered: &consentv1.SellerRegistered{Id: id, Name: id}}}}})
	return o[0].Err
}

// withRaw gives a JetStream of its own with the same settings as the ledger's.
func withRaw(ctx context.Context, dir string, do func(jetstream.JetStream) error) error {
	_, js, closeAll, err := benchJetStream(ctx, dir+"/raw", "bench")
	if err != nil {
		return err
	}
	defer closeAll()
	for _, s := range []string{"single", "packed"} {
		cfg := stream.Pinned(stream.Provision{Replicas: 1})[0]
		cfg.Name, cfg.Subjects, cfg.DenyDelete, cfg.DenyPurge = "RAW_"+s, []string{"raw." + s}, false, false
		if _, err := js.CreateStream(ctx, cfg); err != nil {
			return err
		}
	}
	return do(js)
}

// benchJetStream starts an embedded server and speaks to it.
func benchJetStream(ctx context.Context, dir, cipherKey string) (e *stream.Embedded, js jetstream.JetStream, closeAll func(), err error) {
	if e, err = stream.StartEmbedded(stream.EmbeddedOptions{Dir: dir, CipherKey: cipherKey, AdminKey: "bench", Logger: slog.New(slog.DiscardHandler)}); err != nil {
		return nil, nil, nil, err
	}
	nc, err := e.Connect()
	if err == nil {
		if js, err = jetstream.New(nc); err == nil {
			return e, js, func() { nc.Close(); e.Close(ctx) }, nil
		}
		nc.Close()
	}
	e.Close(ctx)
	return nil, nil, nil, err
}

// packedCount counts messages packed by hand. It belongs to one round at a time.
type packedCount struct{ messages, events int }

func (p *packedCount) mean() float64 { return float64(p.events) / float64(max(1, p.messages)) }

// packedRound packs waiting payloads into one message, one in flight: what any
// program could do by hand, without sealing, order or idempotency.
func packedRound(ctx context.Context, js jetstream.JetStream, payload []byte, callers int, length time.Duration, sent *packedCount) (measured, error) {
	type waiting struct{ done chan error }
	queue := make(chan waiting, callers)
	var wg sync.WaitGroup
	wg.Go(func() {
		for first := range queue {
			batch := []waiting{first}
			msg := &consentv1.Commit{FirstPosition: 1, Entries: [][]byte{payload}}
			for full := false; !full; {
				select {
				case w, ok := <-queue:
					if full = !ok; ok {
						batch, msg.Entries = append(batch, w), append(msg.Entries, payload)
						full = len(batch)*len(payload) >= 256<<10
					}
				default:
					full = true
				}
			}
			sent.messages, sent.events = sent.messages+1, sent.events+len(batch)
			data, err := proto.Marshal(msg)
			if err == nil {
				_, err = js.Publish(ctx, "raw.packed", data)
			}
			for _, w := range batch {
				w.done <- err
			}
		}
	})
	m, err := load(callers, length, func(int, int) error {
		w := waiting{make(chan error, 1)}
		select {
		case queue <- w:
			return <-w.done
		case <-ctx.Done():
			return errors.New("stopped")
		}
	})
	close(queue)
	wg.Wait()
	return m, err
}
