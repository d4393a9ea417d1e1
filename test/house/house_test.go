// Package house guards the order of the house: who may import whom
// (imports_test.go), leftovers (tidy_test.go), and that no number in this
// repository is a living person's (numbers_test.go). Each failure says why the
// rule stands. Nothing here knows what the program does.
package house_test

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	module = "github.com/consent-ledger/consent-ledger/"
	root   = "../.."
	// generated is never edited, so nothing here is asked of it.
	generated = "proto/gen/"
)

// textFile is one file of the repository, by its path from the root.
type textFile struct {
	path string
	text string
}

// textFiles reads every text file that belongs to the repository. Where git
// cannot be asked (an unpacked archive) that is every file there is.
func textFiles(t *testing.T) []textFile {
	t.Helper()
	paths, err := tracked()
	if err != nil {
		paths = walked(t)
	}
	var out []textFile
	for _, p := range paths {
		raw, err := os.ReadFile(filepath.Join(root, p))
		if os.IsNotExist(err) {
			continue // deleted, but still in git's index
		}
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.ContainsRune(raw, 0) {
			out = append(out, textFile{p, string(raw)})
		}
	}
	if len(out) < 100 {
		t.Fatalf("only %d files found: this test looks in the wrong place", len(out))
	}
	return out
}

// tracked asks git for its files.
func tracked() ([]string, error) {
	out, err := exec.Command("git", "-C", root, "ls-files", "-z").Output()
	if err != nil {
		return nil, err
	}
	return strings.FieldsFunc(string(out), func(r rune) bool { return r == 0 }), nil
}

// walked lists the folder, without what git would ignore.
func walked(t *testing.T) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if d.IsDir() && slices.Contains([]string{".git", "bin", "dist"}, rel) {
			return filepath.SkipDir
		}
		if d.Type().IsRegular() {
			paths = append(paths, filepath.ToSlash(rel))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// goFiles keeps the Go files that somebody wrote.
func goFiles(all []textFile) []textFile {
	return slices.DeleteFunc(slices.Clone(all), func(f textFile) bool {
		return !strings.HasSuffix(f.path, ".go") || strings.HasPrefix(f.path, generated)
	})
}
