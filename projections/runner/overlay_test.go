package runner

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/consent-ledger/consent-ledger/ledger/store"
)

// TestOverlayIsABatchThatReadsItsWrites runs random operations on an overlay
// over a real store and on a sorted map, flushing now and then.
func TestOverlayIsABatchThatReadsItsWrites(t *testing.T) {
	db := openDB(t, t.TempDir())
	rapid.Check(t, func(t *rapid.T) {
		clearDB(t, db)
		model := map[string]string{}
		o := newOverlay(db, []byte{store.SpaceState, store.SpaceListing}, newKnown(true))
		key := rapid.Custom(func(t *rapid.T) []byte {
			space := rapid.SampledFrom([]byte{store.SpaceState, store.SpaceListing}).Draw(t, "space")
			k := slices.Concat([]byte{space}, bytes.Repeat([]byte{1}, 17), []byte{rapid.ByteRange(0, 9).Draw(t, "k")})
			k[3] = rapid.ByteRange(0, 2).Draw(t, "token")
			return k
		})
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				k, v := key.Draw(t, "key"), []byte(rapid.StringN(0, 3, -1).Draw(t, "value"))
				mustRapid(t, o.Set(k, v))
				model[string(k)] = string(v)
			},
			"delete": func(t *rapid.T) {
				k := key.Draw(t, "key")
				mustRapid(t, o.Delete(k))
				delete(model, string(k))
			},
			"delete range": func(t *rapid.T) {
				lo, hi := key.Draw(t, "lo"), key.Draw(t, "hi")
				mustRapid(t, o.DeleteRange(lo, hi))
				for k := range model {
					if k >= string(lo) && k < string(hi) {
						delete(model, k)
					}
				}
			},
			"flush": func(t *rapid.T) {
				b := db.NewBatch()
				mustRapid(t, o.flush(b))
				mustRapid(t, b.Commit(false))
			},
			"": func(t *rapid.T) {
				k := key.Draw(t, "probe")
				got, err := o.Get(k)
				mustRapid(t, err)
				want, ok := model[string(k)]
				if ok != (got != nil) || string(got) != want {
					t.Fatalf("%x: %q, want %q %t", k, got, want, ok)
				}
				lo, hi := key.Draw(t, "from"), key.Draw(t, "to")
				if d := cmp.Diff(modelRange(model, string(lo), string(hi)), scanned(o, lo, hi)); d != "" {
					t.Fatal(d)
				}
			},
		})
	})
}

func modelRange(m map[string]string, lo, hi string) (out []string) {
	for k, v := range m {
		if k >= lo && k < hi {
			out = append(out, fmt.Sprintf("%x=%s", k, v))
		}
	}
	slices.Sort(out)
	return out
}

func scanned(o *overlay, lo, hi []byte) (out []string) {
	for k, v := range o.Scan(lo, hi) {
		out = append(out, fmt.Sprintf("%x=%s", k, v))
	}
	return out
}

func clearDB(t *rapid.T, db *store.DB) {
	b := db.NewBatch()
	mustRapid(t, b.DeleteRange([]byte{0}, []byte{0xff}))
	mustRapid(t, b.Commit(false))
}

func mustRapid(t *rapid.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestOverlayRefusesForeignKeys(t *testing.T) {
	o := newOverlay(nil, []byte{store.SpaceListing}, newKnown(true))
	foreign := []byte{store.SpaceState, 1}
	if _, err := o.Get(foreign); err == nil {
		t.Error("read")
	}
	for what, err := range map[string]error{
		"set": o.Set(foreign, nil), "delete": o.Delete(foreign), "range": o.DeleteRange(foreign, foreign), "empty": o.Set(nil, nil),
	} {
		if err == nil {
			t.Error(what)
		}
	}
}

func TestScanCanBeLeft(t *testing.T) {
	db := openDB(t, t.TempDir())
	o := newOverlay(db, []byte{store.SpaceListing}, newKnown(true))
	for i := range byte(4) {
		if err := o.Set(store.ListingKey(i, "x"), []byte{i}); err != nil {
			t.Fatal(err)
		}
		if i == 1 { // two in the store, two in the overlay
			b := db.NewBatch()
			if err := errors.Join(o.flush(b), b.Commit(false)); err != nil {
				t.Fatal(err)
			}
		}
	}
	lo, hi := store.SpaceRange(store.SpaceListing)
	for want := range 4 {
		seen := 0
		for range o.Scan(lo, hi) {
			if seen++; seen == want+1 {
				break
			}
		}
		if seen != want+1 {
			t.Errorf("left after %d, want %d", seen, want+1)
		}
	}
}
