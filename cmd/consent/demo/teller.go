package demo

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// teller writes the demo's text for a page of 80 columns.
type teller struct {
	w      io.Writer
	colour bool
	part   int // the last heading's number
}

const (
	tellWidth  = 78
	tellIndent = "    "
)

// Colours, by what they stand for.
const (
	inkHeading = "\x1b[1m"
	inkCommand = "\x1b[36m"
	inkAllow   = "\x1b[1;32m"
	inkBlock   = "\x1b[1;31m"
	inkOff     = "\x1b[0m"
)

func newTeller(w io.Writer, colour bool) *teller { return &teller{w: w, colour: colour} }

// colourful tells whether colours are wanted: on a terminal that knows them, unless
// NO_COLOR is set (no-color.org).
func colourful(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

func (t *teller) ink(ink, text string) string {
	if !t.colour {
		return text
	}
	return ink + text + inkOff
}

// title opens the story.
func (t *teller) title(text string) {
	fmt.Fprintln(t.w, t.ink(inkHeading, text))
}

// heading begins a part.
func (t *teller) heading(text string) {
	t.part++
	fmt.Fprintf(t.w, "\n%s\n", t.ink(inkHeading, fmt.Sprintf("%2d. %s", t.part, text)))
}

// say writes a paragraph.
func (t *teller) say(text string) { t.wrapped(tellIndent, tellIndent, text) }

// gap leaves a line empty.
func (t *teller) gap() { fmt.Fprintln(t.w) }

// line writes a line as it is.
func (t *teller) line(text string) {
	fmt.Fprintln(t.w, strings.TrimRight(tellIndent+text, " "))
}

// command shows a command line as somebody would type it; more stands behind it as it is.
func (t *teller) command(args []string, more ...string) {
	words := []string{"$ consent"}
	for i, a := range args {
		if i > 0 && strings.HasPrefix(args[i-1], "--") && !strings.HasPrefix(a, "--") {
			words[len(words)-1] += " " + shellQuote(a) // a flag and its value stay on one line
			continue
		}
		words = append(words, shellQuote(a))
	}
	words = append(words, more...)
	fmt.Fprintln(t.w)
	for i, l := range wrapWords(words, tellWidth-len(tellIndent)-4) {
		if i > 0 {
			fmt.Fprintln(t.w, " \\")
			l = "    " + l
		}
		fmt.Fprint(t.w, tellIndent+t.ink(inkCommand, l))
	}
	fmt.Fprintln(t.w)
}

// got writes what came back.
func (t *teller) got(text string) { t.wrapped(tellIndent+"  ", tellIndent+"    ", text) }

// detail writes more about what came back: a label, then its text.
func (t *teller) detail(label, text string) {
	if text != "" {
		t.wrapped(tellIndent+"  "+fmt.Sprintf("%-7s ", label), tellIndent+strings.Repeat(" ", 10), text)
	}
}

// claim writes one claim that a verifier prints.
func (t *teller) claim(name, text string) {
	t.wrapped(tellIndent+"  "+fmt.Sprintf("%-12s", name), tellIndent+strings.Repeat(" ", 14), text)
}

// gotLine writes a line of what came back as it is, for columns and paths.
func (t *teller) gotLine(text string) {
	fmt.Fprintln(t.w, strings.TrimRight(tellIndent+"  "+text, " "))
}

// verdict writes a verdict with its reasons' codes.
func (t *teller) verdict(verdict string, codes []string, number string) {
	ink := inkBlock
	if verdict == "ALLOW" {
		ink = inkAllow
	}
	t.gotLine(t.ink(ink, verdict) + "  " + strings.Join(codes, ", ") + "  " + number)
}

func (t *teller) wrapped(first, next, text string) {
	lead := first
	for _, l := range wrapWords(strings.Fields(text), tellWidth-utf8.RuneCountInString(next)) {
		fmt.Fprintln(t.w, lead+l)
		lead = next
	}
}

// wrapWords fills lines with words; a word longer than a line stands alone.
func wrapWords(words []string, width int) (lines []string) {
	for _, w := range words {
		last := len(lines) - 1
		if last < 0 || utf8.RuneCountInString(lines[last])+1+utf8.RuneCountInString(w) > width {
			lines = append(lines, w)
			continue
		}
		lines[last] += " " + w
	}
	return lines
}

var shellSafe = regexp.MustCompile(`^[A-Za-z0-9_./:=+@,-]+$`)

// shellQuote writes an argument as a shell reads it.
func shellQuote(arg string) string {
	if shellSafe.MatchString(arg) {
		return arg
	}
	return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
}
