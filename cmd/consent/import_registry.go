package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// listFlags of import registry.
type listFlags struct {
	file      consentv1.RegistryFile
	plan      consentv1.RegistryPlan
	submitted []string
	fetchedAt string
	maxBad    float64
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
goes on where it was when it is run again. Forms, coverage and what is refused:
docs/reference/registry.md.`,
		Example: `  consent import registry --registry us_national_dnc 2026-11-9_212_3f2a0c.txt.zip 2026-11-9_415_77d1.txt.zip
  consent import registry --registry us_national_dnc --base-date 2026-11-09 2026-11-10_US_3f2a0d.txt
  consent import registry --registry uk_tps --version-date 2026-11-01 tps.txt
  consent import registry --registry us_tx_no_call --format csv --version-date 2026-10-01 --column phone texas.csv
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
	s.StringVar(&f.file.Registry, "registry", "", "the list: us_national_dnc, uk_tps …")
	s.StringVar(&f.file.VersionDate, "version-date", "", "the day of the list, YYYY-MM-DD; default: from the file's name")
	s.StringSliceVar(&f.file.Licensees, "licensee", nil, "sellers licensed for it; default all")
	s.StringVar(&f.plan.Format, "format", "", "flat, tps or csv; default: as the registry writes its lists")
	s.StringVar(&f.plan.BaseDate, "base-date", "", "it is a change list: the day of the version it follows, YYYY-MM-DD")
	s.StringVar(&f.plan.Wash, "wash", "", "it is the answer of a washing service and holds: listed, unlisted or removed (the list sent without those listed)")
	s.StringSliceVar(&f.submitted, "submitted", nil, "files that were sent to the washing service")
	s.StringVar(&f.plan.Publisher, "publisher", "", "who publishes it")
	s.StringVar(&f.plan.Subscription, "subscription", "", "a name of yours for the account under which it was fetched")
	s.StringVar(&f.fetchedAt, "fetched-at", "", "when it was fetched; default: the time of the newest file")
	s.StringVar(&f.plan.Column, "column", "", "csv: the column of numbers; default the only one, or one of a usual name")
	s.StringVar(&f.plan.ChangeColumn, "change-column", "", "csv: the column of a change list that says A (added) or D (deleted)")
	s.StringVar(&f.plan.Delimiter, "delimiter", "", "csv: the character between columns; default as in the first line")
	s.StringSliceVar(&f.plan.AreaCodes, "area-code", nil, "area codes covered besides those that names and numbers show")
	s.BoolVar(&f.plan.WholeCountry, "whole-country", false, "the list covers every area code of its country")
	s.Float64Var(&f.maxBad, "max-bad", 1, "lines, in percent, that may be unreadable; more refuse the list")
	s.Uint64Var(&f.plan.ExpectRows, "expect-rows", 0, "how many numbers the files hold; any other number refuses the list")
	s.BoolVar(&f.plan.AcceptShrunk, "accept-shrunk", false, "the list may have lost more than a tenth of its numbers")
	return needs(c, "registry")
}

// complete reads flags that need it.
func (f *listFlags) complete(g *globals, c *cobra.Command, paths []string) error {
	f.file.Plan, f.plan.Region = &f.plan, g.region
	if c.Flags().Changed("max-bad") {
		f.plan.BadShareMax = &f.maxBad
	}
	if f.maxBad < 0 || f.maxBad > 100 {
		return usagef("--max-bad: a share in percent, 0 to 100")
	}
	if len(f.plan.Delimiter) > 1 {
		return usagef("--delimiter: one character")
	}
	var err error
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

// listFile is a file to be sent.
type listFile struct {
	path  string
	about *consentv1.RegistryFile
	size  int64
}

func (g *globals) importRegistry(ctx context.Context, c *cobra.Command, cl *client.Client, f *listFlags, paths []string) error {
	files, total, err := f.files(paths)
	if err != nil {
		return err
	}
	if err := hashFiles(c.ErrOrStderr(), files, total); err != nil {
		return err
	}
	if err := resume(ctx, cl, f.file.GetRegistry(), files); err != nil {
		return err
	}
	res, err := sendFiles(ctx, c.ErrOrStderr(), cl, files, total)
	if err != nil {
		if errors.Is(err, client.ErrUnreachable) {
			err = &hinted{err, "run the same command again: it goes on where it broke off"}
		}
		return err
	}
	return g.writeLoaded(c, f.file.GetRegistry(), res)
}

func (f *listFlags) files(paths []string) (files []*listFile, total int64, err error) {
	add := func(path string, submitted bool) error {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		about := &consentv1.RegistryFile{Registry: f.file.GetRegistry(), VersionDate: f.file.GetVersionDate(), Licensees: f.file.GetLicensees(),
			Name: filepath.Base(path), Submitted: submitted}
		if len(files) == 0 {
			about.Plan = &f.plan
		}
		files, total = append(files, &listFile{path, about, info.Size()}), total+info.Size()
		return nil
	}
	for _, path := range paths {
		if err := add(path, false); err != nil {
			return nil, 0, err
		}
	}
	for _, path := range f.submitted {
		if err := add(path, true); err != nil {
			return nil, 0, err
		}
	}
	return files, total, nil
}

// hashFiles names the files by their content: what arrives must be what was there
// when the import began.
func hashFiles(stderr io.Writer, files []*listFile, total int64) error {
	p, done := newProgress(stderr, "examined", total), int64(0)
	defer p.finish()
	for _, f := range files {
		r, err := os.Open(f.path)
		if err != nil {
			return err
		}
		sum := sha256.New()
		n, err := io.Copy(sum, &tellingReader{r, func(n int) { done += int64(n); p.to(done, 0) }})
		if err := errors.Join(err, r.Close()); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(f.path), err)
		}
		f.size, f.about.Sha256 = n, sum.Sum(nil)
	}
	return nil
}

type tellingReader struct {
	io.Reader
	tell func(n int)
}

func (r *tellingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.tell(n)
	return n, err
}

// resume asks what of the files the server has from an import that broke off.
func resume(ctx context.Context, cl *client.Client, registry string, files []*listFile) error {
	req := &consentv1.GetRegistryLoadRequest{Registry: registry}
	for _, f := range files {
		req.Sha256 = append(req.Sha256, f.about.GetSha256())
	}
	res, err := cl.Ledger.GetRegistryLoad(ctx, connect.NewRequest(req))
	if err != nil {
		return err
	}
	for i, f := range files {
		if i < len(res.Msg.GetStaged()) && int64(res.Msg.GetStaged()[i]) <= f.size {
			f.about.Offset = res.Msg.GetStaged()[i]
		}
	}
	return nil
}

// sendFiles hands the files over and waits until they are loaded.
func sendFiles(ctx context.Context, stderr io.Writer, cl *client.Client, files []*listFile, total int64) (*consentv1.LoadRegistryResponse, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream := cl.Ledger.LoadRegistry(ctx)
	p, sent := newProgress(stderr, "sent", total), int64(0)
	for _, f := range files {
		sent += int64(f.about.GetOffset())
		err := sendFile(f, func(req *consentv1.LoadRegistryRequest) error {
			sent += int64(len(req.GetChunk()))
			p.to(sent, 0)
			return stream.Send(req)
		})
		if errors.Is(err, io.EOF) {
			break // the answer says why
		}
		if err != nil {
			return nil, err
		}
	}
	p.finish()
	var res *connect.Response[consentv1.LoadRegistryResponse]
	ended := make(chan error, 1)
	go func() {
		var err error
		res, err = stream.CloseAndReceive()
		ended <- err
	}()
	if err := showReading(ctx, stderr, cl, files[0].about.GetRegistry(), total, ended); err != nil {
		return nil, err
	}
	return res.Msg, nil
}

// readingEvery is how often the server is asked how far it is.
const readingEvery = 500 * time.Millisecond

// showReading shows how far the server is with the files until it has ended.
func showReading(ctx context.Context, stderr io.Writer, cl *client.Client, registry string, total int64, ended <-chan error) error {
	p := newProgress(stderr, "read", total)
	defer p.finish()
	tick := time.NewTicker(readingEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-tick.C:
			res, err := cl.Ledger.GetRegistryLoad(ctx, connect.NewRequest(&consentv1.GetRegistryLoadRequest{Registry: registry}))
			if err == nil && res.Msg.GetLoading() { // that nobody knows how far it is stops nothing
				p.to(int64(res.Msg.GetBytesRead()), 0)
			}
		}
	}
}

const registryChunk = 1 << 20

// sendFile sends a file from its offset on; an empty one still sends its description.
func sendFile(file *listFile, send func(*consentv1.LoadRegistryRequest) error) error {
	f, err := os.Open(file.path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Seek(int64(file.about.GetOffset()), io.SeekStart); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(file.path), err)
	}
	about, buf := file.about, make([]byte, registryChunk)
	for {
		n, err := io.ReadFull(f, buf)
		if n > 0 || about != nil {
			if serr := send(&consentv1.LoadRegistryRequest{File: about, Chunk: buf[:n]}); serr != nil {
				return serr
			}
			about = nil
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(file.path), err)
		}
	}
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
	if !g.human() {
		return g.document(c.OutOrStdout(), messageJSON(res))
	}
	change := ""
	if res.GetAdded()+res.GetRemoved() > 0 {
		change = fmt.Sprintf(", %d added, %d removed", res.GetAdded(), res.GetRemoved())
	}
	_, err := fmt.Fprintf(c.OutOrStdout(), "%s of %s: %d numbers, %d lines that could not be read%s; recorded at position %d\n",
		registry, res.GetVersionDate(), res.GetRows(), res.GetMalformed(), change, res.GetReceipt().GetPosition())
	return err
}
