//go:build linux

package tree

import (
	"flag"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/proof"
)

// coldLeaves is the size of the ledger of BenchmarkProveCold.
var coldLeaves = flag.Int("leaves", 10_000_000, "entries of the tree of BenchmarkProveCold")

// BenchmarkProveCold proves entries anywhere in a ledger of ten million, out of tables
// on the disk:
//
//	first    each on a database just opened, whose files the kernel has dropped
//	running  one after the other, each with a reader of its own; Pebble keeps what it likes
//	disk     beside them: one read of 8 KiB anywhere in the same files, the kernel's copies dropped
//
// The bar is 2 ms, of the first ones too.
func BenchmarkProveCold(b *testing.B) {
	dir := b.TempDir() + "/tree"
	c := growLeaves(b, dir, *coldLeaves)
	r := rand.New(rand.NewPCG(1, 2))
	open := func() *Tree {
		forget(b, dir)
		t, err := Open(Config{Dir: dir, Journal: newJournal()})
		if err != nil {
			b.Fatal(err)
		}
		t.published.Store(&c)
		return t
	}
	prove := func(t *Tree) time.Duration {
		began := time.Now()
		if _, err := t.Include(ledger.Position(r.Int64N(c.Size) + 1)); err != nil {
			b.Fatal(err)
		}
		return time.Since(began)
	}
	b.Run("first", func(b *testing.B) {
		var took []time.Duration
		for b.Loop() {
			b.StopTimer()
			t := open()
			b.StartTimer()
			took = append(took, prove(t))
			b.StopTimer()
			if err := t.Close(); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
		percentiles(b, took)
	})
	b.Run("running", func(b *testing.B) {
		t := open()
		defer t.Close()
		var took []time.Duration
		for b.Loop() {
			took = append(took, prove(t))
		}
		percentiles(b, took)
	})
	b.Run("disk", func(b *testing.B) {
		tables, err := filepath.Glob(dir + "/*.sst")
		if err != nil || len(tables) == 0 {
			b.Fatal(tables, err)
		}
		var took []time.Duration
		data := make([]byte, tileBytes)
		for b.Loop() {
			b.StopTimer()
			if len(took)%100 == 0 {
				forget(b, dir)
			}
			f, err := os.Open(tables[r.IntN(len(tables))])
			if err != nil {
				b.Fatal(err)
			}
			info, err := f.Stat()
			if err != nil {
				b.Fatal(err)
			}
			at := r.Int64N(max(1, info.Size()-tileBytes))
			b.StartTimer()
			began := time.Now()
			if _, err := f.ReadAt(data[:min(tileBytes, info.Size())], at); err != nil {
				b.Fatal(err)
			}
			took = append(took, time.Since(began))
			b.StopTimer()
			f.Close()
			b.StartTimer()
		}
		percentiles(b, took)
	})
}

// growLeaves makes a tree of so many leaves, durable as Run makes it.
func growLeaves(b *testing.B, dir string, leaves int) proof.Checkpoint {
	t, err := Open(Config{Dir: dir, Journal: newJournal()})
	if err != nil {
		b.Fatal(err)
	}
	defer t.Close()
	r := rand.New(rand.NewPCG(3, 4))
	for i := range leaves {
		if t.batch == nil {
			t.batch = t.db.NewBatch()
		}
		var h ledger.Hash
		for j := 0; j < len(h); j += 8 {
			for k, v := 0, r.Uint64(); k < 8; k, v = k+1, v>>8 {
				h[j+k] = byte(v)
			}
		}
		if err := t.append(h); err != nil {
			b.Fatal(err)
		}
		if t.open++; t.open == openEntriesMax || i == leaves-1 {
			if err := t.flush(); err != nil {
				b.Fatal(err)
			}
		}
	}
	root, err := t.root(int64(leaves))
	if err != nil {
		b.Fatal(err)
	}
	return proof.Checkpoint{Size: int64(leaves), Root: root}
}

// forget has the kernel drop what it keeps of a folder's files.
func forget(b *testing.B, dir string) {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		const dontNeed = 4 // POSIX_FADV_DONTNEED
		if err := syscall.Fsync(int(f.Fd())); err != nil {
			return err
		}
		if _, _, no := syscall.Syscall6(syscall.SYS_FADVISE64, f.Fd(), 0, 0, dontNeed, 0, 0); no != 0 {
			return no
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}

func percentiles(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	for _, p := range []struct {
		name string
		at   int
	}{{"p50-ns", 50}, {"p99-ns", 99}} {
		b.ReportMetric(float64(took[min(len(took)-1, len(took)*p.at/100)].Nanoseconds()), p.name)
	}
}
