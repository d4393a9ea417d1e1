// Package index is what the writer must know exactly: which events are in the
// ledger, who holds a number, where each person's chain ends, which message
// holds a position, which keys exist, and what is registered.
//
// It is a fold over the two streams in a Pebble database of its own and can be
// built anew from them. Every commit goes through the same code, whether it was
// just made or is read again after a crash: a plan is made of its entries, which
// checks them against all that came before (plan.go), and its rows are gathered in
// memory (rows.go) until the database takes many of them, and the position, in one
// batch. Nothing is logged or synced; after a crash the index goes back to an earlier
// position as a whole, and the stream is read on from there.
//
// A commit on its way to the stream is staged: its plan is held in memory and
// every look-up sees it, so that the next commit can be assembled meanwhile. Once
// stored it is settled, and stays in memory until it is written. Keys are noted
// before their person has an entry (keys.go) and written with it.
package index

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// formatVersion changes whenever a key or value changes meaning; an index of
// another version is emptied and built anew.
const formatVersion = 2

// stagedMax is how many commits can be in memory: two assembled or in flight and
// one being written, or one assembled and two settled.
const stagedMax = 3

// ErrForeign: the folder holds the index of another ledger. Nothing was changed.
var ErrForeign = errors.New("index: folder belongs to another ledger")

// Options of an index.
type Options struct {
	// Ledger is the id of the ledger; an index of another one is refused.
	Ledger [16]byte
	// Live tells whether an epoch's key still exists (seal.Keyring.Live). Nil:
	// every epoch is taken for live.
	Live func(bucket uint16, epoch uint32) bool
	// Logger hears what happens beside the answers. Nil discards it.
	Logger *slog.Logger
	// CacheBytes is the block cache of the database. 0: the store's default.
	CacheBytes int64
}

// Applied is how far the index has come in both streams.
type Applied struct {
	Seq        uint64          // last message of the ledger stream
	Position   ledger.Position // last entry
	KeysSeq    uint64          // last message of the keys stream
	RecordedAt time.Time       // of the last entry
}

// Index is safe for concurrent use. Stage, ApplyCommit and ApplyKeys belong to
// the one writer; look-ups see what was staged or applied before they began.
type Index struct {
	db   *store.DB
	live func(uint16, uint32) bool
	log  *slog.Logger

	// Resident fingerprints: what they do not hold is not in the database.
	events, tokens *store.Fingerprints

	applied atomic.Pointer[Applied]
	catalog atomic.Pointer[catalog]
	// staged is replaced as a whole, oldest plan first; plans in it never change.
	// A plan leaves only after its rows are in fresh, fresh rows are storing before
	// others are fresh, and those stay until the database has them: a look-up that
	// asks in this order misses nothing.
	staged         atomic.Pointer[[]*plan]
	fresh, storing atomic.Pointer[rows]
	rowsBytes      int // rowsBytesMax
	// stored gets the outcome of storing rows; it is nil while nobody stores. writing
	// guards it.
	stored chan error

	// mu orders changes of what is staged and applied: one goroutine stages while
	// another settles and a third writes. writing orders what writes rows.
	mu, writing sync.Mutex
	// written is how far the rows have come; writing guards it.
	written Applied
	// broken is set once rows are incomplete: the database must not get them. writing
	// guards it.
	broken error
	// keysOpen are messages of the keys stream that are not wholly written, in order;
	// ahead are keys of persons without an entry that is. mu guards both.
	keysOpen []*keysMessage
	ahead    map[ledger.PersonID]ahead

	stop   context.CancelFunc
	loaded sync.WaitGroup
}

// Open opens the index in dir, or begins an empty one. It may be used at once;
// the fingerprints load meanwhile and only save time.
func Open(dir string, o Options) (*Index, error) {
	if o.Live == nil {
		o.Live = func(uint16, uint32) bool { return true }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	db, err := store.Open(dir, store.Options{Logger: o.Logger, CacheBytes: o.CacheBytes, Derived: true,
		MemTableBytes: memTableBytes, NoLog: true, Layers: layers, Uncompressed: true})
	if err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	ix := &Index{db: db, live: o.Live, log: o.Logger,
		rowsBytes: rowsBytesMax,
		events:    store.NewFingerprints(), tokens: store.NewFingerprints(), ahead: map[ledger.PersonID]ahead{}}
	ix.fresh.Store(newRows(nil))
	if err := ix.load(dir, o.Ledger); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	ctx, stop := context.WithCancel(context.Background())
	ix.stop = stop
	ix.loaded.Go(func() { ix.loadFingerprints(ctx) })
	return ix, nil
}

// Close waits for the fingerprints' loader, puts what is written into the database
// and closes it. All look-ups must have ended.
func (ix *Index) Close() error {
	ix.stop()
	ix.loaded.Wait()
	err := ix.store()
	if err == nil {
		err = ix.db.Flush()
	}
	return errors.Join(err, ix.db.Close())
}

var (
	metaLedger  = store.MetaKey("ledger")
	metaVersion = store.MetaKey("version")
	metaApplied = store.MetaKey("applied")
)

// load checks whose index this is and reads what is kept in memory whole.
func (ix *Index) load(dir string, id [16]byte) error {
	owner, err := ix.db.Get(metaLedger)
	if err != nil {
		return err
	}
	if owner != nil && string(owner) != string(id[:]) {
		return fmt.Errorf("%w: %s is of ledger %s, not %x", ErrForeign, dir, hex.EncodeToString(owner), id)
	}
	version, err := ix.db.Get(metaVersion)
	if err != nil {
		return err
	}
	if want := string(binary.BigEndian.AppendUint32(nil, formatVersion)); string(version) != want {
		if err := ix.begin(id, want, version != nil); err != nil {
			return err
		}
	}
	raw, err := ix.db.Get(metaApplied)
	if err != nil {
		return err
	}
	a := Applied{}
	if raw != nil {
		if a, err = decodeApplied(raw); err != nil {
			return err
		}
	}
	ix.applied.Store(&a)
	ix.written = a
	ix.staged.Store(&[]*plan{})
	return ix.loadCatalog()
}

// begin empties the database and writes whose it is.
func (ix *Index) begin(id [16]byte, version string, old bool) error {
	if old {
		ix.log.Warn("index is of another version of the program and is built anew from the stream")
	}
	b := ix.db.NewBatch()
	err := errors.Join(b.DeleteRange([]byte{0}, []byte{0xff}), b.Set(metaLedger, id[:]), b.Set(metaVersion, []byte(version)))
	if err != nil {
		return errors.Join(err, b.Close())
	}
	return errors.Join(b.Commit(true), ix.db.Flush())
}

// Applied tells how far the index has come; read on behind it.
func (ix *Index) Applied() Applied { return *ix.applied.Load() }

// Hash is the state hash of all that is applied, which it writes first: equal for
// every index that read the same streams.
func (ix *Index) Hash(ctx context.Context) (ledger.Hash, error) {
	if err := errors.Join(ix.Flush(), ix.store()); err != nil {
		return ledger.Hash{}, err
	}
	return ix.db.Hash(ctx, []byte{0}, []byte{0xff})
}

// Stage holds an assembled commit, and the keys it needs for the first time, until
// it is written; from here on look-ups see it. ledger.ErrDamaged, and nothing is
// staged, if its entries do not follow from what came before. At most three
// commits are staged. There is no way to take one back: a writer that cannot
// publish what it staged ends, and the next one reads the stream.
//
// seen[i] is what Seen told of the number of entries[i] when no entry of this commit
// existed yet, and tells too that its idempotency hash was not found; nil where
// nothing was looked up, and as a whole where nothing was for any. Nothing is looked
// up a second time.
func (ix *Index) Stage(entries []*ledger.Entry, keys *consentv1.WrappedKeys, seen []*Seen) error {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	staged := *ix.staged.Load()
	if len(staged) >= stagedMax {
		return fmt.Errorf("index: %d commits are staged already", len(staged))
	}
	p, err := ix.plan(entries, keys, seen)
	if err != nil {
		return err
	}
	ix.stagePlans(append(staged[:len(staged):len(staged)], p))
	return nil
}

func (ix *Index) stagePlans(plans []*plan) { ix.staged.Store(&plans) }

// ApplyCommit settles and writes the commit stored as message seq: one that was
// staged, oldest first, or one read from the stream. After any error the index must
// be closed.
func (ix *Index) ApplyCommit(seq uint64, entries []*ledger.Entry) error {
	if err := ix.Settle(seq, entries); err != nil {
		return err
	}
	return ix.Write()
}

// Settle takes note that a commit is stored as message seq: what is applied now
// includes it. It is in memory until Write. A commit that was staged, oldest first,
// whose keys KeysStored has noted; or one read from the stream, whose keys came
// through ApplyKeys. ledger.ErrDamaged, naming the position, if it does not follow
// from what came before.
func (ix *Index) Settle(seq uint64, entries []*ledger.Entry) error {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	at := ix.Applied()
	if seq != at.Seq+1 {
		return fmt.Errorf("index: message %d where %d is due: %w", seq, at.Seq+1, ledger.ErrDamaged)
	}
	plans := slices.Clone(*ix.staged.Load())
	n := settled(plans)
	if n == len(plans) {
		p, err := ix.plan(entries, nil, nil)
		if err != nil {
			return fmt.Errorf("index: message %d: %w", seq, err)
		}
		plans = append(plans, p)
	} else if !plans[n].isOf(entries) {
		return fmt.Errorf("index: message %d is not the commit staged for position %d: %w", seq, plans[n].first, ledger.ErrDamaged)
	}
	p := *plans[n] // readers hold the one before
	p.seq = seq
	plans[n] = &p
	ix.stagePlans(plans)
	ix.catalog.Store(ix.catalog.Load().with(p.catalog))
	ix.applied.Store(&Applied{Seq: seq, Position: p.last, KeysSeq: at.KeysSeq, RecordedAt: p.recordedAt})
	return nil
}

// settled counts the plans whose commits are stored; they come first.
func settled(plans []*plan) (n int) {
	for n < len(plans) && plans[n].seq != 0 {
		n++
	}
	return n
}

// Write makes rows of what is settled, and lets the database take them when there are
// enough. After an error the index must be closed; a restart reads the stream on from
// what was stored.
func (ix *Index) Write() error {
	ix.writing.Lock()
	defer ix.writing.Unlock()
	for plans := *ix.staged.Load(); settled(plans) > 0; plans = *ix.staged.Load() {
		if err := ix.write(plans[0]); err != nil {
			return err
		}
		ix.mu.Lock()
		ix.stagePlans((*ix.staged.Load())[1:]) // others may have been staged meanwhile
		ix.mu.Unlock()
	}
	return nil
}

// write makes a plan's rows. Fingerprints come after them and before the plan leaves
// the staged ones, so that no look-up falls between.
func (ix *Index) write(p *plan) error {
	if ix.broken != nil {
		return ix.broken
	}
	at := Applied{Seq: p.seq, Position: p.last, RecordedAt: p.recordedAt}
	ix.mu.Lock()
	at.KeysSeq = ix.keysWritten(p)
	ix.mu.Unlock()
	if ix.broken = p.writeTo(ix.fresh.Load()); ix.broken != nil {
		return ix.broken
	}
	for h := range p.events {
		ix.events.Add(fingerprint(h[:]))
	}
	for t := range p.tokens {
		ix.tokens.Add(fingerprint(t[1:]))
	}
	return ix.wrote(at)
}
