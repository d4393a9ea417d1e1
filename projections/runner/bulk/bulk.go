// Package bulk folds a whole ledger without reading what it has folded.
//
// A projection that can be folded in pieces (projections.Joined) is told that every
// key is missing. What it writes goes onto tapes in one scratch file, each tape for
// one partition of the keys, in the order of the ledger. At the end each partition
// is sorted in memory, several values of a key are joined, and the keys go into
// tables that the database takes over in one step, together with the position.
//
// Until that step the database holds nothing of it, so a crash before it leaves
// what was there before, and a crash after it everything. Memory is bounded,
// however large the ledger: the blocks being filled (32 KiB a partition, 512
// partitions a key space) and one chunk for each goroutine that sorts.
//
//	bulk.go   partitions, batches, the end
//	tape.go   the scratch file
//	chunk.go  sorting a partition that fits into memory
//	merge.go  one that does not; tables
package bulk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"runtime"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/projections"
)

const (
	partitionBits = 9
	partitions    = 1 << partitionBits

	// versionAt is where keys of a ByToken projection hold their token, whose first
	// byte is its version.
	versionAt = 1

	// chunkBytesDefault bounds what one goroutine sorts at a time; its index is
	// about a fifth of that again.
	chunkBytesDefault = 64 << 20
	// sortersMax bounds the goroutines that sort, and with them memory.
	sortersMax = 8
	// tableBytes is about how much, before compression, goes into one table.
	tableBytes = 48 << 20
)

// Options of a fold; the zero value is good.
type Options struct {
	// ChunkBytes bounds what one goroutine sorts in memory, but for one block. 0: 64 MiB.
	ChunkBytes int
	// BlockBytes is how much is gathered for a partition before it is written. 0: 32 KiB.
	BlockBytes int
	// Sorted hears how many bytes of those to be sorted are in tables, first of none;
	// several goroutines call it. Nil: nobody.
	Sorted func(bytes, of int64)
}

// Fold is a bulk fold under way. It must end with Close.
type Fold struct {
	tables     *store.Tables
	scratch    *scratch
	chunkBytes int
	tell       func(bytes, of int64)
	parts      []*Part
}

// Begin starts a bulk fold beside a database, which has at most one at a time.
func Begin(db *store.DB, o Options) (*Fold, error) {
	if o.ChunkBytes == 0 {
		o.ChunkBytes = chunkBytesDefault
	}
	if o.BlockBytes == 0 {
		o.BlockBytes = blockBytesDefault
	}
	tables, err := db.NewTables()
	if err != nil {
		return nil, err
	}
	file, err := tables.Scratch()
	if err != nil {
		return nil, errors.Join(err, tables.Close())
	}
	if o.Sorted == nil {
		o.Sorted = func(int64, int64) {}
	}
	return &Fold{tables: tables, scratch: newScratch(file, o.BlockBytes), chunkBytes: o.ChunkBytes, tell: o.Sorted}, nil
}

// Close ends a fold and removes what it has left on disk.
func (f *Fold) Close() error {
	err := f.scratch.f.Close()
	if errors.Is(err, os.ErrClosed) {
		err = nil
	}
	return errors.Join(err, f.tables.Close())
}

// Part is what one projection writes.
type Part struct {
	p      projections.Joined
	tapes  []tape // partitions of the first space, then of the next
	shards []projections.Batch
}

// Add gives the projection's part; its spaces in the database must be empty. Up to
// shards goroutines may fold at the same time, each with a batch of its own.
func (f *Fold) Add(p projections.Joined, shards int) *Part {
	pt := &Part{p: p, tapes: make([]tape, len(p.Spaces())*partitions), shards: make([]projections.Batch, shards)}
	for i := range pt.tapes {
		pt.tapes[i].s = f.scratch
	}
	for i := range pt.shards {
		pt.shards[i] = batch{pt, i}
	}
	f.parts = append(f.parts, pt)
	return pt
}

// ShardOf tells which batch an entry about a token must be folded with.
func (pt *Part) ShardOf(t ledger.Token) int { return partitionOf(t[0], t[1:]) % len(pt.shards) }

// Batch gives the batch of a shard.
func (pt *Part) Batch(shard int) projections.Batch { return pt.shards[shard] }

// partitionOf spreads tokens in the order of their keys: by their first bits, those
// of other versions all in the first or the last partition.
func partitionOf(version byte, rest []byte) int {
	switch {
	case version > ledger.TokenVersion:
		return partitions - 1
	case version < ledger.TokenVersion || len(rest) == 0:
		return 0
	case len(rest) == 1:
		return int(rest[0]) << (partitionBits - 8)
	}
	return int(rest[0])<<(partitionBits-8) | int(rest[1])>>(16-partitionBits)
}

// firstKey is where a partition begins; that after the last one is the next space.
func firstKey(space byte, partition int) []byte {
	if partition == partitions {
		return []byte{space + 1}
	}
	first := []byte{byte(partition >> (partitionBits - 8)), byte(partition << (16 - partitionBits))}
	return append([]byte{space, ledger.TokenVersion}, bytes.TrimRight(first, "\x00")...)
}

// batch is the projections.Batch of one shard. Nothing is ever found in it.
type batch struct {
	*Part
	shard int
}

// partition gives the number of the partition within its space, and its tape.
func (b batch) partition(key []byte) (int, *tape, error) {
	if len(key) > versionAt {
		if space := slices.Index(b.p.Spaces(), key[0]); space >= 0 {
			n := partitionOf(key[versionAt], key[versionAt+1:])
			if n%len(b.shards) == b.shard {
				return n, &b.tapes[space*partitions+n], nil
			}
		}
	}
	return 0, nil, fmt.Errorf("key outside the spaces %x or the token of this entry", b.p.Spaces())
}

// Get implements projections.Batch.
func (b batch) Get(key []byte) ([]byte, error) {
	_, _, err := b.partition(key)
	return nil, err
}

// Set implements projections.Batch.
func (b batch) Set(key, value []byte) error {
	_, t, err := b.partition(key)
	if err != nil {
		return err
	}
	return t.add(opSet, key, value)
}

// Delete implements projections.Batch.
func (b batch) Delete(key []byte) error {
	return b.DeleteRange(key, append(slices.Clone(key), 0))
}

// DeleteRange implements projections.Batch. The range must lie within the keys of
// one token.
func (b batch) DeleteRange(start, end []byte) error {
	from, t, err := b.partition(start)
	if err != nil {
		return err
	}
	if bytes.Compare(end, firstKey(start[0], from+1)) > 0 {
		return errors.New("a range beyond the keys of one token")
	}
	return t.add(opDeleteRange, start, end)
}

// Scan implements projections.Batch.
func (b batch) Scan(_, _ []byte) iter.Seq2[[]byte, []byte] {
	return func(func([]byte, []byte) bool) {}
}

// job is a table to be made: partitions of one space that follow one another.
type job struct {
	p     projections.Joined
	space int
	tapes []*tape
	bytes int64
}

// jobs cuts all parts into tables of about the same size.
func (f *Fold) jobs() (out []*job) {
	for _, pt := range f.parts {
		var j *job
		for i := range pt.tapes {
			t := &pt.tapes[i]
			if t.bytes == 0 {
				continue
			}
			if space := i / partitions; j == nil || j.space != space || j.bytes+t.bytes > tableBytes {
				j = &job{p: pt.p, space: space}
				out = append(out, j)
			}
			j.tapes, j.bytes = append(j.tapes, t), j.bytes+t.bytes
		}
	}
	return out
}

// Records are keys and values that become visible in the same step as the fold:
// how far it has come. They must ascend.
type Records struct{ Keys, Values [][]byte }

// Prepare makes the tables, which may take minutes. wrote is told each key, by
// several goroutines at a time. What it has made becomes visible by Ingest.
func (f *Fold) Prepare(ctx context.Context, wrote func(key []byte)) error {
	for _, pt := range f.parts {
		for i := range pt.tapes {
			if err := pt.tapes[i].flush(); err != nil {
				return err
			}
			pt.tapes[i].buf = nil
		}
	}
	jobs, todo := f.jobs(), make(chan *job)
	var all int64
	var sorted atomic.Int64
	for _, j := range jobs {
		all += j.bytes
	}
	f.tell(0, all)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(todo)
		for _, j := range jobs {
			select {
			case todo <- j:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return nil
	})
	for range min(runtime.GOMAXPROCS(0), sortersMax) {
		g.Go(func() error {
			var c chunk
			for j := range todo {
				if err := f.table(j, &c, wrote); err != nil {
					return err
				}
				f.tell(sorted.Add(j.bytes), all)
			}
			return nil
		})
	}
	return g.Wait()
}

// Ingest makes everything visible in one durable step, or nothing on an error.
func (f *Fold) Ingest(ctx context.Context, r Records) error {
	t, err := f.tables.Create()
	if err != nil {
		return err
	}
	for i, k := range r.Keys {
		if err := t.Set(k, r.Values[i]); err != nil {
			return errors.Join(err, t.Close())
		}
	}
	if err := t.Close(); err != nil {
		return err
	}
	var spaces []byte
	for _, pt := range f.parts {
		spaces = append(spaces, pt.p.Spaces()...)
	}
	return f.tables.Ingest(ctx, spaces...)
}
