package writer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/declare"
	"github.com/consent-ledger/consent-ledger/ledger/index"
	"github.com/consent-ledger/consent-ledger/ledger/ledgertest"
	"github.com/consent-ledger/consent-ledger/ledger/memledger"
	"github.com/consent-ledger/consent-ledger/ledger/reader"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	"github.com/consent-ledger/consent-ledger/ledger/writer"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// world is a ledger that outlives its writers.
type world struct {
	t     *testing.T
	dir   string
	log   *ledgertest.Faulty
	keys  *seal.Keyring
	files memFiles
	wall  *wallClock
	disk  chan error // how the disk of the streams fails
}

// life is one writer's.
type life struct {
	w      *world
	index  *index.Index
	writer *writer.Writer
	reader *reader.Reader
	stop   context.CancelFunc
	ended  chan error
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), files: memFiles{}, disk: make(chan error), wall: &wallClock{now: time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)},
		log: &ledgertest.Faulty{Log: memledger.New(func(err error) { t.Error(err) })}}
	var err error
	if w.keys, err = seal.Create(filepath.Join(w.dir, "keys")); err != nil {
		t.Fatal(err)
	}
	return w
}

// start begins a life; the index is kept unless the test removed its folder.
func (w *world) start() *life {
	w.t.Helper()
	l, err := w.tryStart()
	if err != nil {
		w.t.Fatal(err)
	}
	return l
}

func (w *world) tryStart() (*life, error) {
	ix, err := index.Open(filepath.Join(w.dir, "index"), index.Options{Ledger: w.keys.LedgerID(), Live: w.keys.Live})
	if err != nil {
		return nil, err
	}
	wr, err := writer.Open(w.t.Context(), writer.Config{Log: w.log, Index: ix, Keys: w.keys, Files: w.files, Clock: w.wall.clock(), Metrics: noMetrics{},
		Watch: w.watch, Lagging: func() bool { return false }, Offer: w.offered, Version: "test", Instance: fmt.Sprint(time.Now().UnixNano())})
	if err != nil {
		return nil, errors.Join(err, ix.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &life{w: w, index: ix, writer: wr, reader: reader.New(w.log, ix, w.keys, w.files), stop: cancel, ended: make(chan error, 1)}
	go func() { l.ended <- wr.Run(ctx) }()
	w.t.Cleanup(func() { l.end() })
	return l, nil
}

// offered holds every commit of every test to what the writer's contract says of
// Offer: the entries are those that decoding the bytes gives.
func (w *world) offered(seq uint64, data []byte, entries []*ledger.Entry) {
	decoded, err := ledger.DecodeCommit(ledger.Message{Seq: seq, Data: data}, w.keys)
	if err != nil {
		w.t.Errorf("message %d: %v", seq, err)
	}
	if d := cmp.Diff(decoded, entries, protocmp.Transform()); d != "" {
		w.t.Errorf("message %d: what is offered is not what decoding gives (-decoded +offered):\n%s", seq, d)
	}
	for i := range min(len(decoded), len(entries)) {
		if decoded[i].RecordedAt != entries[i].RecordedAt {
			w.t.Errorf("message %d: recorded at %v, decoded %v", seq, entries[i].RecordedAt, decoded[i].RecordedAt)
		}
	}
}

func (w *world) watch(ctx context.Context) error {
	select {
	case err := <-w.disk:
		return err
	case <-ctx.Done():
		return nil
	}
}

// end stops the writer and gives the error of its run. It may be called twice.
func (l *life) end() error {
	l.stop()
	err, ok := <-l.ended
	if ok {
		close(l.ended)
		if cerr := l.index.Close(); cerr != nil {
			l.w.t.Error(cerr)
		}
	}
	return err
}

func (l *life) record(facts ...*consentv1.Fact) []ledger.Outcome {
	l.w.t.Helper()
	declared := make([]*declare.Declared, len(facts))
	for i, f := range facts {
		var err error
		if declared[i], err = declare.Declare(declare.Declaration{Fact: f}, l.w.keys, l.index); err != nil {
			l.w.t.Fatal(err)
		}
	}
	return l.writer.Record(l.w.t.Context(), declared)
}

func (l *life) must(facts ...*consentv1.Fact) []ledger.Receipt {
	l.w.t.Helper()
	var out []ledger.Receipt
	for _, o := range l.record(facts...) {
		if o.Err != nil {
			l.w.t.Fatal(o.Err)
		}
		out = append(out, o.Receipt)
	}
	return out
}

type memFiles map[ledger.Hash][]byte

func (m memFiles) PutBytes(_ context.Context, data []byte) (ledger.Hash, error) {
	h := ledger.LeafHash(data)
	m[h] = bytes.Clone(data)
	return h, nil
}
func (m memFiles) GetBytes(_ context.Context, name ledger.Hash) ([]byte, error) { return m[name], nil }

type noMetrics struct{}

func (noMetrics) Committed(int, int, time.Duration) {}
func (noMetrics) AppendRetried()                    {}

// wallClock jumps when told to; its process time runs 20 times as fast, so that
// ten seconds without an answer pass in half a second.
type wallClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *wallClock) set(t time.Time) { c.mu.Lock(); c.now = t; c.mu.Unlock() }
func (c *wallClock) clock() writer.Clock {
	start := time.Now()
	mono := func() time.Duration { return 20 * time.Since(start) }
	return writer.Clock{Mono: mono, Wall: func() time.Time {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.now.Add(mono())
	}}
}

const seller = "acme"

func sellerFact() *consentv1.Fact {
	return &consentv1.Fact{Source: "test", EventId: "seller", Kind: &consentv1.Fact_SellerRegistered{SellerRegistered: &consentv1.SellerRegistered{Id: seller}}}
}

func grant(number, id string) *consentv1.Fact {
	return &consentv1.Fact{Number: number, Sellers: []string{seller}, Source: "test", EventId: id,
		OccurredAt: timestamppb.New(time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)),
		Kind: &consentv1.Fact_ConsentGranted{ConsentGranted: &consentv1.ConsentGranted{Level: "express_written", Scope: &consentv1.Scope{
			Channels: []consentv1.Channel{consentv1.Channel_CHANNEL_SMS}, Purposes: []consentv1.Purpose{consentv1.Purpose_PURPOSE_MARKETING}}}}}
}

func stop(number, id string) *consentv1.Fact {
	return &consentv1.Fact{Number: number, Sellers: []string{seller}, Source: "test", EventId: id,
		Kind: &consentv1.Fact_ConsentRevoked{ConsentRevoked: &consentv1.ConsentRevoked{Words: "please stop"}}}
}

const number, other = "+12125550143", "+12125550144"
