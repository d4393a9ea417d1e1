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
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

func exportCommand(g *globals) *cobra.Command {
	var req consentv1.ExportRequest
	var from, to, out string
	c := &cobra.Command{
		Use:   "export (--number N | --seller S) [--from T --to T] --out FILE.{jsonl,csv}",
		Short: "Hand out a history",
		Long: `Hand out the history of a number or a seller, by when it was recorded: as JSON lines
or CSV, told by the file's name; - is standard output, in JSON lines. The file appears
only when it is whole. Personal fields are opened, except of persons erased. The
export is itself recorded.`,
		Example: `  consent export --number +12025550143 --out history.jsonl
  consent export --seller acme --from 2026-01-01T00:00:00Z --to 2026-04-01T00:00:00Z --out q1.csv`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if (req.GetNumber() == "") == (req.GetSeller() == "") {
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
			return g.with(c, func(ctx context.Context, cl *client.Client) error { return g.export(ctx, c, cl, &req, out) })
		},
	}
	c.Flags().StringVar(&req.Number, "number", "", "entries of this number")
	c.Flags().StringVar(&req.Seller, "seller", "", "entries of this seller")
	c.Flags().StringVar(&from, "from", "", "recorded at or after, RFC 3339; default from the start")
	c.Flags().StringVar(&to, "to", "", "recorded before, RFC 3339; default up to now")
	c.Flags().StringVar(&out, "out", "", "the file to write, or -")
	return needs(c, "out")
}

func exportFormat(out string) (string, error) {
	switch ext := strings.ToLower(filepath.Ext(out)); {
	case out == "-", ext == ".jsonl", ext == ".ndjson":
		return "jsonl", nil
	case ext == ".csv":
		return "csv", nil
	}
	return "", usagef("--out: the name must end in .jsonl or .csv, or be -")
}

// export writes the file, then says what is in it.
func (g *globals) export(ctx context.Context, c *cobra.Command, cl *client.Client, req *consentv1.ExportRequest, out string) error {
	var end *consentv1.ExportEnd
	write := func(w io.Writer) (err error) {
		end, err = exportTo(ctx, cl, req, w)
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
	if !g.human() {
		return g.document(talk, messageJSON(end))
	}
	_, err := fmt.Fprintf(talk, "%d entries, complete up to position %d; the export is recorded at position %d\n",
		end.GetEntries(), end.GetThroughPosition(), end.GetReceipt().GetPosition())
	return err
}

// exportTo writes entries until the end that makes them whole.
func exportTo(ctx context.Context, cl *client.Client, req *consentv1.ExportRequest, w io.Writer) (*consentv1.ExportEnd, error) {
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
	for stream.Receive() {
		if end := stream.Msg().GetEnd(); end != nil {
			return end, flush()
		}
		e, err := readExported(stream.Msg().GetEntry())
		if err != nil {
			return nil, err
		}
		if err := row(e); err != nil {
			return nil, err
		}
	}
	if err := stream.Err(); err != nil {
		return nil, err
	}
	return nil, errors.New("the export broke off before its end; nothing was kept")
}

// exported is one entry with what of it could be opened.
type exported struct {
	msg   *consentv1.ExportedEntry
	entry *consentv1.Entry
	kind  string
}

func readExported(m *consentv1.ExportedEntry) (*exported, error) {
	e := &exported{msg: m, entry: &consentv1.Entry{}}
	if err := proto.Unmarshal(m.GetEntry(), e.entry); err != nil {
		return nil, fmt.Errorf("position %d: decode: %w", m.GetPosition(), err)
	}
	if fd := e.entry.GetFact().ProtoReflect().WhichOneof(kindOneof()); fd != nil {
		e.kind = string(fd.Name())
	}
	return e, nil
}

// exportWriter gives the function that writes one entry, and the one that ends.
func exportWriter(format string, w io.Writer) (row func(*exported) error, flush func() error, err error) {
	if format == "jsonl" {
		return func(e *exported) error {
			doc, err := e.json()
			if err == nil {
				_, err = w.Write(append(doc, '\n'))
			}
			return err
		}, func() error { return nil }, nil
	}
	cw := csv.NewWriter(w)
	return func(e *exported) error { return cw.Write(e.csv()) },
		func() error { cw.Flush(); return cw.Error() },
		cw.Write(exportColumns)
}

func (e *exported) id() string {
	id, err := uuid.FromBytes(e.entry.GetEntryId())
	if err != nil {
		return ""
	}
	return id.String()
}

func (e *exported) recordedAt() string {
	return e.entry.GetRecordedAt().AsTime().UTC().Format(time.RFC3339Nano)
}

// json is one line: what is clear, what was opened, and the exact stored bytes.
func (e *exported) json() ([]byte, error) {
	personal := e.msg.GetPersonal()
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
	}{e.msg.GetPosition(), e.recordedAt(), e.id(), e.msg.GetLeafHash(), e.kind, messageJSON(e.entry.GetFact()), personal, e.msg.GetErased(), e.msg.GetEntry()})
}

// rawJSON is JSON already.
type rawJSON []byte

// MarshalJSON gives it as it is.
func (r rawJSON) MarshalJSON() ([]byte, error) { return r, nil }

var exportColumns = []string{"position", "recorded_at", "entry_id", "leaf_hash", "kind", "number", "sellers", "source", "earliest", "latest",
	"programmes", "channels", "purposes", "level", "erased", "personal"}

func (e *exported) csv() []string {
	f := e.entry.GetFact()
	personal, err := jsonOf(e.msg.GetPersonal())
	if err != nil || len(e.msg.GetPersonal()) == 0 {
		personal = []byte("{}")
	}
	row := []string{strconv.FormatUint(e.msg.GetPosition(), 10), e.recordedAt(), e.id(), e.msg.GetLeafHash(), e.kind, e.msg.GetPersonal()["number"],
		strings.Join(f.GetSellers(), ";"), f.GetSource(), shown(f.GetEarliest()), shown(f.GetLatest())}
	scope, level := e.scope()
	return append(row, strings.Join(scope.GetProgrammes(), ";"), joinWords(channelWords, scope.GetChannels()), joinWords(purposeWords, scope.GetPurposes()),
		level, strconv.FormatBool(e.msg.GetErased()), string(personal))
}

// scope finds the scope and the level of whatever kind the fact is.
func (e *exported) scope() (*consentv1.Scope, string) {
	m := e.entry.GetFact().ProtoReflect()
	fd := m.WhichOneof(kindOneof())
	if fd == nil {
		return nil, ""
	}
	body, level := m.Get(fd).Message(), ""
	if lf := body.Descriptor().Fields().ByName("level"); lf != nil {
		level = body.Get(lf).String()
	}
	if sf := body.Descriptor().Fields().ByName("scope"); sf != nil && body.Has(sf) {
		scope, _ := body.Get(sf).Message().Interface().(*consentv1.Scope)
		return scope, level
	}
	return nil, level
}

func joinWords[E interface {
	Number() protoreflect.EnumNumber
}](ed protoreflect.EnumDescriptor, values []E) string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = wordOf(ed, v.Number())
	}
	return strings.Join(out, ";")
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
