package tree

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// wholeKept opens what is kept in dir and checks that it is the messages from first
// to last.
func wholeKept(t *testing.T, dir string, first, last uint64, data func(uint64) []byte) *kept {
	t.Helper()
	k, err := openKept(dir)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(k.all); (n == 0) != (last == 0) || n > 0 && (k.all[0].seq != first || k.all[n-1].seq != last) {
		t.Fatalf("%d messages are kept, not %d to %d", n, first, last)
	}
	for seq := first; seq <= last && seq > 0; seq++ {
		if m, err := k.message(seq); err != nil || !bytes.Equal(m.Data, data(seq)) {
			t.Fatalf("message %d: %v", seq, err)
		}
	}
	return k
}

// Only the newest messages are kept, over restarts too, and never less than a file.
func TestKeptMessagesAreBounded(t *testing.T) {
	dir := t.TempDir()
	data := func(seq uint64) []byte { return bytes.Repeat([]byte{byte(seq)}, 1<<20) }
	k := wholeKept(t, dir, 0, 0, data)
	for seq := uint64(1); seq <= 150; seq++ {
		if err := k.add(ledger.Message{Seq: seq, Data: data(seq)}); err != nil {
			t.Fatal(err)
		}
		if seq%37 != 0 {
			continue
		}
		first := k.all[0].seq
		if n := len(k.all); n > 66 || (seq > 32 && n < 32) {
			t.Fatalf("after %d messages %d are kept", seq, n)
		}
		if err := k.close(); err != nil {
			t.Fatal(err)
		}
		k = wholeKept(t, dir, first, seq, data)
	}
	if err := errors.Join(k.add(ledger.Message{Seq: 100, Data: data(1)}), k.add(ledger.Message{Seq: 500, Data: data(500)}), k.close()); err != nil {
		t.Fatal(err)
	}
	if err := wholeKept(t, dir, 500, 500, data).close(); err != nil { // what does not follow begins anew
		t.Fatal(err)
	}
}

// A record cut off or changed anywhere counts as nothing, and so does all behind it.
func TestTornKeptMessages(t *testing.T) {
	dir := t.TempDir()
	data := func(seq uint64) []byte { return fmt.Appendf(nil, "message %d", seq) }
	k := wholeKept(t, dir, 0, 0, data)
	for seq := uint64(1); seq <= 3; seq++ {
		if err := k.add(ledger.Message{Seq: seq, Data: data(seq)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := k.close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "tail-0")
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	record := len(file) / 3
	for i := range file {
		for _, torn := range [][]byte{file[:i], append(append(bytes.Clone(file[:i]), file[i]^4), file[i+1:]...)} {
			if err := os.WriteFile(path, torn, 0o600); err != nil {
				t.Fatal(err)
			}
			whole := uint64(i / record)
			k := wholeKept(t, dir, min(1, whole), whole, data)
			if err := errors.Join(k.add(ledger.Message{Seq: whole + 1, Data: data(whole + 1)}), k.close()); err != nil {
				t.Fatal(err)
			}
		}
	}
}
