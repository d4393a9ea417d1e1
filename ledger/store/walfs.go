package store

import (
	"path/filepath"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// walFS ends the process, by the logger's Fatalf, at the first failed write of a
// write-ahead log. Pebble does so itself if a commit notices. But if the change to
// the next log file fails, it panics over a lock it does not hold: nothing can
// recover from that, and the exit code is 2, which says that a command line makes
// no sense.
type walFS struct {
	vfs.FS
	log pebble.Logger
	// armed is off while the database opens and closes: both return their errors.
	armed atomic.Bool
}

// Unwrap implements vfs.FS.
func (f *walFS) Unwrap() vfs.FS { return f.FS }

// check gives the error back, or never returns.
func (f *walFS) check(op, name string, err error) error {
	if err != nil && f.armed.Load() {
		f.log.Fatalf("%s of the write-ahead log %s: %v", op, filepath.Base(name), err)
	}
	return err
}

func (f *walFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, c)
	return f.opened("create", name, file, err)
}

func (f *walFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.ReuseForWrite(oldname, newname, c)
	return f.opened("reuse", newname, file, err)
}

func (f *walFS) opened(op, name string, file vfs.File, err error) (vfs.File, error) {
	if filepath.Ext(name) != ".log" {
		return file, err
	}
	if err := f.check(op, name, err); err != nil {
		return nil, err
	}
	return &walFile{file, f, name}, nil
}

// OpenDir watches the folder too: a new log file must be in it for good.
func (f *walFS) OpenDir(name string) (vfs.File, error) {
	file, err := f.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &walFile{file, f, name}, nil
}

// walFile is a write-ahead log, or its folder.
type walFile struct {
	vfs.File
	fs   *walFS
	name string
}

func (w *walFile) Write(p []byte) (int, error) {
	n, err := w.File.Write(p)
	return n, w.fs.check("write", w.name, err)
}

func (w *walFile) Sync() error     { return w.fs.check("sync", w.name, w.File.Sync()) }
func (w *walFile) SyncData() error { return w.fs.check("sync", w.name, w.File.SyncData()) }
func (w *walFile) Close() error    { return w.fs.check("close", w.name, w.File.Close()) }

func (w *walFile) SyncTo(length int64) (bool, error) {
	full, err := w.File.SyncTo(length)
	return full, w.fs.check("sync", w.name, err)
}
