package tree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/proof"
	"github.com/consent-ledger/consent-ledger/ledger/witness"
)

// witnessed starts a witness of the stand's ledger and gives the policy that asks it.
func (s *stand) witnessed() *witness.Policy {
	s.t.Helper()
	dir := s.t.TempDir()
	public, err := witness.Create(dir, "witness.example.com/w1")
	if err != nil {
		s.t.Fatal(err)
	}
	keys, err := proof.ParseKeys([]byte(s.keys.Log.Public))
	if err != nil {
		s.t.Fatal(err)
	}
	w, err := witness.Open(dir, keys, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	server := httptest.NewServer(http.Handler(w))
	s.t.Cleanup(func() {
		server.Close()
		if err := w.Close(); err != nil {
			s.t.Error(err)
		}
	})
	p, err := witness.ParsePolicy(fmt.Appendf(nil, "witness one %s %s\nquorum one\n", public, server.URL))
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

func (s *stand) openWith(w Witnesses) *Tree {
	s.t.Helper()
	cfg := s.config()
	cfg.Witnesses = w
	t, err := Open(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	return t
}

// What is shown to others is what a witness cosigned; what it has not seen yet is
// proven by the ledger's word alone.
func TestWitnessesCosignWhatIsShown(t *testing.T) {
	m := newMade(20)
	m.commit(300)
	s := newStand(t, m.messages)
	p := s.witnessed()
	tr := s.openWith(p)
	if err := tr.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.rest(tr)
	if _, ok := tr.Shown(); ok {
		t.Fatal("shown before anybody cosigned it")
	}
	c, _ := tr.Published()
	if err := tr.cosignOne(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	m.commit(5)
	s.source.messages = m.messages
	s.rest(tr)
	for at, cosigned := range map[ledger.Position]bool{1: true, 300: true, 301: false} {
		in, err := tr.Include(at)
		if err != nil || p.Satisfied(in.Checkpoint) != cosigned {
			t.Errorf("position %d: %v\n%s", at, err, in.Checkpoint)
		}
	}
	s.close(tr)
	tr = s.openWith(p) // the cosignature is still there
	defer s.close(tr)
	if err := tr.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c, ok := tr.Shown(); !ok || c.Size != 300 || !p.Satisfied(c.Note) {
		t.Errorf("after a restart %d entries are shown", c.Size)
	}
}

// The whole folder is an older copy, and only the witness knows.
func TestTheWitnessKnowsBetter(t *testing.T) {
	m := newMade(20)
	m.commit(50)
	s := newStand(t, m.messages)
	p := s.witnessed()
	s.close(s.whole())
	old, oldJournal := t.TempDir()+"/old", copyJournal(t, s.journal)
	copyDir(t, s.dir, old)
	m.commit(50)
	s.source.messages = m.messages
	tr := s.openWith(p)
	if err := tr.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.rest(tr)
	c, _ := tr.Published()
	if err := tr.cosignOne(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	s.close(tr)

	copyDir(t, old, s.dir)
	s.journal, s.source.messages = oldJournal, m.messages[:1]
	tr = s.openWith(p)
	defer s.close(tr)
	if err := tr.CatchUp(t.Context()); !errors.Is(err, ErrRolledBack) {
		t.Fatalf("it says %v", err)
	}
}

// A witness that is away stops nothing.
func TestWitnessesThatAreAway(t *testing.T) {
	m := newMade(20)
	m.commit(50)
	s := newStand(t, m.messages)
	p, err := witness.ParsePolicy(bytes.ReplaceAll([]byte("witness one KEY http://127.0.0.1:1\nquorum one\n"), []byte("KEY"), []byte(s.keys.Log.Public)))
	if err != nil {
		t.Fatal(err)
	}
	s.close(s.whole())
	tr := s.openWith(p)
	defer s.close(tr)
	if err := tr.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	c, _ := tr.Published()
	if err := tr.cosignOne(ctx, c); !errors.Is(err, witness.ErrQuorum) || len(tr.Problems()) != 1 {
		t.Errorf("%v, %q", err, tr.Problems())
	}
	cancel()
	if _, err := tr.Include(1); err != nil {
		t.Errorf("no proof without a witness: %v", err)
	}
}
