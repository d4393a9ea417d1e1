package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

const (
	scrubBatch    = 5000 // numbers a message; the contract takes 10,000
	scrubInFlight = 8    // batches asked and not yet written
)

// scrubColumns are added to each row.
var scrubColumns = []string{"verdict", "reasons", "basis", "next_allowed_at", "position"}

// scrubSummary counts rows. Invalid ones, whose number cannot be read, are among block.
type scrubSummary struct {
	Rows    int `json:"rows"`
	Allow   int `json:"allow"`
	Block   int `json:"block"`
	Invalid int `json:"invalid"`
}

func scrubCommand(g *globals) *cobra.Command {
	var f questionFlags
	var column string
	c := &cobra.Command{
		Use:   "scrub IN.csv OUT.csv (--campaign C | --seller S --channel c --purpose p)",
		Short: "Ask about every row of a list",
		Long: `Ask about every row of a CSV file with a header. OUT gets every row with the columns
verdict, reasons, basis, next_allowed_at and position added. It appears only when it
is whole. A row whose number cannot be read, or that has a bad quote or more fields
than the header, is BLOCK and counts as invalid too; surplus fields follow behind ours.
The exit code is 0 whatever the verdicts.`,
		Example: `  consent scrub leads.csv leads-scrubbed.csv --campaign spring
  consent scrub leads.csv out.csv --seller acme --channel voice_live --purpose marketing --column 'Mobile Phone'`,
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			q, err := f.question()
			if err != nil {
				return err
			}
			return g.with(c, func(ctx context.Context, cl *client.Client) error {
				s := scrub{g: g, question: q, column: column, stderr: c.ErrOrStderr()}
				if err := s.files(ctx, cl, args[0], args[1]); err != nil {
					return err
				}
				if !g.human() {
					doc, err := jsonOf(s.sum)
					if err != nil {
						return err
					}
					return g.document(c.OutOrStdout(), doc)
				}
				_, err := fmt.Fprintf(c.OutOrStdout(), "%d rows: %d ALLOW, %d BLOCK (%d of them with a number that cannot be read)\n",
					s.sum.Rows, s.sum.Allow, s.sum.Block, s.sum.Invalid)
				return err
			})
		},
	}
	f.add(c)
	c.Flags().StringVar(&column, "column", "", "the column with the numbers; default: phone, number or the like, or the only one")
	return c
}

// scrub is one run over one file.
type scrub struct {
	g        *globals
	question *consentv1.Question
	column   string
	stderr   io.Writer
	sum      scrubSummary
	told     bool // of a bad row
}

// files opens both files. What is written so far becomes OUT only at the end: half
// a list must not look like a whole one.
func (s *scrub) files(ctx context.Context, cl *client.Client, in, out string) error {
	src, err := os.Open(in)
	if err != nil {
		return err
	}
	defer src.Close()
	return replaceFile(out, func(w io.Writer) error {
		info, err := src.Stat()
		if err != nil {
			return err
		}
		counted := &countingReader{Reader: src}
		p := newProgress(s.stderr, "scrubbed", info.Size())
		defer p.finish()
		return s.run(ctx, cl, counted, w, func() { p.to(counted.n.Load(), s.sum.Rows) })
	})
}

// run keeps three hands busy: one reads and asks, the server answers, one writes.
func (s *scrub) run(ctx context.Context, cl *client.Client, in io.Reader, out io.Writer, tick func()) error {
	r := newListReader(in)
	header, err := r.header()
	if err != nil {
		return err
	}
	at, err := s.phoneColumn(header)
	if err != nil {
		return err
	}
	w := csv.NewWriter(bufio.NewWriterSize(out, 1<<20))
	if err := w.Write(slices.Concat(header, scrubColumns)); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream := cl.Decisions.Scrub(ctx)
	// net/http does not look at a request's context while it waits for its body.
	defer context.AfterFunc(ctx, func() { _ = stream.CloseRequest() })()
	asked := make(chan []listRow, scrubInFlight)
	group.Go(func() error { return s.ask(ctx, r, at, stream, asked) })
	group.Go(func() error { return s.answer(stream, asked, w, len(header), tick) })
	err = group.Wait()
	cancel()
	_ = stream.CloseResponse() // every row is answered, or err says more
	if err != nil {
		return err
	}
	w.Flush()
	return w.Error()
}

// phoneColumn finds the column with the numbers.
func (s *scrub) phoneColumn(header []string) (int, error) {
	names := []string{"phone", "number", "phone_number", "phonenumber", "mobile", "mobile_phone", "msisdn", "telephone", "cell"}
	if s.column != "" {
		names = []string{s.column}
	}
	for _, name := range names {
		named := func(h string) bool { return plainColumn(h) == plainColumn(name) }
		at := slices.IndexFunc(header, named)
		if at >= 0 && slices.ContainsFunc(header[at+1:], named) {
			return 0, usagef("two columns are named %q; rename the one without the numbers", safe(name))
		}
		if at >= 0 {
			return at, nil
		}
	}
	if s.column == "" && len(header) == 1 {
		return 0, nil
	}
	names = make([]string, len(header))
	for i, h := range header {
		names[i] = safe(h) // a list without a header has numbers here
	}
	return 0, usageError(&hinted{errors.New("no column holds the numbers, as far as the header says"),
		fmt.Sprintf("name it with --column; there are: %q", names)})
}

// ask sends the numbers in batches, no further ahead than the channel is long.
func (s *scrub) ask(ctx context.Context, r *listReader, at int, stream *connect.BidiStreamForClient[consentv1.ScrubRequest, consentv1.ScrubResponse], asked chan<- []listRow) error {
	defer close(asked)
	defer func() { _ = stream.CloseRequest() }() // the answers say whether all arrived
	first := &consentv1.ScrubRequest{Question: s.question, DefaultRegion: s.g.region}
	for done := false; !done; {
		rows := make([]listRow, 0, scrubBatch)
		req := first
		if first = nil; req == nil {
			req = &consentv1.ScrubRequest{}
		}
		for len(rows) < scrubBatch {
			row, err := r.next()
			if errors.Is(err, io.EOF) {
				done = true
				break
			}
			if err != nil {
				return fmt.Errorf("read the list: %w", err)
			}
			number := "" // of a bad row: whose number would it be?
			if row.problem == "" && at < len(row.fields) {
				number = strings.ToValidUTF8(row.fields[at], "\ufffd")
			}
			rows, req.Numbers = append(rows, row), append(req.Numbers, number)
		}
		select {
		case asked <- rows:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := stream.Send(req); errors.Is(err, io.EOF) {
			return nil // the answers say why
		} else if err != nil {
			return err
		}
	}
	return nil
}

// answer writes each batch with its answers, in order.
func (s *scrub) answer(stream *connect.BidiStreamForClient[consentv1.ScrubRequest, consentv1.ScrubResponse], asked <-chan []listRow, w *csv.Writer, width int, tick func()) error {
	for rows := range asked {
		res, err := stream.Receive()
		if errors.Is(err, io.EOF) {
			return errors.New("the server ended the list before its end")
		}
		if err != nil {
			return err
		}
		if len(res.GetRows()) != len(rows) {
			return fmt.Errorf("%d rows were answered with %d", len(rows), len(res.GetRows()))
		}
		for i, row := range rows {
			a := res.GetRows()[i]
			if row.problem != "" {
				a = &consentv1.ScrubRow{Verdict: consentv1.Verdict_VERDICT_BLOCK, Reasons: []string{"NUMBER_INVALID"}, Invalid: true, Position: a.GetPosition()}
				s.tell(row)
			}
			s.count(a)
			if err := w.Write(annotated(row.fields, width, answerFields(a))); err != nil {
				return err
			}
		}
		tick()
	}
	return nil
}

// annotated puts the answer into its columns even if the row has fewer or more
// fields than the header; of more, the last ones follow behind.
func annotated(row []string, width int, answer []string) []string {
	out := slices.Clone(row[:min(width, len(row))])
	for len(out) < width {
		out = append(out, "")
	}
	return slices.Concat(out, answer, row[min(width, len(row)):])
}

// tell says of the first bad row what is wrong; the sum says how many there are.
func (s *scrub) tell(row listRow) {
	if !s.told {
		fmt.Fprintf(s.stderr, "consent: line %d %s. It is BLOCK, as is every row like it\n", row.line, row.problem)
	}
	s.told = true
}

func (s *scrub) count(a *consentv1.ScrubRow) {
	s.sum.Rows++
	if a.GetVerdict() == consentv1.Verdict_VERDICT_ALLOW {
		s.sum.Allow++
	} else {
		s.sum.Block++
	}
	if a.GetInvalid() {
		s.sum.Invalid++
	}
}

func answerFields(a *consentv1.ScrubRow) []string {
	next := ""
	if t := a.GetNextAllowedAt(); t != nil {
		next = t.AsTime().UTC().Format(time.RFC3339)
	}
	return []string{wordOf(a.GetVerdict().Descriptor(), a.GetVerdict().Number()), strings.Join(a.GetReasons(), ";"), a.GetBasis(), next, strconv.FormatUint(a.GetPosition(), 10)}
}

// replaceFile writes a file beside its place and moves it there when it is whole.
func replaceFile(path string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".part-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	if err := write(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
