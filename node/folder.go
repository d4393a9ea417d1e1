package node

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/consent-ledger/consent-ledger/ledger/durable"
)

// Names inside a ledger's folder; a contract with backups and operators.
const (
	markerFile     = "CONSENT_LEDGER" // makes the folder a ledger's; holds the format's number
	lockFile       = "lock"
	adminKeyFile   = "admin.key"
	keysDir        = "keys"        // back up kek.json elsewhere
	jetstreamDir   = "jetstream"   // the truth
	indexDir       = "index"       // rebuilt from the streams
	treeDir        = "tree"        // the same
	timestampsDir  = "timestamps"  // back up: evidence that nobody can make again
	projectionsDir = "projections" // may be deleted at any time
	directoryDir   = "directory"   // the same, while the server is stopped
	listsDir       = "lists"       // the same: copies of lists, sealed
	mendedDir      = "mended"      // what the streams have lost; belongs to the truth
	spoolDir       = "spool"       // the same: files being loaded, sealed
)

// folderFormat is what the marker file says. A later format is refused.
const folderFormat = "consent-ledger folder format 1\n"

// folder is a ledger's folder.
type folder struct {
	dir  string
	lock *os.File
}

func (f *folder) path(name string) string { return filepath.Join(f.dir, name) }

// createFolder makes the folder of a new ledger. It must be empty or not there.
func createFolder(dir string) (*folder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("folder: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("folder: %w", err)
	}
	f := &folder{dir: dir}
	if _, err := os.Stat(f.path(markerFile)); err == nil {
		return nil, fmt.Errorf("folder %s holds a ledger already; nothing was changed", dir)
	}
	if len(entries) > 0 {
		return nil, fmt.Errorf("folder %s is not empty; name a new one", dir)
	}
	return f, f.acquire()
}

// openFolder locks an existing ledger's folder.
func openFolder(dir string) (*folder, error) {
	f := &folder{dir: dir}
	marker, err := os.ReadFile(f.path(markerFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("folder %s holds no ledger; make one with: consent init --dir %s", dir, dir)
	case err != nil:
		return nil, fmt.Errorf("folder: %w", err)
	case string(marker) != folderFormat:
		return nil, fmt.Errorf("folder %s has a format this version does not know; use the version that made it", dir)
	}
	return f, f.acquire()
}

// acquire takes the folder's lock, which is the writer's lease until failover
// exists: the kernel frees it when the process ends, however it ends.
func (f *folder) acquire() error {
	l, err := durable.Lock(f.path(lockFile))
	if errors.Is(err, durable.ErrLocked) {
		return fmt.Errorf("folder %s is served by another process; two writers are refused", f.dir)
	}
	if err != nil {
		return fmt.Errorf("folder: %w", err)
	}
	f.lock = l
	return nil
}

// release gives the lock back.
func (f *folder) release() error { return f.lock.Close() }

// seal marks the folder as a ledger's: the last step of init.
func (f *folder) seal() error { return writeNew(f.path(markerFile), folderFormat) }

// createAdminKey draws the key that opens the API: 256 bits, in hex.
func (f *folder) createAdminKey() (string, error) {
	b := make([]byte, 32)
	if _, err := rand.Read(b); err != nil {
		return "", fmt.Errorf("admin key: %w", err)
	}
	key := hex.EncodeToString(b)
	return key, writeNew(f.path(adminKeyFile), key+"\n")
}

// adminKey reads it.
func (f *folder) adminKey() (string, error) {
	b, err := os.ReadFile(f.path(adminKeyFile))
	if err != nil {
		return "", fmt.Errorf("admin key: %w", err)
	}
	key := strings.TrimSpace(string(b))
	if len(key) < 32 {
		return "", fmt.Errorf("admin key: %s is too short to be a key; restore it from a backup", f.path(adminKeyFile))
	}
	return key, nil
}

// writeNew writes a file that must not be there.
func writeNew(path, content string) error {
	if err := durable.Create(path, []byte(content), 0o600); err != nil {
		return fmt.Errorf("folder: %w", err)
	}
	return nil
}
