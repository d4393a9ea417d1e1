package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// demoLedger is the ledger's folder in the demo's.
const demoLedger = "ledger"

func (s *story) keyFile() string { return filepath.Join(s.dir, demoLedger, "admin.key") }

// path names a file of the demo; commands show it without the folder.
func (s *story) path(name string) string { return filepath.Join(s.dir, name) }

// verbOutput is what one verb gave.
type verbOutput struct {
	code   int
	stdout stampedBuffer
	stderr bytes.Buffer
}

// stampedBuffer notes when the first byte came: the instant a verb had its answer.
type stampedBuffer struct {
	bytes.Buffer
	first time.Time
}

func (b *stampedBuffer) Write(p []byte) (int, error) {
	if b.first.IsZero() {
		b.first = time.Now()
	}
	return b.Buffer.Write(p)
}

// show writes a command line, with the demo's folder left out; more stands behind it.
func (s *story) show(args []string, more ...string) {
	shown := make([]string, len(args))
	for i, a := range args {
		shown[i] = strings.TrimPrefix(a, s.dir+string(filepath.Separator))
	}
	s.command(shown, more...)
}

// execute runs a command line. It is the same code that a shell's would run.
func (s *story) execute(ctx context.Context, args ...string) (*verbOutput, error) {
	out := &verbOutput{}
	out.code = s.program.Run(ctx, args, strings.NewReader(""), &out.stdout, &out.stderr)
	return out, context.Cause(ctx)
}

// ended says that a command line ended otherwise than the story says.
func (s *story) ended(args []string, out *verbOutput) error {
	return s.differs("%q ended with exit code %d: %s", strings.Join(args[:min(2, len(args))], " "), out.code, strings.TrimSpace(out.stderr.String()))
}

// asked are the arguments by which a verb finds the demo's server.
func (s *story) asked(args []string) []string {
	return append(slices.Clone(args), "--server", s.server.node.URL(), "--key-file", s.keyFile())
}

// verb shows a command line, runs it against the demo's server and reads the JSON
// that came back.
func (s *story) verb(ctx context.Context, into any, args ...string) (*verbOutput, error) {
	s.show(args)
	out, err := s.execute(ctx, append(s.asked(args), "-o", "json")...)
	if err != nil {
		return nil, err
	}
	if out.code != exitDone && out.code != exitBlock {
		return nil, s.ended(args, out)
	}
	if err := json.Unmarshal(out.stdout.Bytes(), into); err != nil {
		return nil, s.differs("%q gave no JSON: %w", args[0], err)
	}
	return out, nil
}

// differs says that a step did not give what the story says.
func (s *story) differs(format string, args ...any) error {
	return fmt.Errorf("demo: part %d, %s: "+format, append([]any{s.part, s.title}, args...)...)
}

// receiptJSON is what of a receipt the story reads.
type receiptJSON struct {
	Position   uint64   `json:"position"`
	RecordedAt string   `json:"recordedAt"`
	Duplicate  bool     `json:"duplicate"`
	Durability string   `json:"durability"`
	Notices    []string `json:"notices"`
}

// record runs a verb that gives a receipt.
func (s *story) record(ctx context.Context, args ...string) (receiptJSON, *verbOutput, error) {
	var r receiptJSON
	out, err := s.verb(ctx, &r, args...)
	if err != nil {
		return r, out, err
	}
	if r.Position == 0 || r.Duplicate {
		return r, out, s.differs("the receipt names position %d, duplicate %t; a new entry was expected", r.Position, r.Duplicate)
	}
	at, err := time.Parse(time.RFC3339Nano, r.RecordedAt)
	if err != nil {
		return r, out, s.differs("the receipt's time: %w", err)
	}
	s.got(fmt.Sprintf("recorded at position %d, %s, on disk (%s)", r.Position, at.Format("15:04:05Z"), r.Durability))
	for _, n := range r.Notices {
		s.detail("note", n)
	}
	return r, out, nil
}

// decisionJSON is what of a decision the story reads.
type decisionJSON struct {
	Verdict string `json:"verdict"`
	Basis   string `json:"basis"`
	Number  string `json:"number"`
	Reasons []struct {
		Code     string `json:"code"`
		Text     string `json:"text"`
		Citation string `json:"citation"`
		Fix      string `json:"fix"`
	} `json:"reasons"`
}

// check asks, shows the answer, and demands that the verdict and its first code
// are those of the story.
func (s *story) check(ctx context.Context, verdict, code string, args ...string) error {
	var d decisionJSON
	out, err := s.verb(ctx, &d, append([]string{"check"}, args...)...)
	if err != nil {
		return err
	}
	var codes []string
	if d.Verdict == "ALLOW" {
		codes = append(codes, d.Basis)
	}
	for _, r := range d.Reasons {
		if !slices.Contains(codes, r.Code) {
			codes = append(codes, r.Code)
		}
	}
	s.verdict(d.Verdict, codes, d.Number)
	for _, r := range d.Reasons {
		s.detail("why", r.Text)
		s.detail("law", r.Citation)
		s.detail("fix", r.Fix)
	}
	want := map[string]int{"ALLOW": exitDone, "BLOCK": exitBlock}[verdict]
	if d.Verdict != verdict || len(codes) == 0 || codes[0] != code || out.code != want {
		return s.differs("the check gave %s %v and exit code %d; the story says %s %s and %d", d.Verdict, codes, out.code, verdict, code, want)
	}
	return nil
}
