// Package jstest runs the streams of a ledger for the tests of projections that
// have one of their own.
package jstest

import (
	"context"
	"log/slog"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/consent-ledger/consent-ledger/ledger/stream"
)

// Start starts an embedded server with all streams, which ends with the test.
func Start(t testing.TB) (*stream.Embedded, jetstream.JetStream) {
	t.Helper()
	e, err := stream.StartEmbedded(stream.EmbeddedOptions{Dir: t.TempDir(), CipherKey: "test", AdminKey: "test",
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	nc, err := e.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close(); e.Close(context.Background()) })
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Apply(t.Context(), js, stream.Provision{LedgerID: "test", Replicas: 1}); err != nil {
		t.Fatal(err)
	}
	return e, js
}
