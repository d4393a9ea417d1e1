package store

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"testing"
)

// TestSnapshotsAreOfNow: whoever asks after a commit has returned sees it, and
// what was given out before does not move.
func TestSnapshotsAreOfNow(t *testing.T) {
	db := openTemp(t)
	put(t, db, "\x01a", "1")
	first, second := db.Snapshot(), db.Snapshot()
	put(t, db, "\x01a", "2")
	third := db.Snapshot()
	for i, want := range map[*Snapshot]string{first: "1", second: "1", third: "2"} {
		if v, err := i.Get([]byte("\x01a")); err != nil || string(v) != want {
			t.Errorf("got %q, want %q (%v)", v, want, err)
		}
	}
	must(t, first.Close())
	if v, err := second.Get([]byte("\x01a")); err != nil || string(v) != "1" {
		t.Errorf("ended by another reader: %q, %v", v, err)
	}
	must(t, second.Close())
	must(t, third.Close())
	b := db.NewBatch()
	must(t, b.Delete([]byte("\x01a")))
	must(t, b.Close())
	if n := db.p.Metrics().Snapshots.Count; n != 1 {
		t.Errorf("%d snapshots are open, want the newest alone", n)
	}
	put(t, db, "\x01a", "3")
	if n := db.p.Metrics().Snapshots.Count; n != 0 {
		t.Errorf("%d snapshots are open that nobody reads", n)
	}
}

// TestSnapshotsNeverLag: readers and a writer in a crowd. No reader may get a
// snapshot from before a commit that had returned when it asked.
func TestSnapshotsNeverLag(t *testing.T) {
	db := openTemp(t)
	key := []byte("\x01n")
	var done atomic.Uint64
	const commits = 2000
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for last := uint64(0); last < commits; {
				least := done.Load()
				s := db.Snapshot()
				v, err := s.Get(key)
				if err != nil {
					t.Error(err)
				}
				got := uint64(0)
				if v != nil {
					got = binary.BigEndian.Uint64(v)
				}
				if got < least || got < last {
					t.Errorf("a snapshot of commit %d, after %d had returned and %d was seen", got, least, last)
				}
				if last = got; s.Close() != nil {
					t.Error("close")
				}
			}
		})
	}
	for n := uint64(1); n <= commits; n++ {
		b := db.NewBatch()
		must(t, b.Set(key, binary.BigEndian.AppendUint64(nil, n)))
		must(t, b.Commit(false))
		done.Store(n)
	}
	readers.Wait()
}
