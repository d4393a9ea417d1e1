package stream_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/consent-ledger/consent-ledger/ledger/stream"
)

// blocksOf makes streams with several blocks, of which the last holds something, and
// gives the folder of the ledger's.
func blocksOf(t *testing.T, dir string) string {
	t.Helper()
	t.Run("fill", func(t *testing.T) {
		js := startIn(t, dir)
		if _, err := stream.Apply(t.Context(), js, provision); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			if _, err := js.Publish(t.Context(), stream.LedgerSubject, make([]byte, 900<<10)); err != nil {
				t.Fatal(err)
			}
		}
	})
	return filepath.Join(dir, "jetstream", "$G", "streams", stream.LedgerStream, "msgs")
}

// TestStartMovesTheEnd of a stream to a new file, because the old one may show what
// a failed fsync left in the kernel's cache alone. Blocks before it stay as they are,
// and so does what the end says.
func TestStartMovesTheEnd(t *testing.T) {
	dir := t.TempDir()
	msgs := blocksOf(t, dir)
	// Left by a start that was killed while it did this.
	if err := os.WriteFile(filepath.Join(msgs, "2.blk.tmp"), make([]byte, 9<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	stat := func(name string) (os.FileInfo, []byte) {
		t.Helper()
		info, err := os.Stat(filepath.Join(msgs, name))
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(msgs, name))
		if err != nil || len(data) == 0 {
			t.Fatalf("%s: %d bytes, %v", name, len(data), err)
		}
		return info, data
	}
	end, endData := stat("2.blk")
	other, otherData := stat("1.blk")
	t.Run("start", func(t *testing.T) {
		s, err := startIn(t, dir).Stream(t.Context(), stream.LedgerStream)
		if err != nil || s.CachedInfo().State.Msgs != 4 {
			t.Errorf("the stream after it: %+v, %v", s, err)
		}
	})
	if now, data := stat("2.blk"); os.SameFile(now, end) || !bytes.Equal(data, endData) || now.Mode() != end.Mode() {
		t.Error("the last block is in the same file, or is another")
	}
	if now, data := stat("1.blk"); !os.SameFile(now, other) || !bytes.Equal(data, otherData) {
		t.Error("a block before the last was moved, or is another")
	}
	if left, err := filepath.Glob(filepath.Join(msgs, "*.tmp")); err != nil || len(left) > 0 {
		t.Errorf("copies are left: %v, %v", left, err)
	}
}

// TestStartRefusesABlockWithoutKey: JetStream would empty the block.
func TestStartRefusesABlockWithoutKey(t *testing.T) {
	for name, spoil := range map[string]func(key string) error{
		"gone":   os.Remove,
		"short":  func(key string) error { return os.Truncate(key, 10) },
		"folder": func(key string) error { return errors.Join(os.Remove(key), os.Mkdir(key, 0o700)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			msgs := blocksOf(t, dir)
			was, err := os.ReadFile(filepath.Join(msgs, "1.blk"))
			if err != nil {
				t.Fatal(err)
			}
			key := filepath.Join(msgs, "1.key")
			if err := spoil(key); err != nil {
				t.Fatal(err)
			}
			e, err := stream.StartEmbedded(stream.EmbeddedOptions{Dir: dir, CipherKey: "test", AdminKey: "test", Logger: slog.New(slog.DiscardHandler)})
			if err == nil {
				e.Close(context.Background())
			}
			if err == nil || !strings.Contains(err.Error(), key) {
				t.Errorf("start: %v", err)
			}
			if now, err := os.ReadFile(filepath.Join(msgs, "1.blk")); err != nil || !bytes.Equal(now, was) {
				t.Errorf("the block was changed, %v", err)
			}
		})
	}
}

// TestStartAfterAKillBeforeABlocksKey: JetStream makes a block's file before its key.
// Finding one without the other it would take the block for plaintext, fail to read
// it, and leave the whole stream out.
func TestStartAfterAKillBeforeABlocksKey(t *testing.T) {
	dir := t.TempDir()
	msgs := blocksOf(t, dir)
	if err := os.WriteFile(filepath.Join(msgs, "3.blk"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	js := startIn(t, dir)
	s, err := js.Stream(t.Context(), stream.LedgerStream)
	if err != nil || s.CachedInfo().State.Msgs != 4 {
		t.Fatalf("the stream after it: %+v, %v", s, err)
	}
	if ack, err := js.Publish(t.Context(), stream.LedgerSubject, make([]byte, 900<<10)); err != nil || ack.Sequence != 5 {
		t.Errorf("the next message: %+v, %v", ack, err)
	}
}

// TestStartRefusesAStreamLeftOut: JetStream goes on without a stream that it cannot
// read, and the ledger would look as if it had never been made.
func TestStartRefusesAStreamLeftOut(t *testing.T) {
	dir := t.TempDir()
	msgs := blocksOf(t, dir)
	sum := filepath.Join(filepath.Dir(msgs), "meta.sum")
	if err := os.WriteFile(sum, []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := stream.StartEmbedded(stream.EmbeddedOptions{Dir: dir, CipherKey: "test", AdminKey: "test", Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		e.Close(context.Background())
	}
	if err == nil || !strings.Contains(err.Error(), "stream "+stream.LedgerStream+" cannot be read") {
		t.Errorf("start: %v", err)
	}
}
