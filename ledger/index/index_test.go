package index

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// TestBothWays: an index kept by a writer, through staging, restarts and crashes
// between the streams, equals one built anew from the streams, byte for byte.
func TestBothWays(t *testing.T) {
	root := t.TempDir()
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		const numbers = 6
		dir := filepath.Join(root, fmt.Sprintf("writer%d", n))
		h, ix := newHistory(rapid.Uint64().Draw(t, "seed")), open(t, dir, Options{})
		rowsBytes := rapid.SampledFrom([]int{1, 2 << 10, rowsBytesMax}).Draw(t, "rows' bytes")
		ix.rowsBytes = rowsBytes
		var commits [][]*ledger.Entry
		var keys []*consentv1.WrappedKeys
		settled := 0
		settle := func() {
			must(t, ix.Settle(uint64(settled+1), commits[settled]))
			settled++
			if at, err := ix.SeqOf(ix.Applied().Position); err != nil || at != uint64(settled) {
				t.Fatal(fmt.Sprintf("the last position is in message %d, %v, not %d", at, err, settled))
			}
		}
		for range rapid.IntRange(1, 8).Draw(t, "commits") {
			e, k := h.commit(rapid.IntRange(1, 12).Draw(t, "entries"), numbers)
			commits, keys = append(commits, e), append(keys, k)
			if rapid.Bool().Draw(t, "keys ahead") {
				must(t, ix.KeysStored(uint64(len(keys)), k))
				if rapid.Bool().Draw(t, "flush") {
					must(t, ix.Flush())
				}
				must(t, ix.Stage(e, nil, see(t, ix, e, rapid.Bool().Draw(t, "seen"))))
			} else {
				must(t, ix.Stage(e, k, see(t, ix, e, rapid.Bool().Draw(t, "seen"))))
				must(t, ix.KeysStored(uint64(len(keys)), k))
			}
			h.agrees(t, ix, numbers)
			h.finds(t, ix, e, true)
			for settled < len(commits) && (len(commits)-settled == stagedMax || rapid.Bool().Draw(t, "ack")) {
				settle()
			}
			if len(*ix.staged.Load()) == stagedMax || rapid.Bool().Draw(t, "write") {
				must(t, ix.Write())
			}
			if settled == len(commits) && rapid.Bool().Draw(t, "restart") { // what was not written is read again
				must(t, ix.Close())
				ix = open(t, dir, Options{})
				ix.rowsBytes = rowsBytes
				at := ix.Applied()
				for seq := at.KeysSeq + 1; seq <= uint64(len(keys)); seq++ {
					must(t, ix.ApplyKeys(seq, keys[seq-1]))
				}
				for seq := at.Seq + 1; seq <= uint64(len(commits)); seq++ {
					must(t, ix.ApplyCommit(seq, commits[seq-1]))
				}
			}
		}
		for settled < len(commits) {
			settle()
		}
		must(t, ix.Write())
		h.agrees(t, ix, numbers)
		kept, err := ix.Hash(t.Context())
		must(t, err)
		if at := ix.Applied(); at.Position != h.next-1 || at.Seq != uint64(len(commits)) || !at.RecordedAt.Equal(h.at) {
			t.Fatal(fmt.Sprintf("applied %+v", at))
		}
		must(t, ix.Close())

		anew := open(t, filepath.Join(root, fmt.Sprintf("anew%d", n)), Options{})
		for i, k := range keys { // all keys first, as at a start
			must(t, anew.ApplyKeys(uint64(i+1), k))
			must(t, anew.ApplyKeys(uint64(i+1), k)) // twice is harmless
		}
		for i, e := range commits {
			must(t, anew.ApplyCommit(uint64(i+1), e))
			h.finds(t, anew, e, true)
		}
		h.agrees(t, anew, numbers)
		built, err := anew.Hash(t.Context())
		must(t, err)
		if built != kept {
			t.Fatal("the index built anew is another one")
		}
		must(t, anew.Close())
	})
}

func TestOpenRefusesAnotherLedger(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "index")
	must(t, open(t, dir, Options{}).Close())
	_, err := Open(dir, Options{Ledger: [16]byte{2}})
	if !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "01000000") || !strings.Contains(err.Error(), "02000000") {
		t.Fatalf("open: %v", err)
	}
}

func TestAnotherVersionIsBuiltAnew(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "index")
	ix, h := open(t, dir, Options{}), newHistory(1)
	e, _ := h.commit(3, 2)
	must(t, ix.ApplyCommit(1, e))
	b := ix.db.NewBatch()
	must(t, b.Set(metaVersion, []byte{0, 0, 0, 99}))
	must(t, b.Commit(false))
	must(t, ix.Close())
	ix = open(t, dir, Options{})
	defer ix.Close()
	if ix.Applied() != (Applied{}) || len(ix.Sellers()) > 0 {
		t.Fatal("an index of another version was kept")
	}
	must(t, ix.ApplyCommit(1, e))
}
