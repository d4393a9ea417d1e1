package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger/declare"
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

With --against jetstream the same run measures, in turn, JetStream alone with
fsync on every message and payloads of the size of our entries: one message for
each event, and events packed into messages as our writer packs them.`,
		Example: "  consent bench append --against jetstream\n  consent bench append --callers 1 --known 1000 --against jetstream",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if against != "" && against != "jetstream" {
				return usageError(fmt.Errorf("--against: %q is not known; it takes jetstream", against))
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

func benchAppend(c *cobra.Command, f benchFlags, callers, known int, compare bool) error {
	dir, remove, err := f.temp()
	if err != nil {
		return err
	}
	defer remove()
	length := time.Duration(f.seconds * float64(time.Second))
	out := c.OutOrStdout()
	var ours, single, packed []measured
	err = withNode(c.Context(), dir, func(ctx context.Context, n *node.Node) error {
		if err := benchState(ctx, n, known, c.ErrOrStderr()); err != nil {
			return err
		}
		if !compare {
			for r := range f.rounds {
				m, err := appendRound(ctx, n, r, callers, known, length)
				if err != nil {
					return err
				}
				ours = append(ours, m)
			}
			return nil
		}
		return withRaw(ctx, dir, func(js jetstream.JetStream) error {
			for r := range f.rounds {
				m, err := appendRound(ctx, n, r, callers, known, length)
				if err != nil {
					return err
				}
				ours = append(ours, m)
				payload := make([]byte, n.BytesPerEntry())
				_, _ = rand.Read(payload)
				if m, err = load(callers, length, func(int, int) error {
					_, err := js.Publish(ctx, "raw.single", payload)
					return err
				}); err != nil {
					return err
				}
				single = append(single, m)
				if m, err = packedRound(ctx, js, payload, callers, length); err != nil {
					return err
				}
				packed = append(packed, m)
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	o := median(ours)
	report(out, fmt.Sprintf("ledger, %d callers, fsync", callers), o)
	if compare {
		s, p := median(single), median(packed)
		report(out, "JetStream, one message an event, fsync", s)
		report(out, "JetStream, events packed by hand, fsync", p)
		fmt.Fprintf(out, "ledger / one message an event: %.1f x\nledger / packed: %.2f x (bar 0.25)\n", o.Rate/s.Rate, o.Rate/p.Rate)
	}
	return nil
}

func appendRound(ctx context.Context, n *node.Node, round, callers, known int, length time.Duration) (measured, error) {
	return load(callers, length, func(caller, i int) error {
		which := caller*1_000_000 + i*7919 + round*31
		if known > 0 {
			which %= known
		}
		o := n.Recorder().Record(ctx, []declare.Declaration{{Fact: benchGrant(benchNumber(which), fmt.Sprintf("%d-%d-%d", round, caller, i))}})
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

func registerSeller(ctx context.Context, n *node.Node, id string) error {
	o := n.Recorder().Record(ctx, []declare.Declaration{{Fact: &consentv1.Fact{Source: "bench", EventId: "seller-" + id,
		Kind: &consentv1.Fact_SellerRegistered{SellerRegistered: &consentv1.SellerRegistered{Id: id, Name: id}}}}})
	return o[0].Err
}

// withRaw gives a JetStream of its own with the same settings as the ledger's.
func withRaw(ctx context.Context, dir string, do func(jetstream.JetStream) error) error {
	e, err := stream.StartEmbedded(stream.EmbeddedOptions{Dir: dir + "/raw", CipherKey: "bench", AdminKey: "bench", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer e.Close(ctx)
	nc, err := e.Connect()
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	for _, s := range []string{"single", "packed"} {
		cfg := stream.Pinned(stream.Provision{Replicas: 1})[0]
		cfg.Name, cfg.Subjects, cfg.DenyDelete, cfg.DenyPurge = "RAW_"+s, []string{"raw." + s}, false, false
		if _, err := js.CreateStream(ctx, cfg); err != nil {
			return err
		}
	}
	return do(js)
}

// packedRound packs waiting payloads into one message, one in flight: what any
// program could do by hand, without sealing, order or idempotency.
func packedRound(ctx context.Context, js jetstream.JetStream, payload []byte, callers int, length time.Duration) (measured, error) {
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
