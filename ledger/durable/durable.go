// Package durable writes small files so that neither a crash nor a power cut leaves
// half of one. It is for files that are read whole: keys, notes, anchors.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// ErrLocked: another process holds the lock.
var ErrLocked = errors.New("durable: another process holds it")

// Lock takes the lock of a file, and makes the file if it is not there. Closing it, or
// the end of the process however it ends, frees it. ErrLocked if another process, or
// another caller in this one, holds it.
func Lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return nil, errors.Join(ErrLocked, f.Close())
	case err != nil:
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return f, nil
}

// Replace gives a file new content: after a crash it is the old one or the new one,
// whole. It writes beside the file (".tmp" behind its name), syncs, renames, and
// syncs the folder. After an error the file may be either, never a mixture. One
// caller at a time for each path.
func Replace(path string, data []byte, mode fs.FileMode) error {
	tmp := path + ".tmp"
	if err := write(tmp, os.O_TRUNC, data, mode); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	if err := os.Rename(tmp, path); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return SyncFolder(filepath.Dir(path))
}

// Create writes a file that must not be there: fs.ErrExist if it is. A crash may
// leave it without content, which whoever reads it must refuse.
func Create(path string, data []byte, mode fs.FileMode) error {
	if err := write(path, os.O_EXCL, data, mode); err != nil {
		return err
	}
	return SyncFolder(filepath.Dir(path))
}

func write(path string, how int, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|how, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// SyncFolder makes durable which files a folder holds.
func SyncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
