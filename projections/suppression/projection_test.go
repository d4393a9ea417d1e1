package suppression_test

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/projections/suppression"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// memory is a batch over nothing but itself; it counts what is written.
type memory struct {
	m      map[string][]byte
	writes int
}

func (b *memory) Get(key []byte) ([]byte, error) { return b.m[string(key)], nil }
func (b *memory) Set(key, value []byte) error {
	b.m[string(key)], b.writes = value, b.writes+1
	return nil
}
func (b *memory) Delete(key []byte) error { delete(b.m, string(key)); return nil }
func (b *memory) DeleteRange(lo, hi []byte) error {
	maps.DeleteFunc(b.m, func(k string, _ []byte) bool { return k >= string(lo) && k < string(hi) })
	return nil
}
func (b *memory) Scan(lo, hi []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		for _, k := range slices.Sorted(maps.Keys(b.m)) {
			if k >= string(lo) && k < string(hi) && !yield([]byte(k), b.m[k]) {
				return
			}
		}
	}
}

func token(n byte) (t ledger.Token) {
	t[0], t[16] = ledger.TokenVersion, n
	return t
}

func entry(t ledger.Token, in suppression.Input, sealed ...string) *ledger.Entry {
	e := &ledger.Entry{Token: t, Msg: &consentv1.Entry{EntryId: in.EntryID, Content: in.Content, Fact: in.Fact}}
	for _, field := range sealed {
		e.Msg.Personal = append(e.Msg.Personal, &consentv1.SealedPart{Field: field})
	}
	return e
}

func TestProjection(t *testing.T) {
	b := &memory{m: map[string][]byte{}}
	apply := func(e *ledger.Entry) {
		t.Helper()
		if err := (suppression.Projection{}).Apply(b, e); err != nil {
			t.Fatal(err)
		}
	}
	one, two := token(1), token(2)
	requested := &consentv1.Fact{Kind: &consentv1.Fact_ConsentRequested{ConsentRequested: &consentv1.ConsentRequested{Scope: smsMarketing()}}}
	apply(entry(one, on(1, requested)))
	apply(entry(ledger.Token{}, on(1, &consentv1.Fact{Kind: &consentv1.Fact_SellerRegistered{}})))
	if b.writes != 0 {
		t.Fatalf("%d writes for facts that say nothing about state", b.writes)
	}
	facts := inputs{on(1, granted(), evidence(nil), forSellers("zed", "acme")), on(2, revoked(), forNobody), on(3, refused())}
	for _, in := range facts {
		apply(entry(one, in))
		apply(entry(two, in))
	}
	writes := b.writes
	for _, in := range facts {
		apply(entry(one, in))
	}
	if b.writes != writes {
		t.Error("facts that change nothing were written")
	}
	got := map[string]string{}
	for k, v := range b.Scan(suppression.Range(one)) {
		tk, seller, err := store.ParseStateKey(k)
		if err != nil || tk != one {
			t.Fatalf("key %x: %v", k, err)
		}
		got[seller] = string(v)
	}
	if diff := cmp.Diff(encoded(t, fold(facts...)), got); diff != "" {
		t.Errorf("the store holds something else than the fold:\n%s", diff)
	}

	apply(entry(one, on(9, erased())))
	v, err := suppression.Load(b.Get, one, "acme")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := v.Erased(asked(), suppression.Need{}); !ok || v.Seller != nil || len(b.m) != 4 {
		t.Errorf("after an erasure: %v, %d keys", v, len(b.m))
	}
	if v, err = suppression.Load(b.Get, two, "acme"); err != nil || len(v.Seller.GetRefused()) != 1 || len(v.All.GetRevoked()) != 1 {
		t.Errorf("another token: %v %v", v, err)
	}
	if v, err = suppression.Load(b.Get, two, "all"); err != nil || v.Seller != nil || v.All == nil {
		t.Errorf("everybody's: %v %v", v, err)
	}
}

func TestSealedEvidence(t *testing.T) {
	need := suppression.Need{EvidenceRequired: true}
	for _, c := range []struct {
		fact  *consentv1.Fact
		field string
		want  bool
	}{
		{granted(), "21.5.3", true},
		{granted(), "1", false},
		{granted(), "22.5.3", false},
		{confirmed(), "22.5.9", true},
	} {
		if g := c.fact.GetConsentGranted(); g != nil {
			g.Evidence = &consentv1.Evidence{}
		} else {
			c.fact.GetConsentConfirmed().Evidence = &consentv1.Evidence{}
		}
		in := suppression.InputOf(entry(token(1), on(1, c.fact), c.field))
		if got := view(in).Consent(asked(), need); got.Held != c.want {
			t.Errorf("%s: got %+v", c.field, got)
		}
	}
}

// TestKeysAreThoseOfTheStore guards what may not be imported: the mirror folds
// without a database.
func TestKeysAreThoseOfTheStore(t *testing.T) {
	full := token(0xff)
	for i := range full {
		full[i] = 0xff
	}
	for _, tk := range []ledger.Token{token(1), token(0xff), full} {
		if !bytes.Equal(suppression.Key(tk, "acme"), store.StateKey(tk, "acme")) {
			t.Error("another key than the store's")
		}
		lo, hi := suppression.Range(tk)
		wantLo, wantHi := store.PrefixRange(store.StateKey(tk, ""))
		if !bytes.Equal(lo, wantLo) || !bytes.Equal(hi, wantHi) {
			t.Errorf("range [%x, %x), the store's is [%x, %x)", lo, hi, wantLo, wantHi)
		}
	}
	if got := (suppression.Projection{}).Spaces(); !bytes.Equal(got, []byte{store.SpaceState}) {
		t.Errorf("spaces %x", got)
	}
}

func TestDamagedState(t *testing.T) {
	b := &memory{m: map[string][]byte{string(suppression.Key(token(1), "acme")): {0xff}}}
	if err := (suppression.Projection{}).Apply(b, entry(token(1), on(1, revoked()))); err == nil {
		t.Error("a damaged state was folded into")
	}
	if _, err := suppression.Load(b.Get, token(1), "acme"); err == nil {
		t.Error("a damaged state was read")
	}
}

// FuzzDecode: bytes that decode are a state that can be encoded, joined with
// itself without a change, and asked.
func FuzzDecode(f *testing.F) {
	for _, s := range fold(on(1, granted()), on(1, granted(), ending(5), channels(live, sms)), on(2, revoked(), inReplyTo("club")), on(3, answered(2, "club")),
		on(4, dncAdded()), on(5, dncRemoved()), on(6, refused(), forNobody), on(7, message(0)), on(8, closed(7)), on(9, located("US", "America/Chicago")),
		on(9, related(1, 1)), on(9, related(1, 2)), on(10, reassigned(0))) {
		b, err := suppression.Encode(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := suppression.Decode(raw)
		if err != nil {
			return
		}
		library := &suppression.State{}
		if err := proto.Unmarshal(raw, library); err != nil || !proto.Equal(s, library) {
			t.Fatalf("the protobuf library reads otherwise: %v\n%v\n%v", err, s, library)
		}
		once, err := suppression.Encode(s)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := suppression.Encode(suppression.Join(s, s)); err != nil || !bytes.Equal(once, again) {
			t.Fatalf("joined with itself it changes: %v\n%v\n%v", err, s, suppression.Join(s, s))
		}
		v := suppression.View{Seller: s, All: s}
		for _, q := range []suppression.Question{asked(), asked(channel(chAll), purpose(99)), asked(channel(-1), programme("club"))} {
			n := suppression.Need{CountReplied: true, EvidenceRequired: true}
			v.Consent(q, n)
			v.Revocation(q, n)
			v.Dnc(q, n, true)
			v.Refused(q)
			v.Erased(q, n)
		}
		v.Unclear()
		v.Preferences()
		v.Relationships(day(1))
		for _, m := range v.Marks(suppression.MarkLocation) {
			m.Place()
		}
	})
}

// BenchmarkApply folds one more fact into a small stored state: read, decode,
// fold, encode, write.
func BenchmarkApply(b *testing.B) {
	m := &memory{m: map[string][]byte{}}
	var entries []*ledger.Entry
	for i := range 1000 {
		entries = append(entries, entry(token(byte(i)), on(i, granted())), entry(token(byte(i)), on(i, revoked(), channels(sms))))
	}
	p := suppression.Projection{}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := p.Apply(m, entries[i%len(entries)]); err != nil {
			b.Fatal(err)
		}
		if i%len(entries) == len(entries)-1 {
			clear(m.m)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "folds/s")
}

// BenchmarkConsent asks a small state, decoded.
func BenchmarkConsent(b *testing.B) {
	v := view(on(1, granted()), on(1, granted(), channels(live)), on(2, confirmed()), on(0, revoked()), on(3, refused()))
	n := suppression.Need{Sufficient: func(l string) bool { return l == "express_written" }}
	q := asked(programme("news"))
	b.ReportAllocs()
	for b.Loop() {
		if !v.Consent(q, n).Held {
			b.Fatal("not held")
		}
	}
}

func ExampleView_Consent() {
	facts := inputs{on(1, granted()), on(2, revoked(), channels(smsAtds)), on(3, granted(), channels(live))}
	v := suppression.Fold(slices.Values(facts)).View("acme")
	q := suppression.Question{Channel: live, Purpose: marketing, At: day(4)}
	fmt.Println(v.Consent(q, suppression.Need{}).Held)
	q.Channel = sms // the stop for sms_atds covers its family
	c := v.Consent(q, suppression.Need{})
	fmt.Println(c.Held, c.Against.Kind, c.Against.Time.Latest.Format(time.DateOnly))
	// Output:
	// true
	// false stop 2026-01-03
}

// TestFoldedInPieces: what the projection writes when it is told that nothing is
// there, joined in the order of the ledger, is what it writes one after another;
// an erasure takes away what the pieces before it have.
func TestFoldedInPieces(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		one, whole, values := token(1), &memory{m: map[string][]byte{}}, map[string][][]byte{}
		facts := anyFacts(rt)
		for range rapid.IntRange(0, 2).Draw(rt, "erasures") {
			facts = slices.Insert(facts, rapid.IntRange(0, len(facts)).Draw(rt, "erased at"), on(3, erased(), forNobody))
		}
		piece := &memory{m: map[string][]byte{}}
		for _, in := range facts {
			if rapid.Bool().Draw(rt, "a new piece") {
				gather(values, piece)
			}
			if in.Fact.GetPersonErased() != nil {
				clear(values)
			}
			for _, b := range []*memory{whole, piece} {
				if err := (suppression.Projection{}).Apply(b, entry(one, in)); err != nil {
					rt.Fatal(err)
				}
			}
		}
		gather(values, piece)
		got := map[string][]byte{}
		for key, vs := range values {
			if got[key] = vs[0]; len(vs) > 1 {
				var err error
				if got[key], err = (suppression.Projection{}).Join(vs); err != nil {
					rt.Fatal(err)
				}
			}
		}
		if diff := cmp.Diff(whole.m, got); diff != "" {
			rt.Fatalf("joined pieces are not the whole:\n%s", diff)
		}
	})
}

// gather adds what a piece has written and empties it.
func gather(values map[string][][]byte, piece *memory) {
	for key, v := range piece.m {
		values[key] = append(values[key], v)
	}
	clear(piece.m)
}

func TestJoinRefusesWhatIsNoState(t *testing.T) {
	for _, values := range [][][]byte{{{0xff}, nil}, {nil, {0xff}}} {
		if _, err := (suppression.Projection{}).Join(values); !errors.Is(err, suppression.ErrBadState) {
			t.Error(err)
		}
	}
}
