// Package keeper keeps the directory of a running ledger: it follows the ledger,
// keeps every number's record in a Pebble database, and puts the root into the
// ledger as a DirectoryCommitted.
//
// The database can be lost at any time; it is built again from the ledger, to the
// same root. Records, the marks of buckets to be hashed again, and the position
// commit in one batch without fsync: a crash takes all of them back together. A root
// is taken between two batches, so it is exactly that of the position it names; that
// the ledger goes on meanwhile is why a directory covers less than its own position.
// To stop all appends until the root is made was refused: after an import every
// bucket has changed.
//
// keeper.go opens and says how it stands, follow.go follows, tree.go hashes,
// commit.go puts roots into the ledger and proves.
package keeper

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/directory"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

const (
	// Every is how often changes are committed if nobody says otherwise.
	Every = 10 * time.Minute

	// formatVersion changes whenever a key or value changes meaning; a database of
	// another version is built anew.
	formatVersion = 1

	// cacheBytes holds what a burst touches; a scan of all records passes it by.
	cacheBytes = 64 << 20

	// memTableBytes is small, because as much of the disk is set aside for Pebble's
	// log: a nearly full disk must do for the ledger first.
	memTableBytes = 16 << 20
)

var (
	// ErrStopped: the keeper does not run (any more). Nothing was committed.
	ErrStopped = errors.New("directory: stopped")

	// ErrMismatch: the ledger committed another root of the same entries. Either this
	// folder or that entry is wrong; nothing is proven from it.
	ErrMismatch = errors.New("directory: MISMATCH, its root is not the one that the ledger committed; " +
		"stop the server, remove the folder `directory`, start again (it is built anew), and if this stays: consent doctor")

	// errFolder: what was written is not there. Nothing is proven from it.
	errFolder = errors.New("directory: the folder `directory` is damaged; remove it while the server is stopped, it is built anew")

	errOtherHistory = errors.New("directory: folded from another history than this ledger's")
)

// Keys make a number's key of what its entries carry; seal.Keyring has them.
type Keys interface {
	Number(x ledger.ExchangeToken) (string, error)
	// Directory gives the token of a bucket of numbers.
	Directory(bucket uint16) ledger.DirectoryToken
}

// Config is what a keeper needs.
type Config struct {
	// Dir is the database's folder; its parent must exist.
	Dir string
	// Ledger is the id of the ledger; a folder of another one is built anew.
	Ledger [16]byte
	Source ledger.Source
	Keys   Keys
	// Record appends a fact; the same source and event id again is the same entry.
	Record func(context.Context, *consentv1.Fact) (ledger.Receipt, error)
	// Acked is the last durable position; it is known before Run is called.
	Acked func() ledger.Position
	// Every is how often changes are committed; 0: Every.
	Every time.Duration
	// Logger hears what happens beside the answers. Nil discards it.
	Logger *slog.Logger
}

// Keeper is safe for concurrent use. Run and Commits run once each.
type Keeper struct {
	cfg      Config
	db       *store.DB
	tokens   *directory.Tokens
	tokenKey ledger.Hash

	// These belong to Run.
	at       progress
	verified bool // the ledger's entry at the position was seen and is the one folded
	tree     *tree
	known    *store.Fingerprints
	waiting  []ask // for a later position
	// batchWait is how long an entry waits for others.
	batchWait time.Duration

	asks chan ask
	// rebuilds are asked for; who asks hears when the records are gone.
	rebuilds chan *rebuild
	ended    chan struct{} // closed when Run has returned
	status   atomic.Pointer[Status]
	wrong    atomic.Pointer[string]

	testingOnlyBeforeCommit func() error
}

// Status is how the directory stands.
type Status struct {
	Applied ledger.Position
	Numbers uint64
	Entries uint64 // about numbers
	// Last is the newest DirectoryCommitted that was read from the ledger.
	Last Last
}

// Uncommitted is how many entries about numbers are in no directory yet.
func (s Status) Uncommitted() uint64 { return s.Entries - min(s.Entries, s.Last.Statement.Entries) }

// Last is a DirectoryCommitted in the ledger; Position 0: there is none.
type Last struct {
	Position   ledger.Position
	RecordedAt time.Time
	Statement  directory.Statement
}

// progress is what commits with the records.
type progress struct {
	position   ledger.Position
	recordedAt time.Time
	leaf       ledger.Hash
	numbers    uint64
	entries    uint64
	last       Last
}

// Open opens the database or begins an empty one. Nothing is read of the ledger yet.
func Open(cfg Config) (*Keeper, error) {
	if cfg.Every == 0 {
		cfg.Every = Every
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	db, err := store.Open(cfg.Dir, store.Options{Logger: cfg.Logger, CacheBytes: cacheBytes, MemTableBytes: memTableBytes, Derived: true})
	if err != nil {
		return nil, fmt.Errorf("directory: %w", err)
	}
	tokens := directory.NewTokens(cfg.Keys.Directory)
	k := &Keeper{cfg: cfg, db: db, tokens: tokens, tokenKey: tokens.Key(), batchWait: batchWait,
		asks: make(chan ask), rebuilds: make(chan *rebuild), ended: make(chan struct{})}
	err = k.load()
	if errors.Is(err, errFolder) {
		k.cfg.Logger.Warn("directory is built anew from the ledger", "error", err)
		err = k.wipe()
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return k, nil
}

// Close closes the database. Run must have ended, and all that Commit gave be closed.
func (k *Keeper) Close() error { return k.db.Close() }

// Status tells how the directory stands.
func (k *Keeper) Status() Status { return *k.status.Load() }

// Problems lists what keeps histories from being proven complete, for doctor.
func (k *Keeper) Problems(now time.Time) []string {
	var out []string
	if p := k.wrong.Load(); p != nil {
		out = append(out, *p)
	}
	s := k.Status()
	if age := now.Sub(s.Last.RecordedAt); s.Uncommitted() > 0 && s.Last.Position > 0 && age > 3*k.cfg.Every {
		out = append(out, fmt.Sprintf("DIRECTORY: %d entries are in no directory, and the last one is %s old; look at the log",
			s.Uncommitted(), age.Round(time.Second)))
	}
	return out
}

var (
	metaLedger   = store.MetaKey("ledger")
	metaVersion  = store.MetaKey("version")
	metaProgress = store.MetaKey("progress")
)

// load reads how far the database is, or empties what cannot be gone on with.
func (k *Keeper) load() error {
	owner, err := k.db.Get(metaLedger)
	if err != nil {
		return err
	}
	version, err := k.db.Get(metaVersion)
	if err != nil {
		return err
	}
	if string(owner) != string(k.owner()) || string(version) != string(u32(formatVersion)) {
		if owner != nil {
			k.cfg.Logger.Warn("directory is of another ledger, token key or version, and is built anew")
		}
		return k.wipe()
	}
	raw, err := k.db.Get(metaProgress)
	if err != nil {
		return err
	}
	p := progress{}
	if raw != nil {
		if p, err = decodeProgress(raw); err != nil {
			return err
		}
	}
	if k.tree, err = loadTree(k.db); err != nil {
		return err
	}
	k.begin(p)
	return nil
}

// owner is whose records these are: another token key makes other keys.
func (k *Keeper) owner() []byte { return append(k.cfg.Ledger[:], k.tokenKey[:]...) }

// begin goes on from a position.
func (k *Keeper) begin(p progress) {
	k.at, k.verified = p, p.position == 0
	k.publish()
}

func (k *Keeper) publish() {
	k.status.Store(&Status{Applied: k.at.position, Numbers: k.at.numbers, Entries: k.at.entries, Last: k.at.last})
}

// wipe begins anew.
func (k *Keeper) wipe() error {
	b := k.db.NewBatch()
	err := errors.Join(b.DeleteRange([]byte{0}, []byte{0xff}), b.Set(metaLedger, k.owner()), b.Set(metaVersion, u32(formatVersion)))
	if err != nil {
		return errors.Join(err, b.Close())
	}
	if err := b.Commit(true); err != nil {
		return err
	}
	k.tree, k.known = newTree(), store.NewFingerprints()
	k.known.Ready()
	k.begin(progress{})
	return nil
}

const progressBytes = (8 + 8 + 32 + 8 + 8) + (8 + 8) + (8 + 8 + 32 + 8 + 8 + 32)

func (p progress) encode() []byte {
	b := make([]byte, 0, progressBytes)
	number := func(n uint64) { b = binary.BigEndian.AppendUint64(b, n) }
	number(uint64(p.position))
	number(nanos(p.recordedAt))
	b = append(b, p.leaf[:]...)
	number(p.numbers)
	number(p.entries)
	number(uint64(p.last.Position))
	number(nanos(p.last.RecordedAt))
	s := p.last.Statement
	number(uint64(s.Covers))
	number(nanos(s.CoversRecordedAt))
	b = append(b, s.Root[:]...)
	number(s.Numbers)
	number(s.Entries)
	return append(b, s.TokenKey[:]...)
}

func decodeProgress(b []byte) (p progress, err error) {
	if len(b) != progressBytes {
		return p, fmt.Errorf("%w: progress of %d bytes", errFolder, len(b))
	}
	number := func() uint64 { n := binary.BigEndian.Uint64(b); b = b[8:]; return n }
	hash := func() ledger.Hash { h := ledger.Hash(b[:32]); b = b[32:]; return h }
	p.position, p.recordedAt, p.leaf = ledger.Position(number()), instant(number()), hash()
	p.numbers, p.entries = number(), number()
	p.last.Position, p.last.RecordedAt = ledger.Position(number()), instant(number())
	p.last.Statement = directory.Statement{Covers: ledger.Position(number()), CoversRecordedAt: instant(number()), Root: hash(),
		Numbers: number(), Entries: number(), TokenKey: hash()}
	return p, nil
}

// nanos stores a time as nanoseconds since 1970, 0 for none.
func nanos(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(t.UnixNano())
}

func instant(ns uint64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(ns)).UTC()
}

func u64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func u32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
