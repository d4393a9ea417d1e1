package stream_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/stream"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

func openInbox(t *testing.T, js jetstream.JetStream) *stream.Inbox {
	t.Helper()
	if _, err := stream.Apply(t.Context(), js, provision); err != nil {
		t.Fatal(err)
	}
	b, err := stream.OpenInbox(t.Context(), js, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestInboxTellsItemsApart by position or key, in this life and the next.
func TestInboxTellsItemsApart(t *testing.T) {
	js, ctx := startJetStream(t), t.Context()
	b := openInbox(t, js)
	for range 2 {
		for _, item := range []*consentv1.StoredInboxItem{{Key: []byte("a")}, {Key: []byte("b")}, {Position: 7}, {Position: 8}} {
			if err := b.Put(ctx, item); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := b.Count(ctx); n != 4 || err != nil {
			t.Fatalf("%d items, %v", n, err)
		}
		b = openInbox(t, js)
	}
	if err := errors.Join(b.Remove(ctx, "3"), b.Remove(ctx, "3"), b.Put(ctx, &consentv1.StoredInboxItem{Position: 7})); err != nil {
		t.Fatal(err)
	}
	if n, err := b.Count(ctx); n != 4 || err != nil {
		t.Fatalf("a closed item did not come back: %d items, %v", n, err)
	}
}

// TestInboxTakesWhatAMessageCannotHold, and removes it with the item.
func TestInboxTakesWhatAMessageCannotHold(t *testing.T) {
	js, ctx := startJetStream(t), t.Context()
	b := openInbox(t, js)
	for _, size := range []int{0, 256 << 10, 256<<10 + 1, 4 << 20} {
		sealed := make([]byte, size)
		_, _ = rand.Read(sealed)
		if err := b.Put(ctx, &consentv1.StoredInboxItem{Sealed: sealed}); err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		entries, err := b.List(ctx)
		if err != nil || len(entries) != 1 {
			t.Fatalf("%d bytes: %d items, %v", size, len(entries), err)
		}
		e := entries[0]
		if got, err := b.Sealed(ctx, e.Item); err != nil || !bytes.Equal(got, sealed) {
			t.Fatalf("%d bytes: %d came back, %v", size, len(got), err)
		}
		if err := b.Remove(ctx, e.ID); err != nil {
			t.Fatal(err)
		}
		if got, err := b.Sealed(ctx, e.Item); len(e.Item.GetFile()) > 0 && !errors.Is(err, ledger.ErrNotFound) {
			t.Fatalf("%d bytes: %d are still there, %v", size, len(got), err)
		}
	}
}

// TestIntakeForgetsMessageIDs as soon as the server can.
func TestIntakeForgetsMessageIDs(t *testing.T) {
	js, ctx := startJetStream(t), t.Context()
	openInbox(t, js)
	s, err := js.Stream(ctx, stream.IntakeStream)
	if err != nil {
		t.Fatal(err)
	}
	if w := s.CachedInfo().Config.Duplicates; w != 100*time.Millisecond {
		t.Errorf("the window is %s", w)
	}
	for {
		m := &nats.Msg{Subject: "consent.v1.intake.crm", Header: nats.Header{"Nats-Msg-Id": {"1"}}}
		ack, err := js.PublishMsg(ctx, m)
		if err != nil {
			t.Fatal(err)
		}
		if ack.Sequence > 1 {
			return
		}
	}
}
