package stream_test

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/ledgertest"
	"github.com/consent-ledger/consent-ledger/ledger/stream"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

var provision = stream.Provision{LedgerID: "test", Replicas: 1}

func startJetStream(t *testing.T) jetstream.JetStream {
	t.Helper()
	return startIn(t, t.TempDir())
}

// startIn runs a server on a folder until the test ends.
func startIn(t *testing.T, dir string) jetstream.JetStream {
	t.Helper()
	e, err := stream.StartEmbedded(stream.EmbeddedOptions{Dir: dir, CipherKey: "test", AdminKey: "test", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	nc, err := e.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close(); e.Close(t.Context()) })
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func TestLog(t *testing.T) {
	ledgertest.Run(t, func(t *testing.T) ledger.Log {
		js := startJetStream(t)
		if diffs, err := stream.Apply(t.Context(), js, provision); err != nil || len(diffs) != 0 {
			t.Fatalf("apply: %v, %v", diffs, err)
		}
		l, err := stream.Open(t.Context(), js, consentv1.Durability_DURABILITY_FSYNC, nil)
		if err != nil {
			t.Fatal(err)
		}
		return l
	})
}

func TestVerifyNamesTheField(t *testing.T) {
	js, ctx := startJetStream(t), t.Context()
	if err := stream.Verify(ctx, js, provision); err == nil {
		t.Fatal("verified streams that do not exist")
	}
	if _, err := stream.Apply(ctx, js, provision); err != nil {
		t.Fatal(err)
	}
	if err := stream.Verify(ctx, js, provision); err != nil {
		t.Fatal(err)
	}
	cfg := stream.Pinned(provision)[0]
	cfg.MaxMsgs = 100
	if _, err := js.UpdateStream(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	var diff *stream.DifferenceError
	if err := stream.Verify(ctx, js, provision); !errors.As(err, &diff) {
		t.Fatalf("got %v", err)
	}
	want := stream.Difference{Stream: stream.LedgerStream, Field: "MaxMsgs", Want: "-1", Have: "100"}
	if len(diff.Differences) != 1 || diff.Differences[0] != want {
		t.Errorf("got %v", diff.Differences)
	}
}

// TestAttempts: the stream of attempts keeps its order and its tail, and an
// operator may keep attempts longer, not shorter.
func TestAttempts(t *testing.T) {
	js, ctx := startJetStream(t), t.Context()
	if _, err := stream.Apply(ctx, js, provision); err != nil {
		t.Fatal(err)
	}
	a, err := stream.OpenAttempts(ctx, js, nil)
	if err != nil {
		t.Fatal(err)
	}
	if first, last, err := a.Bounds(ctx); err != nil || first != 1 || last != 0 {
		t.Errorf("an empty stream has %d to %d, %v", first, last, err)
	}
	for i, data := range []string{"one", "two"} {
		if seq, err := a.Append(ctx, uint64(i), []byte(data)); err != nil || seq != uint64(i)+1 {
			t.Fatalf("append: %d, %v", seq, err)
		}
	}
	if _, err := a.Append(ctx, 1, []byte("late")); !errors.Is(err, ledger.ErrWrongTail) {
		t.Errorf("after another was first: %v", err)
	}
	if m, err := a.Read(ctx, 2); err != nil || string(m.Data) != "two" {
		t.Errorf("read %q, %v", m.Data, err)
	}
	if _, err := a.Read(ctx, 3); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("beyond the tail: %v", err)
	}
	seen := ""
	for m, err := range a.Follow(ctx, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if seen += string(m.Data); m.Seq == 2 {
			break
		}
	}
	if first, last, err := a.Bounds(ctx); err != nil || seen != "onetwo" || first != 1 || last != 2 {
		t.Errorf("followed %q, %d to %d, %v", seen, first, last, err)
	}
	s, err := js.Stream(ctx, stream.AttemptsStream)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		age  time.Duration
		fine bool
	}{{0, true}, {10 * 366 * 24 * time.Hour, true}, {366 * 24 * time.Hour, false}} {
		cfg := s.CachedInfo().Config
		cfg.MaxAge = tc.age
		if _, err := js.UpdateStream(ctx, cfg); err != nil {
			t.Fatal(err)
		}
		if err := stream.Verify(ctx, js, provision); (err == nil) != tc.fine {
			t.Errorf("kept for %s: %v", tc.age, err)
		}
	}
}

// TestCheckpoints: the stream keeps its order, its newest message and every other,
// whatever anybody asks.
func TestCheckpoints(t *testing.T) {
	js, ctx := startJetStream(t), t.Context()
	if _, err := stream.Apply(ctx, js, provision); err != nil {
		t.Fatal(err)
	}
	c, err := stream.OpenCheckpoints(ctx, js, nil)
	if err != nil {
		t.Fatal(err)
	}
	if last, err := c.Tail(ctx); err != nil || last != 0 {
		t.Errorf("an empty stream ends with %d, %v", last, err)
	}
	for i, data := range []string{"one", "two"} {
		if seq, err := c.Append(ctx, uint64(i), []byte(data)); err != nil || seq != uint64(i)+1 {
			t.Fatalf("append: %d, %v", seq, err)
		}
	}
	if _, err := c.Append(ctx, 1, []byte("late")); !errors.Is(err, ledger.ErrWrongTail) {
		t.Errorf("after another was first: %v", err)
	}
	if last, err := c.Tail(ctx); err != nil || last != 2 {
		t.Errorf("it ends with %d, %v", last, err)
	}
	if m, err := c.Read(ctx, 2); err != nil || string(m.Data) != "two" {
		t.Errorf("it ends with %q, %v", m.Data, err)
	}
	if _, err := c.Read(ctx, 3); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("beyond the tail: %v", err)
	}
	s, err := js.Stream(ctx, stream.CheckpointsStream)
	if err != nil {
		t.Fatal(err)
	}
	if s.DeleteMsg(ctx, 1) == nil || s.Purge(ctx) == nil {
		t.Error("a checkpoint can be deleted")
	}
	if m, err := c.Read(ctx, 1); err != nil || string(m.Data) != "one" {
		t.Errorf("the first is %q, %v", m.Data, err)
	}
}
