package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2"

	"github.com/consent-ledger/consent-ledger/ledger/durable"
)

// A file that a disk has damaged is noticed by its checksum, in the middle of a read or
// a compaction. The process ends: nothing may be answered from such a database, and
// Pebble would stumble over the file for ever. If it is Derived, it leaves a mark before
// that, and the next Open begins with an empty database, which its owner fills from the
// stream as it does one that was deleted. So a restart heals it, whoever restarts it.
const (
	// markFile says which file is damaged.
	markFile = "DAMAGED"
	// damagedDir keeps what was there, once, for whoever wants to know why.
	damagedDir = "damaged"
)

// ownFiles are the names of Pebble's files; others share a folder with it. The lock
// is not among them: it is held.
var ownFiles = []string{"*.sst", "*.blob", "*.log", "MANIFEST-*", "OPTIONS-*", "CURRENT*", "marker.*", "*.dbtmp"}

// endDamaged is what Pebble calls when it finds a damaged file.
func (l logger) endDamaged(dir string, derived bool, i pebble.DataCorruptionInfo) {
	remedy := "what it holds is nowhere else: put back the folder from the newest backup"
	if derived {
		remedy = "start it again: the database is then made anew from the ledger"
		if err := mark(dir, fmt.Sprintf("%s: %v", filepath.Base(i.Path), i.Details)); err != nil {
			remedy = "it could not be marked; delete the folder and start again: the database is then made anew from the ledger"
		}
	}
	l.log.Error("a database is damaged; the process ends", "folder", dir, "file", filepath.Base(i.Path), "error", i.Details.Error(), "remedy", remedy)
	os.Exit(1)
}

func mark(dir, what string) error {
	return durable.Replace(filepath.Join(dir, markFile), []byte(what+"\n"), 0o600)
}

// setAside moves a marked database out of the way. A crash in the middle leaves the
// mark, and the rest is moved by the next Open.
func (l logger) setAside(dir string) error {
	what, err := os.ReadFile(filepath.Join(dir, markFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	aside := filepath.Join(dir, damagedDir)
	l.log.Warn("a damaged database is made anew from the ledger; what is left of it may be deleted", "folder", aside, "damage", string(what))
	if err := os.Mkdir(aside, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for _, pattern := range ownFiles {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return err
		}
		for _, f := range files {
			if err := os.Rename(f, filepath.Join(aside, filepath.Base(f))); err != nil {
				return err
			}
		}
	}
	if err := durable.SyncFolder(dir); err != nil {
		return err
	}
	return os.Remove(filepath.Join(dir, markFile))
}
