package house_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// room is a part of the house and what of the house it may import.
type room struct {
	folder string
	may    []string
	why    string
}

// rooms is DESIGN.md section 3 as a table. The longest folder that fits counts.
var rooms = []room{
	{"proto/gen", []string{"proto/gen"}, "the contract can be read without our program"},
	{"ledger", []string{"proto/gen", "ledger"}, "the truth knows nothing of what follows from it"},
	{"projections", []string{"proto/gen", "ledger", "projections"},
		"projections follow from the ledger and can be deleted; who serves them is not their business"},
	{"node", []string{"proto/gen", "ledger", "projections", "node"}, "a node wires the server; what it needs of a client it would have to be"},
	{"cmd", []string{"proto/gen", "ledger", "projections", "node", "consumers", "cmd"},
		"the program introduces the rooms to each other, and tests are no part of it"},
	{"consumers", []string{"proto/gen", "consumers/client"}, "who acts on answers is an ordinary client: that keeps the API honest"},
	{"consumers/mirror", []string{"proto/gen", "consumers/client", "projections/rules", "projections/suppression"},
		"a mirror decides by the same pure rules over the same states, and is a client in all else"},
	{"docs", []string{"docs"}, "pages are for people; their test runs the program as a reader would"},
	{"test", []string{"proto/gen", "ledger", "projections", "node", "consumers", "test"}, "tests build the program from its rooms; nobody imports cmd"},
}

// roomOf finds the room of a folder. Each consumer is a room of its own.
func roomOf(folder string) (r room, ok bool) {
	for _, c := range rooms {
		if within(folder, c.folder) && len(c.folder) >= len(r.folder) {
			r, ok = c, true
		}
	}
	if parts := strings.Split(folder, "/"); ok && parts[0] == "consumers" && len(parts) > 1 {
		r.may = append(slices.Clone(r.may), "consumers/"+parts[1])
	}
	return r, ok
}

// within tells whether a folder is another or lies in it.
func within(folder, in string) bool {
	return folder == in || strings.HasPrefix(folder, in+"/")
}

// listed is what `go list -json` says of one package.
type listed struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// list runs go list in the root of the module.
func list(t *testing.T, args ...string) (out []listed) {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Imports,TestImports,XTestImports"}, args...)...)
	cmd.Dir = root
	var talk strings.Builder
	cmd.Stderr = &talk
	raw, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, talk.String())
	}
	for d := json.NewDecoder(strings.NewReader(string(raw))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return out
		} else if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
}

// TestImportsRunOneWay: proto/gen <- ledger <- projections <- node <- cmd.
func TestImportsRunOneWay(t *testing.T) {
	for _, p := range list(t, "./...") {
		folder := strings.TrimPrefix(p.ImportPath, module)
		r, ok := roomOf(folder)
		if !ok {
			t.Errorf("%s is in no room of DESIGN.md section 3: give it a place there and in this table", folder)
			continue
		}
		for _, imported := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			if problem := r.refuses(imported); problem != "" {
				t.Errorf("%s imports %s: %s", folder, imported, problem)
			}
		}
	}
}

// refuses says why a room may not import a package; empty if it may.
func (r room) refuses(imported string) string {
	folder, ours := strings.CutPrefix(imported, module)
	if !ours || slices.ContainsFunc(r.may, func(m string) bool { return within(folder, m) }) {
		return ""
	}
	return r.folder + " may import only " + strings.Join(r.may, ", ") + ", because " + r.why
}

// TestVerifiersStandAlone: who checks a bundle or a receipt needs no part of a server:
// no database, no message server, no secret.
func TestVerifiersStandAlone(t *testing.T) {
	server := []string{"github.com/cockroachdb/pebble", "github.com/nats-io/", "github.com/tink-crypto/", module + "ledger/seal",
		module + "ledger/store", module + "ledger/stream"}
	for _, verifier := range []string{"ledger/bundle", "ledger/proof", "ledger/directory", "ledger/timestamp"} {
		for _, p := range list(t, "-deps", "./"+verifier) {
			for _, s := range server {
				if strings.HasPrefix(p.ImportPath, s) {
					t.Errorf("%s depends on %s, which belongs to a server (see `go list -deps ./%s`)", verifier, p.ImportPath, verifier)
				}
			}
		}
	}
}

// TestRefuses shows the table at work, so that a slip in it cannot pass everything.
func TestRefuses(t *testing.T) {
	for _, c := range []struct {
		from, to string
		refused  bool
	}{
		{"ledger/writer", "ledger/seal", false},
		{"ledger/writer", "projections", true},
		{"ledgers", "ledger", true},
		{"projections/rules", "ledger", false},
		{"projections/rules", "node", true},
		{"node", "consumers/client", true},
		{"node", "test/testenv", true},
		{"consumers/crm", "ledger/phone", true},
		{"consumers/crm", "consumers/client", false},
		{"consumers/crm/words", "consumers/crm", false},
		{"consumers/crm", "consumers/mirror", true},
		{"consumers/mirror", "projections/rules", false},
		{"consumers/mirror/spool", "consumers/mirror", false},
		{"consumers/mirror", "ledger", true},
		{"cmd/consent", "consumers/crm", false},
		{"cmd/consent", "test/testenv", true},
		{"test/e2e", "test/testenv", false},
		{"test/e2e", "cmd/consent", true},
	} {
		r, ok := roomOf(c.from)
		if got := !ok || r.refuses(module+c.to) != ""; got != c.refused {
			t.Errorf("%s imports %s: refused %v, want %v", c.from, c.to, got, c.refused)
		}
	}
}

// TestPureRooms: a mirror runs the fold and the rules beside a dialer, so they
// must not carry a database or a message server with them, even at second hand.
func TestPureRooms(t *testing.T) {
	heavy := []string{"github.com/cockroachdb/pebble", "github.com/nats-io/"}
	for _, pure := range []string{"projections/suppression", "projections/rules", "projections/rules/places", "ledger/zones"} {
		for _, p := range list(t, "-deps", "./"+pure) {
			for _, h := range heavy {
				if strings.HasPrefix(p.ImportPath, h) {
					t.Errorf("%s depends on %s: it is pure, because mirrors import it (see `go list -deps ./%s`)", pure, p.ImportPath, pure)
				}
			}
		}
	}
}
