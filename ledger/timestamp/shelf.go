package timestamp

import (
	"bytes"
	"cmp"
	"crypto/sha256"
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
	at   string // the authority's time, as in the name: it sorts as it passes
	name string
}

// A name is the size, the time, and for another note of that size in that second a mark.
var stampName = regexp.MustCompile(`^(\d{20})-(\d{8}T\d{6}Z)(-[0-9a-f]{8})?$`)

// OpenShelf opens a folder of stamps, which is made with the first one.
func OpenShelf(dir string) (*Shelf, error) {
	files, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
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
		s.all = append(s.all, entry{size, m[2], name})
	}
	s.sort()
	return s, nil
}

func (s *Shelf) sort() {
	slices.SortFunc(s.all, func(a, b entry) int { return cmp.Or(cmp.Compare(a.size, b.size), cmp.Compare(a.name, b.name)) })
}

// Keep makes a stamp of a checkpoint of size entries durable. It replaces none of
// another note: nobody can make that again.
func (s *Shelf) Keep(size int64, st Stamp) error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("timestamp: %w", err)
	}
	e := entry{size: size, at: st.At.UTC().Format("20060102T150405Z")}
	e.name = fmt.Sprintf("%020d-%s", e.size, e.at)
	if old, err := os.ReadFile(filepath.Join(s.dir, e.name+checkpointEnding)); err == nil && !bytes.Equal(old, st.Message) {
		sum := sha256.Sum256(st.Message)
		e.name += fmt.Sprintf("-%x", sum[:4])
	}
	for _, f := range []struct {
		ending string
		data   []byte
	}{{tokenEnding, st.Token}, {checkpointEnding, st.Message}} {
		if err := durable.Replace(filepath.Join(s.dir, e.name+f.ending), f.data, 0o600); err != nil {
			return fmt.Errorf("timestamp: %w", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.all, e) {
		s.all = append(s.all, e)
		s.sort()
	}
	return nil
}

// Newest is the last stamp of the largest ledger, whichever came last; ledger.ErrNotFound
// if there is none.
func (s *Shelf) Newest() (size int64, st Stamp, err error) {
	return s.find(func(all []entry) int { return len(all) - 1 })
}

// Covering is the stamp with the earliest time of those of a ledger that holds a position,
// in whatever order they came: an older checkpoint may have been stamped after a newer one.
// ledger.ErrNotFound if there is none yet.
func (s *Shelf) Covering(at ledger.Position) (size int64, st Stamp, err error) {
	return s.find(func(all []entry) int {
		first := -1
		for i, e := range all {
			if e.size >= int64(at) && (first < 0 || e.at < all[first].at) {
				first = i
			}
		}
		return first
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

// Over is the last stamp over a note of so many entries, ledger.ErrNotFound if there is none.
// The error tells of one that cannot be read.
func (s *Shelf) Over(size int64, note []byte) (st Stamp, err error) {
	s.mu.Lock()
	all := slices.Clone(s.all)
	s.mu.Unlock()
	err = fmt.Errorf("timestamp: this note was not stamped: %w", ledger.ErrNotFound)
	for _, e := range slices.Backward(all) {
		if e.size != size {
			continue
		}
		st, bad := s.read(e.name)
		if bad == nil && bytes.Equal(st.Message, note) {
			return st, nil
		}
		if bad != nil {
			err = bad
		}
	}
	return Stamp{}, err
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
