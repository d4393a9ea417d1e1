package scrub

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestStrayQuote: a quote that nothing closes costs its own row and no more, though every
// row behind it has quotes too. When each of those lines had everything before it looked at
// again, this list took minutes; that it ends is what is tested.
func TestStrayQuote(t *testing.T) {
	const rows = 200_000
	var text strings.Builder
	text.WriteString("name,note,phone\n\"Ann,x,2025550100\n")
	for i := range rows {
		fmt.Fprintf(&text, "Ben %d,5\"\" pipe,2025550101\n", i)
	}
	l := newList(strings.NewReader(text.String()))
	if _, err := l.header("", columns); err != nil {
		t.Fatal(err)
	}
	var kept strings.Builder
	kept.WriteString("name,note,phone\n")
	broken, b := 0, &batch{}
	for err := error(nil); ; {
		if err = l.batch(b); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		kept.Write(b.text)
		for _, r := range b.rows {
			if r.broken {
				broken++
			}
		}
	}
	if broken != 1 || kept.String() != text.String() || l.lines != rows+2 {
		t.Errorf("%d broken rows, want 1; %d lines; the bytes are kept: %t", broken, l.lines, kept.String() == text.String())
	}
}

// TestSplitGoesOn: a row that is split as its lines come has the fields it has as a whole.
func TestSplitGoesOn(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		lines := rapid.SliceOfN(rapid.StringOfN(rapid.RuneFrom([]rune(`"",a`)), 0, 6, -1), 1, 8).Draw(rt, "lines")
		var s splitter
		var text []byte
		for _, line := range lines {
			text = append(text, line...)
			state := s.split(text)
			fields, want := splitRow(text)
			if state != want || state == rowWhole && !slices.Equal(s.fields, fields) {
				rt.Fatalf("%q: %d %v, as a whole %d %v", text, state, s.fields, want, fields)
			}
			if state != rowOpen {
				return
			}
			text = append(text, "\r\n"...)
		}
	})
}
