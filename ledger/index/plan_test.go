package index

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// TestStagedOnlyIsForgotten: what was never acknowledged is gone after a restart.
func TestStagedOnlyIsForgotten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "index")
	ix, h := open(t, dir, Options{}), newHistory(1)
	first, _ := h.commit(3, 2)
	must(t, ix.ApplyCommit(1, first))
	before, err := ix.Hash(t.Context())
	must(t, err)
	second, keys := h.commit(3, 2)
	must(t, ix.Stage(second, keys, nil))
	must(t, ix.Close())
	ix = open(t, dir, Options{})
	defer ix.Close()
	after, err := ix.Hash(t.Context())
	must(t, err)
	if before != after || ix.Applied().Position != 3 {
		t.Fatal("a staged commit is on disk")
	}
	must(t, ix.ApplyCommit(2, second)) // as if its ack had been lost
}

func TestStageIsBounded(t *testing.T) {
	ix, h := openTemp(t), newHistory(1)
	for range stagedMax {
		e, k := h.commit(1, 1)
		must(t, ix.Stage(e, k, nil))
	}
	e, k := h.commit(1, 1)
	if err := ix.Stage(e, k, nil); err == nil {
		t.Fatal("a third commit was staged")
	}
}

func TestDamageIsNamed(t *testing.T) {
	tok, other := token(1), token(2)
	for _, tc := range []struct {
		name   string
		damage func(h *history, e *ledger.Entry)
		text   string
	}{
		{"a gap", func(_ *history, e *ledger.Entry) { e.Position++ }, "position 4: 3 is due"},
		{"a step back", func(_ *history, e *ledger.Entry) { e.Position-- }, "position 2: 3 is due"},
		{"time goes backwards", func(_ *history, e *ledger.Entry) { e.RecordedAt = e.RecordedAt.Add(-1) }, "recorded before"},
		{"a hole in the chain", func(_ *history, e *ledger.Entry) { e.Msg.PersonSeq++ }, "entry 3 of its person"},
		{"another back-link", func(_ *history, e *ledger.Entry) { e.Msg.PersonPrev = make([]byte, 32) }, "does not follow"},
		{"no back-link", func(_ *history, e *ledger.Entry) { e.Msg.PersonPrev = nil }, "does not follow"},
		{"another person", func(h *history, e *ledger.Entry) {
			e.Msg.Person, e.Msg.PersonSeq, e.Msg.PersonPrev = bytes.Repeat([]byte{9}, 16), 1, nil
		}, "not the one who holds"},
		{"a person of another number", func(_ *history, e *ledger.Entry) { e.Token = other }, "not the one who holds"},
		{"a person without a number", func(_ *history, e *ledger.Entry) { e.Token = ledger.Token{} }, "without a number"},
		{"a number without a person", func(_ *history, e *ledger.Entry) { e.Msg.Person = nil }, "without a person"},
		{"a short person", func(_ *history, e *ledger.Entry) { e.Msg.Person = []byte{1} }, "impossible id"},
		{"a short hash", func(_ *history, e *ledger.Entry) { e.Msg.Idempotency = []byte{1} }, "impossible size"},
		{"an event twice", func(h *history, e *ledger.Entry) { e.Msg.Idempotency = h.firstKey }, "same source and event id as position 1"},
		{"an erasure in a chain", func(_ *history, e *ledger.Entry) {
			e.Msg.Fact.Kind = &consentv1.Fact_PersonErased{PersonErased: &consentv1.PersonErased{}}
		}, "in a person's chain"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ix, h := openTemp(t), newHistory(1)
			first := []*ledger.Entry{h.entry(tok, stopFact()), h.entry(ledger.Token{}, sellerFact("acme"))}
			h.firstKey = first[0].Msg.Idempotency
			must(t, ix.ApplyCommit(1, first))
			bad := h.entry(tok, stopFact())
			tc.damage(h, bad)
			err := ix.ApplyCommit(2, []*ledger.Entry{bad})
			if !errors.Is(err, ledger.ErrDamaged) || !strings.Contains(err.Error(), tc.text) {
				t.Fatalf("error: %v", err)
			}
			if ix.Applied().Position != 2 {
				t.Fatal("the damaged commit was applied")
			}
		})
	}
}

func TestApplyRefusesTheWrongMessage(t *testing.T) {
	ix, h := openTemp(t), newHistory(1)
	one, keys := h.commit(2, 2)
	if err := ix.ApplyCommit(2, one); !errors.Is(err, ledger.ErrDamaged) {
		t.Fatalf("message 2 after none: %v", err)
	}
	if err := ix.ApplyCommit(1, nil); !errors.Is(err, ledger.ErrDamaged) {
		t.Fatalf("an empty commit: %v", err)
	}
	if err := ix.ApplyKeys(1, &consentv1.WrappedKeys{Keys: []*consentv1.WrappedKey{{Person: []byte{1}}}}); !errors.Is(err, ledger.ErrDamaged) {
		t.Fatalf("a key without a name: %v", err)
	}
	must(t, ix.Stage(one, keys, nil))
	if err := ix.ApplyKeys(1, keys); err == nil {
		t.Fatal("keys were written under a commit that is open")
	}
	foreign, _ := newHistory(2).commit(2, 2)
	if err := ix.ApplyCommit(1, foreign); !errors.Is(err, ledger.ErrDamaged) {
		t.Fatalf("another commit than the one staged: %v", err)
	}
}
