package demo

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTeller(t *testing.T) {
	var b bytes.Buffer
	tell := newTeller(&b, false)
	tell.heading("A part")
	tell.command([]string{"grant", "(212) 555-0143", "--seller", "acme", "--words", "it's fine", "--purpose", "marketing", "--level", "express_written", "--yes"})
	tell.detail("why", strings.Repeat("word ", 20))
	tell.verdict("BLOCK", []string{"A", "B"}, "+1")
	want := `
 1. A part

    $ consent grant '(212) 555-0143' --seller acme --words 'it'\''s fine' \
        --purpose marketing --level express_written --yes
      why     word word word word word word word word word word word word word
              word word word word word word word
      BLOCK  A, B  +1
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
	b.Reset()
	newTeller(&b, true).verdict("ALLOW", []string{"A"}, "+1")
	if want := "      " + inkAllow + "ALLOW" + inkOff + "  A  +1\n"; b.String() != want {
		t.Errorf("%q", &b)
	}
}

// TestColourful writes to a real terminal: the master's side of a pseudo-terminal.
func TestColourful(t *testing.T) {
	device, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	for _, tt := range []struct {
		w             io.Writer
		noColor, term string
		want          bool
	}{
		{device, "", "xterm", true},
		{device, "1", "xterm", false},
		{device, "", "dumb", false},
		{&bytes.Buffer{}, "", "xterm", false},
	} {
		t.Setenv("NO_COLOR", tt.noColor)
		t.Setenv("TERM", tt.term)
		if got := colourful(tt.w); got != tt.want {
			t.Errorf("NO_COLOR=%q TERM=%q: %t", tt.noColor, tt.term, got)
		}
	}
}
