package timestamp

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/durable"
)

// Endings of the two files of a stamp: the checkpoint, and the token over its bytes.
const (
	checkpointEnding = ".checkpoint"
	tokenEnding      = ".tst"
)

// Shelf keeps stamps as pairs of files, named by the size of the ledger and the
// authority's time, and nothing else: any tool can check them, and a backup of the
// folder holds them. Safe for concurrent use.
type Shelf struct {
	dir string

	mu  sync.Mutex
	all []entry // by size, then time
}

type entry struct {
	size int64
	name string
}

var stampName = regexp.MustCompile(`^(\d{20})-\d{8}T\d{6}Z$`)

// OpenShelf opens a folder of stamps, which is made if it is missing.
func OpenShelf(dir string) (*Shelf, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("timestamp: %w", err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("timestamp: %w", err)
	}
	s := &Shelf{dir: dir}
	for _, f := range files {
		// The checkpoint is written last: with it the pair is whole.
		name, whole := strings.CutSuffix(f.Name(), checkpointEnding)
		m := stampName.FindStringSubmatch(name)
		if !whole || m == nil {
			continue
		}
		size, err := strconv.ParseInt(m[1], 10, 64)
		if err != nil {
			continue
		}
		s.all = append(s.all, entry{size, name})
	}
	s.sort()
	return s, nil
}

func (s *Shelf) sort() {
	slices.SortFunc(s.all, func(a, b entry) int { return cmp.Or(cmp.Compare(a.size, b.size), cmp.Compare(a.name, b.name)) })
}

// Keep makes a stamp of a checkpoint of size entries durable.
func (s *Shelf) Keep(size int64, st Stamp) error {
	name := fmt.Sprintf("%020d-%s", size, st.At.UTC().Format("20060102T150405Z"))
	for _, f := range []struct {
		ending string
		data   []byte
	}{{tokenEnding, st.Token}, {checkpointEnding, st.Message}} {
		if err := durable.Replace(filepath.Join(s.dir, name+f.ending), f.data, 0o600); err != nil {
			return fmt.Errorf("timestamp: %w", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := (entry{size, name}); !slices.Contains(s.all, e) {
		s.all = append(s.all, e)
		s.sort()
	}
	return nil
}

// Newest is the last stamp of the largest ledger; ledger.ErrNotFound if there is none.
func (s *Shelf) Newest() (size int64, st Stamp, err error) {
	return s.find(func(all []entry) int { return len(all) - 1 })
}

// Covering is the first stamp of a ledger that holds a position: the earliest time
// anybody else vouches for. ledger.ErrNotFound if there is none yet.
func (s *Shelf) Covering(at ledger.Position) (size int64, st Stamp, err error) {
	return s.find(func(all []entry) int {
		return slices.IndexFunc(all, func(e entry) bool { return e.size >= int64(at) })
	})
}

// Of is the last stamp of a ledger of just so many entries; ledger.ErrNotFound if there
// is none.
func (s *Shelf) Of(size int64) (Stamp, error) {
	_, st, err := s.find(func(all []entry) int {
		i := len(all) - 1
		for i >= 0 && all[i].size != size {
			i--
		}
		return i
	})
	return st, err
}

func (s *Shelf) find(which func([]entry) int) (int64, Stamp, error) {
	s.mu.Lock()
	i := which(s.all)
	var e entry
	if i >= 0 {
		e = s.all[i]
	}
	s.mu.Unlock()
	if i < 0 {
		return 0, Stamp{}, fmt.Errorf("timestamp: no such checkpoint was stamped: %w", ledger.ErrNotFound)
	}
	st, err := s.read(e.name)
	return e.size, st, err
}

// read gives a pair whose token is over its checkpoint.
func (s *Shelf) read(name string) (Stamp, error) {
	message, err := os.ReadFile(filepath.Join(s.dir, name+checkpointEnding))
	if err != nil {
		return Stamp{}, fmt.Errorf("timestamp: %w", err)
	}
	token, err := os.ReadFile(filepath.Join(s.dir, name+tokenEnding))
	if errors.Is(err, fs.ErrNotExist) {
		return Stamp{}, fmt.Errorf("timestamp: the token of %s is gone: %w", name, ledger.ErrDamaged)
	}
	if err != nil {
		return Stamp{}, fmt.Errorf("timestamp: %w", err)
	}
	st, _, err := read(token, message)
	if err != nil {
		return Stamp{}, fmt.Errorf("timestamp: the files of %s are damaged: %w: %w", name, err, ledger.ErrDamaged)
	}
	return st, nil
}

// Said is when a stamp is from, for people.
func (s Stamp) Said() string {
	at := s.At.Format(time.RFC3339)
	if s.Accuracy > 0 {
		at += " (give or take " + s.Accuracy.String() + ")"
	}
	return at
}
