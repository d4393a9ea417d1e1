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
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/bundle"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

const exportLong = `Hand out the history of a number, of several numbers of one case, or of a seller, by
when it was recorded. The file's name tells the form:

  .zip    a bundle: the entries with proofs, the parts disclosed, a page to read, and
          a script that checks it all. Whoever has the ledger's public keys can check
          it without the ledger: consent verify FILE.zip --key ledger.keys
  .jsonl  JSON lines; - is standard output, in the same form
  .csv    a table

The file appears only when it is whole. --disclose says which personal parts the
reader may see: number, identity (name, e-mail), origin (IP address, page), words,
signature, all or none. A bundle discloses the number alone unless told otherwise;
the other forms open everything. What is withheld stays sealed in the bundle, and
its commitment with it: it can be disclosed later, and still be proven. What belongs
to an erased person stays sealed too, and nobody can open it any more.

Only a bundle that discloses its numbers proves that nothing about them is left out.
If the ledger asks witnesses (serve --policy), a bundle waits up to 25 seconds for
them; what is said of too few stands on stderr, and the exit code stays 0.

The export is itself recorded, with --purpose, --recipient and --case.`

func exportCommand(g *globals) *cobra.Command {
	var req consentv1.ExportRequest
	var from, to, out, disclose, since string
	c := &cobra.Command{
		Use:   "export (--number N… | --seller S) [--from T --to T] --out FILE.{zip,jsonl,csv}",
		Short: "Hand out a history, with proofs",
		Long:  exportLong,
		Example: `  consent export --number +12025550143 --out case.zip --disclose number,words,signature --purpose court_order --recipient 'Superior Court' --case EB-26-117
  consent export --number +12025550143 --number +12065550117 --out case.zip
  consent export --number +12025550143 --out later.zip --since case.zip
  consent export --seller acme --from 2026-01-01T00:00:00Z --to 2026-04-01T00:00:00Z --out q1.csv`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if (len(req.GetNumbers()) == 0) == (req.GetSeller() == "") {
				return usagef("name --number or --seller, one of them")
			}
			if req.From, err = instant("from", from); err != nil {
				return err
			}
			if req.To, err = instant("to", to); err != nil {
				return err
			}
			if req.From != nil && req.To != nil && !req.From.AsTime().Before(req.To.AsTime()) {
				return usagef("--from is not before --to, so there is nothing between them; swap them")
			}
			req.DefaultRegion = g.region
			if req.Format, err = exportFormat(out); err != nil {
				return err
			}
			if req.Disclosure, err = disclosure(disclose, req.GetFormat()); err != nil {
				return err
			}
			if since != "" {
				if req.GetFormat() != "zip" {
					return usagef("--since goes with a .zip: the other forms hold no proofs")
				}
				if req.SinceCheckpoint, err = checkpointNote(since); err != nil {
					return fmt.Errorf("--since: %w", err)
				}
			}
			if req.GetFormat() == "zip" && len(req.GetNumbers()) > 0 && (req.From != nil || req.To != nil) {
				return usagef("a bundle of a number holds its whole history: --from and --to go with --seller")
			}
			return g.with(c, func(ctx context.Context, cl *client.Client) error { return g.export(ctx, c, cl, &req, out) })
		},
	}
	c.Flags().StringArrayVar(&req.Numbers, "number", nil, "entries of this number; again for others of one case")
	c.Flags().StringVar(&req.Seller, "seller", "", "entries of this seller")
	c.Flags().StringVar(&from, "from", "", "recorded at or after, RFC 3339; default from the start")
	c.Flags().StringVar(&to, "to", "", "recorded before, RFC 3339; default up to now")
	c.Flags().StringVar(&out, "out", "", "the file to write, or -")
	c.Flags().StringVar(&since, "since", "", "in a .zip: a checkpoint that the recipient has, or a bundle with one; shows that nothing before it was changed")
	c.Flags().StringVar(&disclose, "disclose", "", "personal parts to show: number,identity,origin,words,signature, all or none; default number in a .zip, else all")
	c.Flags().StringVar(&req.Purpose, "purpose", "", "what it is for, such as court_order; recorded")
	c.Flags().StringVar(&req.Recipient, "recipient", "", "whom it is for; recorded")
	c.Flags().StringVar(&req.CaseId, "case", "", "the case it belongs to; recorded")
	c.Flags().BoolVar(&req.Decisions, "decisions", false, "in a .zip: also every kept decision about the numbers; reads all attempts, which takes a while")
	return needs(c, "out")
}

// disclosure reads --disclose.
func disclosure(words, format string) (*consentv1.Disclosure, error) {
	if words == "" {
		words = "all"
		if format == "zip" {
			words = "number"
		}
	}
	classes, err := bundle.ParseClasses(words)
	if err != nil {
		return nil, usagef("--%w", err)
	}
	return &consentv1.Disclosure{Classes: classes}, nil
}

func exportFormat(out string) (string, error) {
	switch ext := strings.ToLower(filepath.Ext(out)); {
	case out == "-", ext == ".jsonl", ext == ".ndjson":
		return "jsonl", nil
	case ext == ".csv":
		return "csv", nil
	case ext == ".zip":
		return "zip", nil
	}
	return "", usagef("--out: the name must end in .zip, .jsonl or .csv, or be -")
}

// export writes the file, then says what is in it.
func (g *globals) export(ctx context.Context, c *cobra.Command, cl *client.Client, req *consentv1.ExportRequest, out string) error {
	var end *consentv1.ExportEnd
	write := func(w io.Writer) (err error) {
		p := newProgress(c.ErrOrStderr(), "exported", -1)
		defer p.finish()
		end, err = exportTo(ctx, cl, req, w, p)
		return err
	}
	talk := c.OutOrStdout()
	if out == "-" {
		talk = c.ErrOrStderr()
		if err := write(c.OutOrStdout()); err != nil {
			return err
		}
	} else if err := replaceFile(out, write); err != nil {
		return err
	}
	if why := end.GetNotTimestamped(); why != "" {
		fmt.Fprintf(c.ErrOrStderr(), "consent: the bundle holds no timestamp, so that when it existed is the operator's word alone: %s\n"+
			"consent: hint: see why with consent doctor, then export again\n", why)
	}
	if w := end.GetCosignatures(); w != nil && !w.GetSatisfied() {
		fmt.Fprintf(c.ErrOrStderr(), "consent: %d of %s cosigned the checkpoint, and the ledger's policy demands %d: "+
			"that there is one history is the operator's word alone, and whoever demands witnesses will refuse this bundle\nconsent: hint: see why with consent doctor, then export again\n",
			w.GetCosigned(), ledger.Counted(int(w.GetAsked()), "witness", "witnesses"), w.GetDemanded())
	}
	if !g.human() {
		return g.document(talk, messageJSON(end))
	}
	for _, line := range exportSaid(req, end, out) {
		if _, err := fmt.Fprintln(talk, line); err != nil {
			return err
		}
	}
	return nil
}

// exportSaid says what was written, and no more than its form proves.
func exportSaid(req *consentv1.ExportRequest, end *consentv1.ExportEnd, out string) []string {
	entries := ledger.Counted(int(end.GetEntries()), "entry", "entries")
	what := fmt.Sprintf("%s up to position %d", entries, end.GetThroughPosition())
	switch {
	case end.GetCompleteThrough() > 0:
		what = fmt.Sprintf("%s, complete up to position %d", entries, end.GetCompleteThrough())
	case req.GetFormat() != "zip":
		what += ", without proofs (those are in a .zip)"
	case req.GetSeller() != "":
		what += ", a selection from each person's history"
	default:
		what += "; that none is missing is not proven without --disclose number"
	}
	lines := []string{fmt.Sprintf("%s; the export is recorded at position %d", what, end.GetReceipt().GetPosition())}
	var sealed []string
	if n := end.GetPartsWithheld(); n > 0 {
		sealed = append(sealed, ledger.Counted(int(n), "personal part is", "personal parts are")+" withheld and can be disclosed later")
	}
	if n := end.GetPartsErased(); n > 0 {
		sealed = append(sealed, ledger.Counted(int(n), "personal part is", "personal parts are")+" erased and can be opened by nobody")
	}
	if len(sealed) > 0 {
		lines = append(lines, strings.Join(sealed, "; "))
	}
	if w := end.GetCosignatures(); w.GetSatisfied() {
		lines = append(lines, fmt.Sprintf("%d of %s cosigned its checkpoint; the ledger's policy demands %d",
			w.GetCosigned(), ledger.Counted(int(w.GetAsked()), "witness", "witnesses"), w.GetDemanded()))
	}
	if end.GetSha256() != "" {
		lines = append(lines, fmt.Sprintf("sha256 %s; check it with: consent verify %s --key KEYS", end.GetSha256(), out))
	}
	return lines
}

// exportTo writes entries, or the bytes of a zip, until the end that makes them whole.
func exportTo(ctx context.Context, cl *client.Client, req *consentv1.ExportRequest, w io.Writer, p *progress) (*consentv1.ExportEnd, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := cl.Exports.Export(ctx, connect.NewRequest(req))
	if err != nil {
		return nil, err
	}
	defer func() { cancel(); _ = stream.Close() }()
	row, flush, err := exportWriter(req.GetFormat(), w)
	if err != nil {
		return nil, err
	}
	var done int64 // bytes of what was sent
	rows := 0
	for stream.Receive() {
		p.to(done, rows)
		switch part := stream.Msg().GetPart().(type) {
		case *consentv1.ExportResponse_End:
			return part.End, flush()
		case *consentv1.ExportResponse_Zip:
			done += int64(len(part.Zip))
			if _, err := w.Write(part.Zip); err != nil {
				return nil, err
			}
		case *consentv1.ExportResponse_Entry:
			done, rows = done+int64(len(part.Entry.GetEntry())), rows+1
			e, err := readExported(part.Entry)
			if err != nil {
				return nil, err
			}
			if err := row(e); err != nil {
				return nil, err
			}
		}
	}
	if err := stream.Err(); err != nil {
		return nil, err
	}
	return nil, errors.New("the export broke off before its end; nothing was kept")
}

// exported is one entry with what of it could be opened.
type exported struct {
	bundle.Shown
	msg *consentv1.ExportedEntry
}

func readExported(m *consentv1.ExportedEntry) (*exported, error) {
	e := &exported{bundle.Shown{Entry: &consentv1.Entry{}, Leaf: ledger.LeafHash(m.GetEntry()), Personal: m.GetPersonal(), Erased: m.GetErased()}, m}
	if err := proto.Unmarshal(m.GetEntry(), e.Entry); err != nil {
		return nil, fmt.Errorf("position %d: decode: %w", m.GetPosition(), err)
	}
	return e, nil
}

// exportWriter gives the function that writes one entry, and the one that ends.
func exportWriter(format string, w io.Writer) (row func(*exported) error, flush func() error, err error) {
	if format != "csv" {
		return func(e *exported) error {
			doc, err := e.json()
			if err == nil {
				_, err = w.Write(append(doc, '\n'))
			}
			return err
		}, func() error { return nil }, nil
	}
	cw := csv.NewWriter(w)
	return func(e *exported) error { return cw.Write(e.Row()) },
		func() error { cw.Flush(); return cw.Error() },
		cw.Write(bundle.Columns)
}

// json is one line: what is clear, what was opened, and the exact stored bytes.
func (e *exported) json() ([]byte, error) {
	personal := e.Personal
	if personal == nil {
		personal = map[string]string{}
	}
	return jsonOf(struct {
		Position   uint64            `json:"position"`
		RecordedAt string            `json:"recordedAt"`
		EntryID    string            `json:"entryId"`
		LeafHash   string            `json:"leafHash"`
		Kind       string            `json:"kind"`
		Fact       rawJSON           `json:"fact"`
		Personal   map[string]string `json:"personal"`
		Erased     bool              `json:"erased"`
		Entry      []byte            `json:"entry"`
	}{e.msg.GetPosition(), e.RecordedAt().Format(time.RFC3339Nano), e.ID(), e.Leaf.String(), string(ledger.KindOf(e.Entry.GetFact())), messageJSON(e.Entry.GetFact()),
		personal, e.Erased, e.msg.GetEntry()})
}

// rawJSON is JSON already.
type rawJSON []byte

// MarshalJSON gives it as it is.
func (r rawJSON) MarshalJSON() ([]byte, error) { return r, nil }

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
