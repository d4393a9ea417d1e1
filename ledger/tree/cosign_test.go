package tree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/proof"
	"github.com/consent-ledger/consent-ledger/ledger/witness"
)

// witnessed starts a witness of the stand's ledger and gives the policy that asks it.
func (s *stand) witnessed() *witness.Policy {
	s.t.Helper()
	return s.policy(s.witness() + "quorum one\n")
}

func (s *stand) policy(file string) *witness.Policy {
	s.t.Helper()
	p, err := witness.ParsePolicy([]byte(file))
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// witness starts a witness of the stand's ledger and gives its line in a policy.
func (s *stand) witness() string {
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
	return fmt.Sprintf("witness one %s %s\n", public, server.URL)
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
	if err := tr.CatchUp(t.Context()); !errors.Is(err, ErrRolledBack) || !errors.Is(err, ledger.ErrDamaged) || strings.Contains(err.Error(), "DAMAGED") {
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

// Whoever waits for witnesses is told as soon as they answered: with what is enough, or with
// the cosignatures of the few.
func TestWaitForWitnesses(t *testing.T) {
	m := newMade(20)
	m.commit(50)
	s := newStand(t, m.messages)
	line := s.witness()
	public, err := witness.Create(t.TempDir(), "witness.example.com/away")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, quorum string
		want         proof.Quorum
	}{
		{"too few", "group both all one two\nquorum both\n", proof.Quorum{Asked: 2, Cosigned: 1, Demanded: 2}},
		{"enough", "group either any one two\nquorum either\n", proof.Quorum{Asked: 2, Cosigned: 1, Demanded: 1, Satisfied: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := witness.ParsePolicy([]byte(line + "witness two " + public + " http://127.0.0.1:1\n" + tt.quorum))
			if err != nil {
				t.Fatal(err)
			}
			tr := s.openWith(p)
			defer s.close(tr)
			if err := tr.CatchUp(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.rest(tr)
			got, err := tr.WaitShown(t.Context(), 50, 0)
			if q, _ := tr.Quorum(got); err != nil || q.Cosigned > 0 {
				t.Errorf("nobody was asked, and %d cosigned (%v)", q.Cosigned, err)
			}
			c, _ := tr.Published()
			done := make(chan proof.Checkpoint)
			go func() {
				got, err := tr.WaitShown(t.Context(), 50, time.Hour)
				if err != nil {
					t.Error(err)
				}
				done <- got
			}()
			for waiting := true; waiting; { // the wait may begin late, and wants an answer that is new
				if err := tr.cosignOne(t.Context(), c); (err == nil) != tt.want.Satisfied {
					t.Fatal(err)
				}
				select {
				case got = <-done:
					waiting = false
				default:
				}
			}
			if q, asked := tr.Quorum(got); got.Size != 50 || !asked || q != tt.want {
				t.Errorf("of %d entries, %+v; want %+v", got.Size, q, tt.want)
			}
		})
	}
}
