package store

import "github.com/cockroachdb/pebble/v2"

// Snapshot is a database at one moment. Safe for concurrent use; Close must
// come after the last use, once for each time it was given out, and before the
// database is closed.
type Snapshot struct {
	reader
	db *DB
	s  *pebble.Snapshot
	// users are its readers and, while it is the newest, the database itself.
	users int
}

// Snapshot is the database as it is now, until it is closed. Who asks between the
// same two commits is given the same one: making and ending one costs Pebble as
// much as finding a value.
func (db *DB) Snapshot() *Snapshot {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.newest == nil {
		s := db.p.NewSnapshot()
		db.newest = &Snapshot{reader: reader{r: s, fail: db.fail}, db: db, s: s, users: 1}
	}
	db.newest.users++
	return db.newest
}

// Close ends one use. After the last one the snapshot holds nothing back from
// compaction any more.
func (s *Snapshot) Close() error {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	return s.end()
}

// end ends one use; the lock is held.
func (s *Snapshot) end() error {
	if s.users--; s.users > 0 {
		return nil
	}
	return wrap("close snapshot", s.s.Close())
}

// outdate must follow everything that changes what the database holds, before
// anybody is told of it: whoever asks then sees it.
func (db *DB) outdate() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	s := db.newest
	if db.newest = nil; s == nil {
		return nil
	}
	return s.end()
}
