package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/consent-ledger/consent-ledger/ledger/ledgertest"
)

func contents(t *testing.T, db *DB) map[string]string {
	t.Helper()
	out := map[string]string{}
	must(t, db.Each([]byte{0}, []byte{0xff}, func(k, v []byte) error { out[string(k)] = string(v); return nil }))
	return out
}

// made makes a table of keys, which are their own values.
func made(t *testing.T, ts *Tables, keys ...string) {
	t.Helper()
	table, err := ts.Create()
	must(t, err)
	for _, k := range keys {
		must(t, table.Set([]byte(k), []byte(k)))
	}
	must(t, table.Close())
}

// TestTablesAreTakenOverAtOnce: not before, all together, over what was there, and
// there to stay: a copy of the files taken right after it has them.
func TestTablesAreTakenOverAtOnce(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir)
	defer func() { must(t, db.Close()) }()
	put(t, db, "\x20b", "old")
	put(t, db, "\x21z", "stays")
	b := db.NewBatch()
	must(t, errors.Join(b.DeleteRange([]byte{0x20}, []byte{0x21}), b.Commit(false)))
	put(t, db, "\x01far", "old")
	before := contents(t, db)
	old := db.Snapshot()
	defer old.Close()

	ts, err := db.NewTables()
	must(t, err)
	made(t, ts, "\x20a", "\x20b")
	made(t, ts, "\x20c")
	made(t, ts, "\x01far")
	if d := cmp.Diff(before, contents(t, db)); d != "" {
		t.Fatal(d)
	}
	must(t, ts.Ingest(t.Context(), 0x20))
	want := map[string]string{"\x01far": "\x01far", "\x20a": "\x20a", "\x20b": "\x20b", "\x20c": "\x20c", "\x21z": "stays"}
	if d := cmp.Diff(want, contents(t, db)); d != "" {
		t.Error(d)
	}
	now := db.Snapshot()
	defer now.Close()
	if v, err := now.Get([]byte("\x20a")); string(v) != "\x20a" || err != nil {
		t.Errorf("a snapshot of after does not see it: %q, %v", v, err)
	}
	if v, err := old.Get([]byte("\x20a")); v != nil || err != nil {
		t.Errorf("a snapshot of before sees it: %q, %v", v, err)
	}
	left := filepath.Join(t.TempDir(), "db")
	ledgertest.CopyOpen(t, dir, left)
	again := open(t, left)
	if d := cmp.Diff(want, contents(t, again)); d != "" {
		t.Error("after a crash:", d)
	}
	must(t, errors.Join(again.Close(), ts.Close()))
}

// TestTablesOrNothing: tables that cannot be taken over change nothing.
func TestTablesOrNothing(t *testing.T) {
	db := openTemp(t)
	put(t, db, "\x20b", "old")
	before := contents(t, db)
	ts, err := db.NewTables()
	must(t, err)
	made(t, ts, "\x20a", "\x20c")
	made(t, ts, "\x20b") // within the other
	if err := ts.Ingest(t.Context()); err == nil {
		t.Error("tables that overlap were taken")
	}
	must(t, ts.Close())

	ts, err = db.NewTables()
	must(t, err)
	table, err := ts.Create()
	must(t, err)
	must(t, table.Set([]byte("\x20b"), nil))
	if err := table.Set([]byte("\x20a"), nil); err == nil {
		t.Error("keys out of order")
	}
	_ = table.Close()
	empty, err := ts.Create()
	must(t, err)
	if err := empty.Close(); err == nil {
		t.Error("a table without keys")
	}
	db.fail(errors.New("half a scan"))
	if err := ts.Ingest(t.Context()); !errors.Is(err, ErrFailed) {
		t.Error(err)
	}
	must(t, ts.Close())
	if d := cmp.Diff(before, contents(t, db)); d != "" {
		t.Error(d)
	}
}

// TestWorkshopIsCleared: what a killed process was making is gone at the next start.
func TestWorkshopIsCleared(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir)
	ts, err := db.NewTables()
	must(t, err)
	made(t, ts, "\x20a")
	f, err := ts.Scratch()
	must(t, err)
	must(t, f.Close())
	left := filepath.Join(t.TempDir(), "db")
	ledgertest.CopyOpen(t, dir, left)
	must(t, errors.Join(ts.Close(), db.Close()))
	for _, folder := range []string{dir, left} {
		again := open(t, folder)
		if _, err := os.Stat(filepath.Join(folder, workshopDir)); !errors.Is(err, fs.ErrNotExist) {
			t.Error("it is still there:", err)
		}
		if got := contents(t, again); len(got) > 0 {
			t.Error(got)
		}
		must(t, again.Close())
	}
}
