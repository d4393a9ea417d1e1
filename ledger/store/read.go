package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"iter"

	"github.com/cockroachdb/pebble/v2"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// Reader is what a database and a snapshot have in common.
type Reader interface {
	// Get gives a copy of the value of a key, nil if there is none.
	Get(key []byte) ([]byte, error)
	// Append appends the value of a key to dst, which may be the room of an earlier
	// one; found is false if there is none.
	Append(dst, key []byte) (value []byte, found bool, err error)
	// Has tells whether a key exists.
	Has(key []byte) (bool, error)
	// GetMany visits those of many keys that are there, in their order, with the
	// place of each; ascending keys are the fastest. A value is valid only during
	// the visit.
	GetMany(keys [][]byte, visit func(i int, value []byte) error) error
	// Last gives copies of the last key in [lower, upper) and its value, nil if
	// there is none.
	Last(lower, upper []byte) (key, value []byte, err error)
	// Each visits the keys in [lower, upper) in order until visit returns an
	// error, which it returns. Key and value are valid only during the visit.
	Each(lower, upper []byte, visit func(key, value []byte) error) error
	// Scan yields the keys in [lower, upper) in order; key and value are valid
	// only until the next one. It is for code behind a contract that has no room
	// for an error: if reading fails it ends early, and from then on the database
	// takes no commit, so that nothing lasting follows from half a scan. Where
	// an error can be returned use Each.
	Scan(lower, upper []byte) iter.Seq2[[]byte, []byte]
	// Hash is the state hash of [lower, upper): SHA-256 over all keys and values
	// in order, each behind its length as four bytes. It depends on what is
	// stored and on nothing else: not on order of writing, compaction or version
	// of Pebble.
	Hash(ctx context.Context, lower, upper []byte) (ledger.Hash, error)
}

var (
	_ Reader = (*DB)(nil)
	_ Reader = (*Snapshot)(nil)
)

// reader reads from a database or a snapshot.
type reader struct {
	r    pebble.Reader
	fail func(error)
}

func (r reader) Get(key []byte) ([]byte, error) {
	v, found, err := r.Append(nil, key)
	if found && v == nil {
		v = []byte{} // there, and empty
	}
	return v, err
}

func (r reader) Append(dst, key []byte) (value []byte, found bool, err error) {
	v, c, err := r.r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return dst, false, nil
	}
	if err != nil {
		return dst, false, wrap("get", err)
	}
	return append(dst, v...), true, wrap("get", c.Close())
}

func (r reader) Has(key []byte) (bool, error) {
	v, err := r.Get(key)
	return v != nil, err
}

func (r reader) Last(lower, upper []byte) (key, value []byte, err error) {
	it, err := r.r.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, nil, wrap("last", err)
	}
	if it.Last() {
		key, value = bytes.Clone(it.Key()), bytes.Clone(it.Value())
	}
	if err := it.Close(); err != nil { // Close repeats an error met on the way
		return nil, nil, wrap("last", err)
	}
	return key, value, nil
}

func (r reader) Each(lower, upper []byte, visit func(key, value []byte) error) error {
	it, err := r.r.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return wrap("scan", err)
	}
	for it.First(); it.Valid(); it.Next() {
		if err := visit(it.Key(), it.Value()); err != nil {
			return errors.Join(err, wrap("scan", it.Close()))
		}
	}
	return wrap("scan", it.Close()) // Close repeats an error met on the way
}

// errStop ends a scan whose reader has seen enough.
var errStop = errors.New("store: enough")

func (r reader) Scan(lower, upper []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		err := r.Each(lower, upper, func(k, v []byte) error {
			if !yield(k, v) {
				return errStop
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStop) {
			r.fail(err)
		}
	}
}

// hashCheckKeys is after how many keys a long hash looks whether it is still wanted.
const hashCheckKeys = 1 << 14

func (r reader) Hash(ctx context.Context, lower, upper []byte) (ledger.Hash, error) {
	d := sha256.New()
	var size [4]byte
	n := 0
	err := r.Each(lower, upper, func(k, v []byte) error {
		for _, b := range [2][]byte{k, v} {
			binary.BigEndian.PutUint32(size[:], uint32(len(b)))
			d.Write(size[:])
			d.Write(b)
		}
		if n++; n%hashCheckKeys == 0 {
			return ctx.Err()
		}
		return nil
	})
	if err != nil {
		return ledger.Hash{}, wrap("state hash", err)
	}
	return ledger.Hash(d.Sum(nil)), nil
}
