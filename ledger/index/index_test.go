package index

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type fataler interface {
	Helper()
	Fatal(args ...any)
}

func must(t fataler, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var testLedger = [16]byte{1}

func open(t fataler, dir string, o Options) *Index {
	t.Helper()
	if o.Ledger == [16]byte{} {
		o.Ledger = testLedger
	}
	o.CacheBytes = 8 << 20
	ix, err := Open(dir, o)
	must(t, err)
	return ix
}

func openTemp(t testing.TB) *Index {
	ix := open(t, filepath.Join(t.TempDir(), "index"), Options{})
	t.Cleanup(func() { must(t, ix.Close()) })
	return ix
}

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
	w := &consentv1.WrappedKey{Person: slices.Clone(p[:]), Class: consentv1.PersonalClass_PERSONAL_CLASS_NUMBER, KeyId: make([]byte, 8), Epoch: epoch, Wrapped: make([]byte, 72)}
	h.bytes(w.KeyId)
	h.bytes(w.Wrapped)
	return w
}

// agrees compares every look-up with the history.
func (h *history) agrees(t fataler, ix *Index, numbers int) {
	t.Helper()
	for n := 1; n <= numbers; n++ {
		tok := token(n)
		p, found, err := ix.OpenPerson(tok)
		must(t, err)
		if want, ok := h.open[tok]; ok != found || want != p {
			t.Fatal(fmt.Sprintf("number %d: holder %x, want %x", n, p, want))
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
			if w, found, err := ix.Key(ledger.PersonID(id), consentv1.PersonalClass_PERSONAL_CLASS_NUMBER); err != nil || !found || !bytes.Equal(w.GetPerson(), id) {
				t.Fatal(fmt.Sprintf("position %d: key %v, %v", e.Position, w, err))
			}
		}
	}
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

// TestBothWays: an index kept by a writer, through staging, restarts and crashes
// between the streams, equals one built anew from the streams, byte for byte.
func TestBothWays(t *testing.T) {
	root := t.TempDir()
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		const numbers = 6
		dir := filepath.Join(root, fmt.Sprintf("writer%d", n))
		h, ix := newHistory(rapid.Uint64().Draw(t, "seed")), open(t, dir, Options{})
		rowsBytes := rapid.SampledFrom([]int{1, 2 << 10, rowsBytesMax}).Draw(t, "rows' bytes")
		ix.rowsBytes = rowsBytes
		var commits [][]*ledger.Entry
		var keys []*consentv1.WrappedKeys
		settled := 0
		settle := func() {
			must(t, ix.Settle(uint64(settled+1), commits[settled]))
			settled++
			if at, err := ix.SeqOf(ix.Applied().Position); err != nil || at != uint64(settled) {
				t.Fatal(fmt.Sprintf("the last position is in message %d, %v, not %d", at, err, settled))
			}
		}
		for range rapid.IntRange(1, 8).Draw(t, "commits") {
			e, k := h.commit(rapid.IntRange(1, 12).Draw(t, "entries"), numbers)
			commits, keys = append(commits, e), append(keys, k)
			if rapid.Bool().Draw(t, "keys ahead") {
				must(t, ix.KeysStored(uint64(len(keys)), k))
				if rapid.Bool().Draw(t, "flush") {
					must(t, ix.Flush())
				}
				must(t, ix.StageSeen(e, nil, see(t, ix, e, rapid.Bool().Draw(t, "seen"))))
			} else {
				must(t, ix.StageSeen(e, k, see(t, ix, e, rapid.Bool().Draw(t, "seen"))))
				must(t, ix.KeysStored(uint64(len(keys)), k))
			}
			h.agrees(t, ix, numbers)
			h.finds(t, ix, e, true)
			for settled < len(commits) && (len(commits)-settled == stagedMax || rapid.Bool().Draw(t, "ack")) {
				settle()
			}
			if len(*ix.staged.Load()) == stagedMax || rapid.Bool().Draw(t, "write") {
				must(t, ix.Write())
			}
			if settled == len(commits) && rapid.Bool().Draw(t, "restart") { // what was not written is read again
				must(t, ix.Close())
				ix = open(t, dir, Options{})
				ix.rowsBytes = rowsBytes
				at := ix.Applied()
				for seq := at.KeysSeq + 1; seq <= uint64(len(keys)); seq++ {
					must(t, ix.ApplyKeys(seq, keys[seq-1]))
				}
				for seq := at.Seq + 1; seq <= uint64(len(commits)); seq++ {
					must(t, ix.ApplyCommit(seq, commits[seq-1]))
				}
			}
		}
		for settled < len(commits) {
			settle()
		}
		must(t, ix.Write())
		h.agrees(t, ix, numbers)
		kept, err := ix.Hash(t.Context())
		must(t, err)
		if at := ix.Applied(); at.Position != h.next-1 || at.Seq != uint64(len(commits)) || !at.RecordedAt.Equal(h.at) {
			t.Fatal(fmt.Sprintf("applied %+v", at))
		}
		must(t, ix.Close())

		anew := open(t, filepath.Join(root, fmt.Sprintf("anew%d", n)), Options{})
		for i, k := range keys { // all keys first, as at a start
			must(t, anew.ApplyKeys(uint64(i+1), k))
			must(t, anew.ApplyKeys(uint64(i+1), k)) // twice is harmless
		}
		for i, e := range commits {
			must(t, anew.ApplyCommit(uint64(i+1), e))
			h.finds(t, anew, e, true)
		}
		h.agrees(t, anew, numbers)
		built, err := anew.Hash(t.Context())
		must(t, err)
		if built != kept {
			t.Fatal("the index built anew is another one")
		}
		must(t, anew.Close())
	})
}

// TestStagedOnlyIsForgotten: what was never acknowledged is gone after a restart.
func TestStagedOnlyIsForgotten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "index")
	ix, h := open(t, dir, Options{}), newHistory(1)
	first, _ := h.commit(3, 2)
	must(t, ix.ApplyCommit(1, first))
	before, err := ix.Hash(t.Context())
	must(t, err)
	second, keys := h.commit(3, 2)
	must(t, ix.Stage(second, keys))
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
		must(t, ix.Stage(e, k))
	}
	e, k := h.commit(1, 1)
	if err := ix.Stage(e, k); err == nil {
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
	must(t, ix.Stage(one, keys))
	if err := ix.ApplyKeys(1, keys); err == nil {
		t.Fatal("keys were written under a commit that is open")
	}
	foreign, _ := newHistory(2).commit(2, 2)
	if err := ix.ApplyCommit(1, foreign); !errors.Is(err, ledger.ErrDamaged) {
		t.Fatalf("another commit than the one staged: %v", err)
	}
}

func TestOpenRefusesAnotherLedger(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "index")
	must(t, open(t, dir, Options{}).Close())
	_, err := Open(dir, Options{Ledger: [16]byte{2}})
	if !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "01000000") || !strings.Contains(err.Error(), "02000000") {
		t.Fatalf("open: %v", err)
	}
}

func TestAnotherVersionIsBuiltAnew(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "index")
	ix, h := open(t, dir, Options{}), newHistory(1)
	e, _ := h.commit(3, 2)
	must(t, ix.ApplyCommit(1, e))
	b := ix.db.NewBatch()
	must(t, b.Set(metaVersion, []byte{0, 0, 0, 99}))
	must(t, b.Commit(false))
	must(t, ix.Close())
	ix = open(t, dir, Options{})
	defer ix.Close()
	if ix.Applied() != (Applied{}) || len(ix.Sellers()) > 0 {
		t.Fatal("an index of another version was kept")
	}
	must(t, ix.ApplyCommit(1, e))
}

func TestSeqOf(t *testing.T) {
	ix, h := openTemp(t), newHistory(1)
	seqs := map[ledger.Position]uint64{}
	for seq := uint64(1); seq <= 5; seq++ {
		e, _ := h.commit(int(seq), 3)
		must(t, ix.ApplyCommit(seq, e))
		for _, e := range e {
			seqs[e.Position] = seq
		}
	}
	for at, want := range seqs {
		if got, err := ix.SeqOf(at); err != nil || got != want {
			t.Errorf("position %d: message %d, %v, want %d", at, got, err, want)
		}
	}
	for _, at := range []ledger.Position{0, h.next, h.next + 100} {
		if _, err := ix.SeqOf(at); !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("position %d: %v", at, err)
		}
	}
}

func TestKeysAndErasures(t *testing.T) {
	live := map[uint32]bool{1: true}
	ix := open(t, filepath.Join(t.TempDir(), "index"), Options{Live: func(_ uint16, epoch uint32) bool { return live[epoch] }})
	defer ix.Close()
	h := newHistory(1)
	first := []*ledger.Entry{h.entry(token(1), stopFact()), h.entry(token(2), stopFact())}
	erased, kept := ledger.PersonID(first[0].Msg.GetPerson()), ledger.PersonID(first[1].Msg.GetPerson())
	ke, kk := h.key(erased, 1), h.key(kept, 1)
	must(t, ix.ApplyKeys(1, &consentv1.WrappedKeys{Keys: []*consentv1.WrappedKey{ke, kk}}))
	must(t, ix.ApplyCommit(1, first))
	wantPending(t, ix)
	must(t, ix.ApplyCommit(2, []*ledger.Entry{h.erase(token(1))}))
	wantPending(t, ix, erased)

	again := proto.CloneOf(kk)
	again.Epoch, again.Wrapped = 2, []byte("wrapped anew")
	live[2] = true
	must(t, ix.ApplyKeys(2, &consentv1.WrappedKeys{Keys: []*consentv1.WrappedKey{again}}))
	wantPending(t, ix, erased) // the old epoch is still there
	delete(live, 1)
	wantPending(t, ix)

	w, found, err := ix.KeyByID(kept, kk.GetClass(), [8]byte(kk.GetKeyId()))
	if err != nil || !found || w.GetEpoch() != 2 {
		t.Fatalf("key %v, %v", w, err)
	}
	if _, found, err := ix.Key(kept, consentv1.PersonalClass_PERSONAL_CLASS_WORDS); found || err != nil {
		t.Fatalf("a key of another class: %v", err)
	}
	n := 0
	for w, err := range ix.BucketKeys(erased.Bucket()) {
		must(t, err)
		if ledger.PersonID(w.GetPerson()).Bucket() != erased.Bucket() {
			t.Errorf("key of bucket %d", ledger.PersonID(w.GetPerson()).Bucket())
		}
		n++
	}
	if n == 0 {
		t.Error("the bucket is empty")
	}
}

func wantPending(t *testing.T, ix *Index, want ...ledger.PersonID) {
	t.Helper()
	got, err := ix.PendingErasures()
	must(t, err)
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("pending erasures (-want +got):\n%s", d)
	}
}

func TestCatalog(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "index")
	ix, h := open(t, dir, Options{}), newHistory(1)
	campaign := &consentv1.CampaignRegistered{Id: "spring", Seller: "acme", Channel: consentv1.Channel_CHANNEL_SMS}
	facts := []*consentv1.Fact{sellerFact("acme"),
		{Kind: &consentv1.Fact_ProgrammeRegistered{ProgrammeRegistered: &consentv1.ProgrammeRegistered{Id: "club", Seller: "acme"}}},
		{Kind: &consentv1.Fact_CampaignRegistered{CampaignRegistered: campaign}},
		{Kind: &consentv1.Fact_SourceRegistered{SourceRegistered: &consentv1.SourceRegistered{Id: "crm"}}},
		{Kind: &consentv1.Fact_SourceDistrusted{SourceDistrusted: &consentv1.SourceDistrusted{Id: "leads"}}}}
	var entries []*ledger.Entry
	for _, f := range facts {
		entries = append(entries, h.entry(ledger.Token{}, f))
	}
	must(t, ix.Stage(entries, nil))
	if ix.Seller("acme") {
		t.Error("a staged seller is registered")
	}
	must(t, ix.ApplyCommit(1, entries))
	for range 2 { // from memory, then from disk
		if !ix.Seller("acme") || ix.Seller("club") || !ix.Programme("acme", "club") || ix.Programme("club", "acme") ||
			!proto.Equal(ix.Campaign("spring"), campaign) || ix.Campaign("x") != nil || !ix.Source("crm") || ix.Source("leads") ||
			!ix.Distrusted("leads") || ix.Distrusted("crm") || !slices.Equal(ix.Sellers(), []string{"acme"}) || !slices.Equal(ix.Sources(), []string{"crm"}) {
			t.Fatal("the catalog is another one")
		}
		must(t, ix.Close())
		ix = open(t, dir, Options{})
	}
	must(t, ix.Close())
}

// TestReadersSeeWhatWasAcknowledged: look-ups run beside staging and applying and
// never miss what was there before they began.
func TestReadersSeeWhatWasAcknowledged(t *testing.T) {
	ix, h := openTemp(t), newHistory(1)
	ix.rowsBytes = 4 << 10 // of 20 entries
	var mu sync.Mutex
	var known []*ledger.Entry
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				mu.Lock()
				seen := known
				mu.Unlock()
				if len(seen) == 0 {
					continue
				}
				e := seen[len(seen)-1-n%min(len(seen), 60)]
				if _, found, err := ix.Idempotency(ledger.Hash(e.Msg.GetIdempotency())); !found || err != nil {
					t.Errorf("position %d is missing: %v", e.Position, err)
					return
				}
				if _, found, err := ix.Head(ledger.PersonID(e.Msg.GetPerson())); !found || err != nil {
					t.Errorf("the person of position %d is missing: %v", e.Position, err)
					return
				}
			}
		})
	}
	for seq := uint64(1); seq <= 200; seq++ {
		var entries []*ledger.Entry
		for n := range 5 {
			entries = append(entries, h.entry(token(int(seq)*10+n), stopFact()))
		}
		must(t, ix.Stage(entries, nil))
		mu.Lock()
		known = append(known, entries...)
		mu.Unlock()
		must(t, ix.ApplyCommit(seq, entries))
	}
	close(done)
	wg.Wait()
}

func TestFingerprintsLoad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "index")
	ix, h := open(t, dir, Options{}), newHistory(1)
	e, k := h.commit(50, 10)
	must(t, ix.ApplyKeys(1, k))
	must(t, ix.ApplyCommit(1, e))
	must(t, ix.Close())
	ix = open(t, dir, Options{})
	defer ix.Close()
	ix.loaded.Wait()
	for _, f := range []*store.Fingerprints{ix.events, ix.tokens} {
		if !f.Complete() || f.MayHold(fingerprint([]byte("surely not there"))) {
			t.Error("the fingerprints are not in use")
		}
	}
	h.finds(t, ix, e, true)
	h.agrees(t, ix, 10)
}

func FuzzValues(f *testing.F) {
	f.Add(make([]byte, recordedBytes))
	f.Add(make([]byte, headBytes+keyHeadBytes))
	f.Add(make([]byte, appliedBytes))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := decodeRecorded(b); err == nil && !bytes.Equal(r.encode(nil), b) {
			t.Fatalf("receipt %x", b)
		}
		if p, err := decodePerson(b); err == nil && !bytes.Equal(p.encode(nil), b) {
			t.Fatalf("person %x", b)
		}
		if a, err := decodeApplied(b); err == nil && a.Position > 0 && !bytes.Equal(encodeApplied(a), b) {
			t.Fatalf("applied %x", b)
		}
		if h, err := decodeHolders(b); err == nil && !bytes.Equal(h.encode(nil), b) {
			t.Fatalf("holders %x", b)
		}
		if n, err := decodeSeq(b); err == nil && !bytes.Equal(encodeSeq(n), b) {
			t.Fatalf("sequence %x", b)
		}
	})
}

// BenchmarkStageAndApply: commits of 1,000 entries, each of a new person.
func BenchmarkStageAndApply(b *testing.B) { benchmarkCommits(b, 1000, false) }

// BenchmarkStageAndApplyKnown: each of a person who is known.
func BenchmarkStageAndApplyKnown(b *testing.B) { benchmarkCommits(b, 1000, true) }

// BenchmarkStageAndApplyOne: commits of one entry.
func BenchmarkStageAndApplyOne(b *testing.B) { benchmarkCommits(b, 1, false) }

func benchmarkCommits(b *testing.B, size int, known bool) {
	ix, h := openTemp(b), newHistory(1)
	number := 0
	make1 := func() []*ledger.Entry {
		entries := make([]*ledger.Entry, size)
		for i := range entries {
			if number++; known {
				number %= 20000
			}
			entries[i] = h.entry(token(number+1), stopFact())
		}
		return entries
	}
	seq := uint64(0)
	if known {
		for range 20 {
			seq++
			must(b, ix.ApplyCommit(seq, make1()))
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		entries := make1()
		b.StartTimer()
		seq++
		must(b, ix.Stage(entries, nil))
		must(b, ix.ApplyCommit(seq, entries))
	}
	b.ReportMetric(float64(size)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}
