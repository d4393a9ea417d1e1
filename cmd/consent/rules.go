package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/consent-ledger/consent-ledger/projections/rules"
	"github.com/consent-ledger/consent-ledger/projections/rules/calendar"
	"github.com/consent-ledger/consent-ledger/projections/rules/cases"
)

func rulesCommand(g *globals) *cobra.Command {
	c := &cobra.Command{Use: "rules", Short: "Show, test and publish the rules decisions are made by",
		Long: "Show, test and publish the rule packs decisions are made by: typed data with a citation on every rule.\nThis is no legal advice."}
	c.AddCommand(rulesListCommand(g), rulesShowCommand(g), rulesTestCommand(g), publishCommand(g), withdrawCommand(g))
	return c
}

func rulesListCommand(g *globals) *cobra.Command {
	var fromServer bool
	c := &cobra.Command{Use: "list", Short: "List the rule packs", Args: cobra.NoArgs,
		Long: "List the rule packs that come with the program, or with --published the newest publication of each\nin a server's ledger: sellers' own packs too, and those that were withdrawn."}
	c.RunE = func(c *cobra.Command, _ []string) error {
		if fromServer {
			return g.listPublished(c)
		}
		packs, err := rules.Embedded()
		if err != nil {
			return err
		}
		if !g.human() {
			var docs [][]byte
			for _, l := range packs.List() {
				doc, err := jsonOf(l)
				if err != nil {
					return err
				}
				docs = append(docs, doc)
			}
			return g.list(c.OutOrStdout(), docs)
		}
		rows := [][]string{{"PACK", "VERSION", "LAYER", "APPLIES", "RULES", "LAW AS OF", "SHA-256"}}
		for _, l := range packs.List() {
			rows = append(rows, []string{l.ID, l.Version, string(l.Layer), l.Applies, strconv.Itoa(l.Rules), l.KnownAsOf, l.SHA256[:16]})
		}
		return table(c.OutOrStdout(), rows)
	}
	c.Flags().BoolVar(&fromServer, "published", false, "ask the server what its ledger holds")
	return c
}

func rulesShowCommand(g *globals) *cobra.Command {
	var on string
	var fromServer bool
	c := &cobra.Command{Use: "show PACK", Short: "Show a rule pack as a page to read", Args: cobra.ExactArgs(1),
		Long:    "Show a rule pack that comes with the program as a page a lawyer can check; with --published\none of a server's ledger, such as a seller's own. With --on only the rules in force on that day,\nand those of the packs that hold there too by name.",
		Example: "  consent rules show US-FL --on 2026-01-01\n  consent rules show baseline -o json",
		RunE: func(c *cobra.Command, args []string) error {
			packs, err := rules.Embedded()
			if err != nil {
				return err
			}
			id := strings.ToLower(args[0])
			p := packs.Get(id)
			if fromServer {
				if packs, p, err = g.fetchPack(c, id, packs); err != nil {
					return err
				}
			}
			if p == nil {
				return usageError(fmt.Errorf("rules show: no pack %q; see: consent rules list, or list --published", safe(args[0])))
			}
			day := calendar.MinDate
			if on != "" {
				if day, err = calendar.ParseDate(on); err != nil {
					return usageError(errors.New("rules show: --on must be a day, YYYY-MM-DD"))
				}
			}
			page := packs.Page(p, day)
			if g.human() {
				_, err := io.WriteString(c.OutOrStdout(), page.String())
				return err
			}
			doc, err := jsonOf(page)
			if err != nil {
				return err
			}
			return g.document(c.OutOrStdout(), doc)
		}}
	c.Flags().StringVar(&on, "on", "", "the day, YYYY-MM-DD; default rules of all times")
	c.Flags().BoolVar(&fromServer, "published", false, "ask the server for the pack its ledger holds")
	return c
}

// ruling is the outcome of one case in JSON.
type ruling struct {
	ID       string   `json:"id"`
	Line     int      `json:"line"`
	Expected string   `json:"expected"`
	Reason   string   `json:"reason"`
	Passed   bool     `json:"passed"`
	Verdict  string   `json:"verdict"`
	Reasons  []string `json:"reasons"`
	Citation string   `json:"citation"`
	// Error is why the case could not be decided.
	Error string `json:"error,omitempty"`
}

func rulesTestCommand(g *globals) *cobra.Command {
	var file, folder string
	c := &cobra.Command{Use: "test", Short: "Run cases through the rule packs", Args: cobra.NoArgs,
		Long: "Decide every case of a file with the rule packs, through the same facts and the same fold as a server.\n" +
			"It prints each failure and then one line: N passed, M failed. It needs no server.\n" +
			"Without --cases it runs the cases that come with the packs; their files show the columns\nand the facts. DENY there is what an answer calls BLOCK.",
		Example: "  consent rules test --cases cases.csv",
		RunE: func(c *cobra.Command, _ []string) error {
			packs, err := packsIn(folder)
			if err != nil {
				return err
			}
			all, err := casesIn(file, packs)
			if err != nil {
				return err
			}
			return g.runCases(c.OutOrStdout(), all, packs)
		}}
	c.Flags().StringVar(&file, "cases", "", "the cases, a CSV file; default those that come with the packs")
	c.Flags().StringVar(&folder, "packs", "", "a folder of packs, *.yaml; default those that come with the program")
	return c
}

// packsIn reads a folder of packs; empty: the embedded ones.
func packsIn(folder string) (*rules.Packs, error) {
	if folder == "" {
		return rules.Embedded()
	}
	return rules.Load(os.DirFS(folder))
}

// casesIn reads a file of cases; empty: those beside the embedded packs.
func casesIn(file string, packs *rules.Packs) ([]cases.Case, error) {
	if file != "" {
		f, err := os.Open(file)
		if err != nil {
			var path *fs.PathError
			if errors.As(err, &path) {
				err = path.Err
			}
			return nil, usageError(fmt.Errorf("rules test: --cases: %w", err))
		}
		defer f.Close()
		return cases.ReadAll(f)
	}
	var all []cases.Case
	for _, p := range packs.All() {
		raw, err := rules.EmbeddedCases(p.ID)
		if err != nil {
			return nil, err
		}
		some, err := cases.Read(strings.NewReader(string(raw)))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.ID, err)
		}
		all = append(all, some...)
	}
	return all, nil
}

// runCases decides all cases and says which failed. A case that cannot be decided
// has failed.
func (g *globals) runCases(w io.Writer, all []cases.Case, packs *rules.Packs) error {
	var docs [][]byte
	failed := 0
	for i := range all {
		c := &all[i]
		out := ruling{ID: c.ID, Line: c.Line, Expected: cases.Word(c.Expected), Reason: c.Reason, Citation: c.Citation}
		r, err := c.Run(packs)
		if err != nil {
			out.Error = err.Error()
		} else {
			out.Passed, out.Verdict, out.Reasons = r.Passed, cases.Word(r.Decision.GetVerdict()), r.Codes()
		}
		if !out.Passed {
			failed++
		}
		switch {
		case !g.human():
			doc, err := jsonOf(out)
			if err != nil {
				return err
			}
			docs = append(docs, doc)
		case err != nil:
			fmt.Fprintf(w, "FAIL line %d: %v\n", c.Line, err)
		case !r.Passed:
			fmt.Fprintf(w, "FAIL line %d: %s\n", c.Line, r)
		}
	}
	if g.human() {
		fmt.Fprintf(w, "%d passed, %d failed\n", len(all)-failed, failed)
	} else if err := g.list(w, docs); err != nil {
		return err
	}
	if failed > 0 || len(all) == 0 {
		return &exitError{code: exitFailed}
	}
	return nil
}
