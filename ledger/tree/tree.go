// Package tree is the Merkle tree over the ledger's entries, and what is signed
// about it.
//
// It follows the stream like everybody else, reads the exact stored bytes, and
// believes nobody: positions, lengths and each person's back-links are checked
// again while it follows. Leaves and tiles are those of RFC 9162 and C2SP
// tlog-tiles, height 8; golang.org/x/mod/sumdb/tlog does the maths.
//
// Growing (grow.go) adds leaves to a batch; Checkpoint (checkpoint.go) makes the
// batch durable, signs the root and publishes it. The database can be lost: it is
// built again from the stream, and must then say what was signed before. What was
// signed is kept in three places that no one accident takes together: this
// database, CONSENT_CHECKPOINTS, and anchors outside the folder (anchor.go).
package tree

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/proof"
	"github.com/consent-ledger/consent-ledger/ledger/store"
)

const (
	// height of a tile: 256 hashes.
	height    = 8
	tileWidth = 1 << height
	tileBytes = tileWidth * tlog.HashSize
	// levelsMax is how many levels of tiles a tree of 2^64 entries would have.
	levelsMax = 64 / height

	// formatVersion changes whenever a key or value changes meaning; a tree of
	// another version is built anew.
	formatVersion = 1

	// cacheBytes holds the chains of a million persons and the tiles proofs share;
	// Pebble takes its tables in memory out of it. With 64 MiB a look-up cost twice as
	// much.
	cacheBytes = 256 << 20

	// layers is how many tables lie over each other before they are merged. Persons are
	// random, so that each merge writes all ends of chains again: with 2, as is usual,
	// that was two fifths of building a tree.
	layers = 8

	// memTableBytes is small, because as much of the disk is set aside for Pebble's
	// log: a nearly full disk must do for the ledger first.
	memTableBytes = 16 << 20
)

var (
	// ErrRolledBack: the stream ends before what was signed. Entries are missing, and
	// their positions must not be used again.
	ErrRolledBack = errors.New("tree: ROLLED_BACK")

	// ErrTampered: the stream holds other entries than were signed.
	ErrTampered = errors.New("tree: TAMPERED")

	// ErrForeign: the folder holds the tree of another ledger. Nothing was changed.
	ErrForeign = errors.New("tree: folder belongs to another ledger; put back this one's, or move it away: it is built anew")

	// ErrTwoSigners: somebody else signs for this ledger with the same key.
	ErrTwoSigners = errors.New("tree: somebody else published a checkpoint of this ledger")
)

// Source is the stream that the tree follows; ledger.Log has it.
type Source interface {
	// Append puts back what a damaged stream lost, and nothing else.
	Append(ctx context.Context, after uint64, data []byte) (seq uint64, err error)
	Tail(ctx context.Context) (seq uint64, err error)
	Read(ctx context.Context, seq uint64) (ledger.Message, error)
	Follow(ctx context.Context, after uint64) iter.Seq2[ledger.Message, error]
}

// Journal is the stream of checkpoints, in which nothing is ever deleted.
type Journal interface {
	// Append makes a checkpoint durable as the message after sequence `after`, with
	// the errors of ledger.Log.Append.
	Append(ctx context.Context, after uint64, note []byte) (seq uint64, err error)
	// Tail is the sequence of the newest message there ever was; 0: none.
	Tail(ctx context.Context) (seq uint64, err error)
	// Read gives one message from the leader; ledger.ErrNotFound or ErrUnreadable if it
	// is lost.
	Read(ctx context.Context, seq uint64) (ledger.Message, error)
}

// Witnesses are others who cosign checkpoints that follow from what they saw before.
type Witnesses interface {
	// Cosign gives the note with the cosignatures that came, and an error if they are
	// too few. prove gives the consistency proof from an older size.
	Cosign(ctx context.Context, c proof.Checkpoint, prove func(old int64) (tlog.TreeProof, error)) ([]byte, error)
	// Quorum counts the cosignatures on a checkpoint; whoever, whenever.
	Quorum(note []byte) proof.Quorum
	// Seen tells the most entries that one of them says it has seen, and which; the error names who did not
	// answer.
	Seen(ctx context.Context, c proof.Checkpoint) (most int64, who string, err error)
}

// Reader gives one message; ledger.ErrNotFound if there is none.
type Reader interface {
	Read(ctx context.Context, seq uint64) (ledger.Message, error)
}

// Config is what a tree needs.
type Config struct {
	// Dir is the database's folder; its parent must exist.
	Dir string
	// Ledger is the id of the ledger; a tree of another one is refused.
	Ledger [16]byte
	Source Source
	// Signer signs checkpoints, Verifier checks them. Their name is the origin.
	Signer   note.Signer
	Verifier note.Verifier
	Journal  Journal
	Anchors  []Anchor
	// Beside are signed checkpoints that lie in the folder for another end, by what keeps
	// them. What they were signed for must be there; one that is damaged proves nothing.
	Beside map[string][]byte
	// Copy is a copy of the stream that may have an end which this one has lost; nil: none
	// is at hand.
	Copy Reader
	// BeforeTail makes durable what the entries of Copy's end need. It is called once that
	// end is known to lead to what was signed, and before any of it is appended. Nil:
	// they need nothing.
	BeforeTail func(context.Context) error
	// Witnesses are asked to cosign; nil: nobody is.
	Witnesses Witnesses
	// Every is the least time between two checkpoints; 0: a second.
	Every time.Duration
	// Logger hears what happens beside the answers. Nil discards it.
	Logger *slog.Logger
}

// Tree is safe for concurrent use, except that growing belongs to one goroutine:
// CatchUp and then Run.
type Tree struct {
	cfg Config
	db  *store.DB

	// All of this belongs to whoever makes the tree grow.
	at     applied
	last   leaf // of the newest entry: its time
	edge   edge
	tiles  [levelsMax]tile
	batch  *store.Batch
	ends   map[ledger.PersonID]end // in the open batch
	recent map[ledger.PersonID]end // in the batch before: who came once comes again
	open   int64                   // entries in it
	// kept is the newest messages, those from keepFrom on.
	kept     *kept
	keepFrom uint64
	// repaired is how many messages a start gave back to the stream.
	repaired uint64
	persons  *store.Fingerprints
	leaves   []leaf // reused
	broken   error  // why the stored tiles cannot be gone on with; CatchUp mends it
	// signed is the newest checkpoint ever signed, as far as anybody knows; settled
	// is the journal's newest, and journal its message.
	signed, settled proof.Checkpoint
	journal         uint64

	// published is the newest checkpoint that is durable in the journal.
	published atomic.Pointer[proof.Checkpoint]
	anchors   []*anchored
	// cosigned is the newest checkpoint that enough witnesses cosigned.
	cosigned atomic.Pointer[proof.Checkpoint]
	unseen   atomic.Pointer[string] // why the newest is not cosigned
	// mu guards changed and answered, which are closed and replaced at each publication,
	// and when witnesses were asked.
	mu                sync.Mutex
	changed, answered chan struct{}
	// wanted holds one thing if somebody waits for witnesses.
	wanted chan struct{}
	// partly is what came of the last question that too few witnesses answered.
	partly *proof.Checkpoint

	loaded sync.WaitGroup
	stop   context.CancelFunc

	testingOnlyBetween func(step string) error
}

// applied is how far the tree has come.
type applied struct {
	seq  uint64 // last message whose entries are all in
	size int64  // entries
}

// tile is the tile at the right edge of its level.
type tile struct {
	n    uint64
	data []byte // shorter than tileBytes
}

var (
	metaLedger     = store.MetaKey("ledger")
	metaVersion    = store.MetaKey("version")
	metaApplied    = store.MetaKey("applied")
	metaCheckpoint = store.MetaKey("checkpoint")
	metaCosigned   = store.MetaKey("cosigned")
	metaJournal    = store.MetaKey("journal")
)

// Open opens the database or begins an empty one. Nothing is compared yet: CatchUp
// does that, and must come first.
func Open(cfg Config) (*Tree, error) {
	if cfg.Every == 0 {
		cfg.Every = time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	db, err := store.Open(cfg.Dir, store.Options{Logger: cfg.Logger, CacheBytes: cacheBytes, MemTableBytes: memTableBytes, Layers: layers, Uncompressed: true, Derived: true})
	if err != nil {
		return nil, fmt.Errorf("tree: %w", err)
	}
	k, err := openKept(cfg.Dir)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	t := &Tree{cfg: cfg, db: db, kept: k, ends: map[ledger.PersonID]end{}, changed: make(chan struct{}), answered: make(chan struct{}),
		wanted: make(chan struct{}, 1)}
	for _, a := range cfg.Anchors {
		t.anchors = append(t.anchors, &anchored{Anchor: a})
	}
	ctx, stop := context.WithCancel(context.Background())
	t.stop = stop
	if err := t.load(ctx); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// Close ends what Open began. Run and all readers must have ended. What was added
// since the last checkpoint is read from the stream again.
func (t *Tree) Close() error {
	t.stop()
	t.loaded.Wait()
	return errors.Join(t.drop(), t.kept.close(), t.db.Close())
}

// drop forgets the open batch.
func (t *Tree) drop() error {
	if t.batch == nil {
		return nil
	}
	b := t.batch
	t.batch, t.open = nil, 0
	return b.Close()
}

// load checks whose tree this is and reads its right edge.
func (t *Tree) load(ctx context.Context) error {
	owner, err := t.db.Get(metaLedger)
	if err != nil {
		return err
	}
	if owner != nil && string(owner) != string(t.cfg.Ledger[:]) {
		return fmt.Errorf("%w: %s", ErrForeign, t.cfg.Dir)
	}
	version, err := t.db.Get(metaVersion)
	if err != nil {
		return err
	}
	if string(version) != string(u32(formatVersion)) {
		if err := t.wipe(nil); err != nil {
			return err
		}
	}
	return t.restore(ctx)
}

// restore begins at what the database holds.
func (t *Tree) restore(ctx context.Context) error {
	if err := t.drop(); err != nil {
		return err
	}
	raw, err := t.db.Get(metaApplied)
	if err != nil {
		return err
	}
	t.at, t.last, t.edge, t.tiles = applied{}, leaf{}, edge{}, [levelsMax]tile{}
	clear(t.ends)
	t.recent = nil
	if raw != nil {
		if err := t.decodeApplied(raw); err != nil {
			return err
		}
	}
	t.stop()
	t.loaded.Wait()
	t.persons = store.NewFingerprints()
	ctx, t.stop = context.WithCancel(context.WithoutCancel(ctx))
	snap := t.db.Snapshot()
	persons := t.persons
	t.loaded.Go(func() { t.loadPersons(ctx, persons, snap) })
	t.broken = t.loadEdge()
	return nil
}

// loadPersons lets chains that do not exist be known without a read. If it fails
// the tree stays right and slower.
func (t *Tree) loadPersons(ctx context.Context, f *store.Fingerprints, snap *store.Snapshot) {
	lo, hi := store.SpaceRange(store.SpaceChain)
	err := snap.Each(lo, hi, func(k, _ []byte) error {
		p, err := store.ParseChainKey(k)
		f.Add(fingerprint(p))
		return errors.Join(err, ctx.Err())
	})
	if err = errors.Join(err, snap.Close()); err == nil {
		f.Ready()
	} else if ctx.Err() == nil {
		t.cfg.Logger.Warn("tree: chains are looked up one by one", "error", err)
	}
}

// loadEdge reads the hashes that the next leaf may need.
func (t *Tree) loadEdge() error {
	r := t.reader()
	for level := range levelsMax {
		count := uint64(t.at.size) >> (height * level)
		t.tiles[level] = tile{n: count / tileWidth}
		if w := int(count % tileWidth); w > 0 {
			data, err := r.tile(level, count/tileWidth, w)
			if err != nil {
				return err
			}
			t.tiles[level].data = append(make([]byte, 0, tileBytes), data...)
		}
	}
	return t.edge.load(t.at.size, r)
}

// wipe empties the database and writes whose it is. What was signed last stays.
func (t *Tree) wipe(signed []byte) error {
	b := t.db.NewBatch()
	err := errors.Join(b.DeleteRange([]byte{0}, []byte{0xff}), b.Set(metaLedger, t.cfg.Ledger[:]), b.Set(metaVersion, u32(formatVersion)))
	if signed != nil {
		err = errors.Join(err, b.Set(metaCheckpoint, signed))
	}
	if err != nil {
		return errors.Join(err, b.Close())
	}
	return b.Commit(true)
}

func (t *Tree) encodeApplied() []byte {
	b := binary.BigEndian.AppendUint64(nil, t.at.seq)
	b = binary.BigEndian.AppendUint64(b, uint64(t.at.size))
	b = binary.BigEndian.AppendUint64(b, uint64(t.last.seconds))
	return binary.BigEndian.AppendUint32(b, uint32(t.last.nanos))
}

func (t *Tree) decodeApplied(raw []byte) error {
	if len(raw) != 28 {
		return fmt.Errorf("tree: %d bytes: %w", len(raw), store.ErrBadKey)
	}
	t.at = applied{seq: binary.BigEndian.Uint64(raw), size: int64(binary.BigEndian.Uint64(raw[8:]))}
	t.last = leaf{seconds: int64(binary.BigEndian.Uint64(raw[16:])), nanos: int32(binary.BigEndian.Uint32(raw[24:]))}
	return nil
}

func u32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// fingerprint of a person, whose id is random.
func fingerprint(p ledger.PersonID) uint32 { return binary.BigEndian.Uint32(p[:]) }
