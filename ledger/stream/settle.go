package stream

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/consent-ledger/consent-ledger/ledger/durable"
)

// blocksPattern finds the blocks of all streams below JetStream's folder. A block is
// N.blk, its key N.key beside it; messages are only ever added to the last block.
const blocksPattern = "jetstream/*/streams/*/msgs/*.blk"

// blockKeyBytesMin is the shortest key of a block that JetStream takes for one.
const blockKeyBytesMin = 64

// settle makes sure that what JetStream is about to read is also on disk.
//
// A process that ended over a failed fsync leaves pages behind that the kernel counts
// as written: every reader sees them, no fsync writes them, and the next mount is
// without them. JetStream would count such a message as stored, add others behind it,
// and after that mount cut all of them off, receipts and all. Writing the same bytes
// to the same place does not help: ext4 still takes their blocks for unwritten, and
// reads zeros there. So the last block of each stream moves to a new file.
//
// It also refuses a block whose key cannot be read (JetStream would make a new key,
// find nothing but noise, and empty the block), and removes one that a crash left
// without either.
//
// It gives the names of the streams that hold something.
func settle(dir string) (filled []string, err error) {
	blocks, err := fs.Glob(os.DirFS(dir), blocksPattern)
	if err != nil {
		return nil, fmt.Errorf("streams: %w", err)
	}
	last := map[string]int{} // block by folder
	for _, b := range blocks {
		folder, name := path.Split(b)
		n, err := strconv.Atoi(strings.TrimSuffix(name, ".blk"))
		if err != nil {
			continue // none of JetStream's
		}
		unused, err := keyless(filepath.Join(dir, b))
		switch {
		case err != nil:
			return nil, err
		case unused:
			if err := os.Remove(filepath.Join(dir, b)); err != nil {
				return nil, fmt.Errorf("streams: %w", err)
			}
		default:
			last[folder] = max(last[folder], n)
		}
	}
	for folder, n := range last {
		if err := renew(filepath.Join(dir, folder), fmt.Sprint(n, ".blk")); err != nil {
			return nil, fmt.Errorf("streams: the end of a stream cannot be written anew: %w", err)
		}
		if info, err := os.Stat(filepath.Join(dir, folder, fmt.Sprint(n, ".blk"))); err == nil && info.Size() > 0 {
			filled = append(filled, path.Base(path.Dir(path.Clean(folder))))
		}
	}
	return filled, nil
}

// keyless tells whether a block has neither key nor content: JetStream makes the file
// before the key, and a crash came between. Found again, JetStream takes it for
// plaintext that it cannot read, and leaves the whole stream out. A block that holds
// something and has no key is an error.
func keyless(block string) (unused bool, err error) {
	info, err := os.Stat(block)
	if err != nil {
		return false, fmt.Errorf("streams: %w", err)
	}
	name := strings.TrimSuffix(block, ".blk") + ".key"
	key, err := os.ReadFile(name)
	switch {
	case info.Size() == 0:
		return errors.Is(err, fs.ErrNotExist), nil
	case err == nil && len(key) < blockKeyBytesMin:
		err = fmt.Errorf("%s is too short to be a key", name)
	}
	if err != nil {
		return false, fmt.Errorf("streams: a block's key cannot be read; nothing was changed, restore it from a backup: %w", err)
	}
	return false, nil
}

// renew replaces a file by a synced copy. If the process ends before that, the old
// file is still there, and a copy that nobody reads.
func renew(folder, name string) error {
	old := filepath.Join(folder, name)
	info, err := os.Stat(old)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(old)
	if err != nil || len(data) == 0 {
		return err
	}
	return durable.Replace(old, data, info.Mode())
}
