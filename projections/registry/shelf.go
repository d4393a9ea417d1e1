package registry

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
)

// Sealer seals what lies on the shelf, bound to a context.
type Sealer interface {
	SealBlob(context string, plain []byte) []byte
	OpenBlob(context string, sealed []byte) ([]byte, error)
}

// Shelf keeps the numbers of lists on this server's disk, so that a restart need
// not read their objects again, and what each version changed, so that questions
// about the past and about when a number came can be answered. It is a copy: it
// may be deleted at any time and is filled anew from the objects.
//
// A book on the shelf is one set, in pages of two million numbers, each sealed by
// itself; its last key says that it is whole, and what has none is not there. So
// a crash leaves whole books and rubbish, never half a list. Names are content:
// a book never changes, and two versions with the same numbers share one.
type Shelf struct {
	db     *store.DB
	sealer Sealer
	// unflushed: books were put since the last flush. It belongs to the one who puts.
	unflushed bool
}

// book names a set on the shelf.
type book = ledger.Hash

// pair is a version's object and that of the version it follows.
type pair struct{ object, previous ledger.Hash }

// changes is what a version changed.
type changes struct{ added, removed *Set }

// Books of the shelf, by what they hold.
func bookOf(object ledger.Hash) book  { return named("numbers", object[:]) }
func askedOf(object ledger.Hash) book { return named("asked", object[:]) }
func (p pair) added() book            { return named("added", p.object[:], p.previous[:]) }
func (p pair) removed() book          { return named("removed", p.object[:], p.previous[:]) }

func named(what string, of ...[]byte) book {
	return sha256.Sum256(bytes.Join(append([][]byte{[]byte("consent.v1/shelf/" + what + "/")}, of...), nil))
}

// OpenShelf takes over a database of its own and throws away what a crash left.
func OpenShelf(db *store.DB, sealer Sealer) (*Shelf, error) {
	s := &Shelf{db: db, sealer: sealer}
	return s, s.sweep(func(b book) bool { return true })
}

// sweep removes every book that is not wanted or not whole.
func (s *Shelf) sweep(wanted func(book) bool) error {
	batch := s.db.NewBatch()
	defer func() { _ = batch.Close() }()
	whole := map[book]bool{}
	lo, hi := store.SpaceRange(store.SpaceShelfBook)
	err := s.db.Each(lo, hi, func(k, _ []byte) error {
		at, err := store.ParseShelfBookKey(k)
		if err == nil && wanted(at) {
			whole[at] = true
		} else if err == nil {
			err = batch.Delete(k)
		}
		return err
	})
	lo, hi = store.SpaceRange(store.SpaceShelfPage)
	for err == nil {
		k, ferr := s.first(lo, hi)
		if k == nil || ferr != nil {
			err = ferr
			break
		}
		at, _, perr := store.ParseShelfPageKey(k)
		from, to := store.ShelfPageRange(at)
		if err = perr; perr == nil && !whole[at] {
			err = batch.DeleteRange(from, to)
		}
		lo = to
	}
	err = errors.Join(err, batch.Commit(false))
	batch = s.db.NewBatch()
	return err
}

// errFound ends a scan at its first key.
var errFound = errors.New("found")

func (s *Shelf) first(lo, hi []byte) (key []byte, err error) {
	err = s.db.Each(lo, hi, func(k, _ []byte) error { key = bytes.Clone(k); return errFound })
	if errors.Is(err, errFound) {
		err = nil
	}
	return key, err
}

// has tells whether a book is on the shelf, whole. Without a shelf none is.
func (s *Shelf) has(b book) (bool, error) {
	if s == nil {
		return false, nil
	}
	return s.db.Has(store.ShelfBookKey(b))
}

// shelfBatchBytes is how much is written at a time.
const shelfBatchBytes = 4 << 20

// put writes a book.
func (s *Shelf) put(ctx context.Context, at book, set *Set) error {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return fmt.Errorf("registry: zstd: %w", err)
	}
	defer z.Close()
	from, to := store.ShelfPageRange(at)
	batch := s.db.NewBatch()
	defer func() { _ = batch.Close() }()
	err = errors.Join(batch.Delete(store.ShelfBookKey(at)), batch.DeleteRange(from, to))
	var plain, packed []byte
	for no, p := range set.eachPage {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		plain = appendPage(plain[:0], p)
		packed = z.EncodeAll(plain, packed[:0])
		err = batch.Set(store.ShelfPageKey(at, no), s.sealer.SealBlob(pageContext(at, no), packed))
		if batch.Bytes() > shelfBatchBytes {
			err = errors.Join(err, batch.Commit(false))
			batch = s.db.NewBatch()
		}
	}
	// What a crash leaves is a prefix of what was committed: the pages are there if
	// the key is that says so.
	err = errors.Join(err, batch.Set(store.ShelfBookKey(at), []byte{1}), batch.Commit(false))
	batch, s.unflushed = s.db.NewBatch(), true
	return err
}

// flush puts on disk what was put on the shelf.
func (s *Shelf) flush() error {
	if !s.unflushed {
		return nil
	}
	s.unflushed = false
	return s.db.Flush()
}

func appendPage(out []byte, p *page) []byte {
	last := uint64(0)
	p.each(func(i uint64, b block) bool {
		out = appendBlock(out, i+1-last, b)
		last = i + 1
		return true
	})
	return out
}

func pageContext(at book, no uint64) string {
	return fmt.Sprintf("consent.v1/shelf/%s/%d", hex.EncodeToString(at[:]), no)
}

// get reads a book; nil if it is not on the shelf. One that cannot be read is
// thrown away: the object is the truth.
func (s *Shelf) get(ctx context.Context, at book) (*Set, error) {
	if ok, err := s.has(at); err != nil || !ok {
		return nil, err
	}
	set, err := s.read(ctx, at)
	if errors.Is(err, errDamaged) {
		return nil, s.forget(at)
	}
	return set, err
}

// forget takes a book off the shelf.
func (s *Shelf) forget(at book) error {
	from, to := store.ShelfPageRange(at)
	b := s.db.NewBatch()
	return errors.Join(b.Delete(store.ShelfBookKey(at)), b.DeleteRange(from, to), b.Commit(false))
}

func (s *Shelf) read(ctx context.Context, at book) (*Set, error) {
	type sealed struct {
		no    uint64
		value []byte
		page  *page
	}
	var pages []*sealed
	work := make(chan *sealed, 64)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(work)
		lo, hi := store.ShelfPageRange(at)
		return s.db.Each(lo, hi, func(k, v []byte) error {
			_, no, err := store.ParseShelfPageKey(k)
			if err != nil {
				return err
			}
			p := &sealed{no: no, value: bytes.Clone(v)}
			pages = append(pages, p)
			select {
			case work <- p:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	})
	for range runtime.GOMAXPROCS(0) {
		g.Go(func() error {
			z, err := newUnpacker()
			if err != nil {
				return err
			}
			defer z.Close()
			for p := range work {
				if p.page, err = s.openPage(z, at, p.no, p.value); err != nil {
					return err
				}
				p.value = nil
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var a setBuilder
	for _, p := range pages {
		a.page(p.no, p.page)
	}
	return a.done(), nil
}

func newUnpacker() (*zstd.Decoder, error) {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(16<<20))
	if err != nil {
		return nil, fmt.Errorf("registry: zstd: %w", err)
	}
	return z, nil
}

// errDamaged: what is on the shelf is not what was put there.
var errDamaged = errors.New("registry: the copy of a list on this server's disk is damaged")

func (s *Shelf) openPage(z *zstd.Decoder, at book, no uint64, value []byte) (*page, error) {
	packed, err := s.sealer.OpenBlob(pageContext(at, no), value)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	plain, err := z.DecodeAll(packed, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	d := decoder{in: bufio.NewReaderSize(bytes.NewReader(plain), 4<<10)}
	p, err := d.page()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return p, nil
}

// contains looks a number up in a book without reading the whole of it.
func (s *Shelf) contains(at book, number uint64) (bool, error) {
	no := number >> blockBits
	value, err := s.db.Get(store.ShelfPageKey(at, no>>pageBits))
	if err != nil || value == nil {
		return false, err
	}
	z, err := newUnpacker()
	if err != nil {
		return false, err
	}
	defer z.Close()
	p, err := s.openPage(z, at, no>>pageBits, value)
	if err != nil {
		return false, err
	}
	return p.block(no % pageBlocks).has(uint16(number & (blockNumbers - 1))), nil
}

// changed implements history. What cannot be read is not known, which blocks.
func (s *Shelf) changed(v *linked, number uint64) (added, removed, known bool) {
	if v.previous == nil {
		return false, false, false
	}
	key := pair{v.object, v.previous.object}
	if ok, err := s.hasChanges(key); err != nil || !ok {
		return false, false, false
	}
	added, err := s.contains(key.added(), number)
	if err != nil {
		return false, false, false
	}
	removed, err = s.contains(key.removed(), number)
	return added, removed, err == nil
}

// putChanges writes what a version changed.
func (s *Shelf) putChanges(ctx context.Context, key pair, c *changes) error {
	return errors.Join(s.put(ctx, key.removed(), c.removed), s.put(ctx, key.added(), c.added))
}

// getChanges reads what a version changed; nil if it is not on the shelf.
func (s *Shelf) getChanges(ctx context.Context, key pair) (*changes, error) {
	added, err := s.get(ctx, key.added())
	if err != nil || added == nil {
		return nil, err
	}
	removed, err := s.get(ctx, key.removed())
	if err != nil || removed == nil {
		return nil, err
	}
	return &changes{added, removed}, nil
}

// hasChanges tells whether what a version changed is on the shelf.
func (s *Shelf) hasChanges(key pair) (bool, error) {
	for _, b := range []book{key.added(), key.removed()} {
		if ok, err := s.has(b); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}
