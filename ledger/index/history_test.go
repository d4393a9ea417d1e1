package index

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

var epochStart = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)

// history is a small writer: it makes commits that follow from each other.
type history struct {
	rand  *rand.Rand
	next  ledger.Position
	at    time.Time
	open  map[ledger.Token]ledger.PersonID
	all   map[ledger.Token][]ledger.PersonID
	heads map[ledger.PersonID]Head
	ended map[ledger.PersonID]ledger.Position // erased
	// firstKey is the idempotency hash of the first entry, for a test that uses it twice.
	firstKey []byte
}

func newHistory(seed uint64) *history {
	return &history{rand: rand.New(rand.NewPCG(seed, 0)), next: 1, at: epochStart, open: map[ledger.Token]ledger.PersonID{},
		all: map[ledger.Token][]ledger.PersonID{}, heads: map[ledger.PersonID]Head{}, ended: map[ledger.PersonID]ledger.Position{}}
}

func (h *history) bytes(b []byte) {
	for i := 0; i < len(b); i += 8 {
		var w [8]byte
		binary.BigEndian.PutUint64(w[:], h.rand.Uint64())
		copy(b[i:], w[:])
	}
}

func token(n int) (t ledger.Token) {
	t[0] = ledger.TokenVersion
	binary.BigEndian.PutUint64(t[1:], uint64(n)*0x9e3779b97f4a7c15)
	binary.BigEndian.PutUint64(t[9:], uint64(n))
	return t
}

func stopFact() *consentv1.Fact {
	return &consentv1.Fact{Source: "crm", Kind: &consentv1.Fact_ConsentRevoked{ConsentRevoked: &consentv1.ConsentRevoked{}}}
}

func disconnectedFact() *consentv1.Fact {
	return &consentv1.Fact{Source: "crm", Kind: &consentv1.Fact_Disconnected{Disconnected: &consentv1.Disconnected{}}}
}

func sellerFact(id string) *consentv1.Fact {
	return &consentv1.Fact{Source: "crm", Kind: &consentv1.Fact_SellerRegistered{SellerRegistered: &consentv1.SellerRegistered{Id: id}}}
}

// entry makes the next entry; a zero token makes a system fact.
func (h *history) entry(t ledger.Token, f *consentv1.Fact) *ledger.Entry {
	m := &consentv1.Entry{Position: uint64(h.next), RecordedAt: timestamppb.New(h.at), EntryId: make([]byte, 16),
		Idempotency: make([]byte, 32), Content: make([]byte, 32), Fact: f}
	h.bytes(m.EntryId)
	h.bytes(m.Idempotency)
	h.bytes(m.Content)
	if !t.IsZero() && f.GetPersonErased() == nil {
		p := h.holder(t)
		head := h.heads[p]
		m.Person, m.PersonSeq = p[:], head.Seq+1
		if head.Seq > 0 {
			m.PersonPrev = head.Leaf[:]
		}
	}
	return h.finish(m, t)
}

func (h *history) holder(t ledger.Token) ledger.PersonID {
	if p, ok := h.open[t]; ok {
		return p
	}
	var p ledger.PersonID
	h.bytes(p[:])
	h.open[t], h.all[t] = p, append(h.all[t], p)
	return p
}

func (h *history) finish(m *consentv1.Entry, t ledger.Token) *ledger.Entry {
	raw, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	e := &ledger.Entry{Position: h.next, RecordedAt: h.at, ID: ledger.EntryID(m.EntryId), Leaf: ledger.LeafHash(raw), Token: t, Msg: m, Bytes: raw}
	if len(m.Person) > 0 {
		h.heads[ledger.PersonID(m.Person)] = Head{Seq: m.PersonSeq, Leaf: e.Leaf, Position: h.next}
	}
	if ledger.EndsPerson(m.Fact) {
		delete(h.open, t)
	}
	h.next++
	return e
}

func (h *history) erase(t ledger.Token) *ledger.Entry {
	m := &consentv1.PersonErased{Reason: "erasure_request"}
	for _, p := range h.all[t] {
		m.Persons = append(m.Persons, slices.Clone(p[:]))
		if _, before := h.ended[p]; !before {
			h.ended[p] = h.next
		}
	}
	return h.entry(t, &consentv1.Fact{Source: "consent-ledger", Kind: &consentv1.Fact_PersonErased{PersonErased: m}})
}

// commit makes a commit of random facts about few numbers, and keys for the
// persons it begins.
func (h *history) commit(entries, numbers int) ([]*ledger.Entry, *consentv1.WrappedKeys) {
	h.at = h.at.Add(time.Duration(h.rand.IntN(3)) * time.Millisecond)
	keys := &consentv1.WrappedKeys{}
	out := make([]*ledger.Entry, entries)
	for i := range out {
		t := token(1 + h.rand.IntN(numbers))
		switch h.rand.IntN(12) {
		case 0:
			out[i] = h.entry(t, disconnectedFact())
		case 1:
			out[i] = h.erase(t)
		case 2:
			out[i] = h.entry(ledger.Token{}, sellerFact(fmt.Sprintf("seller%d", h.rand.IntN(3))))
		default:
			out[i] = h.entry(t, stopFact())
		}
		if m := out[i].Msg; m.GetPersonSeq() == 1 {
			keys.Keys = append(keys.Keys, h.key(ledger.PersonID(m.GetPerson()), 1))
		}
	}
	return out, keys
}

func (h *history) key(p ledger.PersonID, epoch uint32) *consentv1.WrappedKey {
	w := &consentv1.WrappedKey{Person: slices.Clone(p[:]), Class: consentv1.PersonalClass_PERSONAL_CLASS_NUMBER, KeyId: make([]byte, 8),
		Epoch: epoch, Wrapped: make([]byte, 72)}
	h.bytes(w.KeyId)
	h.bytes(w.Wrapped)
	return w
}

// agrees compares every look-up with the history.
func (h *history) agrees(t fataler, ix *Index, numbers int) {
	t.Helper()
	for n := 1; n <= numbers; n++ {
		tok := token(n)
		seen, err := ix.Seen(tok)
		must(t, err)
		if want := h.open[tok]; seen.Holder() != want {
			t.Fatal(fmt.Sprintf("number %d: holder %x, want %x", n, seen.Holder(), want))
		}
		all, err := ix.Persons(tok)
		must(t, err)
		if d := cmp.Diff(h.all[tok], all); d != "" {
			t.Fatal(fmt.Sprintf("number %d: persons (-want +got):\n%s", n, d))
		}
	}
	for p, want := range h.heads {
		got, found, err := ix.Head(p)
		must(t, err)
		if !found || got != want {
			t.Fatal(fmt.Sprintf("person %x: head %v, want %v", p, got, want))
		}
		at, erased, err := ix.Erased(p)
		must(t, err)
		if want, ok := h.ended[p]; ok != erased || at != want {
			t.Fatal(fmt.Sprintf("person %x: erased at %d, want %d", p, at, want))
		}
	}
}

func (h *history) finds(t fataler, ix *Index, entries []*ledger.Entry, keys bool) {
	t.Helper()
	for _, e := range entries {
		r, found, err := ix.Idempotency(ledger.Hash(e.Msg.GetIdempotency()))
		must(t, err)
		want := Recorded{Position: e.Position, EntryID: e.ID, Leaf: e.Leaf, RecordedAt: e.RecordedAt, Content: ledger.Hash(e.Msg.GetContent())}
		if d := cmp.Diff(want, r); !found || d != "" {
			t.Fatal(fmt.Sprintf("position %d (-want +got):\n%s", e.Position, d))
		}
		if id := e.Msg.GetPerson(); keys && len(id) > 0 {
			if w := numberKey(t, ix, ledger.PersonID(id)); !bytes.Equal(w.GetPerson(), id) {
				t.Fatal(fmt.Sprintf("position %d: key %v", e.Position, w))
			}
		}
	}
}

// numberKey is the key that the next part about a person's number is sealed with.
func numberKey(t fataler, ix *Index, id ledger.PersonID) *consentv1.WrappedKey {
	t.Helper()
	p, err := ix.view().person(id)
	must(t, err)
	return p.keys.find(id, consentv1.PersonalClass_PERSONAL_CLASS_NUMBER, nil)
}

// see looks up the numbers of entries as the writer does; or nothing at all.
func see(t fataler, ix *Index, entries []*ledger.Entry, look bool) []*Seen {
	t.Helper()
	if !look {
		return nil
	}
	out := make([]*Seen, len(entries))
	for i, e := range entries {
		if len(e.Msg.GetPerson()) > 0 {
			s, err := ix.Seen(e.Token)
			must(t, err)
			out[i] = s
		}
	}
	return out
}
