package tree

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/memstream"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

var began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// made is a ledger made for a test: its stored messages, and the leaf of each entry.
type made struct {
	messages [][]byte
	leaves   []tlog.Hash
	ends     map[ledger.PersonID]end
	random   *rand.Rand
	persons  int
}

func newMade(persons int) *made {
	return &made{ends: map[ledger.PersonID]end{}, random: rand.New(rand.NewPCG(1, 2)), persons: persons}
}

// commit adds a message of n entries, a fifth of them of nobody.
func (m *made) commit(n int) {
	c := &consentv1.Commit{FirstPosition: uint64(len(m.leaves)) + 1}
	at := timestamppb.New(began.Add(time.Duration(len(m.messages)) * time.Second))
	for range n {
		c.Entries = append(c.Entries, m.entry(at))
	}
	data, err := proto.Marshal(c)
	if err != nil {
		panic(err)
	}
	m.messages = append(m.messages, data)
}

func (m *made) entry(at *timestamppb.Timestamp) []byte {
	e := &consentv1.Entry{Position: uint64(len(m.leaves)) + 1, RecordedAt: at, EntryId: make([]byte, 16), Idempotency: make([]byte, 32), Content: make([]byte, 32),
		Fact: &consentv1.Fact{Source: "crm"}}
	binary.BigEndian.PutUint64(e.EntryId, e.Position)
	binary.BigEndian.PutUint64(e.Idempotency, e.Position)
	var p ledger.PersonID
	if m.random.IntN(5) > 0 {
		binary.BigEndian.PutUint64(p[:], uint64(m.random.IntN(m.persons))*0x9e3779b97f4a7c15+1)
		last := m.ends[p]
		e.Person, e.PersonSeq = p[:], last.seq+1
		if last.seq > 0 {
			e.PersonPrev = last.leaf[:]
		}
		e.Token = make([]byte, 73)
	}
	raw, err := proto.Marshal(e)
	if err != nil {
		panic(err)
	}
	leaf := ledger.LeafHash(raw)
	m.leaves = append(m.leaves, tlog.Hash(leaf))
	if !p.IsZero() {
		m.ends[p] = end{e.PersonSeq, leaf}
	}
	return raw
}

// naive is the root of RFC 9162 section 2.1.1, as the text has it.
func naive(leaves []tlog.Hash) tlog.Hash {
	switch len(leaves) {
	case 0:
		return tlog.Hash(ledger.Hash{0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
			0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55})
	case 1:
		return leaves[0]
	}
	k := 1
	for k*2 < len(leaves) {
		k *= 2
	}
	return tlog.NodeHash(naive(leaves[:k]), naive(leaves[k:]))
}

// source is a stream that a test can damage.
type source struct{ messages [][]byte }

func (s *source) Append(_ context.Context, after uint64, data []byte) (uint64, error) {
	if after != uint64(len(s.messages)) {
		return 0, ledger.ErrWrongTail
	}
	s.messages = append(s.messages[:after:after], bytes.Clone(data))
	return after + 1, nil
}

func (s *source) Tail(context.Context) (uint64, error) { return uint64(len(s.messages)), nil }

func (s *source) Read(_ context.Context, seq uint64) (ledger.Message, error) {
	if seq == 0 || seq > uint64(len(s.messages)) {
		return ledger.Message{}, ledger.ErrNotFound
	}
	return ledger.Message{Seq: seq, Data: s.messages[seq-1]}, nil
}

func (s *source) Follow(ctx context.Context, after uint64) iter.Seq2[ledger.Message, error] {
	return func(yield func(ledger.Message, error) bool) {
		for seq := after + 1; seq <= uint64(len(s.messages)); seq++ {
			if s.messages[seq-1] == nil {
				continue // a hole
			}
			if !yield(ledger.Message{Seq: seq, Data: s.messages[seq-1]}, nil) {
				return
			}
		}
		<-ctx.Done()
		yield(ledger.Message{}, context.Cause(ctx))
	}
}

// journal is CONSENT_CHECKPOINTS in memory.
type journal struct{ *memstream.Stream }

func newJournal() *journal { return &journal{memstream.New(func(uint64, []byte) {})} }

func (j *journal) Tail(ctx context.Context) (uint64, error) {
	_, last, err := j.Bounds(ctx)
	return last, err
}

// stand is a tree's surroundings in a test.
type stand struct {
	t       *testing.T
	dir     string
	keys    *seal.Signing
	source  *source
	journal *journal
	anchors []Anchor
}

func newStand(t *testing.T, messages [][]byte) *stand {
	t.Helper()
	keys, err := seal.NewSigning("ledger.example.com/test", bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return &stand{t: t, dir: filepath.Join(t.TempDir(), "tree"), keys: keys, source: &source{messages: messages}, journal: newJournal()}
}

func (s *stand) config() Config {
	return Config{Dir: s.dir, Ledger: [16]byte{1}, Source: s.source, Signer: s.keys.Log, Verifier: s.keys.Log.Verifier, Journal: s.journal, Anchors: s.anchors, Every: time.Millisecond}
}

func (s *stand) open() *Tree {
	s.t.Helper()
	t, err := Open(s.config())
	if err != nil {
		s.t.Fatal(err)
	}
	return t
}

func (s *stand) close(t *Tree) {
	s.t.Helper()
	if err := t.Close(); err != nil {
		s.t.Fatal(err)
	}
}

// whole opens the tree, catches up, reads the stream to its end and signs for it.
func (s *stand) whole() *Tree {
	s.t.Helper()
	t := s.open()
	if err := t.CatchUp(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.rest(t)
	return t
}

// rest reads the stream to its end and signs for it.
func (s *stand) rest(t *Tree) {
	s.t.Helper()
	for m, err := range t.until(s.t.Context(), uint64(len(s.source.messages))) {
		if err == nil {
			err = t.take(m)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	if err := t.checkpoint(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

func TestRootsAreThoseOfTheStandard(t *testing.T) {
	m := newMade(50)
	s := newStand(t, nil)
	tr := s.open()
	if err := tr.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 1, 1, 2, 3, 247, 1, 255, 256, 257, 1000, 64000, 1} {
		m.commit(n)
		s.source.messages = m.messages
		s.rest(tr)
		c, ok := tr.Published()
		if !ok || c.Size != int64(len(m.leaves)) || c.Root != naive(m.leaves) {
			t.Fatalf("%d entries: checkpoint of %d with root %s, want %s", len(m.leaves), c.Size, c.Root, naive(m.leaves))
		}
	}
	for range 300 {
		at := ledger.Position(m.random.IntN(len(m.leaves)) + 1)
		p, err := tr.Include(at)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Check(ledger.Hash(m.leaves[at-1]), s.keys.Log.Verifier); err != nil {
			t.Fatal(err)
		}
	}
	s.close(tr)
}

// A start at every size goes on exactly where it was, whatever was written before.
func TestEveryRestartGoesOn(t *testing.T) {
	m := newMade(5)
	s := newStand(t, nil)
	for i := range 40 {
		m.commit(1 + m.random.IntN(40))
		s.source.messages = m.messages
		tr := s.whole()
		if c, _ := tr.Published(); c.Root != naive(m.leaves) {
			t.Fatalf("start %d: another root", i)
		}
		s.close(tr)
	}
}

func TestWhatIsWrongIsNamed(t *testing.T) {
	m := newMade(8)
	for range 20 {
		m.commit(10)
	}
	entry := func(message, i int, change func(*consentv1.Entry)) [][]byte {
		out := append([][]byte{}, m.messages...)
		var c consentv1.Commit
		if err := proto.Unmarshal(out[message], &c); err != nil {
			t.Fatal(err)
		}
		var e consentv1.Entry
		if err := proto.Unmarshal(c.Entries[i], &e); err != nil {
			t.Fatal(err)
		}
		change(&e)
		c.Entries[i], _ = proto.Marshal(&e)
		out[message], _ = proto.Marshal(&c)
		return out
	}
	ofPerson := func(message int) (i int, e *consentv1.Entry) {
		var c consentv1.Commit
		if err := proto.Unmarshal(m.messages[message], &c); err != nil {
			t.Fatal(err)
		}
		for i, raw := range c.Entries {
			e := &consentv1.Entry{}
			if err := proto.Unmarshal(raw, e); err != nil {
				t.Fatal(err)
			}
			if e.PersonSeq > 1 {
				return i, e
			}
		}
		t.Fatal("no entry of a person")
		return 0, nil
	}
	i, person := ofPerson(7)
	hole := append([][]byte{}, m.messages...)
	hole[11] = nil
	short := append([][]byte{}, m.messages...)
	var c consentv1.Commit
	if err := proto.Unmarshal(short[4], &c); err != nil {
		t.Fatal(err)
	}
	c.Entries = c.Entries[:9]
	short[4], _ = proto.Marshal(&c)
	for _, tc := range []struct {
		name     string
		messages [][]byte
		seq      uint64
		position ledger.Position
		person   []byte
	}{
		{"a message is missing", hole, 13, 0, nil},
		{"an entry is missing", short, 6, 51, nil},
		{"a back-link is wrong", entry(7, i, func(e *consentv1.Entry) { e.PersonPrev[3] ^= 1 }), 8, ledger.Position(person.Position), person.Person},
		{"a place in the chain is wrong", entry(7, i, func(e *consentv1.Entry) { e.PersonSeq++ }), 8, ledger.Position(person.Position), person.Person},
		{"a position is wrong", entry(7, i, func(e *consentv1.Entry) { e.Position++ }), 8, 71, nil},
		{"a time goes back", entry(7, 0, func(e *consentv1.Entry) { e.RecordedAt = timestamppb.New(began) }), 8, 71, nil},
		{"a time differs within a commit", entry(7, 2, func(e *consentv1.Entry) { e.RecordedAt = timestamppb.New(began.Add(time.Hour)) }), 8, 73, nil},
		{"too long", entry(7, 0, func(e *consentv1.Entry) { e.Token = make([]byte, ledger.EntryBytesMax) }), 8, 71, nil},
		{"no commit", append(append([][]byte{}, m.messages[:3]...), []byte("\xff\xff"), m.messages[4]), 4, 0, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newStand(t, tc.messages)
			tr := s.open()
			defer s.close(tr)
			err := tr.CatchUp(t.Context())
			var f *Fault
			if !errors.As(err, &f) || !errors.Is(err, ledger.ErrDamaged) {
				t.Fatalf("ended with %v", err)
			}
			if f.Seq != tc.seq || f.Position != tc.position || (tc.person != nil && !bytes.Equal(f.Person[:], tc.person)) {
				t.Fatalf("%v; want message %d, position %d, person %x", f, tc.seq, tc.position, tc.person)
			}
			if c, _ := tr.Published(); c.Size >= int64(len(m.leaves)) {
				t.Fatal("it signed for what it could not read")
			}
		})
	}
}

var errCrash = errors.New("killed")

// A process that dies anywhere between tiles and publication comes back to the
// same tree, and signs nothing that contradicts what it signed before.
func TestCrashAnywhereHeals(t *testing.T) {
	for _, step := range []string{"flushed", "signed", "published"} {
		t.Run(step, func(t *testing.T) {
			m := newMade(20)
			m.commit(300)
			s := newStand(t, m.messages)
			s.close(s.whole())
			for range 3 {
				m.commit(123)
				s.source.messages = m.messages
				tr := s.open()
				if err := tr.CatchUp(t.Context()); err != nil {
					t.Fatal(err)
				}
				tr.testingOnlyBetween = func(at string) error {
					if at == step && tr.at.size == int64(len(m.leaves)) {
						return errCrash
					}
					return nil
				}
				if err := tr.Run(t.Context()); !errors.Is(err, errCrash) {
					t.Fatal(err)
				}
				s.close(tr)
				tr = s.whole()
				if c, _ := tr.Published(); c.Root != naive(m.leaves) {
					t.Fatal("another root after the crash")
				}
				s.close(tr)
			}
			s.consistent(t, m)
		})
	}
}

// consistent checks that every checkpoint ever published is true of the ledger.
func (s *stand) consistent(t *testing.T, m *made) {
	t.Helper()
	_, last, _ := s.journal.Bounds(t.Context())
	for seq := uint64(1); seq <= last; seq++ {
		raw, err := s.journal.Read(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		c, err := openOwn(s, raw.Data)
		if err != nil {
			t.Fatal(err)
		}
		if c.Root != naive(m.leaves[:c.Size]) {
			t.Fatalf("checkpoint %d of %d entries is not true", seq, c.Size)
		}
	}
	if last == 0 {
		t.Fatal("nothing was published")
	}
}

func ExampleFault() {
	f := &Fault{Seq: 3, Position: 7, Person: ledger.PersonID{0xab}, Problem: "position 6 is due"}
	fmt.Println(f)
	// Output: ledger: DAMAGED: message 3, position 7, person ab000000000000000000000000000000: position 6 is due
}
