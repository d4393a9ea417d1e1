package keeper

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/directory"
	"github.com/consent-ledger/consent-ledger/ledger/store"
)

// The tree above the buckets is in memory, 5 MB; a bucket, which holds 150 of ten
// million numbers, is read and hashed again when one of its records has changed.
const (
	bucketBits = 16
	buckets    = 1 << bucketBits
)

// nodes are all subtrees of up to bucketBits bits: the root at 1, the halves of i
// at 2i and 2i+1, buckets from `buckets` on. They do not change once they are shared.
type nodes [2 * buckets]directory.Subtree

// tree is the part in memory, and which buckets it is behind with.
type tree struct {
	nodes *nodes
	dirty map[uint16]bool
}

func newTree() *tree { return &tree{nodes: &nodes{}, dirty: map[uint16]bool{}} }

// loadTree reads the hashes of all buckets.
func loadTree(r store.Reader) (*tree, error) {
	t := newTree()
	var changed []int
	lo, hi := store.SpaceRange(store.SpaceBucket)
	err := r.Each(lo, hi, func(k, v []byte) error {
		b, err := store.ParseBucketKey(k)
		if err != nil {
			return err
		}
		switch len(v) {
		case 0:
			t.dirty[b] = true
			return nil
		case subtreeBytes:
			at := buckets + int(b)
			t.nodes[at] = directory.Subtree{Hash: ledger.Hash(v[:32]), Keys: binary.BigEndian.Uint64(v[32:])}
			changed = append(changed, at)
			return nil
		}
		return fmt.Errorf("%w: a bucket of %d bytes", errFolder, len(v))
	})
	t.nodes.join(changed)
	return t, err
}

const subtreeBytes = 32 + 8

func encodeSubtree(s directory.Subtree) []byte {
	return binary.BigEndian.AppendUint64(append(make([]byte, 0, subtreeBytes), s.Hash[:]...), s.Keys)
}

// join makes the nodes above changed ones, which are in order and of one level.
func (n *nodes) join(changed []int) {
	for len(changed) > 0 && changed[0] > 1 {
		up := changed[:0]
		for _, at := range changed {
			if at /= 2; len(up) == 0 || up[len(up)-1] != at {
				up = append(up, at)
				n[at] = directory.Join(n[2*at], n[2*at+1])
			}
		}
		changed = up
	}
}

// mark says that a bucket must be hashed again, in the batch that changes it.
func (t *tree) mark(b *store.Batch, bucket uint16) error {
	if t.dirty[bucket] {
		return nil
	}
	t.dirty[bucket] = true
	return b.Set(store.BucketKey(bucket), nil)
}

// bucketOf is the bucket of a key.
func bucketOf(k directory.Key) uint16 { return binary.BigEndian.Uint16(k[:]) }

// hash brings the tree up to date with the records in the database.
func (t *tree) hash(db *store.DB) error {
	if len(t.dirty) == 0 {
		return nil
	}
	todo := make([]uint16, 0, len(t.dirty))
	for b := range t.dirty {
		todo = append(todo, b)
	}
	slices.Sort(todo)
	done := make([]directory.Subtree, len(todo))
	if err := hashBuckets(db, todo, done); err != nil {
		return err
	}
	n := *t.nodes // whoever has the old ones goes on reading them
	batch, changed := db.NewBatch(), make([]int, len(todo))
	for i, b := range todo {
		changed[i] = buckets + int(b)
		n[changed[i]] = done[i]
		if err := batch.Set(store.BucketKey(b), encodeSubtree(done[i])); err != nil {
			return errors.Join(err, batch.Close())
		}
	}
	if err := batch.Commit(false); err != nil {
		return err
	}
	n.join(changed)
	t.nodes = &n
	clear(t.dirty)
	return nil
}

// hashBuckets hashes buckets, which are in order, side by side on half of the
// processors: nobody waits for it but an export.
func hashBuckets(r store.Reader, todo []uint16, done []directory.Subtree) error {
	workers := max(1, runtime.GOMAXPROCS(0)/2)
	var g errgroup.Group
	for size := (len(todo) + workers - 1) / workers; len(todo) > 0; {
		n := min(size, len(todo))
		mine, out := todo[:n], done[:n]
		todo, done = todo[n:], done[n:]
		g.Go(func() error { return hashRuns(r, mine, out) })
	}
	return g.Wait()
}

// hashRuns reads neighbouring buckets in one scan.
func hashRuns(r store.Reader, todo []uint16, done []directory.Subtree) error {
	for at := 0; at < len(todo); {
		end := at + 1
		for end < len(todo) && todo[end] == todo[end-1]+1 {
			end++
		}
		if err := hashRun(r, todo[at:end], done[at:end]); err != nil {
			return err
		}
		at = end
	}
	return nil
}

func hashRun(r store.Reader, run []uint16, done []directory.Subtree) error {
	at, rs := 0, []directory.Placed{}
	flush := func() {
		done[at] = directory.Build(rs, bucketBits)
		ledger.Breathe(at)
		at, rs = at+1, rs[:0]
	}
	lo, _ := bucketRange(run[0])
	_, hi := bucketRange(run[len(run)-1])
	err := r.Each(lo, hi, func(k, v []byte) error {
		p, err := placed(k, v)
		if err != nil {
			return err
		}
		for run[at] != bucketOf(p.Key) {
			flush()
		}
		rs = append(rs, p)
		return nil
	})
	if err != nil {
		return err
	}
	for at < len(run) {
		flush()
	}
	return nil
}

func bucketRange(b uint16) (lo, hi []byte) {
	var k directory.Key
	binary.BigEndian.PutUint16(k[:], b)
	return prefixRange(k, bucketBits)
}

// prefixRange is the range of all records whose keys share the first bits of k.
func prefixRange(k directory.Key, bits int) (lo, hi []byte) {
	var first, last directory.Key
	for i := range k {
		mask := byte(0xff)
		if rest := bits - 8*i; rest <= 0 {
			mask = 0
		} else if rest < 8 {
			mask = 0xff << (8 - rest)
		}
		first[i], last[i] = k[i]&mask, k[i]|^mask
	}
	return store.RecordKey(ledger.Hash(first)), append(store.RecordKey(ledger.Hash(last)), 0)
}

func placed(k, v []byte) (p directory.Placed, err error) {
	h, err := store.ParseRecordKey(k)
	if err != nil {
		return p, err
	}
	r, err := directory.DecodeRecord(v)
	if err != nil {
		return p, fmt.Errorf("%w: %w", errFolder, err)
	}
	return directory.Placed{Key: directory.Key(h), Record: r}, nil
}

// records reads the records whose keys share the first bits of k.
func records(r store.Reader, k directory.Key, bits int) (rs []directory.Placed, err error) {
	lo, hi := prefixRange(k, bits)
	err = r.Each(lo, hi, func(k, v []byte) error {
		p, err := placed(k, v)
		rs = append(rs, p)
		return err
	})
	return rs, err
}

// prove shows what the tree holds for a key; r is as it was when n was made.
func (n *nodes) prove(r store.Reader, k directory.Key) (p directory.Proof, err error) {
	at, depth := 1, 0
	for ; depth < bucketBits && n[at].Keys > 1; depth++ {
		bit := int(k[depth/8] >> (7 - depth%8) & 1)
		p.Siblings = append(p.Siblings, n[2*at+1-bit].Hash)
		at = 2*at + bit
	}
	if n[at].Keys == 0 {
		return p, nil
	}
	rs, err := records(r, k, depth)
	if err != nil {
		return p, err
	}
	p.Path(k, rs, depth)
	return p, nil
}
