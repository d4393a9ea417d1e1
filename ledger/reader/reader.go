// Package reader reads the ledger: single entries by position, whole commits in
// order, and what is sealed in them.
package reader

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// commitsKept is how many decoded commits stay in memory: histories of one
// number and repeated imports touch the same ones again.
const commitsKept = 32

// Files reads what is too large for an entry.
type Files interface {
	GetBytes(ctx context.Context, name ledger.Hash) ([]byte, error)
}

// Index finds messages and keys; package index keeps one.
type Index interface {
	// SeqOf gives the message that holds a position; ledger.ErrNotFound beyond the tail.
	SeqOf(at ledger.Position) (uint64, error)
	// Key gives the newest wrapped key of a person's class.
	Key(p ledger.PersonID, class consentv1.PersonalClass) (*consentv1.WrappedKey, bool, error)
}

// Reader reads entries. Safe for concurrent use.
type Reader struct {
	log   ledger.Log
	index Index
	keys  *seal.Keyring
	files Files

	// mu guards both, newest last.
	mu      sync.Mutex
	kept    []commit // read from the stream
	offered []commit // by the local writer; not known to be in the stream
}

type commit struct {
	seq     uint64
	data    []byte // only of what is offered
	entries []*ledger.Entry
}

// New makes a reader.
func New(log ledger.Log, ix Index, keys *seal.Keyring, files Files) *Reader {
	return &Reader{log: log, index: ix, keys: keys, files: files}
}

// Entry gives the entry at a position; ledger.ErrNotFound beyond the tail.
func (r *Reader) Entry(ctx context.Context, at ledger.Position) (*ledger.Entry, error) {
	seq, entries, err := r.Commit(ctx, at)
	if err != nil {
		return nil, err
	}
	if i := int(at) - int(entries[0].Position); i >= 0 && i < len(entries) {
		return entries[i], nil
	}
	return nil, fmt.Errorf("reader: message %d does not hold position %d: %w", seq, at, ledger.ErrDamaged)
}

// Commit gives the entries that became durable together with the one at a position,
// and the message they are; ledger.ErrNotFound beyond the tail.
func (r *Reader) Commit(ctx context.Context, at ledger.Position) (seq uint64, entries []*ledger.Entry, err error) {
	if seq, err = r.index.SeqOf(at); err != nil {
		return 0, nil, err
	}
	entries, err = r.commit(ctx, seq)
	return seq, entries, err
}

// commit gives the entries of one message.
func (r *Reader) commit(ctx context.Context, seq uint64) ([]*ledger.Entry, error) {
	if entries := r.lookUp(seq); entries != nil {
		return entries, nil
	}
	m, err := r.log.Read(ctx, seq)
	if err != nil {
		return nil, fmt.Errorf("reader: message %d: %w", seq, err)
	}
	return r.decode(m)
}

// Offer takes over what the local writer is about to send as message seq (see
// writer.Config). It spares decoding: only a message that was read from the stream
// and has the same bytes is answered with these entries.
func (r *Reader) Offer(seq uint64, data []byte, entries []*ledger.Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.offered = append(r.offered, commit{seq, data, entries}); len(r.offered) > commitsKept {
		r.offered[0] = commit{}
		r.offered = r.offered[1:]
	}
}

// takeOffered gives the entries offered for a message, if it is the one meant.
func (r *Reader) takeOffered(m ledger.Message) []*ledger.Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, c := range r.offered {
		if c.seq == m.Seq && bytes.Equal(c.data, m.Data) {
			r.offered = slices.Delete(r.offered, i, i+1)
			return c.entries
		}
	}
	return nil
}

// decode decodes a message once for all who read it at about the same time.
func (r *Reader) decode(m ledger.Message) ([]*ledger.Entry, error) {
	if entries := r.lookUp(m.Seq); entries != nil {
		return entries, nil
	}
	entries := r.takeOffered(m)
	if entries == nil {
		var err error
		if entries, err = ledger.DecodeCommit(m, r.keys); err != nil {
			return nil, fmt.Errorf("%w: %w", ledger.ErrDamaged, err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.kept = append(r.kept, commit{seq: m.Seq, entries: entries}); len(r.kept) > commitsKept {
		r.kept = r.kept[1:]
	}
	return entries, nil
}

// lookUp gives a kept commit and makes it the newest.
func (r *Reader) lookUp(seq uint64) []*ledger.Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, c := range r.kept {
		if c.seq == seq {
			r.kept = append(append(r.kept[:i:i], r.kept[i+1:]...), c)
			return c.entries
		}
	}
	return nil
}

// Entries yields the entries after a position, a commit at a time, in order, and
// then waits for more. It ends only with ctx or an error.
func (r *Reader) Entries(ctx context.Context, after ledger.Position) iter.Seq2[[]*ledger.Entry, error] {
	return func(yield func([]*ledger.Entry, error) bool) {
		seq, err := r.seqBefore(after)
		if err != nil {
			yield(nil, err)
			return
		}
		for m, err := range r.log.Follow(ctx, seq) {
			if err != nil {
				yield(nil, err)
				return
			}
			entries, err := r.decode(m)
			if err != nil {
				yield(nil, err)
				return
			}
			for len(entries) > 0 && entries[0].Position <= after {
				entries = entries[1:]
			}
			if len(entries) > 0 && !yield(entries, nil) {
				return
			}
		}
	}
}

// seqBefore is the message after which the first entry beyond a position stands.
func (r *Reader) seqBefore(after ledger.Position) (uint64, error) {
	if after == 0 {
		return 0, nil
	}
	seq, err := r.index.SeqOf(after)
	if errors.Is(err, ledger.ErrNotFound) {
		return 0, fmt.Errorf("reader: position %d lies beyond the ledger's tail: %w", after, err)
	}
	if err != nil {
		return 0, err
	}
	return seq - 1, nil // its own commit may go on beyond the position
}

// Open gives the whole fact, sealed parts opened and proven by their
// commitments. erased: the keys of some part are gone, and it is left out.
func (r *Reader) Open(ctx context.Context, e *ledger.Entry) (fact *consentv1.Fact, erased bool, err error) {
	parts, gone, err := r.Parts(ctx, e, nil)
	if err != nil {
		return nil, false, err
	}
	fact, err = Restored(e, parts)
	return fact, gone > 0, err
}

func (r *Reader) openPart(ctx context.Context, e *ledger.Entry, s *consentv1.SealedPart) (seal.Opening, error) {
	key, err := r.key(e, s)
	if err != nil {
		return seal.Opening{}, err
	}
	if len(s.GetFile()) > 0 {
		s = proto.CloneOf(s)
		if s.Sealed, err = r.files.GetBytes(ctx, ledger.Hash(s.GetFile())); err != nil {
			return seal.Opening{}, err
		}
	}
	return seal.OpenPart(key, e.ID, s)
}

func (r *Reader) key(e *ledger.Entry, s *consentv1.SealedPart) (seal.PersonKey, error) {
	if len(e.Msg.GetPerson()) == 0 {
		return r.keys.SystemKey(s.GetClass()), nil
	}
	wrapped, found, err := r.index.Key(ledger.PersonID(e.Msg.GetPerson()), s.GetClass())
	if err != nil {
		return seal.PersonKey{}, err
	}
	if !found {
		return seal.PersonKey{}, fmt.Errorf("no key of class %s is known: %w", s.GetClass(), ledger.ErrDamaged)
	}
	return r.keys.Unwrap(wrapped)
}
