package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/consent-ledger/consent-ledger/cmd/consent/demo"
)

// demoGolden is the story's stable part. CONSENT_UPDATE_GOLDEN=1 writes it anew.
const demoGolden = "testdata/demo.golden"

// demoNumber is one of the story's, who stays.
const demoNumber = "212.555.0144"

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
	{regexp.MustCompile(`[0-9]+  happened`), "N  happened"},
	{regexp.MustCompile(`consent-ledger/[0-9a-f]{32}`), "consent-ledger/ID"},
	{regexp.MustCompile(`(all|, and|ledger of)(\s+)[0-9]+`), "$1${2}N"},
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
	for _, tt := range []struct {
		name string
		lie  lie
		want string
	}{
		{"another verdict", lie{verb: "check", says: says(`"verdict": "BLOCK"`, `"verdict": "ALLOW"`)},
			"and exit code 3; the story says BLOCK CONSENT_REVOKED and 3"},
		{"another reason", lie{verb: "check", says: says("CONSENT_REVOKED", "REGISTRY_LISTED")}, "the story says BLOCK CONSENT_REVOKED and 3"},
		{"a refusal", lie{verb: "campaign", ask: func(args []string) []string { return append(args, "--channel", "letter") }},
			`"campaign add" ended with exit code `},
		{"other counts", lie{verb: "import", says: says(`"added": 8`, `"added": 7`)}, "the story says {Rows:12 Added:8"},
		{"no such history", lie{verb: "timeline", ask: func(args []string) []string { args[1] = "212.555.0144"; return args }}, "holds 1 entries; the story says 3"},
		{"nothing to read", lie{verb: "inbox", says: says(`"position":`, `"elsewhere":`)}, "the inbox holds no item for position"},
		{"an incomplete bundle", lie{verb: "export", ask: func(args []string) []string { return append(args, "--disclose", "words") }},
			"the story says 3 entries, complete"},
		{"another key", lie{verb: "keys", says: says("/exports+", "/exporta+")}, `"verify `},
		{"an unproven bundle", lie{verb: "verify", says: says(`"claim": "complete"`, `"claim": "elsewhere"`)}, "the story says [signed included"},
		{"a change that nobody sees", lie{verb: "verify", ask: func(args []string) []string {
			args[1] = strings.Replace(args[1], "changed.zip", "ana.zip", 1)
			return args
		}}, `ended with exit code 0`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("TMPDIR", t.TempDir())
			c := demo.Command(demo.Program{Run: tt.lie.run, Version: version(), AwaitReady: awaitReady})
			c.SetArgs([]string{"--once"})
			c.SetOut(io.Discard)
			c.SilenceErrors, c.SilenceUsage = true, true
			if err := c.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "demo: part ") {
				t.Errorf("got %v; want …%s…", err, tt.want)
			}
		})
	}
}

// lie is the program with one verb that does something else than it says: it is asked, or
// answers, otherwise.
type lie struct {
	verb string
	ask  func(args []string) []string
	says func(string) string
}

func says(old, now string) func(string) string {
	return func(text string) string { return strings.ReplaceAll(text, old, now) }
}

func (l lie) run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if args[0] != l.verb {
		return run(ctx, args, stdin, stdout, stderr)
	}
	if l.ask != nil {
		args = l.ask(args)
	}
	var said bytes.Buffer
	code := run(ctx, args, stdin, &said, stderr)
	text := said.String()
	if l.says != nil {
		text = l.says(text)
	}
	_, _ = io.WriteString(stdout, text) // a buffer takes it
	return code
}

// TestDemoInterrupted: the story ends in the middle, with the cause.
func TestDemoInterrupted(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, interrupt := context.WithCancel(t.Context())
	c := demo.Command(demo.Program{Version: version(), AwaitReady: awaitReady,
		Run: func(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
			if args[0] == "import" {
				interrupt()
			}
			return run(ctx, args, stdin, stdout, stderr)
		}})
	c.SetArgs([]string{"--once"})
	c.SetOut(io.Discard)
	c.SilenceErrors, c.SilenceUsage = true, true
	if err := c.ExecuteContext(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("it ends with %v", err)
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
		{[]string{"check", demoNumber, "--campaign", "spring-texts"}, exitDone},
		{[]string{"stop", demoNumber, "--seller", "acme", "--words", "no more"}, exitDone},
		{[]string{"check", demoNumber, "--campaign", "spring-texts"}, exitBlock},
		{[]string{"grant", demoNumber, "--seller", "acme", "--channel", "sms", "--purpose", "marketing", "--level", "express_written", "--words", "yes"}, exitDone},
		{[]string{"check", demoNumber, "--campaign", "spring-texts"}, exitDone}, // the clock went on: a new grant is newer
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
