package bulk

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/projections"
)

// strung is a projection of strings: joining them is putting them together, so that
// one left out, doubled or out of order shows. Only its batches are used.
type strung struct{ spaces []byte }

func (strung) Name() string                                 { return "strung" }
func (strung) Version() uint32                              { return 1 }
func (strung) ByToken()                                     {}
func (s strung) Spaces() []byte                             { return s.spaces }
func (strung) Apply(projections.Batch, *ledger.Entry) error { return nil }
func (strung) Join(values [][]byte) ([]byte, error)         { return bytes.Join(values, nil), nil }

var twoSpaces = strung{[]byte{store.SpaceTimeline, store.SpaceState}}

func openDB(t testing.TB) (*store.DB, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "db")
	db, err := store.Open(dir, store.Options{CacheBytes: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db, dir
}

// edgeToken draws tokens at the edges of partitions and versions.
func edgeToken(t *rapid.T) (k ledger.Token) {
	edge := rapid.SampledFrom([]byte{0, 1, 0x7f, 0x80, 0xfe, 0xff})
	k[0] = rapid.SampledFrom([]byte{0, ledger.TokenVersion, ledger.TokenVersion, ledger.TokenVersion, 2, 0xff}).Draw(t, "version")
	fill := edge.Draw(t, "fill")
	for i := 1; i < len(k); i++ {
		k[i] = fill
	}
	k[1], k[2], k[16] = edge.Draw(t, "first"), edge.Draw(t, "second"), edge.Draw(t, "last")
	return k
}

// TestAgainstAMap runs random writes and deletions of tokens on a fold and on a map.
func TestAgainstAMap(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		db, _ := openDB(t)
		f, err := Begin(db, Options{BlockBytes: rapid.SampledFrom([]int{1, 60, 0}).Draw(rt, "block"),
			ChunkBytes: rapid.SampledFrom([]int{1, 200, 0}).Draw(rt, "chunk")})
		must(rt, err)
		defer f.Close()
		pt := f.Add(twoSpaces, rapid.IntRange(1, 4).Draw(rt, "shards"))
		model := map[string]string{"\x01how far": "here"}
		tokens := rapid.SliceOfN(rapid.Custom(edgeToken), 1, 6).Draw(rt, "tokens")
		for i := range rapid.IntRange(0, 80).Draw(rt, "operations") {
			token := rapid.SampledFrom(tokens).Draw(rt, "token")
			b := pt.Batch(pt.ShardOf(token))
			key := append([]byte{rapid.SampledFrom(twoSpaces.spaces).Draw(rt, "space")}, token[:]...)
			lo, hi := store.PrefixRange(bytes.Clone(key))
			key = append(key, rapid.SampledFrom([]string{"", "a", "b"}).Draw(rt, "rest")...)
			switch rapid.IntRange(0, 9).Draw(rt, "operation") {
			case 0:
				must(rt, b.DeleteRange(lo, hi))
				maps.DeleteFunc(model, func(k, _ string) bool { return k >= string(lo) && k < string(hi) })
			case 1:
				must(rt, b.Delete(key))
				delete(model, string(key))
			default:
				old, err := b.Get(key)
				must(rt, err)
				if old != nil {
					rt.Fatal("something was found")
				}
				must(rt, b.Set(key, fmt.Appendf(nil, "%d,", i)))
				model[string(key)] += fmt.Sprintf("%d,", i)
			}
		}
		var mu sync.Mutex
		told := map[string]bool{"\x01how far": true}
		must(rt, f.Prepare(context.Background(), func(key []byte) {
			mu.Lock()
			defer mu.Unlock()
			told[string(key)] = true
		}))
		if got := held(rt, db); len(got) > 0 {
			rt.Fatal("visible before its time:", got)
		}
		must(rt, f.Ingest(context.Background(), Records{[][]byte{[]byte("\x01how far")}, [][]byte{[]byte("here")}}))
		if d := cmp.Diff(model, held(rt, db)); d != "" {
			rt.Fatal(d)
		}
		for k := range model {
			if !told[k] {
				rt.Fatalf("%x was not told", k)
			}
		}
	})
}

func held(t *rapid.T, db *store.DB) map[string]string {
	out := map[string]string{}
	must(t, db.Each([]byte{0}, []byte{0xff}, func(k, v []byte) error { out[string(k)] = string(v); return nil }))
	return out
}

func must(t interface {
	Helper()
	Fatal(...any)
}, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestPartitionsAreInTheOrderOfKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOfN(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 2, 0x7f, 0x80, 0xff}), 1, 6), 2, 2).Draw(t, "keys")
		slices.SortFunc(keys, bytes.Compare)
		if a, b := partitionOf(keys[0][0], keys[0][1:]), partitionOf(keys[1][0], keys[1][1:]); a > b || a < 0 || b >= partitions {
			t.Fatalf("%x is in partition %d, %x in %d", keys[0], a, keys[1], b)
		}
		for _, k := range keys {
			n := partitionOf(k[0], k[1:])
			if full := append([]byte{9}, k...); n < partitions-1 && bytes.Compare(full, firstKey(9, n+1)) >= 0 || n > 0 && bytes.Compare(full, firstKey(9, n)) < 0 {
				t.Fatalf("%x does not lie within partition %d", k, n)
			}
		}
	})
}

func TestForeignKeysAreRefused(t *testing.T) {
	db, _ := openDB(t)
	f, err := Begin(db, Options{})
	must(t, err)
	defer f.Close()
	pt := f.Add(twoSpaces, 2)
	token := ledger.Token{ledger.TokenVersion, 0, 0x80} // partition 1
	b, key := pt.Batch(pt.ShardOf(token)), append([]byte{store.SpaceState}, token[:]...)
	other, foreign := ledger.Token{ledger.TokenVersion}, append([]byte{store.SpaceListing}, token[:]...)
	inOther := append([]byte{store.SpaceState}, other[:]...)
	_, end := store.SpaceRange(store.SpaceState)
	for what, err := range map[string]error{
		"another space": b.Set(foreign, nil), "another shard": b.Set(inOther, nil), "nothing": b.Set(nil, nil), "a space": b.Set(key[:1], nil),
		"reading": second(b.Get(inOther)), "deleting": b.Delete(foreign), "a range of many": b.DeleteRange(key, end),
	} {
		if err == nil {
			t.Error(what)
		}
	}
	must(t, b.Set(key, nil))
}

func second[A any](_ A, err error) error { return err }

// TestDamageIsNoticed flips each byte of a scratch file in turn.
func TestDamageIsNoticed(t *testing.T) {
	file, err := os.OpenFile(filepath.Join(t.TempDir(), "scratch"), os.O_CREATE|os.O_RDWR, 0o600)
	must(t, err)
	defer file.Close()
	tp := tape{s: newScratch(file, 1000)}
	for i := range 20 {
		must(t, tp.add(opSet, fmt.Appendf(nil, "key %d", i), fmt.Appendf(nil, "value %d", i)))
	}
	must(t, tp.flush())
	block := tp.blocks[0]
	raw := make([]byte, block.disk)
	_, err = file.ReadAt(raw, 0)
	must(t, err)
	for i := range raw {
		_, err := file.WriteAt([]byte{raw[i] ^ 1}, int64(i))
		must(t, err)
		if _, err := tp.s.read(block, nil); err == nil {
			t.Fatalf("byte %d was changed and nobody saw it", i)
		}
		_, err = file.WriteAt(raw[i:i+1], int64(i))
		must(t, err)
	}
	must(t, file.Truncate(int64(len(raw)-1)))
	if _, err := tp.s.read(block, nil); err == nil {
		t.Error("a byte was cut off and nobody saw it")
	}
}

// TestMemoryIsBounded folds eight times as much, a third of it about one token, and
// looks at what stays in memory while it is sorted.
func TestMemoryIsBounded(t *testing.T) {
	const few, growthMax = 20_000, 6 << 20
	small, large := liveWhileSorting(t, few), liveWhileSorting(t, 8*few)
	t.Logf("live at most: %d kB with %d entries, %d kB with %d", small>>10, few, large>>10, 8*few)
	if large > small+growthMax {
		t.Errorf("%d kB more for %d kB more of values", (large-small)>>10, 7*few*valueBytes>>10)
	}
}

const valueBytes = 300

func liveWhileSorting(t *testing.T, n int) (most uint64) {
	db, _ := openDB(t)
	f, err := Begin(db, Options{BlockBytes: 1 << 10, ChunkBytes: 64 << 10})
	must(t, err)
	defer f.Close()
	pt := f.Add(twoSpaces, 2)
	before := live()
	for i := range n {
		token := ledger.Token{ledger.TokenVersion}
		if i%3 > 0 {
			binary.BigEndian.PutUint32(token[1:], uint32(i)*2654435761)
		}
		key := binary.BigEndian.AppendUint32(append([]byte{store.SpaceTimeline}, token[:]...), uint32(i))
		must(t, pt.Batch(pt.ShardOf(token)).Set(key, make([]byte, valueBytes)))
	}
	most = live()
	var mu sync.Mutex
	seen := 0
	must(t, f.Prepare(t.Context(), func([]byte) {
		mu.Lock()
		defer mu.Unlock()
		if seen++; seen%(n/20) == 0 {
			most = max(most, live())
		}
	}))
	if seen != n {
		t.Fatalf("%d keys of %d", seen, n)
	}
	return most - min(most, before)
}

// live is what the collector leaves.
func live() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
