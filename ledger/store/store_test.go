package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// childFolder makes the test binary a second process that opens this folder;
// childFailure makes it a process whose write-ahead log cannot do that any more.
const (
	childFolder  = "STORE_TEST_CHILD_FOLDER"
	childFailure = "STORE_TEST_CHILD_FAILURE"
)

func TestMain(m *testing.M) {
	if dir, op := os.Getenv(childFolder), os.Getenv(childFailure); op != "" {
		os.Exit(failing(dir, op))
	} else if dir != "" {
		os.Exit(child(dir))
	}
	goleak.VerifyTestMain(m)
}

func child(dir string) int {
	_, err := Open(dir, Options{})
	if errors.Is(err, ErrLocked) {
		return 42
	}
	fmt.Fprintln(os.Stderr, "second open:", err)
	return 1
}

func open(t testing.TB, dir string) *DB {
	t.Helper()
	db, err := Open(dir, Options{CacheBytes: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func openTemp(t testing.TB) *DB {
	t.Helper()
	db := open(t, t.TempDir())
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// put commits keys and values given in turn.
func put(t testing.TB, db *DB, kv ...string) {
	t.Helper()
	b := db.NewBatch()
	for i := 0; i < len(kv); i += 2 {
		must(t, b.Set([]byte(kv[i]), []byte(kv[i+1])))
	}
	must(t, b.Commit(false))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Run("folder in use by this process", func(t *testing.T) {
		dir := t.TempDir()
		db := open(t, dir)
		if _, err := Open(dir, Options{}); !errors.Is(err, ErrLocked) {
			t.Fatalf("second open: %v, want ErrLocked", err)
		}
		must(t, db.Close())
		must(t, open(t, dir).Close()) // a close lets the next one in
	})
	t.Run("folder in use by another process", func(t *testing.T) {
		dir := t.TempDir()
		db := open(t, dir)
		defer db.Close()
		c := exec.Command(os.Args[0])
		c.Env = append(os.Environ(), childFolder+"="+dir)
		out, _ := c.CombinedOutput()
		if got := c.ProcessState.ExitCode(); got != 42 {
			t.Fatalf("second process ended with %d: %s", got, out)
		}
	})
	t.Run("parent missing", func(t *testing.T) {
		_, err := Open(filepath.Join(t.TempDir(), "no", "such"), Options{})
		if !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("open: %v, want ErrNotExist", err)
		}
	})
	t.Run("a file in its place", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		must(t, os.WriteFile(file, nil, 0o600))
		if _, err := Open(file, Options{}); err == nil || errors.Is(err, ErrLocked) {
			t.Fatalf("open: %v, want an error that is not ErrLocked", err)
		}
	})
}

func TestGet(t *testing.T) {
	db := openTemp(t)
	put(t, db, "\x01full", "value", "\x01empty", "")
	for _, tc := range []struct {
		key  string
		want []byte
	}{
		{"\x01full", []byte("value")},
		{"\x01empty", []byte{}},
		{"\x01absent", nil},
	} {
		got, err := db.Get([]byte(tc.key))
		must(t, err)
		if !bytes.Equal(got, tc.want) || (got == nil) != (tc.want == nil) {
			t.Errorf("get %q: %#v, want %#v", tc.key, got, tc.want)
		}
		has, err := db.Has([]byte(tc.key))
		must(t, err)
		if has != (tc.want != nil) {
			t.Errorf("has %q: %v", tc.key, has)
		}
	}
}

func TestLast(t *testing.T) {
	db := openTemp(t)
	put(t, db, "\x13a", "1", "\x13b", "2", "\x14a", "3")
	lo, hi := SpaceRange(0x13)
	k, v, err := db.Last(lo, hi)
	must(t, err)
	if string(k) != "\x13b" || string(v) != "2" {
		t.Errorf("last is %q=%q", k, v)
	}
	k, _, err = db.Last(SpaceRange(0x12))
	must(t, err)
	if k != nil {
		t.Errorf("last of an empty space is %q", k)
	}
}

func TestSnapshotStandsStill(t *testing.T) {
	db := openTemp(t)
	put(t, db, "\x01a", "old")
	s := db.Snapshot()
	before, err := s.Hash(t.Context(), []byte{0}, []byte{0xff})
	must(t, err)
	put(t, db, "\x01a", "new", "\x01b", "more")
	after, err := s.Hash(t.Context(), []byte{0}, []byte{0xff})
	must(t, err)
	if before != after {
		t.Error("a snapshot changed")
	}
	must(t, s.Close())
}

// TestModel compares random batches, with reopening between them, with a map,
// and the state hash with that of a database that got the end state in one go.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "store")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		db, model := openRapid(t, filepath.Join(dir, "a")), map[string]string{}
		k := rapid.StringMatching("[\x01-\x03][a-d]{0,2}")
		for range rapid.IntRange(1, 5).Draw(t, "batches") {
			db = modelBatch(t, db, model, k, filepath.Join(dir, "a"))
		}
		got := map[string]string{}
		for k, v := range db.Scan([]byte{0}, []byte{0xff}) {
			got[string(k)] = string(v)
		}
		if d := cmp.Diff(model, got); d != "" {
			t.Fatalf("scan (-want +got):\n%s", d)
		}
		other := openRapid(t, filepath.Join(dir, "b"))
		b := other.NewBatch()
		for k, v := range model {
			mustRapid(t, b.Set([]byte(k), []byte(v)))
		}
		mustRapid(t, b.Commit(true))
		if hashAll(t, db) != hashAll(t, other) {
			t.Fatal("equal content, different state hashes")
		}
		mustRapid(t, errors.Join(db.Close(), other.Close()))
	})
}

func modelBatch(t *rapid.T, db *DB, model map[string]string, k *rapid.Generator[string], dir string) *DB {
	b := db.NewBatch()
	for range rapid.IntRange(0, 8).Draw(t, "writes") {
		a := k.Draw(t, "key")
		switch rapid.IntRange(0, 3).Draw(t, "write") {
		case 0:
			mustRapid(t, b.Delete([]byte(a)))
			delete(model, a)
		case 1:
			z := k.Draw(t, "end")
			if z <= a {
				continue
			}
			mustRapid(t, b.DeleteRange([]byte(a), []byte(z)))
			for m := range model {
				if m >= a && m < z {
					delete(model, m)
				}
			}
		default:
			v := rapid.StringN(0, 4, -1).Draw(t, "value")
			mustRapid(t, b.Set([]byte(a), []byte(v)))
			model[a] = v
		}
	}
	mustRapid(t, b.Commit(rapid.Bool().Draw(t, "sync")))
	if rapid.Bool().Draw(t, "reopen") {
		mustRapid(t, db.Close())
		db = openRapid(t, dir)
	}
	return db
}

func openRapid(t *rapid.T, dir string) *DB {
	db, err := Open(dir, Options{CacheBytes: 1 << 20})
	mustRapid(t, err)
	return db
}

func mustRapid(t *rapid.T, err error) {
	if err != nil {
		t.Fatal(err)
	}
}

func hashAll(t *rapid.T, db *DB) string {
	h, err := db.Hash(context.Background(), []byte{0}, []byte{0xff})
	mustRapid(t, err)
	return h.String()
}

// TestHashSeparatesKeyAndValue: bytes cannot wander between a key, its value and
// their neighbours without changing the hash.
func TestHashSeparatesKeyAndValue(t *testing.T) {
	seen := map[string]string{}
	for _, kv := range [][]string{{}, {"\x01", ""}, {"\x01a", ""}, {"\x01", "a"}, {"\x01", "", "\x01a", ""}} {
		db := openTemp(t)
		put(t, db, kv...)
		h, err := db.Hash(t.Context(), []byte{0}, []byte{0xff})
		must(t, err)
		if other, double := seen[h.String()]; double {
			t.Errorf("%q and %s have one hash", kv, other)
		}
		seen[h.String()] = fmt.Sprintf("%q", kv)
	}
}

func TestHashEndsWithItsContext(t *testing.T) {
	db := openTemp(t)
	b := db.NewBatch()
	for i := range hashCheckKeys {
		must(t, b.Set(CommitKey(ledger.Position(i)), nil))
	}
	must(t, b.Commit(false))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	lo, hi := SpaceRange(SpaceCommit)
	if _, err := db.Hash(ctx, lo, hi); !errors.Is(err, context.Canceled) {
		t.Fatalf("hash: %v, want Canceled", err)
	}
}

// brokenReader fails like a disk.
type brokenReader struct{ pebble.Reader }

var errDisk = errors.New("disk")

func (brokenReader) NewIter(*pebble.IterOptions) (*pebble.Iterator, error) { return nil, errDisk }

func TestBrokenScanStopsCommits(t *testing.T) {
	db := openTemp(t)
	put(t, db, "\x01a", "1")
	for range db.Scan([]byte{0}, []byte{0xff}) { // leaving early is no failure
		break
	}
	must(t, db.Err())

	whole := db.r
	db.r = brokenReader{whole}
	if n := len(slices.Collect(keys(db))); n != 0 {
		t.Fatalf("%d keys from a broken disk", n)
	}
	db.r = whole
	b := db.NewBatch()
	must(t, b.Set([]byte("\x01b"), nil))
	if err := b.Commit(false); !errors.Is(err, ErrFailed) || !errors.Is(err, errDisk) {
		t.Fatalf("commit after a broken scan: %v", err)
	}
	if has, err := db.Has([]byte("\x01b")); has || err != nil {
		t.Fatalf("the refused batch is visible: %v %v", has, err)
	}
}

func keys(db *DB) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range db.Scan([]byte{0}, []byte{0xff}) {
			if !yield(string(k)) {
				return
			}
		}
	}
}

// TestLogHoldsNoKeys plants a key and a value and looks for them in everything
// Pebble says, and in what it would say about a damaged key.
func TestLogHoldsNoKeys(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	dir := t.TempDir()
	for range 2 { // the second round replays and flushes the log of the first
		db, err := Open(dir, Options{Logger: log})
		must(t, err)
		put(t, db, "\x11secretkey", "secretvalue")
		must(t, db.p.Flush())
		must(t, db.p.Compact(t.Context(), []byte{0}, []byte{0xff}, false))
		must(t, db.Close())
	}
	c := quietComparer()
	fmt.Fprintf(&out, "%s %v", c.FormatKey([]byte("\x11secretkey")), c.FormatValue(nil, []byte("secretvalue")))
	if s := out.String(); strings.Contains(s, "secret") || !strings.Contains(s, "(key of space 0x11, 10 bytes)") {
		t.Fatalf("log: %s", s)
	}
}

func BenchmarkCommit(b *testing.B) {
	db := openTemp(b)
	value := make([]byte, 80)
	for n := uint64(0); b.Loop(); n++ {
		batch := db.NewBatch()
		for i := range uint64(1000) {
			must(b, batch.Set(CommitKey(ledger.Position(n*1000+i)), value))
		}
		must(b, batch.Commit(false))
	}
	b.ReportMetric(1000*float64(b.N)/b.Elapsed().Seconds(), "keys/s")
}

// TestNoLog: without a log what was flushed stays, and with it all before it.
func TestNoLog(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	db, err := Open(dir, Options{NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"\x30a", "\x30b"} {
		b := db.NewBatch()
		if err := errors.Join(b.Set([]byte(k), []byte("v")), b.Commit(true)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(db.Flush(), db.Close()); err != nil {
		t.Fatal(err)
	}
	if db, err = Open(dir, Options{NoLog: true}); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, k := range []string{"\x30a", "\x30b"} {
		if ok, err := db.Has([]byte(k)); err != nil || !ok {
			t.Errorf("%q is gone: %v", k, err)
		}
	}
}

// TestGetMany says what as many Gets say, in a database and in a snapshot, whatever
// the order and however often a key is asked for.
func TestGetMany(t *testing.T) {
	db, err := Open(filepath.Join(t.TempDir(), "db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	keys := rapid.SliceOfN(rapid.Byte(), 1, 3)
	rapid.Check(t, func(rt *rapid.T) {
		b := db.NewBatch()
		for _, k := range rapid.SliceOf(keys).Draw(rt, "set") {
			if err := b.Set(k, append([]byte("v"), k...)); err != nil {
				rt.Fatal(err)
			}
		}
		for _, k := range rapid.SliceOf(keys).Draw(rt, "delete") {
			if err := b.Delete(k); err != nil {
				rt.Fatal(err)
			}
		}
		if err := b.Commit(false); err != nil {
			rt.Fatal(err)
		}
		snap := db.Snapshot()
		defer snap.Close()
		asked := rapid.SliceOf(keys).Draw(rt, "asked")
		for _, r := range []Reader{db, snap} {
			got := make([][]byte, len(asked))
			err := r.GetMany(asked, func(i int, v []byte) error {
				got[i] = bytes.Clone(v)
				return nil
			})
			if err != nil {
				rt.Fatal(err)
			}
			for i, k := range asked {
				if want, err := r.Get(k); err != nil || !bytes.Equal(got[i], want) {
					rt.Fatalf("key %x: %x, Get says %x (%v)", k, got[i], want, err)
				}
			}
		}
	})
	if err := db.GetMany([][]byte{{1}, {2}}, func(int, []byte) error { return errStop }); err != nil && !errors.Is(err, errStop) {
		t.Errorf("%v", err)
	}
}

// noTables refuses to make tables, as a full disk does.
type noTables struct{ vfs.FS }

func (f noTables) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if filepath.Ext(name) == ".sst" {
		return nil, syscall.ENOSPC
	}
	return f.FS.Create(name, c)
}

// TestFlushOnAFullDisk: it returns, and says what is wrong; so does Close.
func TestFlushOnAFullDisk(t *testing.T) {
	db, err := openOn(noTables{vfs.Default}, filepath.Join(t.TempDir(), "db"), Options{NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	b := db.NewBatch()
	if err := errors.Join(b.Set([]byte("key"), []byte("value")), b.Commit(false)); err != nil {
		t.Fatal(err)
	}
	if err := db.Flush(); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("flush: %v", err)
	}
	for db.Unwritten() == nil { // Pebble goes on trying
		runtime.Gosched()
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
