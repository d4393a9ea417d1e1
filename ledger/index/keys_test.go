package index

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

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

	w, found, err := ix.Key(kept, kk.GetClass(), store.KeyID(kk.GetKeyId()))
	if err != nil || !found || w.GetEpoch() != 2 {
		t.Fatalf("key %v, %v", w, err)
	}
	if _, found, err := ix.Key(kept, consentv1.PersonalClass_PERSONAL_CLASS_WORDS, store.KeyID(kk.GetKeyId())); found || err != nil {
		t.Fatalf("a key of another class: %v", err)
	}
	if _, found, err := ix.Key(kept, kk.GetClass(), store.KeyID(ke.GetKeyId())); found || err != nil {
		t.Fatalf("a key of somebody else: %v", err)
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
