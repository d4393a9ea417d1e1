package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	"github.com/consent-ledger/consent-ledger/node"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

func benchCheckCommand() *cobra.Command {
	var f benchFlags
	var persons int
	c := &cobra.Command{
		Use:     "check",
		Short:   "Checks in process and over HTTP",
		Long:    "Checks of random numbers, half of them known, with all rules: in process, and over HTTP by 64 callers.",
		Example: "  consent bench check --persons 1000000",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return benchCheck(c, f, persons) },
	}
	f.add(c)
	c.Flags().IntVar(&persons, "persons", 200_000, "persons in the ledger")
	return c
}

func benchQuestion(i int) *consentv1.CheckRequest {
	return &consentv1.CheckRequest{Question: &consentv1.Question{Number: benchNumber(i), Seller: "acme",
		Channel: consentv1.Channel_CHANNEL_SMS, Purpose: consentv1.Purpose_PURPOSE_MARKETING}}
}

func benchCheck(c *cobra.Command, f benchFlags, persons int) error {
	dir, remove, err := f.temp()
	if err != nil {
		return err
	}
	defer remove()
	return withNode(c.Context(), dir, func(ctx context.Context, n *node.Node) error {
		if err := benchState(ctx, n, persons, c.ErrOrStderr()); err != nil {
			return err
		}
		d, out := n.Decider(), c.OutOrStdout()
		m, err := load(1, f.length(), func(_, _ int) error {
			_, err := d.Check(ctx, benchQuestion(rand.IntN(2*persons)))
			return err
		})
		if err != nil {
			return err
		}
		report(out, "in process, 1 caller (bar: 100,000/s, 50 us)", m)
		allocs := testing.AllocsPerRun(1000, func() { _, _ = d.Check(ctx, benchQuestion(rand.IntN(2*persons))) })
		fmt.Fprintf(out, "allocations a check: %.0f, on %d cores\n", allocs, runtime.GOMAXPROCS(0))
		cl, err := client.New(n.URL(), n.AdminKey(), client.Options{})
		if err != nil {
			return err
		}
		defer cl.Close()
		m, err = load(64, f.length(), func(_, _ int) error {
			_, err := cl.Decisions.Check(ctx, connect.NewRequest(benchQuestion(rand.IntN(2*persons))))
			return err
		})
		if err != nil {
			return err
		}
		report(out, "over HTTP, 64 callers (bar: 15,400/s, 5 ms)", m)
		return nil
	})
}

func benchRebuildCommand() *cobra.Command {
	var f benchFlags
	var entries int
	c := &cobra.Command{
		Use:     "rebuild",
		Short:   "Fold all projections anew",
		Long:    "Fold all projections anew from the ledger, as consent rebuild does, and compare the state hash before and after.",
		Example: "  consent bench rebuild --entries 1000000",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return benchRebuild(c, f, entries) },
	}
	f.add(c)
	c.Flags().IntVar(&entries, "entries", 500_000, "entries in the ledger")
	return c
}

func benchRebuild(c *cobra.Command, f benchFlags, entries int) error {
	dir, remove, err := f.temp()
	if err != nil {
		return err
	}
	defer remove()
	return withNode(c.Context(), dir, func(ctx context.Context, n *node.Node) error {
		if err := benchState(ctx, n, entries, c.ErrOrStderr()); err != nil {
			return err
		}
		before, err := n.StateHash(ctx)
		if err != nil {
			return err
		}
		began, used := time.Now(), processorTime()
		if err := n.Rebuild(ctx); err != nil {
			return err
		}
		took := time.Since(began)
		reportCost(c.OutOrStdout(), "an entry", processorTime()-used, int(n.Acked()))
		after, err := n.StateHash(ctx)
		if err != nil {
			return err
		}
		for name, h := range before {
			if after[name] != h {
				return fmt.Errorf("projection %s: another state hash after the rebuild", name)
			}
		}
		fmt.Fprintf(c.OutOrStdout(), "rebuild of %d entries: %.2f s, %.0f entries/s (bar: 150,000/s on 2 cores); state hashes equal\n",
			n.Acked(), took.Seconds(), float64(n.Acked())/took.Seconds())
		return nil
	})
}
