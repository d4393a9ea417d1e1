package ledgertest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// standstillWait bounds how long a folder may take to stand still.
const standstillWait = time.Minute

// CopyOpen copies the folder of a database that is open, as a process killed now
// leaves it. A database drops files of its own accord for a while after a change, so
// a copy counts only if the folder was the same after it as before; else it is made
// again. to must not exist.
func CopyOpen(t testing.TB, from, to string) {
	t.Helper()
	for end := time.Now().Add(standstillWait); time.Now().Before(end); {
		before, err := listing(from)
		if err == nil {
			err = os.CopyFS(to, os.DirFS(from))
		}
		after, err2 := listing(from)
		if err = errors.Join(err, err2); err == nil && before == after {
			return
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if err := os.RemoveAll(to); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatalf("%s does not stand still", from)
}

// listing tells folders apart: names, sizes and times of all files.
func listing(dir string) (string, error) {
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if !d.IsDir() {
			fmt.Fprintln(&b, path, info.Size(), info.ModTime().UnixNano())
		}
		return nil
	})
	return b.String(), err
}
