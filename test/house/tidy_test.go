package house_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// linesMax is where a file tires anyone; past it, split it by concept.
const linesMax = 800

// sleepers may call time.Sleep in a test: by file, with the reason.
var sleepers = map[string]string{
	"projections/registry/projection_test.go": "inside a synctest bubble: its clock moves at once, and the test is about instants",
	"consumers/crm/import_test.go":            "inside a synctest bubble: a slow server, without waiting for it",
}

// TestLines bounds the length of what people write; data and sums are as long as they are.
func TestLines(t *testing.T) {
	written := []string{".go", ".proto", ".md", ".yaml", ".py", ".js", ".css", ".html", ".templ"}
	for _, f := range textFiles(t) {
		if strings.HasPrefix(f.path, generated) || !slices.Contains(written, path.Ext(f.path)) {
			continue
		}
		if n := strings.Count(f.text, "\n"); n > linesMax {
			t.Errorf("%s has %d lines, more than %d: split it by concept", f.path, n, linesMax)
		}
	}
}

// Spelled in two halves, so that this file does not find itself.
var (
	leftover    = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)
	machinePath = regexp.MustCompile(`(^|[^\w.-])/(wo` + `rk|ro` + `ot|tmp/ba` + `sh_jobs|home/[a-z]+|Users/[A-Za-z]+)/`)
)

// TestLeftovers: what is not done stands in an issue, and no path of anybody's
// machine is in the repository.
func TestLeftovers(t *testing.T) {
	for _, f := range textFiles(t) {
		if strings.HasPrefix(f.path, generated) {
			continue
		}
		for i, line := range strings.Split(f.text, "\n") {
			if m := leftover.FindString(line); m != "" {
				t.Errorf("%s:%d: %s: do it, or open an issue and say what is true now", f.path, i+1, m)
			}
			if m := machinePath.FindString(line); m != "" {
				t.Errorf("%s:%d: %s: a path of one machine means nothing on another", f.path, i+1, strings.TrimSpace(m))
			}
		}
	}
}

// TestCalls looks into each Go file for what is refused there.
func TestCalls(t *testing.T) {
	slept := map[string]bool{}
	for _, f := range goFiles(textFiles(t)) {
		fset := token.NewFileSet()
		tree, err := parser.ParseFile(fset, f.path, f.text, parser.SkipObjectResolution)
		if err != nil {
			t.Error(err)
			continue
		}
		inTest := strings.HasSuffix(f.path, "_test.go") || strings.HasPrefix(f.path, "test/")
		for _, i := range tree.Imports {
			if i.Path.Value == `"time/tzdata"` {
				t.Errorf("%s: time/tzdata: its release is that of whatever Go builds this; use ledger/zones", fset.Position(i.Pos()))
			}
		}
		for n := range ast.Preorder(tree) {
			at := fset.Position(n.Pos())
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Recv == nil && n.Name.Name == "init" {
					t.Errorf("%s: func init: importing a package must do nothing; say it in the one place that wires", at)
				}
			case *ast.SelectorExpr:
				switch call := selector(n); {
				case call == "time.Sleep" && inTest && sleepers[f.path] == "":
					t.Errorf("%s: time.Sleep in a test: wait for the condition, or use testing/synctest", at)
				case call == "time.Sleep" && inTest:
					slept[f.path] = true
				case call == "time.LoadLocation" && !inTest:
					t.Errorf("%s: time.LoadLocation: the machine's zones differ from the pinned ones that decisions name; use ledger/zones", at)
				case inTest && slices.Contains(skips, call):
					t.Errorf("%s: %s: a test that may not run proves nothing; put what needs root behind the tag rootfault", at, call)
				}
			}
		}
	}
	for file := range sleepers {
		if !slept[file] {
			t.Errorf("%s sleeps no more: take it off the list of sleepers", file)
		}
	}
}

// skips are the ways out of a test, by the names that tests give their T, B, F and TB.
var skips = func() (out []string) {
	for _, who := range []string{"t", "b", "f", "tb"} {
		for _, how := range []string{"Skip", "Skipf", "SkipNow"} {
			out = append(out, who+"."+how)
		}
	}
	return out
}()

// selector writes x.Name, empty if x is no plain name.
func selector(n *ast.SelectorExpr) string {
	if x, ok := n.X.(*ast.Ident); ok {
		return x.Name + "." + n.Sel.Name
	}
	return ""
}
