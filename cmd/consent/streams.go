package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/consent-ledger/consent-ledger/ledger/stream"
	"github.com/consent-ledger/consent-ledger/node"
)

func streamsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "streams",
		Short: "Compare or create the ledger's streams",
		Long: `Compare the streams on the NATS server with the configuration the ledger is
pinned to, or create those that do not exist. An existing stream is never changed:
whoever changed it must be asked why. The server must be stopped (embedded), or be
named with --nats-url.`,
	}
	c.AddCommand(
		streamsVerb("plan", "Show every difference; change nothing", node.StreamsPlan, false),
		streamsVerb("apply", "Create streams that do not exist, and signing keys if the ledger has none", node.StreamsApply, false),
		streamsVerb("verify", "Exit 5 if anything differs", node.StreamsPlan, true),
	)
	return c
}

func streamsVerb(use, short string, do node.StreamsVerb, strict bool) *cobra.Command {
	var f serverFlags
	c := &cobra.Command{Use: use + " --dir D", Short: short, Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		cfg, err := f.config(c.ErrOrStderr())
		if err != nil {
			return usageError(err)
		}
		diffs, err := do(c.Context(), cfg)
		if err != nil {
			return err
		}
		for _, d := range diffs {
			fmt.Fprintln(c.OutOrStdout(), d)
		}
		if len(diffs) == 0 {
			fmt.Fprintln(c.OutOrStdout(), "all streams are as pinned")
		} else if strict {
			return verificationError(&stream.DifferenceError{Differences: diffs})
		}
		return nil
	}}
	f.add(c)
	return c
}
