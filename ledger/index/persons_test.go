package index

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// TestKeyLists: whatever the order in which a person's keys come, the list is the
// same bytes, and holds the last of each name.
func TestKeyLists(t *testing.T) {
	of := ledger.PersonID{7}
	rapid.Check(t, func(t *rapid.T) {
		want := map[keyName]*consentv1.WrappedKey{}
		var l keyList
		for range rapid.IntRange(0, 8).Draw(t, "keys") {
			id := store.KeyID{0: rapid.ByteRange(0, 2).Draw(t, "id")}
			w := &consentv1.WrappedKey{Person: of[:], Class: consentv1.PersonalClass(rapid.IntRange(1, 3).Draw(t, "class")), KeyId: id[:],
				Epoch: rapid.Uint32().Draw(t, "epoch"), Wrapped: rapid.SliceOfN(rapid.Byte(), 1, 80).Draw(t, "wrapped")}
			k, err := keyOfWrapped(w)
			must(t, err)
			before := bytes.Clone(l)
			longer := l.with(k, w)
			if !bytes.Equal(before, l) {
				t.Fatal("a list was changed")
			}
			l, want[k] = longer, w
		}
		var anew keyList
		for k, w := range want { // in any order
			anew = anew.with(k, w)
			if got := l.find(of, k.class, &k.id); !proto.Equal(got, w) {
				t.Fatalf("key %x: %v, want %v", k.id, got, w)
			}
		}
		n := 0
		l.each(of, func(*consentv1.WrappedKey) bool { n++; return true })
		if !bytes.Equal(l, anew) || n != len(want) {
			t.Fatalf("%d keys of %d; the order of their coming shows", n, len(want))
		}
		if w := l.find(of, 9, nil); w != nil {
			t.Fatalf("a key of a class without any: %v", w)
		}
		p, err := decodePerson(person{keys: l}.encode(nil))
		if err != nil || !bytes.Equal(p.keys, l) || p.known() {
			t.Fatalf("row: %v", err)
		}
		if len(l) > 0 {
			if _, err := decodePerson(person{keys: l[:len(l)-1]}.encode(nil)); err == nil {
				t.Fatal("a list that was cut off is read")
			}
		}
	})
}
