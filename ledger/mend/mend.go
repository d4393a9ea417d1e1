// Package mend finds out what the ledger's stream has lost, says whom that
// concerns, and reads through copies that are put in its place.
//
// JetStream drops a message whose file was damaged without a word, or serves
// another in its place; and nothing can be written at a sequence that is past. So
// what is lost is kept beside the stream: the exact bytes of each entry, taken only
// if its leaf is the one in the tree, and so under what was signed. Whoever reads
// commits reads through a Log of this package, which gives the stream's messages
// and, where one is damaged, the mended one.
//
//	mend.go    opening, and what is known at one moment
//	damage.go  what is damaged, and what is said of it
//	examine.go looking at a message, and whom it touches
//	take.go    copies: which are taken, and the tree's own
//	log.go     the stream as it should be
//	beside.go  what the streams beside the ledger's have lost
//	scrub.go   the reading of everything, again and again
package mend

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/directory"
	"github.com/consent-ledger/consent-ledger/ledger/store"
)

const (
	cacheBytes    = 1 << 20
	memTableBytes = 1 << 20
)

// Tree is what is known of entries that were read once; tree.Tree has it.
type Tree interface {
	// Leaves gives those of n entries from a position on, as far as they are known.
	Leaves(first ledger.Position, n int) ([]ledger.Hash, error)
	// Vouch proves the leaf at a position to what was signed, if that reaches so far.
	Vouch(at ledger.Position) error
	// Proves tells whether a leaf leads to what was signed from a position, whatever the
	// tree has there.
	Proves(at ledger.Position, leaf ledger.Hash) (bool, error)
	// Quiet: no answer about anybody hangs on the entry.
	Quiet(at ledger.Position) (bool, error)
	// Kept gives one of the newest messages; ledger.ErrNotFound if it is none of them.
	Kept(seq uint64) (ledger.Message, error)
}

// Index finds the message of a position; index.Index has it.
type Index interface {
	SeqOf(at ledger.Position) (uint64, error)
}

// Directory tells which numbers lost entries are about; keeper.Keeper has it.
type Directory interface {
	About(ctx context.Context, positions []ledger.Position) (about map[ledger.Position]directory.Key, through ledger.Position, err error)
}

// Config is what a Mender needs.
type Config struct {
	// Dir is the database's folder; its parent must exist. What it holds is nowhere
	// else: it belongs into every backup.
	Dir string
	// Ledger is the id of the ledger; the folder of another one is refused.
	Ledger [16]byte
	// Stream is the ledger as JetStream gives it.
	Stream ledger.Log
	// Now is the wall clock; nil: the machine's.
	Now func() time.Time
	// Logger hears what happens beside the answers. Nil discards it.
	Logger *slog.Logger
}

// Mender is safe for concurrent use. Tree, Index and Directory come as a server
// opens; nothing is known of persons before the last of them, so that all are
// blocked if anything is damaged.
type Mender struct {
	cfg  Config
	db   *store.DB
	keys func(e164 string) directory.Key

	// mu: one change of what is damaged at a time; it is held across reads of the
	// stream, and nothing that answers waits for it.
	mu        sync.Mutex
	tree      Tree
	index     Index
	directory Directory
	scrub     scrubbed // mu guards it too

	view atomic.Pointer[view]
	// waiting is how many followers wait at a hole.
	waiting atomic.Int32
	// losses is what the streams beside the ledger's have lost; mu guards changing it.
	beside         []Beside
	losses         atomic.Pointer[[]Loss]
	besideFinished atomic.Pointer[time.Time]
	// ring guards changed, which is closed and replaced whenever another answer may be
	// due: at each new view, and when somebody begins to wait or goes on.
	ring    sync.Mutex
	changed chan struct{}
	pace    atomic.Int64 // of the scrubber
}

// view is what is known at one moment; it never changes.
type view struct {
	damages   map[uint64]*Damage
	blocked   map[directory.Key]struct{}
	everybody bool
	open      int // damages that are not mended
}

// Folder errors.
var (
	// ErrForeign: the folder is another ledger's. Nothing was changed.
	ErrForeign = errors.New("mend: folder belongs to another ledger; put back this one's from the newest backup")

	metaLedger = store.MetaKey("ledger")
	metaScrub  = store.MetaKey("scrub")
)

// Open opens the folder or begins an empty one.
func Open(cfg Config, keys func(e164 string) directory.Key) (*Mender, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	db, err := store.Open(cfg.Dir, store.Options{Logger: cfg.Logger, CacheBytes: cacheBytes, MemTableBytes: memTableBytes})
	if err != nil {
		return nil, fmt.Errorf("mend: %w", err)
	}
	m := &Mender{cfg: cfg, db: db, keys: keys, changed: make(chan struct{})}
	if err := m.load(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return m, nil
}

// Close closes the database. All readers must have ended.
func (m *Mender) Close() error { return m.db.Close() }

func (m *Mender) load() error {
	owner, err := m.db.Get(metaLedger)
	switch {
	case err != nil:
		return err
	case owner == nil:
		b := m.db.NewBatch()
		if err := b.Set(metaLedger, m.cfg.Ledger[:]); err != nil {
			return errors.Join(err, b.Close())
		}
		if err := b.Commit(true); err != nil {
			return err
		}
	case !bytes.Equal(owner, m.cfg.Ledger[:]):
		return fmt.Errorf("%w: %s", ErrForeign, m.cfg.Dir)
	}
	if raw, err := m.db.Get(metaScrub); err != nil {
		return err
	} else if raw != nil {
		if err := json.Unmarshal(raw, &m.scrub); err != nil {
			return fmt.Errorf("mend: progress of the scrubber: %w", err)
		}
	}
	damages := map[uint64]*Damage{}
	lo, hi := store.SpaceRange(store.SpaceDamage)
	err = m.db.Each(lo, hi, func(k, v []byte) error {
		seq, err := store.ParseDamageKey(k)
		d := &Damage{}
		if err = errors.Join(err, json.Unmarshal(v, d)); err == nil && d.Seq != seq {
			err = fmt.Errorf("mend: message %d: %w", seq, store.ErrBadKey)
		}
		damages[seq] = d
		return err
	})
	if err == nil {
		m.show(damages)
		err = m.loadLosses()
	}
	return err
}

// show makes a new view. What is not mended blocks.
func (m *Mender) show(damages map[uint64]*Damage) {
	v := &view{damages: damages, blocked: map[directory.Key]struct{}{}}
	for _, d := range damages {
		if d.Mended {
			continue
		}
		v.open++
		v.everybody = v.everybody || d.Everybody
		for _, k := range d.Numbers {
			v.blocked[k] = struct{}{}
		}
	}
	m.view.Store(v)
	m.tell()
}

// tell wakes everybody who waits for Changed.
func (m *Mender) tell() {
	m.ring.Lock()
	defer m.ring.Unlock()
	close(m.changed)
	m.changed = make(chan struct{})
}

// Changed is closed when what is blocked may be something else than it is now. Whoever
// wants to miss nothing asks for it first, and for what is blocked then.
func (m *Mender) Changed() <-chan struct{} {
	m.ring.Lock()
	defer m.ring.Unlock()
	return m.changed
}

// Know tells a Mender of the tree; before it nothing can be compared.
func (m *Mender) Know(t Tree) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tree = t
}

// Locate tells it of the index, by which the positions of a lost message are known.
func (m *Mender) Locate(ix Index) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.index = ix
}

// Ask tells it of the directory, by which the numbers are known, and looks up those
// of all that is damaged.
func (m *Mender) Ask(ctx context.Context, d Directory) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.directory = d
	var open []*Damage
	for _, d := range m.view.Load().damages {
		if d.Mended || !d.Everybody {
			continue
		}
		c := *d
		if c.First == 0 {
			var err error
			if c.First, c.Last, err = m.span(c.Seq); err != nil {
				return err
			}
		}
		open = append(open, &c)
	}
	return m.note(ctx, open)
}
