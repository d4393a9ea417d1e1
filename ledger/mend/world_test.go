package mend

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/directory"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// world is a ledger whose stream a test damages, and what tree, index and directory
// knew of it before. It implements Tree, Index and Directory.
type world struct {
	t   *testing.T
	dir string

	mu      sync.Mutex
	stream  [][]byte // nil: lost
	changed chan struct{}
	reads   int

	whole   [][]byte // as they were
	entries [][]byte // by position - 1
	seqs    []uint64 // the same
	about   map[ledger.Position]directory.Key
	quiet   map[ledger.Position]bool
	kept    map[uint64]bool
	unsound error // what Vouch says
}

func newWorld(t *testing.T) *world {
	return &world{t: t, dir: filepath.Join(t.TempDir(), "mended"), changed: make(chan struct{}), about: map[ledger.Position]directory.Key{},
		quiet: map[ledger.Position]bool{}, kept: map[uint64]bool{}}
}

// phone is a number of a country code that does not exist.
func phone(i int) string { return fmt.Sprintf("+999%09d", i) }

func keyOf(e164 string) directory.Key { return directory.Key(sha256.Sum256([]byte(e164))) }

// Who an entry of a test is about: a number from 0, or
const (
	nobody    = -1 // a quiet system fact
	everybody = -2 // any other one
)

// commit appends a message with an entry for each.
func (w *world) commit(about ...int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	first := ledger.Position(len(w.entries) + 1)
	for _, n := range about {
		at := ledger.Position(len(w.entries) + 1)
		raw := w.entry(at, 0)
		switch n {
		case nobody:
			w.quiet[at] = true
		case everybody:
		default:
			w.about[at] = keyOf(phone(n))
		}
		w.entries, w.seqs = append(w.entries, raw), append(w.seqs, uint64(len(w.stream)+1))
	}
	data := join(first, w.entries[first-1:])
	w.stream, w.whole = append(w.stream, data), append(w.whole, data)
	close(w.changed)
	w.changed = make(chan struct{})
}

// entry makes one; variants of one position differ.
func (w *world) entry(at ledger.Position, variant byte) []byte {
	id := make([]byte, 16)
	binary.BigEndian.PutUint64(id, uint64(at))
	raw, err := proto.Marshal(&consentv1.Entry{Position: uint64(at), RecordedAt: timestamppb.New(time.Unix(int64(at), 0)), EntryId: id,
		Idempotency: bytes.Repeat([]byte{variant}, 32), Content: make([]byte, 32), Fact: &consentv1.Fact{Source: "crm"}})
	if err != nil {
		w.t.Fatal(err)
	}
	return raw
}

// put sets what the stream gives for a message.
func (w *world) put(seq int, data []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stream[seq-1] = data
}

// open opens the folder as a server does.
func (w *world) open() *Mender {
	w.t.Helper()
	m, err := Open(Config{Dir: w.dir, Ledger: [16]byte{1}, Stream: w}, keyOf)
	if err != nil {
		w.t.Fatal(err)
	}
	m.Know(w)
	if err := m.Begin(w.t.Context(), w.missing()); err != nil {
		w.t.Fatal(err)
	}
	m.Locate(w)
	if err := m.Ask(w.t.Context(), w); err != nil {
		w.t.Fatal(err)
	}
	return m
}

func (w *world) missing() (out []uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, data := range w.stream {
		if data == nil {
			out = append(out, uint64(i+1))
		}
	}
	return out
}

func (w *world) close(m *Mender) {
	w.t.Helper()
	if err := m.Close(); err != nil {
		w.t.Fatal(err)
	}
}

// mustFollow reads everything and demands what was recorded.
func (w *world) mustFollow(l *Log) {
	w.t.Helper()
	next := 0
	for m, err := range l.Follow(w.t.Context(), 0) {
		if err != nil {
			w.t.Fatal(err)
		}
		if m.Seq != uint64(next+1) || !bytes.Equal(m.Data, w.whole[next]) {
			w.t.Fatalf("message %d is not what was recorded as %d", m.Seq, next+1)
		}
		if one, err := l.Read(w.t.Context(), m.Seq); err != nil || !bytes.Equal(one.Data, m.Data) {
			w.t.Fatalf("message %d by itself: %v", m.Seq, err)
		}
		if next++; next == len(w.whole) {
			return
		}
	}
}

func (w *world) Leaves(first ledger.Position, n int) (out []ledger.Hash, err error) {
	for at := int(first); first > 0 && len(out) < n && at <= len(w.entries); at++ {
		out = append(out, ledger.LeafHash(w.entries[at-1]))
	}
	return out, nil
}

func (w *world) Vouch(ledger.Position) error { return w.unsound }

func (w *world) Proves(at ledger.Position, leaf ledger.Hash) (bool, error) {
	return ledger.LeafHash(w.entries[at-1]) == leaf, nil
}

func (w *world) Quiet(at ledger.Position) (bool, error) { return w.quiet[at], nil }

func (w *world) Kept(seq uint64) (ledger.Message, error) {
	if !w.kept[seq] {
		return ledger.Message{}, ledger.ErrNotFound
	}
	return ledger.Message{Seq: seq, Data: w.whole[seq-1]}, nil
}

func (w *world) SeqOf(at ledger.Position) (uint64, error) {
	if at == 0 || int(at) > len(w.seqs) {
		return 0, ledger.ErrNotFound
	}
	return w.seqs[at-1], nil
}

func (w *world) About(_ context.Context, positions []ledger.Position) (map[ledger.Position]directory.Key, ledger.Position, error) {
	return w.about, ledger.Position(len(w.entries)), nil
}

// The stream.

func (w *world) Append(context.Context, uint64, []byte) (uint64, error) {
	return 0, errors.New("nothing is appended here")
}
func (w *world) AppendKeys(context.Context, []byte) (uint64, error) {
	return 0, errors.New("nothing is appended here")
}
func (w *world) Durability() consentv1.Durability { return consentv1.Durability_DURABILITY_FSYNC }

func (w *world) KeysTail(context.Context) (uint64, error) { return 0, nil }

func (w *world) FollowKeys(context.Context, uint64) iter.Seq2[ledger.Message, error] {
	return func(func(ledger.Message, error) bool) {}
}

func (w *world) Tail(context.Context) (uint64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return uint64(len(w.stream)), nil
}

func (w *world) Read(_ context.Context, seq uint64) (ledger.Message, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if seq == 0 || seq > uint64(len(w.stream)) || w.stream[seq-1] == nil {
		return ledger.Message{}, ledger.ErrNotFound
	}
	return ledger.Message{Seq: seq, Data: w.stream[seq-1]}, nil
}

// Follow passes over what is lost without a word, and says so at the next message,
// as JetStream does.
func (w *world) Follow(ctx context.Context, after uint64) iter.Seq2[ledger.Message, error] {
	return func(yield func(ledger.Message, error) bool) {
		due := after + 1
		for seq := due; ; {
			w.mu.Lock()
			changed, here := w.changed, seq <= uint64(len(w.stream))
			var data []byte
			if here {
				data = w.stream[seq-1]
				w.reads++
			}
			w.mu.Unlock()
			switch {
			case !here:
				select {
				case <-changed:
				case <-ctx.Done():
					yield(ledger.Message{}, context.Cause(ctx))
					return
				}
				continue
			case data != nil && seq != due:
				yield(ledger.Message{}, &ledger.Hole{Seq: due, Next: seq})
				return
			case data != nil:
				if !yield(ledger.Message{Seq: seq, Data: data}, nil) {
					return
				}
				due++
			}
			seq++
		}
	}
}
