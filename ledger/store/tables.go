package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// workshopDir is the folder, inside a database's, in which tables are made. What
// is in it belongs to nobody once the process has ended: opening removes it.
const workshopDir = "making"

// lastLevel is Pebble's lowest level, where a table goes that meets no other.
const lastLevel = 6

// Tables are sorted files of keys made beside a database, which takes all of them
// over in one step. Making them needs no log, no memtable and no compaction.
// Create may be called by several goroutines; the rest is for one.
type Tables struct {
	db  *DB
	dir string

	mu    sync.Mutex
	paths []string
}

// NewTables begins a set of tables. It must end with Close; a database has one at
// a time.
func (db *DB) NewTables() (*Tables, error) {
	t := &Tables{db: db, dir: filepath.Join(db.dir, workshopDir)}
	if err := errors.Join(os.RemoveAll(t.dir), os.Mkdir(t.dir, 0o700)); err != nil {
		return nil, wrap("tables", err)
	}
	return t, nil
}

// Scratch makes an empty file that is gone with Close, or at the latest when the
// database is next opened.
func (t *Tables) Scratch() (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(t.dir, "scratch"), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	return f, wrap("tables", err)
}

// Create begins one table.
func (t *Tables) Create() (*Table, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	path := filepath.Join(t.dir, strconv.Itoa(len(t.paths))+".sst")
	f, err := t.db.wal.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, wrap("tables", err)
	}
	t.paths = append(t.paths, path)
	o := t.db.options.MakeWriterOptions(lastLevel, t.db.p.TableFormat())
	return &Table{w: sstable.NewWriter(objstorageprovider.NewFileWritable(f), o)}, nil
}

// Table is one sorted file. It is not safe for concurrent use, and must end with Close.
type Table struct {
	w    *sstable.Writer
	keys int
}

// Set adds a key, which must be greater than all before it in this table, and in
// no other table of the set. Both slices are copied.
func (t *Table) Set(key, value []byte) error {
	t.keys++
	return wrap("table", t.w.Set(key, value))
}

// Close puts the table on disk, fsynced. A table without keys is an error; nil is
// a table that was never begun.
func (t *Table) Close() error {
	if t == nil {
		return nil
	}
	if t.keys == 0 {
		return errors.Join(errors.New("store: a table without keys"), t.w.Close())
	}
	return wrap("close table", t.w.Close())
}

// Ingest adds all tables to the database in one step, durably: all of them or, on
// an error or a crash, none. Their keys win over those the database has. Every
// table must be closed. spaces are those that were emptied before: what is left of
// them on disk is dropped first, so that the tables can go where reads look last.
func (t *Tables) Ingest(ctx context.Context, spaces ...byte) error {
	for _, s := range spaces {
		lo, hi := SpaceRange(s)
		if err := t.db.p.Compact(ctx, lo, hi, false); err != nil {
			return wrap("compact", err)
		}
	}
	if err := t.db.Err(); err != nil {
		return err
	}
	if len(t.paths) == 0 {
		return nil
	}
	paths := slices.Clone(t.paths)
	t.paths = nil
	return errors.Join(wrap("ingest", t.db.p.Ingest(ctx, paths)), t.db.outdate())
}

// Close removes what was made and not taken over.
func (t *Tables) Close() error { return wrap("tables", os.RemoveAll(t.dir)) }

// clearWorkshop removes what a process left that ended while it made tables.
func clearWorkshop(dir string) error {
	if err := os.RemoveAll(filepath.Join(dir, workshopDir)); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

// tableOptions are the options of a database with all defaults filled in, as
// tables need them.
func tableOptions(o *pebble.Options) *pebble.Options {
	c := o.Clone()
	c.EnsureDefaults()
	return c
}
