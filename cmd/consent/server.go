package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/consent-ledger/consent-ledger/projections/rules"
)

// serverCommands need no running server: they make one, look into one that is
// stopped, or need none at all.
func serverCommands(g *globals) []*cobra.Command {
	return []*cobra.Command{demoCommand(), initCommand(), serveCommand(), streamsCommand(), rulesCommand(g), benchCommand()}
}

func rulesCommand(g *globals) *cobra.Command {
	c := &cobra.Command{Use: "rules", Short: "Show the rules decisions are made by",
		Long: "Show the rule packs decisions are made by: typed data with a citation on every rule.\nThis is no legal advice."}
	c.AddCommand(&cobra.Command{Use: "list", Short: "List the rule packs", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		packs, err := rules.Embedded()
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(c.OutOrStdout(), 0, 4, 2, ' ', 0)
		fmt.Fprintln(w, "PACK\tVERSION\tRULES\tSHA-256")
		for _, p := range packs.All() {
			fmt.Fprintf(w, "%s\t%s\t%d\t%s\n", p.ID, p.Version, len(p.RuleIDs()), p.SHA256()[:16])
		}
		return w.Flush()
	}})
	c.AddCommand(&cobra.Command{Use: "show PACK", Short: "Show a rule pack as a page to read", Example: "  consent rules show baseline", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			packs, err := rules.Embedded()
			if err != nil {
				return err
			}
			p := packs.Get(args[0])
			if p == nil {
				return usageError(fmt.Errorf("rules show: no pack %q; see: consent rules list", args[0]))
			}
			fmt.Fprintln(c.OutOrStdout(), rules.Describe(p))
			return nil
		}})
	c.AddCommand(publishCommand(g))
	return c
}
