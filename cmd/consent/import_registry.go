package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	"github.com/consent-ledger/consent-ledger/consumers/lists"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// listFlags of import registry.
type listFlags struct {
	list      lists.List
	plan      consentv1.RegistryPlan
	fetchedAt string
	maxBad    float64
	// shrunk and empty are areas of which it is accepted.
	shrunk, empty []string
}

func importRegistryCommand(g *globals) *cobra.Command {
	var f listFlags
	c := &cobra.Command{
		Use:   "registry --registry R FILE…",
		Short: "Import a registry's list",
		Long: `Import a registry's list, such as the national Do-Not-Call list. All files together
are one version of the list. The day of the list counts, not that of the import: an
over-age list blocks. Without --licensee it serves all sellers.

Forms: flat (the FTC's lists, us_…), tps (the UK's, uk_…), csv (any other list with
a column of numbers). A file may be zipped. With --base-date the files are a change
list, which must follow the newest version that is loaded. An import that broke off
goes on where it was when it is run again.

A list says of every number that it covers and does not hold that it may be called,
so what it covers is never guessed: a list of +1 covers the area codes that its files'
names or --area-code say, or its --whole-country. A file without numbers, of another
area code than its name says, or that would open more than a tenth of the numbers of
an area code that are blocked now, is refused. Who knows that it is right in an area
names it (--accept-empty 305, --accept-shrunk 305,720), so that what went wrong in another
is still refused. Forms, coverage and what is refused: docs/reference/registry.md.`,
		Example: `  consent import registry --registry us_national_dnc 2026-11-9_212_3f2a0c.txt.zip 2026-11-9_415_77d1.txt.zip
  consent import registry --registry us_national_dnc --base-date 2026-11-09 2026-11-10_US_3f2a0d.txt
  consent import registry --registry uk_tps --version-date 2026-11-01 tps.txt
  consent import registry --registry us_tx_no_call --format csv --version-date 2026-10-01 --column phone --whole-country texas.csv
  consent import registry --registry au_dncr --wash unlisted --version-date 2026-11-20 --submitted sent.csv answer.csv`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := f.complete(g, c, args); err != nil {
				return err
			}
			return g.with(c, func(ctx context.Context, cl *client.Client) error { return g.importRegistry(ctx, c, cl, &f, args) })
		},
	}
	s := c.Flags()
	s.StringVar(&f.list.Registry, "registry", "", "the list: us_national_dnc, uk_tps …")
	s.StringVar(&f.list.VersionDate, "version-date", "", "the day of the list, YYYY-MM-DD; default: from the file's name")
	s.StringSliceVar(&f.list.Licensees, "licensee", nil, "sellers licensed for it; default all")
	s.StringVar(&f.plan.Format, "format", "", "flat, tps or csv; default: as the registry writes its lists")
	s.StringVar(&f.plan.BaseDate, "base-date", "", "it is a change list: the day of the version, or versions, that it follows, YYYY-MM-DD")
	s.StringVar(&f.plan.Wash, "wash", "", "it is the answer of a washing service and holds: listed, unlisted or removed (the list sent without those listed)")
	s.StringSliceVar(&f.list.Submitted, "submitted", nil, "files that were sent to the washing service")
	s.StringVar(&f.plan.Publisher, "publisher", "", "who publishes it")
	s.StringVar(&f.plan.Subscription, "subscription", "", "a name of yours for the account under which it was fetched")
	s.StringVar(&f.fetchedAt, "fetched-at", "", "when it was fetched; default: the time of the newest file")
	s.StringVar(&f.plan.Column, "column", "", "csv: the column of numbers; default the only one, or one of a usual name")
	s.StringVar(&f.plan.ChangeColumn, "change-column", "", "csv: the column of a change list that says A (added) or D (deleted)")
	s.StringVar(&f.plan.Delimiter, "delimiter", "", "csv: the character between columns; default as in the first line")
	s.StringSliceVar(&f.plan.AreaCodes, "area-code", nil, "area codes covered besides those that the files' names say")
	s.BoolVar(&f.plan.WholeCountry, "whole-country", false, "the list covers every area code of its country")
	s.Float64Var(&f.maxBad, "max-bad", 1, "lines, in percent, that may be unreadable; more refuse the list")
	s.Uint64Var(&f.plan.ExpectRows, "expect-rows", 0, "how many numbers the files hold; any other number refuses the list")
	s.StringSliceVar(&f.shrunk, "accept-shrunk", nil, "areas of which it may open more than a tenth of the numbers that are blocked now, as the "+
		"refusal names them (305,720); or all")
	s.StringSliceVar(&f.empty, "accept-empty", nil, "areas that it may cover without a number (305, +44); or all")
	return needs(c, "registry")
}

// complete reads flags that need it.
func (f *listFlags) complete(g *globals, c *cobra.Command, paths []string) error {
	f.list.Plan, f.plan.Region = &f.plan, g.region
	if c.Flags().Changed("max-bad") {
		f.plan.BadShareMax = &f.maxBad
	}
	if !(f.maxBad >= 0 && f.maxBad <= 100) { // no number is neither
		return usagef("--max-bad: a share in percent, 0 to 100")
	}
	if len(f.plan.Delimiter) > 1 {
		return usagef("--delimiter: one character")
	}
	var err error
	if f.plan.AcceptShrunk, f.plan.AcceptShrunkAreas, err = acceptedAreas("accept-shrunk", f.shrunk); err != nil {
		return err
	}
	if f.plan.AcceptEmpty, f.plan.AcceptEmptyAreas, err = acceptedAreas("accept-empty", f.empty); err != nil {
		return err
	}
	if f.plan.FetchedAt, err = instant("fetched-at", f.fetchedAt); err != nil || f.plan.FetchedAt != nil {
		return err
	}
	var newest time.Time
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil && info.ModTime().After(newest) && info.ModTime().Before(time.Now()) {
			newest = info.ModTime()
		}
	}
	if !newest.IsZero() {
		f.plan.FetchedAt = timestamppb.New(newest)
	}
	return nil
}

// areaWord is an area code of +1, or the first digits of other numbers.
var areaWord = regexp.MustCompile(`^([2-9][0-9]{2}|\+[1-9][0-9]{0,2})$`)

// acceptedAreas reads a flag that names areas, or all.
func acceptedAreas(flag string, words []string) (all bool, areas []string, err error) {
	for _, word := range words {
		switch {
		case word == "all":
			all = true
		case areaWord.MatchString(word):
			areas = append(areas, word)
		default:
			return false, nil, usagef("--%s: %q is no area; name those of the refusal, such as 305,720 or +44, or say all", flag, safe(word))
		}
	}
	if all && areas != nil {
		return false, nil, usagef("--%s: name areas, or say all, not both", flag)
	}
	return all, areas, nil
}

func (g *globals) importRegistry(ctx context.Context, c *cobra.Command, cl *client.Client, f *listFlags, paths []string) error {
	f.list.Paths = paths
	res, err := lists.Send(ctx, cl, &f.list, func(what string, total int64) (func(int64), func()) {
		p := newProgress(c.ErrOrStderr(), what, total)
		return func(done int64) { p.to(done, 0) }, p.finish
	})
	if err != nil {
		if errors.Is(err, client.ErrUnreachable) || errors.Is(err, client.ErrNotReady) {
			err = &hinted{err, "run the same command again: it goes on where it broke off"}
		}
		return err
	}
	return g.writeLoaded(c, f.list.Registry, res)
}

func (g *globals) writeLoaded(c *cobra.Command, registry string, res *consentv1.LoadRegistryResponse) error {
	stderr := c.ErrOrStderr()
	if lines := res.GetMalformedLines(); len(lines) > 0 {
		fmt.Fprintf(stderr, "consent: unreadable lines: %d\n", lines)
	}
	if n := res.GetWithoutEffect(); n > 0 {
		fmt.Fprintf(stderr, "consent: %d changes change nothing: the number was on the list already, or was not on it\n", n)
	}
	if at := res.GetReplacesPosition(); at > 0 {
		fmt.Fprintf(stderr, "consent: it takes the place of position %d, which is of the same day and holds something else\n", at)
	}
	for _, notice := range res.GetNotices() {
		fmt.Fprintf(stderr, "consent: %s\n", notice)
	}
	if !g.human() {
		return g.document(c.OutOrStdout(), messageJSON(res))
	}
	change := ""
	if res.GetAdded()+res.GetRemoved() > 0 {
		change = fmt.Sprintf(", %d added, %d removed", res.GetAdded(), res.GetRemoved())
	}
	if n := res.GetVersions(); n > 1 {
		change += fmt.Sprintf(", in %d versions", n)
	}
	how := "recorded"
	if res.GetReceipt().GetDuplicate() {
		how = "recorded before"
	}
	_, err := fmt.Fprintf(c.OutOrStdout(), "%s of %s: %d numbers, %d lines that could not be read%s; %s at position %d\n",
		registry, res.GetVersionDate(), res.GetRows(), res.GetMalformed(), change, how, res.GetReceipt().GetPosition())
	return err
}
