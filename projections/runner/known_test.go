package runner

import (
	"bytes"
	"testing"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/projections/internal/memsource"
)

// TestKnownNeverHidesAState: what is there is never taken for absent, of one seller
// or of all, before and after a restart; what spares look-ups is what is not there.
func TestKnownNeverHidesAState(t *testing.T) {
	db := openDB(t, t.TempDir())
	one, all := memsource.TokenOf(1), memsource.TokenOf(2)
	b := db.NewBatch()
	k := newKnown(true)
	for _, key := range [][]byte{store.StateKey(one, "acme"), store.StateKey(all, ledger.All)} {
		if err := b.Set(key, []byte{1}); err != nil {
			t.Fatal(err)
		}
		k.add(key)
	}
	if err := b.Commit(false); err != nil {
		t.Fatal(err)
	}
	loaded := newKnown(false)
	if !loaded.mayHave(store.StateKey(memsource.TokenOf(9), "acme")) {
		t.Error("before it is loaded, a token is taken for absent")
	}
	if err := loaded.load(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	for name, k := range map[string]*known{"written": k, "loaded": loaded} {
		v := View{Reader: db, known: k}
		if err := db.Each(store.StateKey(ledger.Token{}, ""), []byte{store.SpaceState + 1}, func(key, value []byte) error {
			if got, err := v.Get(key); err != nil || !bytes.Equal(got, value) {
				t.Errorf("%s: a state is hidden (%v)", name, err)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		for what, c := range map[string]struct {
			key  []byte
			want bool
		}{
			"a seller's, beside one for all": {store.StateKey(all, "acme"), true}, // a look-up too many
			"for all, beside a seller's":     {store.StateKey(one, ledger.All), false},
			"of a seller whose id begins so": {store.StateKey(one, ledger.All+"iance"), true},
			"of nobody":                      {store.StateKey(memsource.TokenOf(9), "acme"), false},
		} {
			if k.mayHave(c.key) != c.want {
				t.Errorf("%s: a state %s: may be there %t, want %t", name, what, !c.want, c.want)
			}
		}
	}
}

func TestKnownTokensAreLoaded(t *testing.T) {
	s := history(10, 10)
	db := openDB(t, t.TempDir())
	r := start(t, db, s, Options{}, nil, all()...)
	r.wait(s.Tail())
	unknown := memsource.TokenOf(99_999)
	check := func(r started) {
		t.Helper()
		err := r.Read(t.Context(), s.Tail(), func(v View) error {
			for n := range 40 {
				if tok := memsource.TokenOf(n); !v.MayHaveState(tok) {
					t.Errorf("token %d has state and is not known", n)
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	check(r)
	if r.known.Load().mayHave(store.StateKey(unknown, "")) {
		t.Error("an unknown token is known")
	}
	_ = r.stop()
	again := start(t, db, s, Options{}, nil, all()...)
	again.wait(s.Tail())
	check(again)
}
