package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/spf13/cobra"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	"github.com/consent-ledger/consent-ledger/node"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

func benchQuestion(i int) *consentv1.CheckRequest {
	return &consentv1.CheckRequest{Question: &consentv1.Question{Number: benchNumber(i), Seller: "acme",
		Channel: consentv1.Channel_CHANNEL_SMS, Purpose: consentv1.Purpose_PURPOSE_MARKETING}}
}

func benchScrubCommand() *cobra.Command {
	var f benchFlags
	var rows, persons int
	c := &cobra.Command{
		Use:     "scrub",
		Short:   "Scrub a list through the API",
		Long:    "Scrub a list of random numbers, one in ten known, through the streaming API with all rules.",
		Example: "  consent bench scrub --rows 1000000",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return benchScrub(c, f, rows, persons) },
	}
	f.add(c)
	c.Flags().IntVar(&rows, "rows", 500_000, "rows of the list")
	c.Flags().IntVar(&persons, "persons", 100_000, "persons in the ledger")
	return c
}

func benchScrub(c *cobra.Command, f benchFlags, rows, persons int) error {
	dir, remove, err := f.temp()
	if err != nil {
		return err
	}
	defer remove()
	return withNode(c.Context(), dir, func(ctx context.Context, n *node.Node) error {
		if err := benchState(ctx, n, persons, c.ErrOrStderr()); err != nil {
			return err
		}
		cl, err := client.New(n.URL(), n.AdminKey(), client.Options{})
		if err != nil {
			return err
		}
		defer cl.Close()
		began, counts := time.Now(), map[consentv1.Verdict]int{}
		st := cl.Decisions.Scrub(ctx)
		sent := make(chan error, 1)
		go func() { sent <- sendScrub(st.Send, rows, persons, st.CloseRequest) }()
		for done := 0; done < rows; {
			res, err := st.Receive()
			if err != nil {
				return err
			}
			for _, r := range res.GetRows() {
				counts[r.GetVerdict()]++
			}
			done += len(res.GetRows())
		}
		if err := firstError(<-sent, st.CloseResponse()); err != nil {
			return err
		}
		took := time.Since(began)
		fmt.Fprintf(c.OutOrStdout(), "scrub of %d rows, 1 in 10 known: %.2f s, %.0f rows/s; ALLOW %d, BLOCK %d\n", rows, took.Seconds(),
			float64(rows)/took.Seconds(), counts[consentv1.Verdict_VERDICT_ALLOW], counts[consentv1.Verdict_VERDICT_BLOCK])
		return nil
	})
}

func sendScrub(send func(*consentv1.ScrubRequest) error, rows, persons int, end func() error) error {
	req := &consentv1.ScrubRequest{Question: benchQuestion(0).GetQuestion()}
	for i := range rows {
		req.Numbers = append(req.Numbers, benchNumber(rand.IntN(10*persons)))
		if len(req.Numbers) == 5000 || i == rows-1 {
			if err := send(req); err != nil {
				return err
			}
			req = &consentv1.ScrubRequest{}
		}
	}
	return end()
}
