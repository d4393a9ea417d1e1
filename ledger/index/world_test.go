package index

import (
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
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
