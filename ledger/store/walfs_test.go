package store

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// walFailures are the ways in which a write-ahead log, or the folder it is in, can
// fail.
var walFailures = map[string][]errorfs.OpKind{
	"write":  {errorfs.OpFileWrite},
	"sync":   {errorfs.OpFileSync, errorfs.OpFileSyncData},
	"create": {errorfs.OpCreate, errorfs.OpReuseForWrite},
	"folder": {errorfs.OpFileSync},
}

// TestFailedLogEndsTheProcess with exit code 1, wherever Pebble stands when its
// write-ahead log fails: the change from one log file to the next included.
func TestFailedLogEndsTheProcess(t *testing.T) {
	for op := range walFailures {
		t.Run(op, func(t *testing.T) {
			c := exec.Command(os.Args[0])
			c.Env = append(os.Environ(), childFolder+"="+t.TempDir(), childFailure+"="+op)
			out, err := c.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 || !bytes.Contains(out, []byte("the process ends")) {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// failing commits without sync until the process has ended, and never lets go.
func failing(dir, op string) int {
	var broken atomic.Bool
	disk := errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(o errorfs.Op) error {
		wanted := filepath.Ext(o.Path) == ".log"
		if op == "folder" {
			wanted = o.Path == dir
		}
		if broken.Load() && wanted && slices.Contains(walFailures[op], o.Kind) {
			return errDisk
		}
		return nil
	}))
	db, err := openOn(disk, dir, Options{Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 3
	}
	broken.Store(true)
	for n := range 1000 { // 4 MB: several log files
		b := db.NewBatch()
		if err := errors.Join(b.Set(fmt.Append(nil, n), make([]byte, 4<<10)), b.Commit(false)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 4
		}
	}
	return 0
}

// TestFailedLogAtTheEnd: closing a database whose log fails gives the error back.
func TestFailedLogAtTheEnd(t *testing.T) {
	var broken atomic.Bool
	dir := t.TempDir()
	db, err := openOn(errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(o errorfs.Op) error {
		if broken.Load() && filepath.Ext(o.Path) == ".log" && (o.Kind == errorfs.OpFileSync || o.Kind == errorfs.OpFileSyncData) {
			return errDisk
		}
		return nil
	})), dir, Options{})
	must(t, err)
	put(t, db, "\x01a", "1")
	broken.Store(true)
	if err := db.Close(); !errors.Is(err, errDisk) {
		t.Fatalf("close: %v", err)
	}
	db = open(t, dir)
	must(t, db.Close())
}
