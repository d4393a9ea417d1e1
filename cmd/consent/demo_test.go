package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// demoGolden is the story's stable part. CONSENT_UPDATE_GOLDEN=1 writes it anew.
const demoGolden = "testdata/demo.golden"

// unstable is what differs each time: measured delays, ports, the folder, the feed
// token, ids of inbox items; and positions, which begin after the rule packs.
var unstable = []struct {
	pattern *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`[0-9]+\.[0-9] ms (after the ack|before the ack was read)`), "N ms after the ack"},
	{regexp.MustCompile(`[0-9]+\.[0-9] ms`), "N ms"},
	{regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+`), "http://SERVER"},
	{regexp.MustCompile(`\S*consent-demo-[0-9]+`), "FOLDER"},
	{regexp.MustCompile(`token [0-9a-f]{4}…`), "token TTTT…"},
	{regexp.MustCompile(`(item|inbox close|position|at-least) [0-9]+`), "$1 N"},
}

func stable(text string) string {
	for _, u := range unstable {
		text = u.pattern.ReplaceAllString(text, u.instead)
	}
	return text
}

// TestDemoOnce: the story is the same every time, fits a page, and leaves nothing.
func TestDemoOnce(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	golden, err := filepath.Abs(demoGolden)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())                      // any working directory
	t.Setenv(envServer, "http://127.0.0.1:1") // somebody else's server is not asked
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"demo", "--once"}, strings.NewReader(""), &stdout, &stderr); code != exitDone || stderr.Len() > 0 {
		t.Fatalf("exit code %d, stderr %q, after:\n%s", code, &stderr, &stdout)
	}
	for l := range strings.Lines(stdout.String()) {
		if utf8.RuneCountInString(strings.TrimSuffix(l, "\n")) > 80 && !strings.Contains(l, temp) {
			t.Errorf("wider than 80 columns: %s", l)
		}
	}
	if strings.Contains(stdout.String(), "\x1b") {
		t.Error("colours without a terminal")
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	got := stable(stdout.String())
	if os.Getenv("CONSENT_UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("the story changed (-golden +now); CONSENT_UPDATE_GOLDEN=1 writes it anew:\n%s", diff)
	}
}

// TestDemoIsATest: a step that gives something else than the story says is an
// error that names the step and both.
func TestDemoIsATest(t *testing.T) {
	s := &story{teller: newTeller(io.Discard, false), dir: t.TempDir(), clock: &storyClock{}, title: "A ledger"}
	defer func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	}()
	if err := s.ledger(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		tell func(context.Context) error
		want string
	}{
		{"another verdict", func(ctx context.Context) error {
			return s.check(ctx, "ALLOW", "OK_WRITTEN_CONSENT", numberAna, "--campaign", "spring-texts")
		}, "the check gave BLOCK [CONSENT_MISSING REGISTRY_STALE] and exit code 3; the story says ALLOW OK_WRITTEN_CONSENT and 0"},
		{"another reason", func(ctx context.Context) error {
			return s.check(ctx, "BLOCK", "CONSENT_REVOKED", numberAna, "--campaign", "spring-texts")
		}, "the story says BLOCK CONSENT_REVOKED and 3"},
		{"a refusal", func(ctx context.Context) error {
			_, _, err := s.record(ctx, "grant", "letters", "--seller", "acme", "--channel", "sms", "--purpose", "marketing", "--level", "express_written")
			return err
		}, `"grant letters" ended with exit code 1: consent: number: `},
		{"other counts", func(ctx context.Context) error { return s.importFile(ctx, importJSON{Rows: 13}) }, "the story says {Rows:13"},
		{"no such history", func(ctx context.Context) error { return s.showTimeline(ctx, numberAna, 2) }, "holds 1 entries; the story says 2"},
		{"nothing to read", func(ctx context.Context) error { _, err := s.inbox(ctx, 4711); return err }, "the inbox holds no item for position 4711"},
		{"interrupted", func(ctx context.Context) error {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return s.list(ctx)
		}, "context canceled"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.tell(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v; want …%s…", err, tt.want)
			}
		})
	}
}

// TestDemoStaysUp: without --once the server stays, the commands it names work,
// and an interrupt leaves nothing.
func TestDemoStaysUp(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	text, stdout := io.Pipe()
	done := make(chan int, 1)
	var stderr bytes.Buffer
	go func() {
		done <- run(ctx, []string{"demo"}, strings.NewReader(""), stdout, &stderr)
		stdout.Close()
	}()
	var seen strings.Builder
	lines := bufio.NewScanner(text)
	for exported := 0; exported < 2 && lines.Scan(); {
		fmt.Fprintln(&seen, lines.Text())
		if name, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(lines.Text()), "export "), "="); ok && (name == envServer || name == envKeyFile) {
			t.Setenv(name, value)
			exported++
		}
	}
	go func() { _, _ = io.Copy(io.Discard, text) }() // the rest of the text
	if os.Getenv(envServer) == "" {
		t.Fatalf("it does not say where it is:\n%s%s", &seen, &stderr)
	}
	for _, tt := range []struct {
		args []string
		code int
	}{
		{[]string{"check", numberBen, "--campaign", "spring-texts"}, exitDone},
		{[]string{"stop", numberBen, "--seller", "acme", "--words", "no more"}, exitDone},
		{[]string{"check", numberBen, "--campaign", "spring-texts"}, exitBlock},
		{[]string{"grant", numberBen, "--seller", "acme", "--channel", "sms", "--purpose", "marketing", "--level", "express_written", "--words", "yes"}, exitDone},
		{[]string{"check", numberBen, "--campaign", "spring-texts"}, exitDone}, // the clock went on: a new grant is newer
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), tt.args, strings.NewReader(""), &out, &errs); code != tt.code {
			t.Errorf("%v: exit code %d, want %d: %s%s", tt.args, code, tt.code, &out, &errs)
		}
	}
	interrupt()
	if code := <-done; code != exitDone {
		t.Errorf("exit code %d: %s", code, &stderr)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestDemoBrokenPipe: whoever reads only the first lines leaves nothing behind.
// The demo is this test in a process of its own, because only there stdout is 1.
func TestDemoBrokenPipe(t *testing.T) {
	if os.Getenv("CONSENT_DEMO_CHILD") != "" {
		os.Exit(run(t.Context(), []string{"demo"}, strings.NewReader(""), os.Stdout, os.Stderr))
	}
	temp := t.TempDir()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDemoBrokenPipe$")
	child.Env = append(os.Environ(), "CONSENT_DEMO_CHILD=1", "TMPDIR="+temp)
	text, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(text).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	text.Close()
	if err := child.Wait(); err == nil || child.ProcessState.ExitCode() < 0 {
		t.Errorf("it ended with %v; want an exit code other than 0, and no signal", err)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestStoryClock(t *testing.T) {
	var c storyClock
	clock := c.clock()
	if got := clock.Wall(); got != storyBegin {
		t.Errorf("begins at %s", got)
	}
	c.move(time.Minute)
	if got := clock.Wall().Sub(storyBegin); got != time.Minute || clock.Mono() != got {
		t.Errorf("stands at %s and %s", got, clock.Mono())
	}
	c.release()
	if got := clock.Mono(); got < time.Minute {
		t.Errorf("released, it went back to %s", got)
	}
}

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

func TestDelay(t *testing.T) {
	for d, want := range map[time.Duration]string{
		1234 * time.Microsecond:  "1.2 ms after the ack",
		-1234 * time.Microsecond: "1.2 ms before the ack was read",
	} {
		if got := delay(d); got != want {
			t.Errorf("%s: %s", d, got)
		}
	}
}
