package stream_test

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/ledgertest"
	"github.com/consent-ledger/consent-ledger/ledger/stream"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// TestNoReceiptFromADeadDisk: JetStream's word counts only while the disk takes
// changes, whether it says that a message was stored or that one stands there already.
func TestNoReceiptFromADeadDisk(t *testing.T) {
	js, ctx := startJetStream(t), t.Context()
	if _, err := stream.Apply(ctx, js, provision); err != nil {
		t.Fatal(err)
	}
	pulse, err := stream.OpenPulse(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	l, err := stream.Open(ctx, js, consentv1.Durability_DURABILITY_FSYNC, pulse)
	if err != nil {
		t.Fatal(err)
	}
	b, err := stream.OpenInbox(ctx, js, pulse)
	if err != nil {
		t.Fatal(err)
	}
	item := &consentv1.StoredInboxItem{Key: []byte("a")}
	_, keysErr := l.AppendKeys(ctx, []byte("keys"))
	if _, err := l.Append(ctx, 0, ledgertest.Commit(t, 1, 1)); errors.Join(err, keysErr, b.Put(ctx, item)) != nil {
		t.Fatal(err, keysErr)
	}
	if err := pulse.Close(); err != nil { // the disk dies
		t.Fatal(err)
	}
	for name, store := range map[string]func() error{
		"append":            func() error { _, err := l.Append(ctx, 1, ledgertest.Commit(t, 2, 1)); return err },
		"append once more":  func() error { _, err := l.Append(ctx, 0, ledgertest.Commit(t, 1, 1)); return err },
		"append of keys":    func() error { _, err := l.AppendKeys(ctx, []byte("keys")); return err },
		"item of the inbox": func() error { return b.Put(ctx, &consentv1.StoredInboxItem{Key: []byte("b")}) },
	} {
		if err := store(); !errors.Is(err, ledger.ErrDisk) || errors.Is(err, ledger.ErrWrongTail) {
			t.Errorf("%s on a dead disk: %v", name, err)
		}
	}
	if tail, err := l.Tail(ctx); tail != 2 || err != nil {
		t.Errorf("the message was stored before the disk was seen to be dead: tail %d, %v", tail, err)
	}
}

// TestEachBeatIsAChange: a file system need not look into its journal for a change
// of size to the size it has.
func TestEachBeatIsAChange(t *testing.T) {
	dir := t.TempDir()
	p, err := stream.OpenPulse(dir)
	if err != nil {
		t.Fatal(err)
	}
	size := func() int64 {
		info, err := os.Stat(filepath.Join(dir, "pulse"))
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	for last := size(); last < 4096; last++ {
		if err := p.Beat(); err != nil || size() != last+1 {
			t.Fatalf("size %d after %d, %v", size(), last, err)
		}
	}
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if err := p.Beat(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if size() != 100 {
		t.Errorf("100 beats after the full size: %d", size())
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
}
