package index

import (
	"bytes"
	"encoding/binary"
	"errors"
	"iter"
	"maps"
	"slices"
	"sort"
	"sync"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
)

// rowsBytesMax is how much is gathered before it goes into the database: the rows of
// some 120,000 entries. As many are read again from the stream after a crash, which
// takes about a second.
const rowsBytesMax = 32 << 20

// memTableBytes is such that Pebble takes a batch of rowsBytesMax as a table of its
// own: it does with what is larger than half a memtable.
const memTableBytes = 32 << 20

// layers is how many batches may lie over each other in the database. Every number and
// event that is not there is known by its fingerprint, so that few look-ups pay for it.
const layers = 8

// rows are what is written and not yet in the database. Pebble's memtable keeps all
// keys in order at every insertion, which was a sixth of an append; here they are
// put in order once, when the database takes them as one batch.
type rows struct {
	mu sync.RWMutex
	// at finds a row by the last eight bytes of its key, which are as good as random in
	// most spaces. Where two keys share them the second is among the others.
	at      map[uint64]place
	others  map[string]place
	data    []byte      // keys and values, one behind the other
	commits []commitRow // ascending: messages by their first position
	applied Applied     // what the database has come to once it holds these rows
}

// place is where in data a key lies, with its value behind it.
type place struct{ from, key, value uint32 }

type commitRow struct {
	first ledger.Position
	seq   uint64
}

// newRows makes room for as many as were gathered before them; nil: nobody knows.
func newRows(before *rows) *rows {
	if before == nil {
		return &rows{at: map[uint64]place{}, others: map[string]place{}}
	}
	return &rows{at: make(map[uint64]place, len(before.at)), others: map[string]place{}, data: make([]byte, 0, len(before.data))}
}

// tail is the end of a key, by which it is found.
func tail(key []byte) uint64 { return word(key[max(0, len(key)-8):]) }

// word is the first eight bytes, filled with zeros.
func word(b []byte) uint64 {
	if len(b) >= 8 {
		return binary.BigEndian.Uint64(b)
	}
	var w [8]byte
	copy(w[:], b)
	return binary.BigEndian.Uint64(w[:])
}

// set keeps copies of both; of two values under one key the later counts.
func (r *rows) set(key, value []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := place{uint32(len(r.data)), uint32(len(key)), uint32(len(value))}
	r.data = append(append(r.data, key...), value...)
	k := tail(key)
	if other, taken := r.at[k]; taken && !bytes.Equal(r.key(other), key) {
		r.others[string(key)] = p
		return
	}
	r.at[k] = p
}

// get gives a copy of a value, nil if there is none.
func (r *rows) get(key []byte) []byte {
	r.mu.RLock()
	defer r.mu.RUnlock()
	p, ok := r.at[tail(key)]
	if ok && !bytes.Equal(r.key(p), key) {
		p, ok = r.others[string(key)]
	}
	if !ok {
		return nil
	}
	return bytes.Clone(r.value(p))
}

// commit notes which message holds the positions from first on.
func (r *rows) commit(first ledger.Position, seq uint64) {
	r.set(store.CommitKey(first), encodeSeq(seq))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.commits = append(r.commits, commitRow{first, seq})
}

// seqOf gives the message that holds a position, 0 if it is in none of these.
func (r *rows) seqOf(at ledger.Position) uint64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	n := sort.Search(len(r.commits), func(i int) bool { return r.commits[i].first > at })
	if n == 0 {
		return 0
	}
	return r.commits[n-1].seq
}

func (r *rows) key(p place) []byte { return r.data[p.from : p.from+p.key] }

func (r *rows) value(p place) []byte { return r.data[p.from+p.key : p.from+p.key+p.value] }

func (r *rows) empty() bool { return len(r.data) == 0 }

// storeIn puts the rows into the database as one batch, in order, so that Pebble
// takes it for sorted. Nobody sets any more.
func (r *rows) storeIn(db *store.DB) error {
	r.set(metaApplied, encodeApplied(r.applied))
	b := db.NewBatchOf(len(r.data) + len(r.at)*batchOverheadBytes)
	for i, p := range r.sorted() {
		if err := b.Set(r.key(p.place), r.value(p.place)); err != nil {
			return errors.Join(err, b.Close())
		}
		ledger.Breathe(i)
	}
	return b.Commit(false)
}

// batchOverheadBytes is what a batch keeps beside key and value.
const batchOverheadBytes = 5

// ordered is a place and the first bytes of its key, which nearly always decide.
type ordered struct {
	first uint64
	place
}

func (r *rows) sorted() []ordered {
	out := make([]ordered, 0, len(r.at)+len(r.others))
	for _, in := range []iter.Seq[place]{maps.Values(r.at), maps.Values(r.others)} {
		for p := range in {
			out = append(out, ordered{word(r.key(p)), p})
		}
	}
	slices.SortFunc(out, func(a, b ordered) int {
		switch {
		case a.first < b.first:
			return -1
		case a.first > b.first:
			return 1
		}
		return bytes.Compare(r.key(a.place), r.key(b.place))
	})
	return out
}

// wrote takes note how far the fresh rows have come. A disk that takes no tables ends
// the writer, before more and more is gathered. The caller holds writing.
func (ix *Index) wrote(at Applied) error {
	r := ix.fresh.Load()
	ix.written, r.applied = at, at
	if ix.broken = ix.db.Unwritten(); ix.broken != nil {
		return ix.broken
	}
	if len(r.data) >= ix.rowsBytes {
		return ix.storeFresh()
	}
	return nil
}

// storeFresh lets the database take the fresh rows, beside everything else; those it
// may still be taking are waited for. The caller holds writing.
func (ix *Index) storeFresh() error {
	if err := ix.awaitStored(); err != nil {
		return err
	}
	r, done := ix.fresh.Load(), make(chan error, 1)
	ix.storing.Store(r)
	ix.fresh.Store(newRows(r))
	ix.stored = done
	go func() { done <- r.storeIn(ix.db) }()
	return nil
}

// awaitStored waits until the database has what it is taking. The caller holds writing.
func (ix *Index) awaitStored() error {
	if ix.stored == nil {
		return ix.broken
	}
	err := <-ix.stored
	if ix.stored = nil; err == nil {
		ix.storing.Store(nil)
	} else if ix.broken == nil {
		ix.broken = err
	}
	return ix.broken
}

// store puts everything that is written into the database.
func (ix *Index) store() error {
	ix.writing.Lock()
	defer ix.writing.Unlock()
	if ix.broken == nil && !ix.fresh.Load().empty() {
		if err := ix.storeFresh(); err != nil {
			return err
		}
	}
	return ix.awaitStored()
}

// get looks a row up, wherever it is: nil if there is none.
func (ix *Index) get(key []byte) ([]byte, error) {
	if v := ix.fresh.Load().get(key); v != nil {
		return v, nil
	}
	if r := ix.storing.Load(); r != nil {
		if v := r.get(key); v != nil {
			return v, nil
		}
	}
	return ix.db.Get(key)
}
