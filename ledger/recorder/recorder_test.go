package recorder_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/declare"
	"github.com/consent-ledger/consent-ledger/ledger/index"
	"github.com/consent-ledger/consent-ledger/ledger/memledger"
	"github.com/consent-ledger/consent-ledger/ledger/reader"
	"github.com/consent-ledger/consent-ledger/ledger/recorder"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	"github.com/consent-ledger/consent-ledger/ledger/writer"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

const number, other = "+12125550143", "+12125550144"

// world is a recorder on a ledger in memory.
type world struct {
	*recorder.Recorder
	t     *testing.T
	log   *deafLog
	inbox *memInbox
	keys  *seal.Keyring
}

// deafLog does not answer reads while deaf.
type deafLog struct {
	ledger.Log
	deaf bool
}

var errDeaf = errors.New("no answer")

func (l *deafLog) Read(ctx context.Context, seq uint64) (ledger.Message, error) {
	if l.deaf {
		return ledger.Message{}, errDeaf
	}
	return l.Log.Read(ctx, seq)
}

// memInbox keeps what is put; err refuses it.
type memInbox struct {
	items []*consentv1.StoredInboxItem
	err   error
}

func (b *memInbox) Put(_ context.Context, item *consentv1.StoredInboxItem) error {
	if b.err == nil {
		b.items = append(b.items, item)
	}
	return b.err
}

func (*memInbox) Sealed(_ context.Context, item *consentv1.StoredInboxItem) ([]byte, error) {
	return item.GetSealed(), nil
}

type noFiles struct{}

func (noFiles) PutBytes(context.Context, []byte) (ledger.Hash, error) {
	return ledger.Hash{}, errors.New("no files")
}
func (noFiles) GetBytes(context.Context, ledger.Hash) ([]byte, error) {
	return nil, errors.New("no files")
}

type noMetrics struct{}

func (noMetrics) Committed(int, int, time.Duration) {}
func (noMetrics) AppendRetried()                    {}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{t: t, log: &deafLog{Log: memledger.New(func(err error) { t.Error(err) })}, inbox: &memInbox{}}
	var err error
	if w.keys, err = seal.Create(filepath.Join(dir, "keys")); err != nil {
		t.Fatal(err)
	}
	ix, err := index.Open(filepath.Join(dir, "index"), index.Options{Ledger: w.keys.LedgerID(), Live: w.keys.Live})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	wr, err := writer.Open(t.Context(), writer.Config{Log: w.log, Index: ix, Keys: w.keys, Files: noFiles{}, Metrics: noMetrics{},
		Clock:   writer.Clock{Wall: time.Now, Mono: func() time.Duration { return time.Since(start) }},
		Lagging: func() bool { return false }, Version: "test", Instance: "test"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- wr.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended; ix.Close() })
	w.Recorder = recorder.New(wr, w.newReader(ix), w.keys, ix, w.inbox)
	for _, id := range []string{"acme", "beta"} {
		w.must(&consentv1.Fact{EventId: "seller-" + id, Kind: &consentv1.Fact_SellerRegistered{SellerRegistered: &consentv1.SellerRegistered{Id: id}}})
		w.must(&consentv1.Fact{EventId: "programme-" + id,
			Kind: &consentv1.Fact_ProgrammeRegistered{ProgrammeRegistered: &consentv1.ProgrammeRegistered{Id: "news", Seller: id}}})
	}
	return w
}

func (w *world) newReader(ix *index.Index) *reader.Reader {
	return reader.New(w.log, ix, w.keys, noFiles{})
}

func (w *world) record(f *consentv1.Fact) ledger.Outcome {
	f.Source = "test"
	return w.Record(w.t.Context(), []declare.Declaration{{Fact: f}})[0]
}

func (w *world) must(f *consentv1.Fact) ledger.Receipt {
	w.t.Helper()
	o := w.record(f)
	if o.Err != nil {
		w.t.Fatal(o.Err)
	}
	return o.Receipt
}

func stop(number, id string, sellers ...string) *consentv1.Fact {
	return &consentv1.Fact{Number: number, Sellers: sellers, EventId: id,
		Kind: &consentv1.Fact_ConsentRevoked{ConsentRevoked: &consentv1.ConsentRevoked{Words: "stop"}}}
}

func message(number, id string, class consentv1.MessageClass, sellers ...string) *consentv1.Fact {
	return &consentv1.Fact{Number: number, Sellers: sellers, EventId: id, Kind: &consentv1.Fact_InboundMessage{InboundMessage: &consentv1.InboundMessage{
		Body: "who is this", Classification: class}}}
}

func answer(id string, at ledger.Position, sellers ...string) *consentv1.Fact {
	return &consentv1.Fact{Number: number, Sellers: sellers, EventId: id, OccurredAt: timestamppb.Now(), Kind: &consentv1.Fact_ClarificationAnswered{
		ClarificationAnswered: &consentv1.ClarificationAnswered{KeepProgrammes: []string{"news"}, RevocationPosition: uint64(at)}}}
}

func invalidate(id string, at ledger.Position) *consentv1.Fact {
	return &consentv1.Fact{Number: number, Sellers: []string{"acme"}, EventId: id, Kind: &consentv1.Fact_ConsentInvalidated{
		ConsentInvalidated: &consentv1.ConsentInvalidated{GrantPosition: uint64(at)}}}
}

// TestAnAnswerNamesAStopOfItsSellers, or it is refused: it voids what it answers.
func TestAnAnswerNamesAStopOfItsSellers(t *testing.T) {
	w := newWorld(t)
	const stopped, unclear = consentv1.MessageClass_MESSAGE_CLASS_STOP, consentv1.MessageClass_MESSAGE_CLASS_UNCLEAR
	acme := w.must(stop(number, "s1", "acme")).Position
	all := w.must(stop(number, "s2")).Position
	word := w.must(message(number, "m1", stopped, "acme", "beta")).Position
	for i, tc := range []struct {
		name    string
		at      ledger.Position
		sellers []string
		good    bool
	}{
		{"its seller's stop", acme, []string{"acme"}, true},
		{"a stop of all sellers", all, []string{"acme", "beta"}, true},
		{"a stop word", word, []string{"beta"}, true},
		{"another seller's stop", acme, []string{"beta"}, false},
		{"one seller too many", acme, []string{"acme", "beta"}, false},
		{"an unclear message", w.must(message(number, "m2", unclear, "acme")).Position, []string{"acme"}, false},
		{"no stop", w.must(invalidate("i1", 0)).Position, []string{"acme"}, false},
		{"another number", w.must(stop(other, "s3", "acme")).Position, []string{"acme"}, false},
		{"no entry", 9999, []string{"acme"}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := w.record(answer(fmt.Sprint("a", i), tc.at, tc.sellers...))
			var invalid *ledger.InvalidError
			if tc.good && o.Err != nil || !tc.good && (!errors.As(o.Err, &invalid) || invalid.Field != "revocation_position") {
				t.Errorf("got %v at %d", o.Err, o.Receipt.Position)
			}
		})
	}
}

// TestAReferenceNobodyCanReadNow records nothing, so that a retry ranks it right.
func TestAReferenceNobodyCanReadNow(t *testing.T) {
	w := newWorld(t)
	at := w.must(stop(number, "s1", "acme")).Position
	w.log.deaf = true
	if o := w.record(invalidate("i1", at)); !errors.Is(o.Err, ledger.ErrNotReady) || !errors.Is(o.Err, errDeaf) {
		t.Errorf("an invalidation: %+v", o)
	}
	if o := w.record(answer("a1", at, "acme")); !errors.Is(o.Err, ledger.ErrNotReady) {
		t.Errorf("an answer: %+v", o)
	}
	w.log.deaf = false
	if r := w.must(invalidate("i1", at)); r.Duplicate || len(r.Notices) > 0 {
		t.Errorf("what was refused was recorded: %+v", r)
	}
	for id, at := range map[string]ledger.Position{"i2": 9999, "i3": w.must(stop(other, "s2", "acme")).Position} {
		if r := w.must(invalidate(id, at)); len(r.Notices) != 1 {
			t.Errorf("no notice: %+v", r)
		}
	}
}

// TestInboxKeysTellContentsApart: a stop must not hide behind another's event id.
func TestInboxKeysTellContentsApart(t *testing.T) {
	w := newWorld(t)
	for _, n := range []string{"n/a", "n/a", "call me"} {
		if o := w.record(stop(n, "same", "acme")); o.Err == nil {
			t.Fatal("a number was read")
		}
	}
	keys := map[string]bool{}
	for _, item := range w.inbox.items {
		keys[string(item.GetKey())] = true
	}
	if len(keys) != 2 {
		t.Errorf("%d keys of 2 stops", len(keys))
	}
}

// TestAnUnclearMessageAgain comes to the inbox if it did not at first.
func TestAnUnclearMessageAgain(t *testing.T) {
	w := newWorld(t)
	m := message(number, "m1", consentv1.MessageClass_MESSAGE_CLASS_UNCLEAR, "acme")
	w.inbox.err = errors.New("full")
	if r := w.must(m); len(r.Notices) == 0 {
		t.Error("no notice")
	}
	w.inbox.err = nil
	r := w.must(m)
	if !r.Duplicate || len(w.inbox.items) != 1 || w.inbox.items[0].GetPosition() != uint64(r.Position) ||
		!w.inbox.items[0].GetReceivedAt().AsTime().Equal(r.RecordedAt) {
		t.Errorf("%+v, %v", r, w.inbox.items)
	}
}

// TestInboxAbout: an item is about the number that could be read in it.
func TestInboxAbout(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	x, err := w.keys.Exchange(number)
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range map[string]bool{number: true, "(212) 555-0143": true, other: false, "n/a": false} {
		req := &consentv1.RecordRequest{Fact: &consentv1.Fact{Number: n, Unread: n}}
		if err := w.PutInbox(ctx, "test", strings.Repeat("é", 1<<20), true, req); err != nil {
			t.Fatal(err)
		}
		item := w.inbox.items[len(w.inbox.items)-1]
		if about, err := w.InboxAbout(item, x); about != want || err != nil {
			t.Errorf("%s: %t, %v", n, about, err)
		}
		if got, err := w.OpenInbox(ctx, item); err != nil || !proto.Equal(got, req) {
			t.Errorf("%s: opened %v, %v", n, got, err)
		}
		if len(item.GetReason()) > 600 {
			t.Errorf("a reason of %d bytes", len(item.GetReason()))
		}
	}
}
