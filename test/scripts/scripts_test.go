// Package scripts tells the stories of the program from outside: the binary as
// users have it, a folder of their own, a server of their own.
//
// Each *.txtar here is one story. scripts_test.go builds the binary and gives the
// stories their words; server_test.go runs servers and watches programs,
// strangers_test.go holds the helpers that speak HTTP and NATS without our client.
// `go test ./test/scripts -update` writes what is printed now into the sections
// compared with cmp: read the difference before you commit it.
package scripts

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/consent-ledger/consent-ledger/ledger/bundle/bundletest"
	"github.com/consent-ledger/consent-ledger/ledger/timestamp/tsatest"
	"github.com/consent-ledger/consent-ledger/projections/rules"
)

var update = flag.Bool("update", false, "write what is printed now into the stories")

// numbers are the people of all stories, from ranges kept for fiction.
var numbers = map[string]string{
	"ANN": "+12125550143", "BOB": "+12065550117", "CAT": "+14155550199", "DAN": "+16175550102", "EVE": "+447700900123", "FAY": "+441632960456",
}

// patience bounds every wait. No story comes near it unless something is wrong.
const patience = 20 * time.Second

// pollEvery is how often a story asks again that waits for a server.
const pollEvery = 20 * time.Millisecond

func TestScripts(t *testing.T) {
	bundletest.Python(t) // stories run verify.py
	bin := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(bin, "consent"), "../../cmd/consent")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	tsa := tsatest.New(t)
	authority := tsa.Serve(nil)
	testscript.Run(t, testscript.Params{
		Dir: ".", UpdateScripts: *update, RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("TSA", authority)
			env.Setenv("TSA_CA", tsa.CAFile())
			return setup(env, bin)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"consent": cmdConsent, "exit": cmdExit, "hides": cmdHides, "settles": cmdSettles,
			"server": cmdServer, "watch": cmdWatch, "until": cmdUntil, "occupy": cmdOccupy, "free": cmdFree, "swap": cmdSwap,
			"unescape": cmdUnescape, "entry": cmdEntry, "fill": cmdFill, "customers": cmdCustomers, "keep": cmdKeep, "order": cmdOrder, "substitute": cmdSubstitute,
			"post": cmdPost, "get": cmdGet, "nats": cmdNATS,
		},
	})
}

// setup gives a story its people, its program and its world.
func setup(env *testscript.Env, bin string) error {
	env.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	for name, number := range numbers {
		env.Setenv(name, number)
	}
	now := time.Now().UTC()
	env.Setenv("TODAY", now.Format(time.DateOnly))
	env.Setenv("FTC_TODAY", now.Format("2006-1-2")) // as the FTC writes days into file names
	env.Setenv("YESTERDAY", now.AddDate(0, 0, -1).Format(time.DateOnly))
	env.Setenv("FTC_YESTERDAY", now.AddDate(0, 0, -1).Format("2006-1-2"))
	// The next time it is noon in New York and nine or ten in California: calls and
	// texts are allowed then, and the answer is that of now.
	noon := time.Date(now.Year(), now.Month(), now.Day(), 17, 0, 0, 0, time.UTC)
	if !noon.After(now.Add(time.Minute)) {
		noon = noon.AddDate(0, 0, 1)
	}
	env.Setenv("NOON", noon.Format(time.RFC3339))
	env.Setenv("NIGHT", noon.Add(12*time.Hour).Format(time.RFC3339)) // in all of America
	packs, err := rules.EmbeddedFiles()
	if err != nil {
		return err
	}
	env.Setenv("PACKS_AND_SIX", strconv.Itoa(len(packs)+6))
	env.Setenv("AFTER_TOMORROW", now.AddDate(0, 0, 2).Format(time.DateOnly))
	w := &world{watched: map[string]*watched{}, ports: map[string]net.Listener{}}
	env.Values[worldKey{}] = w
	env.Defer(w.end)
	return nil
}

// cmdConsent runs the program, which must exit 0.
func cmdConsent(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("say which exit code is meant: exit CODE consent …")
	}
	expectExit(ts, 0, append([]string{"consent"}, args...))
}

// cmdExit runs a program, which must end with the exit code: exit 3 consent check …
func cmdExit(ts *testscript.TestScript, neg bool, args []string) {
	code, err := strconv.Atoi(args[0])
	if neg || err != nil || len(args) < 2 {
		ts.Fatalf("usage: exit CODE PROGRAM ARGUMENT…")
	}
	expectExit(ts, code, args[1:])
}

// expectExit runs a program. Whatever it was told, stderr holds no number.
func expectExit(ts *testscript.TestScript, want int, args []string) {
	code := run(ts, args)
	if code != want {
		ts.Fatalf("exit code %d, not %d", code, want)
	}
	noNumber(ts, "stderr")
}

// run gives a program's exit code.
func run(ts *testscript.TestScript, args []string) int {
	err := ts.Exec(args[0], args[1:]...)
	var exited *exec.ExitError
	if errors.As(err, &exited) {
		return exited.ExitCode()
	}
	ts.Check(err)
	return 0
}

// cmdHides looks for numbers where none may be: in stdout, or in files.
func cmdHides(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: hides stdout|stderr|FILE…")
	}
	for _, name := range args {
		noNumber(ts, name)
	}
}

// noNumber fails if one of the people's numbers stands in a file, however it is written.
func noNumber(ts *testscript.TestScript, name string) {
	if bad := findNumber(ts.ReadFile(name)); bad != "" {
		ts.Fatalf("the number of %s is in %s", bad, name)
	}
}

var separators = regexp.MustCompile(`[-. ()/]+`)

// findNumber names whose number is in a text. The last seven digits are enough.
func findNumber(text string) string {
	plain := separators.ReplaceAllString(text, "")
	for name, number := range numbers {
		if strings.Contains(plain, number[len(number)-7:]) {
			return name
		}
	}
	return ""
}

// cmdSettles runs a program again and again until its stdout matches: for what
// happens behind a caller's back, such as intake.
func cmdSettles(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: settles PATTERN PROGRAM ARGUMENT…")
	}
	pattern := regexp.MustCompile(args[0])
	path, err := lookPath(ts, args[1])
	ts.Check(err)
	again := time.NewTicker(pollEvery)
	defer again.Stop()
	for deadline := time.Now().Add(patience); ; <-again.C {
		c := exec.CommandContext(context.Background(), path, args[2:]...)
		c.Dir, c.Env = ts.Getenv("WORK"), environment(ts)
		out, _ := c.Output() // what it says is what counts
		if pattern.Match(out) {
			fmt.Fprintf(ts.Stdout(), "%s", out)
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("stdout never matched %s; at last it was:\n%s", args[0], out)
		}
	}
}

// cmdUnescape replaces \xNN, \r and \ufeff in files by what they mean: an archive
// of text cannot hold them.
func cmdUnescape(ts *testscript.TestScript, _ bool, args []string) {
	escape := regexp.MustCompile(`\\(x[0-9a-f]{2}|r|ufeff)`)
	for _, name := range args {
		text := escape.ReplaceAllStringFunc(ts.ReadFile(name), func(e string) string {
			raw, err := strconv.Unquote(`"` + e + `"`)
			ts.Check(err)
			return raw
		})
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o600))
	}
}

// cmdFill replaces LONG in a file by that many bytes: fill FILE 2000000.
func cmdFill(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	text := strings.ReplaceAll(ts.ReadFile(args[0]), "LONG", strings.Repeat("x", n))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

// cmdEntry writes a word into a file, for programs that read standard input: entry FILE WORD.
func cmdEntry(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(args[1]), 0o600))
}

// cmdSubstitute replaces words of a file, for people who mend one: substitute FILE OLD NEW.
func cmdSubstitute(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[0])
	if !strings.Contains(text, args[1]) {
		ts.Fatalf("%s does not hold %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.ReplaceAll(text, args[1], args[2])), 0o600))
}

// areaCodes are real ones; 555-0100 to 0199 of each are kept for fiction.
var areaCodes = []int{202, 206, 212, 213, 214, 215, 303, 305, 312, 313, 404, 415, 503, 512, 602, 612, 617, 702, 713, 808}

// cmdCustomers writes a file of many facts: customers FILE ROWS. Every fifth is a stop.
func cmdCustomers(ts *testscript.TestScript, _ bool, args []string) {
	rows, err := strconv.Atoi(args[1])
	ts.Check(err)
	var b strings.Builder
	b.WriteString("source,event_id,kind,number,seller,channels,purposes,level,occurred_at\n")
	for i := range rows {
		number := fmt.Sprintf("%d-555-01%02d", areaCodes[i/100%len(areaCodes)], i%100)
		if i%5 == 4 {
			fmt.Fprintf(&b, "crm,e-%d,consent_revoked,%s,acme,sms,,,2026-03-01T12:00:00Z\n", i, number)
			continue
		}
		fmt.Fprintf(&b, "crm,e-%d,consent_granted,%s,acme,sms,marketing,express_written,2026-01-01T12:00:00Z\n", i, number)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(b.String()), 0o600))
}

// cmdKeep keeps what stdout says under a name: keep NAME PATTERN, the first group.
func cmdKeep(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: keep NAME PATTERN")
	}
	m := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(m) < 2 {
		ts.Fatalf("stdout does not match %s", args[1])
	}
	ts.Setenv(args[0], m[1])
}
