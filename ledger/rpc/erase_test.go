package rpc_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/consent-ledger/consent-ledger/ledger/index"
	"github.com/consent-ledger/consent-ledger/ledger/memledger"
	"github.com/consent-ledger/consent-ledger/ledger/reader"
	"github.com/consent-ledger/consent-ledger/ledger/recorder"
	"github.com/consent-ledger/consent-ledger/ledger/rpc"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	"github.com/consent-ledger/consent-ledger/ledger/stream"
	"github.com/consent-ledger/consent-ledger/ledger/writer"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

type noMetrics struct{}

func (noMetrics) Committed(int, int, time.Duration) {}
func (noMetrics) AppendRetried()                    {}

// newLedger serves a ledger in memory with an inbox on a real server.
func newLedger(t *testing.T) *rpc.Ledger {
	t.Helper()
	ctx, dir := t.Context(), t.TempDir()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	e, err := stream.StartEmbedded(stream.EmbeddedOptions{Dir: filepath.Join(dir, "js"), CipherKey: "test", AdminKey: "test",
		Logger: slog.New(slog.DiscardHandler)})
	check(err)
	nc, err := e.Connect()
	check(err)
	t.Cleanup(func() { nc.Close(); e.Close(context.Background()) })
	js, err := jetstream.New(nc)
	check(err)
	_, err = stream.Apply(ctx, js, stream.Provision{LedgerID: "test", Replicas: 1})
	check(err)
	files, err := stream.OpenFiles(ctx, js)
	check(err)
	inbox, err := stream.OpenInbox(ctx, js, nil)
	check(err)
	keys, err := seal.Create(filepath.Join(dir, "keys"))
	check(err)
	ix, err := index.Open(filepath.Join(dir, "index"), index.Options{Ledger: keys.LedgerID(), Live: keys.Live})
	check(err)
	log, start := memledger.New(func(err error) { t.Error(err) }), time.Now()
	w, err := writer.Open(ctx, writer.Config{Log: log, Index: ix, Keys: keys, Files: files, Metrics: noMetrics{},
		Clock:   writer.Clock{Wall: time.Now, Mono: func() time.Duration { return time.Since(start) }},
		Lagging: func() bool { return false }, Version: "test", Instance: "test"})
	check(err)
	run, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(run) }()
	t.Cleanup(func() { cancel(); <-ended; ix.Close() })
	r := reader.New(log, ix, keys, files)
	return &rpc.Ledger{Recorder: recorder.New(w, r, keys, ix, inbox), Writer: w, Reader: r, Index: ix, Keys: keys, Inbox: inbox}
}

// TestEraseEmptiesTheInbox of one number: what others said, and what nobody could
// read, stays for a person.
func TestEraseEmptiesTheInbox(t *testing.T) {
	l, ctx := newLedger(t), t.Context()
	h := l.Handler()
	record := func(f *consentv1.Fact) {
		f.Source, f.EventId = "crm", "m-"+f.GetNumber()
		_, err := h.Record(ctx, connect.NewRequest(&consentv1.RecordRequest{Fact: f}))
		if err != nil && f.GetNumber() != "n/a" {
			t.Fatal(err)
		}
	}
	const number, other = "+12125550143", "+12125550144"
	record(&consentv1.Fact{Number: number, Kind: &consentv1.Fact_InboundMessage{InboundMessage: &consentv1.InboundMessage{
		Body: "hm", Classification: consentv1.MessageClass_MESSAGE_CLASS_UNCLEAR}}})
	record(&consentv1.Fact{Number: "n/a", Kind: &consentv1.Fact_ConsentRevoked{ConsentRevoked: &consentv1.ConsentRevoked{}}})
	big := string(make([]byte, 300<<10))
	for _, n := range []string{number, other, "(212) 555-0143"} {
		if err := l.Recorder.PutInbox(ctx, "crm", "refused", false, &consentv1.RecordRequest{Fact: &consentv1.Fact{Number: n, Unread: big}}); err != nil {
			t.Fatal(err)
		}
	}
	erase := connect.NewRequest(&consentv1.EraseRequest{Number: number, Reason: "erasure_request"})
	if _, err := h.Erase(ctx, erase); err != nil {
		t.Fatal(err)
	}
	res, err := h.ListInbox(ctx, connect.NewRequest(&consentv1.ListInboxRequest{Reveal: true}))
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, item := range res.Msg.GetItems() {
		left = append(left, item.GetId())
	}
	if len(left) != 3 || left[0] != "1" || left[1] != "2" || left[2] != "4" {
		t.Errorf("left are %v, not the message in the ledger, the unread stop and the other's", left)
	}
	if len(res.Msg.GetItems()[2].GetContent()) < len(big) {
		t.Error("a large content cannot be shown")
	}
}
