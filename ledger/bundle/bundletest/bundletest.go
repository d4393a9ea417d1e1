// Package bundletest runs verify.py, the second implementation of the verifier, in
// tests. Python is fetched if it is missing: a test that skips proves nothing.
package bundletest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Python gives the path of python3.
func Python(t testing.TB) string {
	t.Helper()
	path, err := python3()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// python3 finds it, or installs it where that is possible.
var python3 = sync.OnceValues(func() (string, error) {
	if path, err := exec.LookPath("python3"); err == nil {
		return path, nil
	}
	out, err := exec.Command("sh", "-c", "apt-get update -qq && apt-get install -y -qq python3").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("python3 is missing and cannot be installed (%w); install it: apt-get install python3\n%s", err, out)
	}
	return exec.LookPath("python3")
})

// Claim is what verify.py says of one claim.
type Claim struct {
	Claim  string `json:"claim"`
	Proven bool   `json:"proven"`
	Text   string `json:"text"`
}

// Answer is what verify.py says of a file: what it is about and claims, or why it is
// refused.
type Answer struct {
	About   [][2]string
	Claims  []Claim
	Refused string
}

// Leaves tells whether verify.py leaves a claim to others: it never calls it proven.
func Leaves(claim string) bool { return claim == "tables" || claim == "timestamped" }

// batch lets one process of Python check many files: it prints a line of JSON each.
const batch = `
import io, json, sys
sys.path.insert(0, sys.argv[1])
import verify
keys, policy = open(sys.argv[2]).read(), open(sys.argv[3]).read()
earlier = open(sys.argv[4], "rb").read()
for path in sys.stdin.read().splitlines():
    try:
        about, claims = verify.verify(io.BytesIO(open(path, "rb").read()), keys, policy or None, io.BytesIO(earlier) if earlier else None)
        print(json.dumps({"About": about, "Claims": [{"claim": n, "proven": p, "text": s} for n, p, s in claims]}))
    except verify.Refused as why:
        print(json.dumps({"Refused": str(why)}))
`

// Verify lets a verify.py check files, in one process. What Python refuses by other
// means than its own word fails the test.
func Verify(t testing.TB, script, keys []byte, files ...[]byte) []Answer {
	t.Helper()
	return VerifyTrusting(t, script, keys, nil, nil, files...)
}

// VerifyTrusting is Verify with a policy and an earlier checkpoint or bundle; nil: none.
func VerifyTrusting(t testing.TB, script, keys, policy, earlier []byte, files ...[]byte) []Answer {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("verify.py", script)
	var list strings.Builder
	for i, f := range files {
		fmt.Fprintln(&list, write(fmt.Sprintf("%06d", i), f))
	}
	cmd := exec.CommandContext(t.Context(), Python(t), "-c", batch, dir, write("keys", keys), write("policy", policy), write("earlier", earlier))
	cmd.Stdin = strings.NewReader(list.String())
	var talk bytes.Buffer
	cmd.Stderr = &talk
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("verify.py: %v\n%s", err, talk.String())
	}
	var answers []Answer
	for line := range bytes.Lines(out) {
		var a Answer
		if err := json.Unmarshal(line, &a); err != nil {
			t.Fatal(err)
		}
		answers = append(answers, a)
	}
	if len(answers) != len(files) {
		t.Fatalf("verify.py answered %d of %d files", len(answers), len(files))
	}
	return answers
}
