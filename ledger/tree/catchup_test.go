package tree

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/proof"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	"github.com/consent-ledger/consent-ledger/ledger/store"
)

func openOwn(s *stand, note []byte) (proof.Checkpoint, error) {
	return proof.OpenCheckpoint(note, s.keys.Log.Verifier)
}

// copyDir copies a closed database.
func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func catchUp(s *stand) error {
	t := s.open()
	defer s.close(t)
	return t.CatchUp(context.Background())
}

func TestDatabaseRolledBackAloneHeals(t *testing.T) {
	m := newMade(20)
	m.commit(700)
	s := newStand(t, m.messages)
	s.close(s.whole())
	old := filepath.Join(t.TempDir(), "old")
	copyDir(t, s.dir, old)
	for range 3 {
		m.commit(300)
		s.source.messages = m.messages
		s.close(s.whole())
	}
	for _, lost := range []string{"rolled back", "removed"} {
		if lost == "removed" {
			if err := os.RemoveAll(s.dir); err != nil {
				t.Fatal(err)
			}
		} else {
			copyDir(t, old, s.dir)
		}
		tr := s.open()
		if err := tr.CatchUp(t.Context()); err != nil {
			t.Fatalf("%s: %v", lost, err)
		}
		if c, ok := tr.Published(); !ok || c.Size != int64(len(m.leaves)) || c.Root != naive(m.leaves) {
			t.Fatalf("%s: the published checkpoint is not the one signed last", lost)
		}
		s.close(tr)
	}
	s.consistent(t, m)
}

// A wrong tile is found at a start, and built anew from a stream that is right.
func TestDamagedTilesHeal(t *testing.T) {
	m := newMade(20)
	for range 10 {
		m.commit(100)
	}
	s := newStand(t, m.messages)
	s.close(s.whole())
	for level, n := range []uint64{3, 0} { // the right edge, which a start reads
		for _, do := range []func(b *store.Batch, key, tile []byte) error{
			func(b *store.Batch, key, tile []byte) error { tile[40] ^= 4; return b.Set(key, tile) },
			func(b *store.Batch, key, _ []byte) error { return b.Delete(key) },
			func(b *store.Batch, key, tile []byte) error { return b.Set(key, tile[:32]) },
		} {
			db, err := store.Open(s.dir, store.Options{})
			if err != nil {
				t.Fatal(err)
			}
			key := store.TileKey(byte(level), n)
			tile, err := db.Get(key)
			if err != nil {
				t.Fatal(err)
			}
			b := db.NewBatch()
			if err := errors.Join(do(b, key, tile), b.Commit(true), db.Close()); err != nil {
				t.Fatal(err)
			}
			tr := s.whole()
			if c, _ := tr.Published(); c.Root != naive(m.leaves) {
				t.Fatal("not healed")
			}
			s.close(tr)
		}
	}
}

// A wrong tile that no start reads gives an error, and no proof that fails elsewhere.
func TestNoProofFromADamagedTile(t *testing.T) {
	m := newMade(20)
	m.commit(1000)
	s := newStand(t, m.messages)
	tr := s.whole()
	defer s.close(tr)
	key := store.TileKey(0, 1)
	tile, err := tr.db.Get(key)
	if err != nil {
		t.Fatal(err)
	}
	tile[32*7] ^= 1
	b := tr.db.NewBatch()
	if err := errors.Join(b.Set(key, tile), b.Commit(true)); err != nil {
		t.Fatal(err)
	}
	for _, at := range []ledger.Position{256 + 1, 256 + 8, 256 + 200} {
		if _, err := tr.Include(at); !errors.Is(err, ledger.ErrDamaged) {
			t.Errorf("position %d: %v", at, err)
		}
	}
	if _, err := tr.Include(1); err != nil {
		t.Error(err)
	}
}

// A stream that was put back as it was earlier is refused, whatever else is left.
func TestAShorterStreamIsRolledBack(t *testing.T) {
	m := newMade(20)
	s := newStand(t, nil)
	for range 10 {
		m.commit(50)
		s.source.messages = m.messages
		s.close(s.whole())
	}
	journal := s.journal
	for _, tc := range []struct {
		name string
		cut  int
		tree bool // its database is lost too
	}{{"last message", 9, false}, {"half", 5, false}, {"everything", 0, false}, {"last message, tree lost", 9, true}, {"everything, tree lost", 0, true}} {
		t.Run(tc.name, func(t *testing.T) {
			s.source.messages = m.messages[:tc.cut]
			s.journal = copyJournal(t, journal)
			if tc.tree {
				if err := os.RemoveAll(s.dir); err != nil {
					t.Fatal(err)
				}
			} else {
				s.journal.Cut(uint64(tc.cut))
			}
			if err := catchUp(s); !errors.Is(err, ErrRolledBack) || !errors.Is(err, ledger.ErrDamaged) {
				t.Fatalf("it says %v", err)
			}
			if len(s.source.messages) != tc.cut {
				t.Fatal("the stream was written to")
			}
		})
	}
	s.source.messages, s.journal = m.messages, journal
	s.close(s.whole()) // the whole copy is back
}

// The folder's stamped checkpoints show it too, when tree, journal and stream were all put
// back; one that is damaged, or another ledger's, refuses nothing.
func TestACheckpointBesideShowsARollback(t *testing.T) {
	m := newMade(20)
	m.commit(50)
	s := newStand(t, m.messages)
	s.close(s.whole())
	old, messages, journal := filepath.Join(t.TempDir(), "old"), slices.Clone(m.messages), copyJournal(t, s.journal)
	copyDir(t, s.dir, old)
	m.commit(50)
	s.source.messages = m.messages
	tr := s.whole()
	newest, _ := tr.Published()
	s.close(tr)
	for _, c := range []struct {
		name string
		note []byte
		want error
	}{{"a newer one", newest.Note, ErrRolledBack}, {"damaged", newest.Note[1:], nil}, {"none", nil, nil}} {
		copyDir(t, old, s.dir)
		s.source.messages, s.journal = messages, copyJournal(t, journal)
		cfg := s.config()
		cfg.Beside = map[string][]byte{"folder timestamps": c.note}
		tr, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := tr.CatchUp(t.Context()); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
		s.close(tr)
	}
}

// A stream whose end alone is lost gets it back, byte for byte.
func TestALostTailComesBack(t *testing.T) {
	m := newMade(20)
	for range 10 {
		m.commit(50)
	}
	s := newStand(t, m.messages)
	s.close(s.whole())
	for _, cut := range []int{9, 5, 1, 0} {
		s.source.messages = m.messages[:cut:cut]
		tr := s.whole()
		if tr.repaired != uint64(10-cut) || len(s.source.messages) != 10 {
			t.Fatalf("cut to %d: %d messages came back, the stream has %d", cut, tr.repaired, len(s.source.messages))
		}
		for i := range m.messages {
			if !bytes.Equal(m.messages[i], s.source.messages[i]) {
				t.Fatalf("message %d is another one", i+1)
			}
		}
		if c, _ := tr.Published(); c.Root != naive(m.leaves) {
			t.Fatal("another root")
		}
		s.close(tr)
	}
}

// What was added since the last checkpoint is kept too: a process that dies at once
// and a stream that loses its end lose nothing together.
func TestALostTailThatNobodySignedComesBack(t *testing.T) {
	m := newMade(20)
	m.commit(50)
	s := newStand(t, m.messages)
	s.close(s.whole())
	m.commit(50)
	tr := s.open()
	if err := tr.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := tr.take(ledger.Message{Seq: 2, Data: m.messages[1]}); err != nil {
		t.Fatal(err)
	}
	s.close(tr) // without a checkpoint
	s.source.messages = m.messages[:1:1]
	tr = s.whole()
	defer s.close(tr)
	if c, _ := tr.Published(); tr.repaired != 1 || c.Root != naive(m.leaves) {
		t.Fatalf("%d messages came back", tr.repaired)
	}
}

// A stream that went on differently is not added to.
func TestAnotherEndIsNotMended(t *testing.T) {
	m := newMade(20)
	for range 5 {
		m.commit(50)
	}
	s := newStand(t, m.messages)
	s.close(s.whole())
	other := newMade(20)
	other.messages, other.leaves, other.persons = m.messages[:2:2], m.leaves[:100:100], 1000
	other.commit(10)
	s.source.messages = other.messages
	if err := catchUp(s); !errors.Is(err, ledger.ErrDamaged) || len(s.source.messages) != 3 {
		t.Fatalf("it says %v, and the stream has %d messages", err, len(s.source.messages))
	}
}

// Everything in the folder is an older copy; only the anchor knows.
func TestTheAnchorKnowsBetter(t *testing.T) {
	m := newMade(20)
	m.commit(50)
	s := newStand(t, m.messages)
	place := filepath.Join(t.TempDir(), "anchor")
	a, err := NewAnchor(place, filepath.Dir(s.dir))
	if err != nil {
		t.Fatal(err)
	}
	s.anchors = []Anchor{a}
	s.close(s.whole())
	old, oldJournal := filepath.Join(t.TempDir(), "old"), copyJournal(t, s.journal)
	copyDir(t, s.dir, old)
	m.commit(50)
	s.source.messages = m.messages
	s.run(len(m.leaves))
	raw, err := os.ReadFile(place)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := openOwn(s, raw); err != nil || c.Size != 100 {
		t.Fatalf("the anchor keeps %d entries: %v", c.Size, err)
	}

	copyDir(t, old, s.dir)
	s.journal, s.source.messages = oldJournal, m.messages[:1]
	if err := catchUp(s); !errors.Is(err, ErrRolledBack) {
		t.Fatalf("an older folder: %v", err)
	}
	other := newMade(20) // the positions are used again
	other.messages, other.leaves, other.ends = m.messages[:1:1], m.leaves[:50:50], map[ledger.PersonID]end{}
	other.persons = 1000
	other.commit(60)
	s.source.messages = other.messages
	if err := catchUp(s); !errors.Is(err, ErrTampered) && !errors.Is(err, ledger.ErrDamaged) {
		t.Fatalf("another continuation: %v", err)
	}
	if err := os.WriteFile(place, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := catchUp(s); !errors.Is(err, proof.ErrForm) {
		t.Fatalf("a damaged anchor: %v", err)
	}
	if err := os.WriteFile(place, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := catchUp(s); err == nil || !strings.Contains(err.Error(), "the file is empty") {
		t.Fatalf("an anchor that was emptied: %v", err)
	}
}

// run runs a tree until it has published so many entries and its anchors keep them.
func (s *stand) run(size int) {
	s.t.Helper()
	tr := s.open()
	defer s.close(tr)
	if err := tr.CatchUp(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- tr.Run(ctx) }()
	if _, err := tr.WaitPublished(ctx, ledger.Position(size)); err != nil {
		s.t.Fatal(err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		s.t.Fatal(err)
	}
}

func copyJournal(t *testing.T, j *journal) *journal {
	t.Helper()
	out := newJournal()
	_, last, _ := j.Bounds(t.Context())
	for seq := uint64(1); seq <= last; seq++ {
		m, err := j.Read(t.Context(), seq)
		if err == nil {
			_, err = out.Append(t.Context(), seq-1, m.Data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// Every bit of a short stream that a tree was made of: none can change unnoticed.
func TestEveryChangedByteIsNamed(t *testing.T) {
	m := newMade(3)
	m.commit(2)
	m.commit(2)
	s := newStand(t, m.messages)
	tr := s.whole()
	defer s.close(tr)
	for seq := range m.messages {
		for i := range m.messages[seq] {
			changed := append([][]byte{}, m.messages...)
			changed[seq] = bytes.Clone(changed[seq])
			changed[seq][i] ^= 1 << (i % 8)
			s.source.messages = changed
			tr.signed, tr.settled = proof.Checkpoint{}, proof.Checkpoint{}
			if err := errors.Join(tr.drop(), tr.wipe(nil), tr.restore(t.Context())); err != nil { // nothing is left but what was signed
				t.Fatal(err)
			}
			if err := tr.CatchUp(t.Context()); !errors.Is(err, ledger.ErrDamaged) {
				t.Fatalf("message %d, byte %d: %v", seq+1, i, err)
			}
		}
	}
}

// With the tree's own leaves as evidence the entry is named, and they are kept.
func TestAChangedEntryIsNamedByTheTree(t *testing.T) {
	m := newMade(3)
	for range 4 {
		m.commit(2)
	}
	s := newStand(t, m.messages)
	s.close(s.whole())
	changed := append([][]byte{}, m.messages...)
	changed[3] = bytes.Clone(changed[3])
	changed[3][len(changed[3])-1] ^= 1 // in the clear part of its last entry
	s.source.messages = changed
	for range 2 { // the second start says the same
		err := catchUp(s)
		var f *Fault
		if !errors.Is(err, ErrTampered) || !errors.As(err, &f) || f.Position != 8 {
			t.Fatalf("it says %v", err)
		}
	}
	s.source.messages = m.messages
	s.close(s.whole())
}

func TestOlderOrOtherCheckpointsAreRefused(t *testing.T) {
	m := newMade(20)
	m.commit(300)
	s := newStand(t, m.messages)
	tr := s.whole()
	defer s.close(tr)
	before := tr.signed
	sign := func(size int64, root tlog.Hash) proof.Checkpoint {
		c, err := proof.SignCheckpoint(size, root, s.keys.Log)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for name, c := range map[string]proof.Checkpoint{
		"older":                sign(200, naive(m.leaves[:200])),
		"equal size, other":    sign(300, tlog.Hash{1}),
		"longer and unrelated": sign(301, tlog.Hash{1}),
	} {
		if err := tr.accept(c); err == nil {
			t.Errorf("%s was accepted", name)
		}
		if tr.signed.Size != before.Size || tr.signed.Root != before.Root {
			t.Errorf("%s: what was signed last has changed", name)
		}
	}
}

func TestTwoSignersAreNoticed(t *testing.T) {
	m := newMade(20)
	m.commit(30)
	s := newStand(t, m.messages)
	tr := s.whole()
	defer s.close(tr)
	if _, err := s.journal.Append(t.Context(), 1, []byte("somebody else's")); err != nil {
		t.Fatal(err)
	}
	m.commit(1)
	s.source.messages = m.messages
	if err := tr.Run(t.Context()); !errors.Is(err, ErrTwoSigners) {
		t.Fatalf("it says %v", err)
	}
	if c, _ := tr.Published(); c.Size != 30 {
		t.Fatal("it showed a checkpoint that is not in the journal")
	}
}

func TestAnotherLedgersTreeAndKey(t *testing.T) {
	m := newMade(20)
	m.commit(30)
	s := newStand(t, m.messages)
	s.close(s.whole())
	cfg := s.config()
	cfg.Ledger = [16]byte{2}
	if _, err := Open(cfg); !errors.Is(err, ErrForeign) {
		t.Fatalf("another ledger's tree: %v", err)
	}
	var err error
	if s.keys, err = seal.NewSigning("ledger.example.com/test", bytes.Repeat([]byte{8}, 32)); err != nil {
		t.Fatal(err)
	}
	if err := catchUp(s); !errors.Is(err, proof.ErrUnsigned) {
		t.Fatalf("signed by another key: %v", err)
	}
}

func TestAnchorsLieOutside(t *testing.T) {
	dir := t.TempDir()
	for _, bad := range []string{dir + "/anchor", dir + "/jetstream/../anchor", "", "ftp://example.com/a", filepath.Join(t.TempDir(), "missing", "anchor")} {
		if _, err := NewAnchor(bad, dir); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if _, err := NewAnchor(link+"/anchor", dir); err == nil {
		t.Error("a link into the folder is taken")
	}
	for _, good := range []string{filepath.Join(t.TempDir(), "anchor"), "https://example.com/checkpoints?key=secret"} {
		a, err := NewAnchor(good, dir)
		if err != nil {
			t.Error(err)
		} else if bytes.Contains([]byte(a.String()), []byte("secret")) {
			t.Error("an anchor shows its secret")
		}
	}
}
