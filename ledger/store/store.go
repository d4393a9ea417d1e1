// Package store is Pebble for everybody: one table of key spaces (keys.go),
// batches, scans and the state hash.
//
// Nothing in a database of this package is the truth, but for one that is not Derived,
// whose owner syncs what matters. Writes are not synced
// unless asked: a commit leaves its batch in the write-ahead log, which a killed
// process keeps and a lost power supply may cut off at its end. What is left is
// always a prefix of the batches committed. So whoever writes puts the position
// it has applied into the same batch as its data; after a crash the position
// goes back with the state, and the stream is replayed from there.
package store

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

var (
	// ErrLocked: another process has the folder open. Nothing was read or written.
	ErrLocked = errors.New("store: folder is in use by another process")

	// ErrDamaged: a file of a database that is not Derived is damaged. Nothing was changed.
	ErrDamaged = errors.New("store: a file of this folder is damaged, and what it holds is nowhere else: put back the folder from the newest backup")

	// ErrFailed: an earlier scan broke off, so what followed from it may be wrong.
	// The database takes no more commits; close it.
	ErrFailed = errors.New("store: an earlier read failed, no more commits are taken")
)

// Options of a database; the zero value is good.
type Options struct {
	// Logger hears Pebble's own talk: debug, and errors as warnings. It never
	// holds keys or values. Nil discards it.
	Logger *slog.Logger
	// MemTableBytes is how much is gathered in memory before it becomes a file; as
	// much of the disk is set aside for the log. 0: 64 MiB.
	MemTableBytes uint64
	// CacheBytes is the size of the block cache. 0: 512 MiB, as far
	// as that has been read.
	CacheBytes int64
	// BlockBytes is the size of a data block before compression. 0: 8 KiB, right
	// for small values read at random; lists want 16 KiB.
	BlockBytes int
	// NoLog leaves out the write-ahead log, for what can be made again and is written
	// in large pieces: half the writes, and what is not flushed is lost with the
	// process. What is left is still a prefix of the commits.
	NoLog bool
	// Layers is how many tables may lie over each other before they are merged: more of
	// them cost a look-up more and a writer less. 0: 2.
	Layers int
	// Uncompressed is for keys and values that are as good as random.
	Uncompressed bool
	// Derived: everything in it follows from streams, so that a damaged one is set aside
	// and filled anew. Without it a damaged one is never opened empty: that would be to
	// forget what nobody else knows.
	Derived bool
}

// DB is one open database. All methods are safe for concurrent use; Close must
// come after the last of them, all iterators ended and all snapshots closed.
type DB struct {
	reader
	p       *pebble.DB
	dir     string
	options *pebble.Options // with all defaults, for tables made beside it
	wal     *walFS
	lock    *pebble.Lock
	noLog   bool
	// failed is set for good by the first scan that broke off.
	failed atomic.Pointer[error]
	// unwritten holds a failure to write a table that nobody has heard of.
	unwritten chan error

	// mu guards newest and the readers of every snapshot.
	mu     sync.Mutex
	newest *Snapshot // nil: nobody has asked since the last commit
}

// Open opens the database in dir and makes it if it is not there; the parent
// must exist. ErrLocked if another process has it open. What was found damaged
// before is set aside if it is Derived, and the database is empty; else it is ErrDamaged.
func Open(dir string, o Options) (*DB, error) { return openOn(vfs.Default, dir, o) }

func openOn(disk vfs.FS, dir string, o Options) (*DB, error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("store: %w", err)
	}
	lock, err := pebble.LockDirectory(dir, vfs.Default)
	if err != nil {
		return nil, lockError(dir, err)
	}
	if err := clearWorkshop(dir); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	db, err := openLocked(disk, dir, o, lock)
	switch damaged := pebble.IsCorruptionError(err); {
	case damaged && !o.Derived:
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	case damaged:
		if err = mark(dir, err.Error()); err == nil {
			db, err = openLocked(disk, dir, o, lock)
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("store: open %s: %w", dir, err), lock.Close())
	}
	return db, nil
}

// openLocked opens what is there, unless it is marked as damaged.
func openLocked(disk vfs.FS, dir string, o Options, lock *pebble.Lock) (*DB, error) {
	talk := newLogger(o.Logger)
	if o.Derived {
		if err := talk.setAside(dir); err != nil {
			return nil, err
		}
	}
	opts := pebbleOptions(o)
	wal := &walFS{FS: disk, log: talk}
	opts.Logger, opts.Lock, opts.FS = talk, lock, wal
	unwritten := make(chan error, 1)
	opts.EventListener = &pebble.EventListener{
		DataCorruption: func(i pebble.DataCorruptionInfo) { talk.endDamaged(dir, o.Derived, i) },
		BackgroundError: func(err error) {
			talk.Errorf("background error: %s", err)
			select {
			case unwritten <- err:
			default:
			}
		},
	}
	p, err := pebble.Open(dir, opts)
	if err != nil {
		return nil, err
	}
	wal.armed.Store(true)
	db := &DB{p: p, dir: dir, options: tableOptions(opts), wal: wal, lock: lock, noLog: o.NoLog, unwritten: unwritten}
	db.reader = reader{r: p, fail: db.fail}
	return db, nil
}

// lockError tells a folder in use from one that cannot be written: only the
// latter names a path.
func lockError(dir string, err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return fmt.Errorf("store: %w", err)
	}
	return fmt.Errorf("%w: %s (%w)", ErrLocked, dir, err)
}

// Close closes the database. What was committed is synced by it.
func (db *DB) Close() error {
	db.wal.armed.Store(false)
	if err := errors.Join(db.outdate(), db.p.Close(), db.lock.Close()); err != nil {
		return fmt.Errorf("store: close: %w", err)
	}
	return nil
}

// Err is nil, or ErrFailed with the cause if a scan has broken off.
func (db *DB) Err() error {
	if err := db.failed.Load(); err != nil {
		return fmt.Errorf("%w: %w", ErrFailed, *err)
	}
	return nil
}

// Flush puts everything committed into tables on disk. A database without a log
// keeps only that. On an error Pebble goes on trying.
func (db *DB) Flush() error {
	_ = db.Unwritten() // what failed before may be over
	flushed, err := db.p.AsyncFlush()
	if err != nil {
		return wrap("flush", err)
	}
	select {
	case <-flushed:
		return nil
	case err := <-db.unwritten:
		return wrap("flush", err)
	}
}

// Unwritten tells once that a table could not be written. Pebble tries again; but a
// database without a log keeps nothing meanwhile.
func (db *DB) Unwritten() error {
	select {
	case err := <-db.unwritten:
		return wrap("write a table", err)
	default:
		return nil
	}
}

func (db *DB) fail(err error) { db.failed.CompareAndSwap(nil, &err) }

// CompactionDebtBytes estimates how much compaction is behind. A bulk writer
// pauses above 1 GiB, or reads become slow.
func (db *DB) CompactionDebtBytes() uint64 { return db.p.Metrics().Compact.EstimatedDebt }

// CacheUse is how the block cache has been used since the database was opened.
type CacheUse struct {
	Hits, Misses int64 // blocks found, and read from the file
	Bytes        int64 // in it now
}

// CacheUse tells how the block cache has been used.
func (db *DB) CacheUse() CacheUse {
	m := db.p.Metrics().BlockCache
	return CacheUse{Hits: m.Hits, Misses: m.Misses, Bytes: m.Size}
}

// NewBatch begins a batch. It must end with Commit or Close.
func (db *DB) NewBatch() *Batch { return &Batch{db: db, b: db.p.NewBatch()} }

// NewBatchOf begins a batch that will hold about so many bytes.
func (db *DB) NewBatchOf(bytes int) *Batch { return &Batch{db: db, b: db.p.NewBatchWithSize(bytes)} }

// Batch collects writes that become visible together. It is not safe for
// concurrent use and does not see its own writes.
type Batch struct {
	db *DB
	b  *pebble.Batch
}

// Set writes a key; both slices are copied.
func (b *Batch) Set(key, value []byte) error { return wrap("set", b.b.Set(key, value, nil)) }

// Delete removes a key; it need not exist.
func (b *Batch) Delete(key []byte) error { return wrap("delete", b.b.Delete(key, nil)) }

// DeleteRange removes all keys in [start, end).
func (b *Batch) DeleteRange(start, end []byte) error {
	return wrap("delete range", b.b.DeleteRange(start, end, nil))
}

// Bytes is the size of the batch so far.
func (b *Batch) Bytes() int { return b.b.Len() }

// Commit makes the writes visible together and ends the batch. Without sync
// they survive the end of the process but perhaps not of the machine, and what
// survives is a prefix of all commits (see the package). With sync this batch
// and all before it are on disk. A database without a log keeps only what was
// flushed. On an error none of them is visible.
func (b *Batch) Commit(sync bool) error {
	if err := b.db.Err(); err != nil {
		return errors.Join(err, b.Close())
	}
	o := pebble.NoSync
	if sync && !b.db.noLog {
		o = pebble.Sync
	}
	if err := b.b.Commit(o); err != nil {
		return errors.Join(wrap("commit", err), b.Close())
	}
	return errors.Join(b.db.outdate(), wrap("close batch", b.b.Close()))
}

// Close drops a batch that is not to be committed.
func (b *Batch) Close() error { return wrap("close batch", b.b.Close()) }

func wrap(what string, err error) error {
	if err != nil {
		return fmt.Errorf("store: %s: %w", what, err)
	}
	return nil
}
