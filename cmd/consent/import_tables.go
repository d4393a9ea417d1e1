package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/consent-ledger/consent-ledger/consumers/client"
)

// Maps of files whose rows are facts about numbers. They go the way of every
// other file of facts: the recorder, ids of their own, a rejects file.
const (
	rndMap = `columns: {phone: number, phone_number: number, consent_date: as_of, queried_at: occurred_at}
set: {kind: number_reassigned, basis: rnd, source: rnd}
dates: [YYYYMMDD, MM/DD/YYYY]
values: {result: {"no data": no_data, nodata: no_data}}
`
	carrierMap = `columns: {phone: number, phone_number: number, msisdn: number, blocked_at: occurred_at}
`
)

func importRNDCommand(g *globals) *cobra.Command {
	var f importFlags
	c := &cobra.Command{
		Use:   "rnd FILE.csv",
		Short: "Import answers of the Reassigned Numbers Database",
		Long: `Import answers of the Reassigned Numbers Database: number, as_of (the day that was
asked about), result (yes, no, no_data) and queried_at. Each becomes a fact about its
number: after a yes, consent from before no longer counts, and an answer nobody can
read counts as yes. The same file again adds nothing.`,
		Example: "  consent import rnd answers.csv --rejects rejects.csv",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			f.table = rndMap
			return g.with(c, func(ctx context.Context, cl *client.Client) error { return g.importFacts(ctx, c, cl, args[0], f) })
		},
	}
	f.addTo(c)
	return c
}

func importCarrierCommand(g *globals) *cobra.Command {
	var f importFlags
	var seller, channels string
	c := &cobra.Command{
		Use:   "carrier FILE.csv",
		Short: "Import a carrier's list of numbers it blocks",
		Long: `Import a carrier's list of numbers that stopped, as toll-free and short-code carriers
keep it: their STOP may never have reached you. Each row becomes a stop of the seller,
or of all sellers if none is named. A column of the number is enough; blocked_at says
since when, else the stop counts from now. The same file again adds nothing.`,
		Example: "  consent import carrier blocked.csv --seller acme --channel sms",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			set := []string{"kind: consent_revoked", "method: carrier", "source: carrier"}
			for field, value := range map[string]string{"seller": seller, "channels": channels} {
				if value != "" {
					set = append(set, fmt.Sprintf("%s: %q", field, value))
				}
			}
			f.table = carrierMap + "set: {" + strings.Join(set, ", ") + "}\n"
			return g.with(c, func(ctx context.Context, cl *client.Client) error { return g.importFacts(ctx, c, cl, args[0], f) })
		},
	}
	f.addTo(c)
	c.Flags().StringVar(&seller, "seller", "", "the seller they stopped; default all")
	c.Flags().StringVar(&channels, "channel", "", "the channels they stopped; default all")
	return c
}

// addTo gives a verb the flags it shares with import facts.
func (f *importFlags) addTo(c *cobra.Command) {
	c.Flags().StringVar(&f.mapFile, "map", "", "YAML that renames columns and words, instead of the map of this kind of file")
	c.Flags().StringVar(&f.rejects, "rejects", "", "CSV file for rows that were not recorded; overwritten")
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "say what would happen; record nothing")
}
