// Package docs holds no code. Its test reads every page of the repository and
// checks what a page promises: verbs and flags of the program, files it links to,
// metrics, reason codes and tests it names.
package docs

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = ".."

// page is one Markdown file, by its path from the root.
type page struct {
	path string
	text string
}

func pages(t *testing.T) []page {
	t.Helper()
	var out []page
	walk(t, ".md", func(path, text string) { out = append(out, page{path, text}) })
	if len(out) < 8 {
		t.Fatalf("only %d pages found: this test looks in the wrong place", len(out))
	}
	return out
}

// walk reads every file of the repository with an ending.
func walk(t *testing.T, ending string, visit func(path, text string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "bin") {
			return filepath.SkipDir
		}
		if !d.Type().IsRegular() || !strings.HasSuffix(path, ending) {
			return nil
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		visit(filepath.ToSlash(rel), string(raw))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// code reads the Go files of a folder as one text.
func code(t *testing.T, folder string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, folder, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: no Go files (%v)", folder, err)
	}
	var b strings.Builder
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(raw)
	}
	return b.String()
}

var link = regexp.MustCompile(`\]\(([^)\s#]+)(?:#[^)]*)?\)`)

// TestLinksLeadSomewhere: a file that was moved takes its pages along.
func TestLinksLeadSomewhere(t *testing.T) {
	for _, p := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(p.text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(p.path), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", p.path, m[1], err)
			}
		}
	}
}

var metric = regexp.MustCompile(`"(consent_[a-z_]+)"`)

// TestMetricsAreDocumented: each metric of the server has its row, and no row is without one.
func TestMetricsAreDocumented(t *testing.T) {
	same(t, "docs/reference/metrics.md", "node", findAll(metric, code(t, "node")), regexp.MustCompile("(?m)^\\| `(consent_[a-z_]+)`"))
}

var codes = regexp.MustCompile(`(?m)^\t(?:Code|OK)\w+\s+= "([A-Z_]+)"`)

// TestReasonCodesAreDocumented: each code has its row, and no row is without one.
func TestReasonCodesAreDocumented(t *testing.T) {
	same(t, "docs/reference/reasons.md", "projections/rules", findAll(codes, code(t, "projections/rules")), regexp.MustCompile("(?m)^\\| `([A-Z_]+)`"))
}

// same compares what the code has with the rows of a page.
func same(t *testing.T, path, folder string, have []string, row *regexp.Regexp) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	rows := findAll(row, string(raw))
	if len(have) == 0 || len(rows) == 0 {
		t.Fatalf("%d in %s, %d rows in %s: this test looks for the wrong thing", len(have), folder, len(rows), path)
	}
	for _, name := range have {
		if !slices.Contains(rows, name) {
			t.Errorf("%s has %s, which has no row in %s", folder, name, path)
		}
	}
	for _, name := range rows {
		if !slices.Contains(have, name) {
			t.Errorf("%s names %s, which %s does not have", path, name, folder)
		}
	}
}

func findAll(re *regexp.Regexp, text string) (out []string) {
	for _, m := range re.FindAllStringSubmatch(text, -1) {
		out = append(out, m[1])
	}
	return out
}

var (
	testNamed   = regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w*)`")
	testDefined = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Z]\w*)\(`)
)

// TestNamedTestsExist: a promise that names its test must have it.
func TestNamedTestsExist(t *testing.T) {
	defined := map[string]bool{}
	walk(t, "_test.go", func(_, text string) {
		for _, name := range findAll(testDefined, text) {
			defined[name] = true
		}
	})
	for _, p := range pages(t) {
		for _, name := range findAll(testNamed, p.text) {
			if !defined[name] {
				t.Errorf("%s names the test %s, which does not exist", p.path, name)
			}
		}
	}
}

// TestCommandsParse: every `consent …` on a page is a verb of the program, with
// flags that verb has. The program itself says which.
func TestCommandsParse(t *testing.T) {
	p := program{path: filepath.Join(t.TempDir(), "consent"), help: map[string]string{}}
	if out, err := exec.Command("go", "build", "-o", p.path, root+"/cmd/consent").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	seen := 0
	for _, page := range pages(t) {
		for _, c := range commandsIn(page.text) {
			seen++
			if problem := p.check(c); problem != "" {
				t.Errorf("%s: %q: %s", page.path, c, problem)
			}
		}
	}
	if seen < 40 {
		t.Errorf("only %d commands found: this test looks for the wrong thing", seen)
	}
}

// TestCommandsIn shows what counts as a command.
func TestCommandsIn(t *testing.T) {
	for text, want := range map[string][]string{
		"```console\n$ consent check '+1 202' --at X | head -1\nconsent: no\n```": {"consent check Q --at X"},
		"```console\n$ nats get | consent decode --in hex\n```":                   {"consent decode --in hex"},
		"```console\n$ A=b consent a \\\n    --b c\n```":                          {"consent a --b c"},
		"before `consent doctor`, and consent as a word":                          {"consent doctor"},
		"`consent check … && dial`":                                               {"consent check …"},
	} {
		if got := commandsIn(text); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

var (
	prompt    = regexp.MustCompile(`(?m)^\$ (.*)$`)
	inline    = regexp.MustCompile("`(consent [^`\n]+)`")
	quoted    = regexp.MustCompile(`'[^']*'|"[^"]*"`)
	continued = regexp.MustCompile(`\\\n\s*`)
	nextOne   = regexp.MustCompile(`\||&&|;|>|<|&`)
	variable  = regexp.MustCompile(`^(?:[A-Z_]+=\S*\s+)+`)
)

// commandsIn gives the calls of the program on a page, quoted words replaced by Q.
func commandsIn(text string) (out []string) {
	lines := append(findAll(inline, text), findAll(prompt, continued.ReplaceAllString(text, ""))...)
	for _, line := range lines {
		for _, part := range nextOne.Split(quoted.ReplaceAllString(line, "Q"), -1) {
			part = variable.ReplaceAllString(strings.TrimSpace(part), "")
			if strings.HasPrefix(part, "consent ") {
				out = append(out, strings.TrimRight(part, " 2"))
			}
		}
	}
	return out
}

var bareWord = regexp.MustCompile(`^[a-z]+$`)

// program asks the built program for help, each verb once.
type program struct {
	path string
	help map[string]string
}

// helpOf is what the program prints for `verb… --help`.
func (p *program) helpOf(verb []string) string {
	key := strings.Join(verb, " ")
	if _, ok := p.help[key]; !ok {
		out, _ := exec.Command(p.path, append(slices.Clone(verb), "--help")...).CombinedOutput()
		p.help[key] = string(out)
	}
	return p.help[key]
}

// check says what is wrong with a command line; empty if nothing is.
func (p *program) check(line string) string {
	words := strings.Fields(line)[1:]
	var verb []string
	for _, w := range words {
		// Only words that can be verbs are tried: behind a flag --help would be its
		// value, and the verb would run.
		longer := append(slices.Clone(verb), w)
		if !bareWord.MatchString(w) || !strings.Contains(p.helpOf(longer), "\n  consent "+strings.Join(longer, " ")) {
			break
		}
		verb = longer
	}
	if words[0] == "--help" || words[0] == "VERB" {
		return ""
	}
	if len(verb) == 0 {
		return "no such verb"
	}
	help := p.helpOf(verb)
	_, usage, _ := strings.Cut(help, "\nUsage:\n  consent "+strings.Join(verb, " ")+" ")
	own := usage != "" && !strings.HasPrefix(usage, "[flags]") && !strings.HasPrefix(usage, "[command]") // arguments, beside its verbs
	if strings.Contains(help, "\nAvailable Commands:") && !own {
		return "needs one of the verbs below consent " + strings.Join(verb, " ")
	}
	for _, w := range words[len(verb):] {
		flag, _, _ := strings.Cut(w, "=")
		short := len(flag) == 2 && flag[0] == '-' && flag[1] >= 'a'
		if (strings.HasPrefix(flag, "--") || short) && !strings.Contains(help, flag+" ") && !strings.Contains(help, flag+",") {
			return "consent " + strings.Join(verb, " ") + " has no flag " + flag
		}
	}
	return ""
}
