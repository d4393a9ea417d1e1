package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	"github.com/consent-ledger/consent-ledger/consumers/scrub"
)

func scrubCommand(g *globals) *cobra.Command {
	var f questionFlags
	var o scrub.Options
	var count bool
	c := &cobra.Command{
		Use:   "scrub IN.csv OUT.csv (--campaign C | --seller S --channel c --purpose p)",
		Short: "Ask about every row of a list",
		Long: `Ask about every row of a CSV file with a header: the whole decision, not only whether
the number is on a list. OUT gets every row, byte for byte, and behind its columns

  verdict          ALLOW or BLOCK; dial nothing but ALLOW
  reasons          why it is BLOCK, separated by ;
  basis            what makes an ALLOW lawful
  next_allowed_at  the first instant known at which it would be ALLOW
  position         everything recorded up to here was counted
  lists, packs     the versions of lists and rules that were used

A row whose number cannot be read, that has a bad quote or more fields than the header,
is BLOCK and counts as invalid; surplus fields follow behind ours. No row is dropped.

- is standard input or output. gzip and zstd are read as they come, and written if OUT
ends in .gz or .zst. OUT appears only when it is whole. Until then OUT.part holds what
is done, and the same command goes on from there, within an hour and if nothing has
changed; --restart begins anew.

All rows are judged at one instant (now, or --at) and, within five minutes, at one
position. A scrub ages from that moment: dial from it today, not next week. It reserves
nothing: where a cap limits the contact, check --reserve before each call.

A cell that begins with = + - @ may be run by a spreadsheet. Ours never do; those of
the list are passed on as they are, unless --neutralise-formulas puts an apostrophe
before them (not before plain numbers such as +1 202 555 0143).

--explain-counts writes no rows, and takes no OUT: it says how many rows would ever be
ALLOW, and what blocks the others. The exit code is 0 whatever the verdicts.`,
		Example: `  consent scrub leads.csv leads-scrubbed.csv --campaign spring
  consent scrub leads.csv.gz out.csv.zst --campaign spring --at 2026-07-01T15:00:00-04:00
  consent scrub leads.csv out.csv --seller acme --channel voice_live --purpose marketing --column 'Mobile Phone'
  mysql … | consent scrub - - --campaign spring | grep ,ALLOW, > dial.csv
  consent scrub leads.csv --campaign spring --explain-counts`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			out := ""
			switch {
			case count && len(args) == 2:
				return usagef("--explain-counts writes no rows: leave out %s", args[1])
			case !count && len(args) == 1:
				return usagef("where do the rows go? Name OUT.csv, or - for standard output; or count only with --explain-counts")
			case !count:
				out = args[1]
			}
			var err error
			if o.Question, err = f.question(); err != nil {
				return err
			}
			return g.with(c, func(ctx context.Context, cl *client.Client) error { return g.scrub(ctx, c, cl, args[0], out, o) })
		},
	}
	f.add(c)
	c.Flags().StringVar(&o.Column, "column", "", "the column with the numbers; default: phone, number or the like, or the only one")
	c.Flags().BoolVar(&o.Neutralise, "neutralise-formulas", false, "put ' before cells of the list that a spreadsheet would run")
	c.Flags().BoolVar(&o.Restart, "restart", false, "begin anew where an earlier scrub into OUT broke off")
	c.Flags().BoolVar(&count, "explain-counts", false, "write no rows; say how many would ever be ALLOW, and what blocks the others")
	return c
}

// scrub scrubs and says what came of it: on standard output, unless the rows are
// there; for people beside the rows.
func (g *globals) scrub(ctx context.Context, c *cobra.Command, cl *client.Client, in, out string, o scrub.Options) error {
	stderr := c.ErrOrStderr()
	o.Region, o.Server, o.Stdin, o.Stdout = g.region, firstOf(g.server, os.Getenv(envServer), client.ServerDefault), c.InOrStdin(), c.OutOrStdout()
	o.Say = func(text string) { fmt.Fprintln(stderr, "consent:", masked(text)) }
	var p *progress
	o.Progress = func(bytes, total int64, rows int) {
		if p == nil {
			p = newProgress(stderr, "scrubbed", total)
		}
		p.to(bytes, rows)
	}
	sum, err := scrub.Files(ctx, cl.Decisions, in, out, o)
	if p != nil {
		p.finish()
	}
	var list *scrub.ListError
	if errors.As(err, &list) {
		return usageError(&hinted{errors.New(list.Problem), list.Fix})
	}
	if err != nil {
		return err
	}
	w := stderr
	if out == "" || !g.human() && out != scrub.Standard {
		w = c.OutOrStdout()
	}
	if !g.human() {
		doc, err := jsonOf(sum)
		if err != nil {
			return err
		}
		return g.document(w, doc)
	}
	return writeScrubSummary(w, sum, out == "")
}

// writeScrubSummary says what came of a scrub. If rows were only counted, it is about
// whether they would ever be allowed, not about this instant.
func writeScrubSummary(w io.Writer, s *scrub.Summary, ever bool) error {
	fmt.Fprintf(w, "%d rows: %d ALLOW, %d BLOCK (%d of them with a number that cannot be read)", s.Rows, s.Allow, s.Block, s.Invalid)
	if s.Position > 0 {
		fmt.Fprintf(w, "; true at position %d", s.Position)
		if s.PositionLast != s.Position {
			fmt.Fprintf(w, " to %d", s.PositionLast)
		}
		fmt.Fprintf(w, ", for %s", s.From.UTC().Format(time.RFC3339))
	}
	fmt.Fprintln(w)
	if ever {
		fmt.Fprintf(w, "%d would ever be ALLOW: %d at that instant, %d later; %d never, as things are\n", s.Allow+s.Later, s.Allow, s.Later, s.Block-s.Later)
	}
	var rows [][]string
	if ever {
		rows = [][]string{{"BLOCKED BY", "ROWS", "OF THEM FOR GOOD", "BY THIS ALONE"}}
	} else {
		rows = [][]string{{"BLOCKED BY", "ROWS", "BY THIS ALONE"}}
	}
	for _, code := range s.ByRows() {
		b := s.Reasons[code]
		row := []string{code, fmt.Sprint(b.Rows), fmt.Sprint(b.Never), fmt.Sprint(b.Alone)}
		if !ever {
			row = slices.Delete(row, 2, 3)
		}
		rows = append(rows, row)
	}
	if len(rows) > 1 {
		if err := table(w, rows); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "lists: %s\nrules: %s\n", strings.Join(s.Lists, ", "), strings.Join(s.Packs, ", "))
	return err
}
