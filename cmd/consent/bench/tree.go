package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	"github.com/consent-ledger/consent-ledger/ledger/stream"
	"github.com/consent-ledger/consent-ledger/ledger/tree"
)

func benchTreeCommand() *cobra.Command {
	var f benchFlags
	var callers, known int
	c := &cobra.Command{
		Use:   "tree",
		Short: "What the Merkle tree costs appends, and how fast it is built",
		Long: `What the Merkle tree costs appends: single facts from --callers goroutines with fsync,
in turn without and with a tree that follows and signs once a second. The ledger is
alone with it: no projections or feed share the cores.

Then the tree is thrown away and built again from the stream: reading, checking each
person's chain, hashing, tiles in Pebble; and proofs are made from it.`,
		Example: "  consent bench tree\n  consent bench tree --callers 1 --known 1000",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			dir, remove, err := f.temp()
			if err != nil {
				return err
			}
			defer remove()
			return withBareLedger(c.Context(), dir+"/bare", func(ctx context.Context, l *bareLedger) error {
				return benchTree(ctx, c, f, l, callers, known)
			})
		},
	}
	f.add(c)
	c.Flags().IntVar(&callers, "callers", 256, "callers that wait for their receipts")
	c.Flags().IntVar(&known, "known", 100_000, "take numbers from so many known persons; 0: every number is new, and draws keys")
	return c
}

func benchTree(ctx context.Context, c *cobra.Command, f benchFlags, l *bareLedger, callers, known int) error {
	if err := errors.Join(l.keys.CreateSigning("bench"), l.fill(ctx, known)); err != nil {
		return err
	}
	var without, with []measured
	for round := range f.rounds {
		m, err := appendRound(ctx, l.recorder, 2*round, callers, known, f.length())
		if err != nil {
			return err
		}
		without = append(without, m)
		err = l.withTree(ctx, func(ctx context.Context, t *tree.Tree) error {
			m, err := appendRound(ctx, l.recorder, 2*round+1, callers, known, f.length())
			with = append(with, m)
			return err
		})
		if err != nil {
			return err
		}
	}
	out := c.OutOrStdout()
	report(out, fmt.Sprintf("ledger alone, %d callers, fsync", callers), median(without))
	report(out, "with a tree that follows and signs", median(with))
	fmt.Fprintf(out, "with / without: %.2f x in rate (bar: 0.90), %.2f x in the processor's time of an append\n",
		median(with).Rate/median(without).Rate, float64(median(with).Cost)/float64(median(without).Cost))
	if err := os.RemoveAll(l.dir + "/tree"); err != nil {
		return err
	}
	began, used := time.Now(), processorTime()
	return l.withTree(ctx, func(ctx context.Context, t *tree.Tree) error {
		published, _ := t.Published()
		took, cost := time.Since(began), processorTime()-used
		fmt.Fprintf(out, "built anew from the stream: %d entries, %.0f/s, %.0f/s of the processor's time, JetStream's included\n",
			published.Size, float64(published.Size)/took.Seconds(), float64(published.Size)/cost.Seconds())
		return benchProofs(c, f, t)
	})
}

// benchProofs makes proofs of inclusion for entries all over the tree.
func benchProofs(c *cobra.Command, f benchFlags, t *tree.Tree) error {
	published, _ := t.Published()
	m, err := load(1, f.length(), func(_, i int) error {
		_, err := t.Include(ledger.Position(uint64(i)*7919%uint64(published.Size)) + 1)
		return err
	})
	if err != nil {
		return err
	}
	report(c.OutOrStdout(), fmt.Sprintf("proof of inclusion among %d entries", published.Size), m)
	return nil
}

// withTree runs do while a tree follows the ledger that has caught up with it.
func (l *bareLedger) withTree(ctx context.Context, do func(context.Context, *tree.Tree) error) (err error) {
	signing, err := l.keys.Signing()
	if err != nil {
		return err
	}
	t, err := l.openTree(ctx, signing)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	if err := t.CatchUp(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	ended := make(chan error, 1)
	go func() {
		err := t.Run(ctx)
		cancel(err) // nobody waits for a tree that has ended
		ended <- err
	}()
	_, err = t.WaitPublished(ctx, ledger.Position(l.commits.sum().entries))
	if err == nil {
		err = do(ctx, t)
	}
	cancel(nil)
	if end := <-ended; !errors.Is(end, context.Canceled) {
		err = errors.Join(err, end)
	}
	return err
}

func (l *bareLedger) openTree(ctx context.Context, signing *seal.Signing) (*tree.Tree, error) {
	journal, err := stream.OpenCheckpoints(ctx, l.js, nil)
	if err != nil {
		return nil, err
	}
	return tree.Open(tree.Config{Dir: l.dir + "/tree", Ledger: l.keys.LedgerID(), Source: l.log, Signer: signing.Log, Verifier: signing.Log.Verifier, Journal: journal})
}
