package index

import (
	"path/filepath"
	"testing"

	"github.com/consent-ledger/consent-ledger/ledger/store"
)

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
