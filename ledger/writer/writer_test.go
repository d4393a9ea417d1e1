package writer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
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
	return &consentv1.Fact{Number: number, Sellers: []string{seller}, Source: "test", EventId: id, OccurredAt: timestamppb.New(time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)),
		Kind: &consentv1.Fact_ConsentGranted{ConsentGranted: &consentv1.ConsentGranted{Level: "express_written", Scope: &consentv1.Scope{
			Channels: []consentv1.Channel{consentv1.Channel_CHANNEL_SMS}, Purposes: []consentv1.Purpose{consentv1.Purpose_PURPOSE_MARKETING}}}}}
}

func stop(number, id string) *consentv1.Fact {
	return &consentv1.Fact{Number: number, Sellers: []string{seller}, Source: "test", EventId: id,
		Kind: &consentv1.Fact_ConsentRevoked{ConsentRevoked: &consentv1.ConsentRevoked{Words: "please stop"}}}
}

const number, other = "+12125550143", "+12125550144"

func TestRecordOnce(t *testing.T) {
	l := newWorld(t).start()
	l.must(sellerFact())
	first := l.must(grant(number, "e1"))[0]
	again := l.must(grant(number, "e1"))[0]
	if !again.Duplicate || again.Position != first.Position || again.Leaf != first.Leaf || again.EntryID != first.EntryID {
		t.Errorf("retry got %+v, first was %+v", again, first)
	}
	both := l.must(grant(other, "e2"), grant(other, "e2"))
	if both[0].Duplicate || !both[1].Duplicate || both[0].Position != both[1].Position {
		t.Errorf("the same fact twice in one call: %+v", both)
	}
	if err := l.end(); err != nil {
		t.Fatal(err)
	}
	l = l.w.start()
	if r := l.must(grant(number, "e1"))[0]; !r.Duplicate || r.Position != first.Position || r.Leaf != first.Leaf {
		t.Errorf("after a restart: %+v", r)
	}
}

func TestConflict(t *testing.T) {
	l := newWorld(t).start()
	l.must(sellerFact())
	first := l.must(grant(number, "e1"))[0]
	if o := l.record(grant(other, "e1"))[0]; !errors.Is(o.Err, ledger.ErrEventIDConflict) {
		t.Fatalf("another grant under the same id: %+v", o)
	}
	r := l.must(stop(number, "e1"))[0]
	if r.Duplicate || r.ConflictsWith != first.Position || r.Position <= first.Position {
		t.Fatalf("a conflicting revocation: %+v", r)
	}
	if again := l.must(stop(number, "e1"))[0]; !again.Duplicate || again.Position != r.Position || again.ConflictsWith != first.Position {
		t.Fatalf("its retry: %+v", again)
	}
}

func TestStoredEntryOpens(t *testing.T) {
	l := newWorld(t).start()
	l.must(sellerFact())
	at := l.must(grant(number, "e1"), stop(number, "e2"))[1].Position
	e, err := l.reader.Entry(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(e.Bytes, []byte("2125550143")) {
		t.Error("the number stands in clear")
	}
	fact, erased, err := l.reader.Open(t.Context(), e)
	if err != nil || erased || fact.Number != number || fact.EventId != "e2" || fact.GetConsentRevoked().Words != "please stop" {
		t.Errorf("opened %v, erased %t, %v", fact, erased, err)
	}
	if e.Msg.PersonSeq != 2 || len(e.Msg.PersonPrev) != 32 {
		t.Errorf("back-link: seq %d, prev %x", e.Msg.PersonSeq, e.Msg.PersonPrev)
	}
}

// Every failure in pairs: not done, and done but unheard.
func TestFaults(t *testing.T) {
	for _, tc := range []struct {
		name   string
		faults []ledgertest.Fault
		always ledgertest.Fault
		err    error // of the caller
		fatal  bool  // the writer ends
		stored bool  // found after a restart
	}{
		{name: "publish lost once", faults: []ledgertest.Fault{ledgertest.PublishLost}, stored: true},
		{name: "ack lost once", faults: []ledgertest.Fault{ledgertest.AckLost}, stored: true},
		{name: "refused twice, then taken", faults: []ledgertest.Fault{ledgertest.Refused, ledgertest.Refused}, stored: true},
		{name: "ack lost, then nothing heard, then late", faults: []ledgertest.Fault{ledgertest.AckLost, ledgertest.PublishLost}, stored: true},
		{name: "never an answer", always: ledgertest.PublishLost, err: ledger.ErrUncertain, fatal: true},
		{name: "stored, never an answer", faults: []ledgertest.Fault{ledgertest.AckLost}, always: ledgertest.PublishLost, err: ledger.ErrUncertain, fatal: true, stored: true},
		{name: "the disk failed, nothing is stored", faults: []ledgertest.Fault{ledgertest.DiskLost}, err: ledger.ErrUncertain, fatal: true},
		{name: "stored, and the disk failed", faults: []ledgertest.Fault{ledgertest.DiskFailed}, err: ledger.ErrUncertain, fatal: true, stored: true},
		{name: "stored, nothing heard, and the disk failed", faults: []ledgertest.Fault{ledgertest.AckLost, ledgertest.DiskLost}, err: ledger.ErrUncertain, fatal: true, stored: true},
		{name: "another writer", faults: []ledgertest.Fault{ledgertest.OtherWriter}, err: ledger.ErrUncertain, fatal: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			l := w.start()
			l.must(sellerFact())
			tail := l.writer.Acked()
			w.log.Other = func() []byte { return ledgertest.Commit(t, tail+1, 1) }
			w.log.Next(tc.faults...)
			w.log.Always(tc.always)
			o := l.record(grant(number, "e1"))[0]
			if !errors.Is(o.Err, tc.err) {
				t.Fatalf("outcome %+v", o)
			}
			if tc.fatal {
				if err := <-l.ended; err == nil {
					t.Error("the writer went on")
				}
				close(l.ended)
				if o := l.record(grant(other, "e9"))[0]; !errors.Is(o.Err, ledger.ErrNotReady) {
					t.Errorf("an ended writer answered %+v", o)
				}
				if err := l.index.Close(); err != nil {
					t.Error(err)
				}
			} else if err := l.end(); err != nil {
				t.Fatal(err)
			}
			w.log.Always(ledgertest.None)
			if tc.name == "another writer" {
				return // its foreign commit is none of this ledger's
			}
			l = w.start()
			if r := l.must(grant(number, "e1"))[0]; r.Duplicate != tc.stored {
				t.Errorf("retry after restart: %+v", r)
			}
		})
	}
}

// TestFailingDiskEndsTheWriter at once, whether it is idle or in the middle of an
// append that nobody answers.
func TestFailingDiskEndsTheWriter(t *testing.T) {
	failure := errors.New("the disk failed")
	for _, open := range []bool{false, true} {
		t.Run(fmt.Sprintf("an append is open: %t", open), func(t *testing.T) {
			w := newWorld(t)
			l := w.start()
			l.must(sellerFact())
			answers := make(chan ledger.Outcome, 1)
			if open {
				w.log.Always(ledgertest.PublishLost)
				go func() { answers <- l.record(grant(number, "e1"))[0] }()
				for w.log.Faults() == 0 {
					runtime.Gosched()
				}
			}
			w.disk <- failure
			if open {
				if o := <-answers; !errors.Is(o.Err, ledger.ErrUncertain) {
					t.Errorf("the open append: %+v", o)
				}
			}
			if err := <-l.ended; !errors.Is(err, failure) {
				t.Errorf("the writer ended with %v", err)
			}
			close(l.ended)
			if o := l.record(grant(other, "e2"))[0]; !errors.Is(o.Err, ledger.ErrNotReady) {
				t.Errorf("an ended writer answered %+v", o)
			}
			if err := l.index.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A stop waits for no bulk: it never shares its commit with any.
func TestStopGoesFirst(t *testing.T) {
	l := newWorld(t).start()
	l.must(sellerFact())
	var wg sync.WaitGroup
	wg.Go(func() {
		var facts []*consentv1.Fact
		for i := range 3000 {
			facts = append(facts, grant(fmt.Sprintf("+1212555%04d", 100+i%100), fmt.Sprint("bulk", i)))
		}
		l.must(facts...)
	})
	for i := range 20 {
		wg.Go(func() {
			r := l.must(stop(number, fmt.Sprint("stop", i)))[0]
			seq, err := l.index.SeqOf(r.Position)
			if err != nil {
				t.Error(err)
				return
			}
			m, err := l.w.log.Read(t.Context(), seq)
			if err != nil {
				t.Error(err)
				return
			}
			entries, err := ledger.DecodeCommit(m, l.w.keys)
			if err != nil {
				t.Error(err)
				return
			}
			for _, e := range entries {
				if e.Fact().GetConsentGranted() != nil {
					t.Error("a commit with a stop holds bulk")
				}
			}
		})
	}
	wg.Wait()
}

func TestClock(t *testing.T) {
	w := newWorld(t)
	l := w.start()
	l.must(sellerFact())
	before := l.must(grant(number, "e1"))[0]
	w.wall.set(w.wall.now.Add(-time.Hour))
	var invalid *ledger.InvalidError
	if o := l.record(grant(number, "e2"))[0]; !errors.As(o.Err, &invalid) || invalid.Field != "recorded_at" {
		t.Fatalf("a grant while the clock is wrong: %+v", o)
	}
	r := l.must(stop(number, "e3"))[0]
	if r.RecordedAt.Before(before.RecordedAt) {
		t.Error("recorded_at went backwards")
	}
	if p := l.writer.Problems(); len(p) != 1 {
		t.Errorf("problems %v", p)
	}
	l.writer.ConfirmClock()
	if r := l.must(grant(number, "e4"))[0]; r.RecordedAt.Before(before.RecordedAt) {
		t.Error("recorded_at went backwards after the officer's word")
	}
	if err := l.end(); err != nil {
		t.Fatal(err)
	}
	w.wall.set(w.wall.now.Add(-24 * time.Hour))
	l = w.start()
	if o := l.record(grant(other, "e5"))[0]; !errors.As(o.Err, &invalid) {
		t.Fatalf("a grant when the clock starts behind the tail: %+v", o)
	}
	l.must(stop(other, "e6"))
}

func TestDates(t *testing.T) {
	l := newWorld(t).start()
	l.must(sellerFact())
	ahead := grant(number, "e1")
	ahead.OccurredAt = timestamppb.New(l.w.wall.now.Add(24 * time.Hour))
	var invalid *ledger.InvalidError
	if o := l.record(ahead)[0]; !errors.As(o.Err, &invalid) || invalid.Field != "occurred_at" {
		t.Fatalf("a grant dated tomorrow: %+v", o)
	}
	late := stop(number, "e2")
	late.OccurredOn = "someday"
	r := l.must(late)[0]
	e, err := l.reader.Entry(t.Context(), r.Position)
	if err != nil {
		t.Fatal(err)
	}
	if got := e.Fact().Latest.AsTime(); !got.Equal(r.RecordedAt) || !e.Fact().Earliest.AsTime().Equal(got) {
		t.Errorf("an unreadable date of a stop: %s to %s", e.Fact().Earliest.AsTime(), got)
	}
	day := grant(number, "e3")
	day.OccurredAt, day.OccurredOn = nil, "2026-05-04"
	e, err = l.reader.Entry(t.Context(), l.must(day)[0].Position)
	if err != nil {
		t.Fatal(err)
	}
	if from, to := e.Fact().Earliest.AsTime(), e.Fact().Latest.AsTime(); from.After(time.Date(2026, 5, 4, 4, 0, 0, 0, time.UTC)) || to.Before(time.Date(2026, 5, 5, 9, 59, 0, 0, time.UTC)) {
		t.Errorf("a day spans %s to %s", from, to)
	}
}

func TestErase(t *testing.T) {
	w := newWorld(t)
	l := w.start()
	l.must(sellerFact())
	mine := l.must(grant(number, "e1"))[0].Position
	theirs := l.must(grant(other, "e2"))[0].Position
	x, err := w.keys.Exchange(number)
	if err != nil {
		t.Fatal(err)
	}
	check := func(l *life) {
		t.Helper()
		e, err := l.reader.Entry(t.Context(), mine)
		if err != nil {
			t.Fatal(err)
		}
		if fact, erased, err := l.reader.Open(t.Context(), e); err != nil || !erased || fact.Number != "" {
			t.Errorf("after erasure: %v, erased %t, %v", fact, erased, err)
		}
		if e, err = l.reader.Entry(t.Context(), theirs); err != nil {
			t.Fatal(err)
		}
		if fact, erased, err := l.reader.Open(t.Context(), e); err != nil || erased || fact.Number != other {
			t.Errorf("somebody else: %v, erased %t, %v", fact, erased, err)
		}
	}
	r, persons, err := l.writer.Erase(t.Context(), number, x, "erasure_request")
	if err != nil || persons != 1 || r.Position == 0 {
		t.Fatalf("erase: %+v, %d, %v", r, persons, err)
	}
	check(l)
	again := l.must(grant(number, "e3"))[0].Position
	e, err := l.reader.Entry(t.Context(), again)
	if err != nil {
		t.Fatal(err)
	}
	if e.Msg.PersonSeq != 1 {
		t.Error("a number that comes again did not begin a new person")
	}
	if err := l.end(); err != nil {
		t.Fatal(err)
	}
	check(w.start())
}

func TestLargeStopIsKeptWhole(t *testing.T) {
	l := newWorld(t).start()
	l.must(sellerFact())
	f := stop(number, "e1")
	f.GetConsentRevoked().Words = string(bytes.Repeat([]byte("stop "), 400_000))
	e, err := l.reader.Entry(t.Context(), l.must(f)[0].Position)
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Bytes) > ledger.EntryBytesMax || proto.Size(e.Msg) > 4096 {
		t.Errorf("entry of %d bytes", len(e.Bytes))
	}
	if fact, _, err := l.reader.Open(t.Context(), e); err != nil || fact.GetConsentRevoked().Words != f.GetConsentRevoked().Words {
		t.Errorf("words lost: %v", err)
	}
}
