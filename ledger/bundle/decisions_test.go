package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// TestTooLarge: what a verifier would not take is not written, and the error is one that
// whoever exports can tell from a fault.
func TestTooLarge(t *testing.T) {
	s := newStory(t)
	b := NewWriter(io.Discard, s.manifest(), s.checkpoint(), s.numbers)
	if err := b.Pack(make([]byte, FileBytesMax+1)); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
}

// TestManyDecisions: however many there are, all of them are in the bundle, a part of them in
// memory at a time; the page says how many it leaves out; and both verifiers take it.
func TestManyDecisions(t *testing.T) {
	const many = 9000
	s := newStory(t)
	var out bytes.Buffer
	b := NewWriter(&out, s.manifest(), s.checkpoint(), s.numbers)
	for _, r := range s.records(AllClasses()) {
		if err := b.Add(s.item(r)); err != nil {
			t.Fatal(err)
		}
	}
	text := strings.Repeat("The person asked to stop. ", 40)
	for i := range many {
		if err := b.Decide(Decision{Number: 1, Kind: "recorded", Seller: "acme", Verdict: "BLOCK", Position: uint64(i),
			Reasons: []Reason{{Code: "CONSENT_REVOKED", Text: text}}}); err != nil {
			t.Fatal(err)
		}
		if b.decisions.Len() > partBytesMax {
			t.Fatalf("%d bytes in memory", b.decisions.Len())
		}
	}
	tail, _, err := b.Finish(s.signing.Exports)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(tail)
	if v, errs := both(t, s.world, out.Bytes()); v[0] == nil {
		t.Fatal(errs)
	}
	z, err := openZip(bytes.NewReader(out.Bytes()), int64(out.Len()))
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for i, name := range []string{DecisionsFile, "decisions/000002.jsonl", "decisions/000003.jsonl"} {
		part, err := z.read(name)
		if err != nil || len(part) == 0 || len(part) > partBytesMax {
			t.Fatalf("%s: %d bytes, %v", name, len(part), err)
		}
		if want := fmt.Sprintf(`"position":%d,`, lines); !bytes.Contains(part[:bytes.IndexByte(part, '\n')], []byte(want)) {
			t.Errorf("part %d does not begin with %s", i, want)
		}
		lines += bytes.Count(part, []byte("\n"))
	}
	if lines != many {
		t.Errorf("%d decisions of %d", lines, many)
	}
	page, err := z.read(ReportFile)
	if err != nil || !bytes.Contains(page, fmt.Appendf(nil, "The first %d of %d decisions are shown.", reportEventsMax, many)) {
		t.Errorf("the page does not say what it leaves out: %v", err)
	}
}
