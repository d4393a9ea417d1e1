package runner

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/projections/internal/memsource"
	"github.com/consent-ledger/consent-ledger/projections/runner/bulk"
)

// Environment of the process that is killed: the folder, and how large a file may
// become.
const (
	childDir  = "CONSENT_TEST_BULK_DIR"
	childFile = "CONSENT_TEST_BULK_FILE_MAX"
)

// childLedger is what parent and child fold.
func childLedger() *memsource.Source { return history(200, 60) }

// TestChild is no test: it is the process that TestKill9InBulk kills. It says on
// stdout what it is about to do, and at the end the state hash.
func TestChild(t *testing.T) {
	dir := os.Getenv(childDir)
	if dir == "" {
		return
	}
	if most, err := strconv.ParseUint(os.Getenv(childFile), 10, 64); err == nil {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: most, Max: most}); err != nil {
			t.Fatal(err)
		}
	}
	s := childLedger()
	o := inBulk(s, Options{BatchEntriesMax: 100, Bulk: bulk.Options{BlockBytes: 1 << 10, ChunkBytes: 8 << 10}})
	r := start(t, openDB(t, dir), s, o, func(r *Runner) {
		r.testingOnlyBeforeCommit = func(at ledger.Position) error { fmt.Println("child: commit", at); return nil }
	}, joinedAll()...)
	if err := r.WaitApplied(t.Context(), s.Tail()); err != nil {
		fmt.Println("child: failed:", err)
		os.Exit(1)
	}
	fmt.Println("child: hash", r.hash())
}

// child starts the process and gives what it says, a line each time.
func child(t *testing.T, dir string, env ...string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChild$", "-test.timeout=60s")
	c.Env = append(append(os.Environ(), childDir+"="+dir), env...)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c, bufio.NewScanner(out)
}

// rest lets a child end by itself and gives its last words.
func rest(t *testing.T, c *exec.Cmd, out *bufio.Scanner) (said string, err error) {
	t.Helper()
	for out.Scan() {
		if text, ok := strings.CutPrefix(out.Text(), "child: "); ok {
			said = text
		}
	}
	return said, errors.Join(out.Err(), c.Wait())
}

// TestKill9InBulk kills the process in the middle of reading, of sorting and of
// taking the tables over, several times on one folder, and lets the last one end.
func TestKill9InBulk(t *testing.T) {
	r := start(t, openDB(t, t.TempDir()), childLedger(), Options{}, nil, joinedAll()...)
	r.wait(childLedger().Tail())
	want := fmt.Sprint("hash ", r.hash())
	seed := time.Now().UnixNano()
	t.Log("seed", seed)
	draw := rand.New(rand.NewPCG(uint64(seed), 0))
	for range 3 {
		dir := t.TempDir()
		last := ledger.Position(0)
		for range 4 {
			c, out := child(t, dir)
			at := ledger.Position(draw.Uint64N(uint64(childLedger().Tail()))) // then it is killed
			if draw.IntN(3) == 0 {
				at = childLedger().Tail() // at the last step
			}
			for out.Scan() && last < at {
				_, _ = fmt.Sscanf(out.Text(), "child: commit %d", &last)
			}
			if err := c.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = c.Wait() // it was killed
			last = 0
		}
		c, out := child(t, dir)
		said, err := rest(t, c, out)
		if err != nil {
			t.Fatal(said, err)
		}
		if d := cmp.Diff(want, said); d != "" {
			t.Error(d)
		}
		if left, err := os.ReadDir(filepath.Join(dir, "db", "making")); !errors.Is(err, os.ErrNotExist) {
			t.Error("files are left of what was killed:", left, err)
		}
	}
}

// TestFullDiskInBulk: a file that cannot grow ends the fold with an error that says
// what to do, and with room again the state is the same.
func TestFullDiskInBulk(t *testing.T) {
	r := start(t, openDB(t, t.TempDir()), childLedger(), Options{}, nil, joinedAll()...)
	r.wait(childLedger().Tail())
	dir := t.TempDir()
	c, out := child(t, dir, childFile+"="+strconv.Itoa(200<<10))
	said, err := rest(t, c, out)
	if err == nil || !strings.Contains(said, "make room") {
		t.Fatalf("it went on: %q, %v", said, err)
	}
	c, out = child(t, dir)
	said, err = rest(t, c, out)
	if err != nil || said != fmt.Sprint("hash ", r.hash()) {
		t.Errorf("%q, %v", said, err)
	}
}

// TestTornScratchFile damages the scratch file after it was written.
func TestTornScratchFile(t *testing.T) {
	s, dir := childLedger(), t.TempDir()
	o := inBulk(s, Options{Bulk: bulk.Options{BlockBytes: 1 << 10}})
	r := start(t, openDB(t, dir), s, o, func(r *Runner) {
		r.testingOnlyBeforeCommit = func(at ledger.Position) error {
			if at < s.Tail() || r.catchup == nil {
				return nil
			}
			f, err := os.OpenFile(filepath.Join(dir, "db", "making", "scratch"), os.O_RDWR, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteAt([]byte("torn"), 100)
			return errors.Join(err, f.Close())
		}
	}, joinedAll()...)
	if err := r.WaitApplied(context.Background(), s.Tail()); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Fatal("nobody saw it:", err)
	}
	_ = r.stop()
	again := start(t, r.db, s, inBulk(s, Options{}), nil, joinedAll()...)
	again.wait(s.Tail())
	if d := cmp.Diff(foldedOneByOne(t, openDB(t, t.TempDir()), s), again.hash()); d != "" {
		t.Error(d)
	}
}
