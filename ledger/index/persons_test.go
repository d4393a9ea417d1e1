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

// TestKeysAhead: keys of persons still to begin are wrapped anew and found, and no
// crash passes over one that is not in the database.
func TestKeysAhead(t *testing.T) {
	dir := t.TempDir() + "/index"
	ix, h := open(t, dir, Options{}), newHistory(1)
	first, second := []*ledger.Entry{h.entry(token(1), stopFact())}, []*ledger.Entry{h.entry(token(2), stopFact())}
	one, two := ledger.PersonID(first[0].Msg.GetPerson()), ledger.PersonID(second[0].Msg.GetPerson())
	a, b, own := h.key(one, 1), h.key(two, 1), h.key(two, 1)
	own.Class = consentv1.PersonalClass_PERSONAL_CLASS_WORDS
	brought := &consentv1.WrappedKeys{Keys: []*consentv1.WrappedKey{own}}

	must(t, ix.KeysStored(1, &consentv1.WrappedKeys{Keys: []*consentv1.WrappedKey{a, b}}))
	if err := ix.KeysStored(1, brought); err == nil {
		t.Fatal("a message of keys was noted twice")
	}
	must(t, ix.Stage(first, nil, see(t, ix, first, true)))
	must(t, ix.ApplyCommit(1, first))
	must(t, ix.Close())
	ix = open(t, dir, Options{}) // after a crash
	if at := ix.Applied(); at.Seq != 1 || at.KeysSeq != 0 {
		t.Fatalf("applied %+v: the keys stream is read on behind a key that is missing", at)
	}
	must(t, ix.ApplyKeys(1, &consentv1.WrappedKeys{Keys: []*consentv1.WrappedKey{a, b}}))
	must(t, ix.Close())

	ix = open(t, t.TempDir()+"/index", Options{})
	defer func() { must(t, ix.Close()) }()
	must(t, ix.KeysStored(1, &consentv1.WrappedKeys{Keys: []*consentv1.WrappedKey{a, b}}))
	must(t, ix.Stage(first, nil, see(t, ix, first, true)))
	must(t, ix.ApplyCommit(1, first))
	again := proto.CloneOf(b)
	again.Epoch, again.Wrapped = 2, []byte("wrapped anew")
	must(t, ix.Flush())
	n := 0
	for range ix.BucketKeys(two.Bucket()) {
		n++
	}
	if n != 1 {
		t.Fatalf("%d keys in the bucket of a person still to begin", n)
	}
	must(t, ix.ApplyKeys(2, &consentv1.WrappedKeys{Keys: []*consentv1.WrappedKey{again}}))
	must(t, ix.Stage(second, brought, see(t, ix, second, true)))
	must(t, ix.KeysStored(3, brought))
	for range 2 { // staged, then written
		if w, found, err := ix.Key(two, b.GetClass(), store.KeyID(b.GetKeyId())); err != nil || !found || !proto.Equal(w, again) {
			t.Fatalf("key %v, %v", w, err)
		}
		if w, found, err := ix.Key(two, own.GetClass(), store.KeyID(own.GetKeyId())); err != nil || !found || !proto.Equal(w, own) {
			t.Fatalf("key %v, %v", w, err)
		}
		if ix.Applied().Seq == 1 {
			must(t, ix.ApplyCommit(2, second))
		}
	}
	if ix.written.KeysSeq != 3 || len(ix.ahead)+len(ix.keysOpen) > 0 {
		t.Fatalf("keys written to %d, %d ahead, %d messages open", ix.written.KeysSeq, len(ix.ahead), len(ix.keysOpen))
	}
}
