package index

import (
	"bytes"
	"fmt"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
)

// TestRows: rows are what a map would be, whatever their keys have in common, and the
// database gets all of them.
func TestRows(t *testing.T) {
	root, n := t.TempDir(), 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		db, err := store.Open(filepath.Join(root, fmt.Sprint(n)), store.Options{NoLog: true})
		must(t, err)
		defer func() { must(t, db.Close()) }()
		r, want := newRows(nil), map[string][]byte{}
		r.applied = Applied{Seq: 7, Position: 3, RecordedAt: epochStart}
		for range rapid.IntRange(0, 40).Draw(t, "rows") {
			// Few keys, many of which begin or end alike, some shorter than a word.
			key := []byte(rapid.StringMatching(`[ab]{1,2}(ccccccccc)?[ab]?`).Draw(t, "key"))
			value := rapid.SliceOfN(rapid.Byte(), 0, 9).Draw(t, "value")
			r.set(key, value)
			want[string(key)] = bytes.Clone(value)
		}
		check := func(get func(key []byte) []byte) {
			for k, v := range want {
				if got := get([]byte(k)); got == nil || !bytes.Equal(got, v) {
					t.Fatalf("key %q: %x, want %x", k, got, v)
				}
			}
			if v := get([]byte("a key that is not there")); v != nil {
				t.Fatalf("found %x", v)
			}
		}
		check(r.get)
		must(t, r.storeIn(db))
		want[string(metaApplied)] = encodeApplied(r.applied)
		check(func(key []byte) []byte {
			v, err := db.Get(key)
			must(t, err)
			return v
		})
		found := 0
		must(t, db.Each([]byte{0}, []byte{0xff}, func(k, _ []byte) error { found++; return nil }))
		if found != len(want) {
			t.Fatalf("%d rows in the database, want %d", found, len(want))
		}
	})
}

// TestRowsAsATable: more than Pebble puts into its memtable.
func TestRowsAsATable(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "index")
	ix, h := open(t, dir, Options{}), newHistory(1)
	var entries []*ledger.Entry
	for len(entries) < 40_000 {
		entries = append(entries, h.entry(token(len(entries)+1), stopFact()))
	}
	must(t, ix.ApplyCommit(1, entries))
	h.finds(t, ix, entries[:100], false)
	if ix.stored != nil {
		t.Fatal("stored before there were enough")
	}
	must(t, ix.store())
	if !ix.fresh.Load().empty() || ix.storing.Load() != nil {
		t.Fatal("something is left in memory")
	}
	h.finds(t, ix, entries[:100], false)
	must(t, ix.Close())
	ix = open(t, dir, Options{})
	defer func() { must(t, ix.Close()) }()
	if at := ix.Applied(); at.Seq != 1 || at.Position != h.next-1 {
		t.Fatalf("applied %+v", at)
	}
	h.finds(t, ix, entries, false)
}

// TestSeqOfWhereverItIs: fresh, being stored and in the database.
func TestSeqOfWhereverItIs(t *testing.T) {
	ix, h := openTemp(t), newHistory(1)
	for seq := uint64(1); seq <= 3; seq++ {
		must(t, ix.ApplyCommit(seq, []*ledger.Entry{h.entry(token(1), stopFact()), h.entry(token(2), stopFact())}))
		if seq == 1 {
			must(t, ix.store())
		}
		if seq == 2 { // what storeFresh leaves while the database takes them
			ix.storing.Store(ix.fresh.Load())
			ix.fresh.Store(newRows(nil))
		}
	}
	for at := ledger.Position(1); at <= 6; at++ {
		if got, err := ix.SeqOf(at); err != nil || got != uint64(at+1)/2 {
			t.Errorf("position %d: message %d, %v", at, got, err)
		}
	}
}
