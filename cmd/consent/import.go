package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	"github.com/consent-ledger/consent-ledger/consumers/crm"
	"github.com/consent-ledger/consent-ledger/ledger/zones"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

func importCommand(g *globals) *cobra.Command {
	c := &cobra.Command{Use: "import", Short: "Import facts of a customer system, or a registry's list"}
	c.AddCommand(importFactsCommand(g), importRegistryCommand(g), importRNDCommand(g), importCarrierCommand(g))
	return c
}

// importFlags of import facts.
type importFlags struct {
	mapFile, rejects   string
	historical, dryRun bool
	// table is the map of a kind of file the program knows; mapFile goes before it.
	table string
}

func importFactsCommand(g *globals) *cobra.Command {
	var f importFlags
	c := &cobra.Command{
		Use:   "facts FILE.{csv,jsonl}",
		Short: "Import facts of a customer system",
		Long: `Import facts of a customer system. A row that cannot be recorded goes to --rejects
with its line and the reason; good rows are kept. The same file again adds nothing,
so after any failure import it again. Columns: docs/reference/csv.md.`,
		Example: `  consent import facts consents.csv --rejects rejects.csv
  consent import facts export.csv --map hubspot.yaml --default-region GB --dry-run
  consent import facts old-list.csv --historical`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return g.with(c, func(ctx context.Context, cl *client.Client) error { return g.importFacts(ctx, c, cl, args[0], f) })
		},
	}
	c.Flags().StringVar(&f.mapFile, "map", "", "YAML that renames columns and words")
	c.Flags().StringVar(&f.rejects, "rejects", "", "CSV file for rows that were not recorded; overwritten")
	c.Flags().BoolVar(&f.historical, "historical", false, "taken over from older records: every revocation that is not historical itself beats these grants")
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "say what would happen; record nothing")
	return c
}

// apart refuses to write over what is read: the rest of it would be lost unread, and
// the import end as if it had been whole.
func (f *importFlags) apart(path string) error {
	out, err := os.Stat(f.rejects)
	if err != nil {
		return nil // it is not there yet
	}
	for _, read := range []string{path, f.mapFile} {
		if in, err := os.Stat(read); err == nil && os.SameFile(in, out) {
			return usagef("--rejects would overwrite %s, which is read; name another file", filepath.Base(read))
		}
	}
	return nil
}

func (g *globals) importFacts(ctx context.Context, c *cobra.Command, cl *client.Client, path string, f importFlags) (err error) {
	r, err := openFacts(g, path, f)
	if err != nil {
		return err
	}
	defer r.Close()
	sender := cl.NewSender(ctx, client.SenderOptions{DefaultRegion: g.region, DryRun: f.dryRun})
	defer sender.Close()
	if _, err := sender.Send(ctx, nil); err != nil {
		return err // no server, or a wrong key: said at once, not after eight attempts
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	p := newProgress(c.ErrOrStderr(), "imported", info.Size())
	o := crm.ImportOptions{Progress: func(at crm.Progress) { p.to(at.Bytes, at.Rows) }}
	if f.rejects != "" {
		if err := f.apart(path); err != nil {
			return err
		}
		out, err := os.Create(f.rejects)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, out.Close()) }()
		if o.Rejects, err = crm.NewRejects(out, r.Header()); err != nil {
			return err
		}
	}
	sum, err := crm.Import(ctx, r, factSender{sender}, o)
	p.finish()
	if werr := g.writeSummary(c, sum, f); werr != nil && err == nil {
		err = werr
	}
	if err == nil && sum.Rejected > 0 && sum.Added+sum.Duplicates+sum.Inbox == 0 {
		err = errors.New("no row could be recorded")
		if f.rejects == "" {
			err = &hinted{err, "name a file with --rejects to see why"}
		}
	}
	return err
}

func openFacts(g *globals, path string, f importFlags) (*crm.Reader, error) {
	o := crm.Options{DefaultRegion: g.region, Historical: f.historical}
	text := []byte(f.table)
	if f.mapFile != "" {
		var err error
		if text, err = os.ReadFile(f.mapFile); err != nil {
			return nil, err
		}
	}
	if len(text) > 0 {
		var err error
		if o.Map, err = crm.ParseMap(text, zones.Load); err != nil {
			return nil, fmt.Errorf("%s: %w", firstOf(f.mapFile, "map"), err)
		}
	}
	return crm.Open(path, o)
}

func (g *globals) writeSummary(c *cobra.Command, sum crm.Summary, f importFlags) error {
	if sum.Rejected > 0 && f.rejects == "" {
		fmt.Fprintf(c.ErrOrStderr(), "consent: %d of %d rows cannot be recorded\nconsent: hint: import the same file again with --rejects OUT to see why; nothing is added twice\n", sum.Rejected, sum.Rows)
	}
	if sum.Inbox > 0 && !f.dryRun {
		fmt.Fprintf(c.ErrOrStderr(), "consent: %d possible stops must be read by a person\nconsent: hint: consent inbox list\n", sum.Inbox)
	}
	if !g.human() {
		doc, err := jsonOf(sum)
		if err != nil {
			return err
		}
		return g.document(c.OutOrStdout(), doc)
	}
	added := "added"
	if f.dryRun {
		added = "would be added"
	}
	_, err := fmt.Fprintf(c.OutOrStdout(), "%d rows: %d %s, %d recorded before, %d rejected, %d in the inbox, %d unknown\n",
		sum.Rows, sum.Added, added, sum.Duplicates, sum.Rejected, sum.Inbox, sum.Unknown)
	return err
}

// factSender fits the client's sender to crm's: what another attempt cannot mend
// ends the import, and an outcome that says "not now" or "nobody knows" is no
// outcome yet.
type factSender struct{ *client.Sender }

func (s factSender) Send(ctx context.Context, facts []*consentv1.Fact) ([]*consentv1.Outcome, error) {
	out, err := s.Sender.Send(ctx, facts)
	if errors.Is(err, client.ErrKey) || errors.Is(err, client.ErrInvalid) || errors.Is(err, client.ErrDamaged) {
		return nil, fmt.Errorf("%w: %w", crm.ErrPermanent, err)
	}
	for i, o := range out {
		switch o.GetRefusal().GetCode() {
		case "NOT_READY", "INTERNAL":
			out[i] = &consentv1.Outcome{}
		case "LEDGER_INTEGRITY":
			return nil, fmt.Errorf("%w: %w", crm.ErrPermanent, client.RefusalError(o.GetRefusal()))
		}
	}
	return out, err
}
