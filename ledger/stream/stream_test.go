package stream_test

import (
	"errors"
	"log/slog"
	"testing"

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
