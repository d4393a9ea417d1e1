package seal

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

func TestSealPart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := ledger.EntryID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "entry"))
		k := DrawKey(DrawPerson(), words)
		p := Part{Class: words, Field: "24.3", Value: rapid.SliceOf(rapid.Byte()).Draw(t, "value")}
		s, err := SealPart(k, id, p)
		if err != nil {
			t.Fatal(err)
		}
		if len(s.GetSealed()) != len(p.Value)+partOverheadBytes {
			t.Fatalf("%d sealed bytes for %d", len(s.GetSealed()), len(p.Value))
		}
		o, err := OpenPart(k, id, s)
		if err != nil || !bytes.Equal(o.Value, p.Value) || o.Verify(s) != nil {
			t.Fatalf("opened %q: %v", o.Value, err)
		}
	})
}

func TestSealPartIsBoundToItsPlace(t *testing.T) {
	k := DrawKey(DrawPerson(), words)
	id := ledger.EntryID{1}
	for name, change := range map[string]func(k *PersonKey, id *ledger.EntryID, s *consentv1.SealedPart){
		"other entry":      func(_ *PersonKey, id *ledger.EntryID, _ *consentv1.SealedPart) { id[0]++ },
		"other person":     func(k *PersonKey, _ *ledger.EntryID, _ *consentv1.SealedPart) { k.Person[0]++ },
		"other key":        func(k *PersonKey, _ *ledger.EntryID, _ *consentv1.SealedPart) { k.key[0]++ },
		"other key id":     func(k *PersonKey, _ *ledger.EntryID, _ *consentv1.SealedPart) { k.ID[0]++ },
		"other field":      func(_ *PersonKey, _ *ledger.EntryID, s *consentv1.SealedPart) { s.Field = "24.4" },
		"other class":      func(_ *PersonKey, _ *ledger.EntryID, s *consentv1.SealedPart) { s.Class++ },
		"other commitment": func(_ *PersonKey, _ *ledger.EntryID, s *consentv1.SealedPart) { s.Commitment[0]++ },
		"other byte":       func(_ *PersonKey, _ *ledger.EntryID, s *consentv1.SealedPart) { s.Sealed[30]++ },
		"too short":        func(_ *PersonKey, _ *ledger.EntryID, s *consentv1.SealedPart) { s.Sealed = s.Sealed[:20] },
		"in a file":        func(_ *PersonKey, _ *ledger.EntryID, s *consentv1.SealedPart) { s.Sealed = nil },
	} {
		s, err := SealPart(k, id, Part{Class: words, Field: "24.3", Value: []byte("stop")})
		must(t, err)
		k, id := k, id
		change(&k, &id, s)
		if _, err := OpenPart(k, id, s); !errors.Is(err, ErrNotOpened) {
			t.Errorf("%s: %v, want ErrNotOpened", name, err)
		}
	}
	if _, err := SealPart(k, id, Part{Class: words + 1, Field: "1"}); err == nil {
		t.Error("a key seals another class")
	}
}

// TestCommitmentHasOneOpening: moving bytes between field, salt and value is
// another commitment; without the length it was not.
func TestCommitmentHasOneOpening(t *testing.T) {
	salt := [SaltBytes]byte{}
	copy(salt[:], strings.Repeat("s", SaltBytes))
	a := Commitment(words, "24.3", salt, []byte("sx"))
	shifted := salt
	copy(shifted[:], "3"+strings.Repeat("s", SaltBytes-1))
	if b := Commitment(words, "24.", shifted, []byte("ssx")); a == b {
		t.Error("one commitment, two openings")
	}
}

func TestTokenOfAnEntry(t *testing.T) {
	r := testRing(t)
	x, err := r.Exchange("+441632960001")
	must(t, err)
	id, p := ledger.EntryID{7}, DrawPerson()
	e := &consentv1.Entry{EntryId: id[:], Person: p[:], Token: r.SealToken(id, p, x)}
	gotX, gotT, err := r.OpenToken(e)
	if err != nil || gotX != x || gotT != r.Token(x) {
		t.Fatalf("opened %x %x: %v", gotX, gotT, err)
	}
	system := &consentv1.Entry{EntryId: id[:], Token: r.SealToken(id, ledger.PersonID{}, x)}
	if gotX, _, err := r.OpenToken(system); err != nil || gotX != x {
		t.Fatalf("a token without a person: %v", err)
	}
	if gotX, gotT, err := r.OpenToken(&consentv1.Entry{EntryId: id[:]}); err != nil || !gotX.IsZero() || !gotT.IsZero() {
		t.Fatalf("an entry without a token: %v", err)
	}
	for name, change := range map[string]func(){
		"other person": func() { e.Person = bytes.Repeat([]byte{1}, 16) },
		"short person": func() { e.Person = []byte{1} },
		"short id":     func() { e.EntryId = []byte{1} },
		"short token":  func() { e.Token = []byte{1} },
	} {
		change()
		if _, _, err := r.OpenToken(e); !errors.Is(err, ErrNotOpened) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBlobs(t *testing.T) {
	r := testRing(t)
	blob := r.SealBlob("inbox/1", []byte("stop it"))
	if got, err := r.OpenBlob("inbox/1", blob); err != nil || string(got) != "stop it" {
		t.Fatalf("opened %q: %v", got, err)
	}
	if _, err := r.OpenBlob("inbox/2", blob); !errors.Is(err, ErrNotOpened) {
		t.Errorf("opened elsewhere: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	r := testRing(f)
	k := DrawKey(DrawPerson(), words)
	f.Add([]byte("x"), []byte("y"), []byte("24.3"))
	f.Fuzz(func(t *testing.T, sealed, other []byte, field []byte) {
		s := &consentv1.SealedPart{Class: words, Field: string(field), KeyId: k.ID[:], Commitment: other, Sealed: sealed}
		if _, err := OpenPart(k, ledger.EntryID{}, s); err == nil {
			t.Fatal("opened what nobody sealed")
		}
		if _, err := r.Unwrap(&consentv1.WrappedKey{Person: field, KeyId: other, Epoch: 1, Wrapped: sealed}); err == nil {
			t.Fatal("unwrapped what nobody wrapped")
		}
		if _, _, err := r.OpenToken(&consentv1.Entry{EntryId: field, Person: other, Token: sealed}); err == nil && len(sealed) > 0 {
			t.Fatal("opened a token nobody sealed")
		}
		if _, err := decodeEpochs(sealed); err == nil {
			t.Fatal("read epochs nobody wrote")
		}
	})
}
