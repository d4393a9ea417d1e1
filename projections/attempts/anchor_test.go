package attempts

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/memstream"
	"github.com/consent-ledger/consent-ledger/projections"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// anchorLedger keeps what an anchorer records, by event id, as the ledger does.
type anchorLedger struct {
	mu    sync.Mutex
	facts map[string]*consentv1.Fact
	order []*consentv1.AttemptsAnchored
	err   error
	after bool // err comes after recording: nobody knows
}

func (l *anchorLedger) record(_ context.Context, f *consentv1.Fact) (ledger.Receipt, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil && !l.after {
		return ledger.Receipt{}, l.err
	}
	if l.facts[f.GetEventId()] == nil {
		l.facts[f.GetEventId()] = proto.CloneOf(f)
		l.order = append(l.order, f.GetAttemptsAnchored())
	}
	return ledger.Receipt{}, l.err
}

// fails says how the next calls end.
func (l *anchorLedger) fails(err error, after bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err, l.after = err, after
}

func (l *anchorLedger) anchors() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.order)
}

// last is what a start learns of the ledger, by the projection.
func (l *anchorLedger) last(t *testing.T) func(context.Context) (uint64, error) {
	return func(context.Context) (uint64, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		b := memBatch{}
		for _, m := range l.order {
			e := &ledger.Entry{Msg: &consentv1.Entry{Fact: &consentv1.Fact{Kind: &consentv1.Fact_AttemptsAnchored{AttemptsAnchored: m}}}}
			if err := (Anchors{}).Apply(b, e); err != nil {
				t.Error(err)
			}
		}
		seq, _, err := decodeAnchor(b["\x28"])
		return seq, err
	}
}

// memBatch is as much of a batch as Anchors uses.
type memBatch map[string][]byte

func (b memBatch) Get(k []byte) ([]byte, error) { return b[string(k)], nil }
func (b memBatch) Set(k, v []byte) error        { b[string(k)] = v; return nil }

// The rest of projections.Batch is not for anchors.
func (memBatch) Delete([]byte) error           { return errors.ErrUnsupported }
func (memBatch) DeleteRange(_, _ []byte) error { return errors.ErrUnsupported }
func (memBatch) Scan(_, _ []byte) iter.Seq2[[]byte, []byte] {
	return func(func([]byte, []byte) bool) {}
}

var _ projections.Batch = memBatch{}

// TestAnchorer: every so often, once at the end, never without new messages; the
// anchors run on without a gap over failures, lost answers and restarts. In
// synctest's bubble the minutes take no time.
func TestAnchorer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memstream.New(func(uint64, []byte) {})
		l := &anchorLedger{facts: map[string]*consentv1.Fact{}}
		begin := func() (end func()) {
			a := &Anchorer{Log: s, Last: l.last(t), Record: l.record}
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- a.Run(ctx) }()
			synctest.Wait() // its clock runs
			return func() {
				stop()
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
		}
		// A second more, because at one instant nobody says who wakes first.
		passes := func() { <-time.After(anchorEvery + time.Second); synctest.Wait() }
		want := func(anchors int, through uint64) {
			t.Helper()
			if last, _ := l.last(t)(t.Context()); l.anchors() != anchors || last != through {
				t.Fatalf("%d anchors through %d, want %d through %d", l.anchors(), last, anchors, through)
			}
		}
		end := begin()
		passes()
		want(0, 0) // nothing to anchor
		batches(t, s, 5)
		want(0, 0) // not yet
		passes()
		want(1, 5)
		passes()
		want(1, 5) // nothing new
		batches(t, s, 3)
		l.fails(ledger.ErrUncertain, true)
		passes()
		want(2, 8) // recorded, and not heard
		batches(t, s, 2)
		l.fails(nil, false)
		passes()
		want(3, 10) // the same again is the same entry, then the new ones
		batches(t, s, 1)
		l.fails(ledger.ErrNotReady, false)
		end() // the anchor at the end fails
		want(3, 10)
		l.fails(nil, false)
		end = begin()
		batches(t, s, 1)
		end() // a clean stop anchors at once
		want(4, 12)
		checkAnchors(t, s, l.order)
	})
}

func batches(t *testing.T, s *memstream.Stream, n int) {
	t.Helper()
	_, last, err := s.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		b := &consentv1.AttemptBatch{RecordedAt: timestamppb.New(time.Unix(int64(last)+int64(i), 0)),
			Records: []*consentv1.AttemptRecord{{Seller: acme}, {Seller: acme}}}
		data, err := proto.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Append(t.Context(), last+uint64(i), data); err != nil {
			t.Fatal(err)
		}
	}
}

// checkAnchors: no gap, no overlap, the right counts, and roots as RFC 9162 section
// 2.1.1 defines them.
func checkAnchors(t *testing.T, s *memstream.Stream, anchors []*consentv1.AttemptsAnchored) {
	t.Helper()
	next := uint64(1)
	for _, a := range anchors {
		if a.GetFirstSequence() != next || a.GetRecords() != 2*(a.GetLastSequence()-a.GetFirstSequence()+1) {
			t.Errorf("anchor %v where %d is due", a, next)
		}
		var leaves [][]byte
		for ; next <= a.GetLastSequence(); next++ {
			m, err := s.Read(t.Context(), next)
			if err != nil {
				t.Fatal(err)
			}
			leaves = append(leaves, m.Data)
		}
		if got, want := fmt.Sprintf("%x", a.GetRoot()), fmt.Sprintf("%x", rootByDefinition(leaves)); got != want {
			t.Errorf("root of %d messages is %s, want %s", len(leaves), got, want)
		}
	}
}

// rootByDefinition is MTH of RFC 9162, word for word.
func rootByDefinition(d [][]byte) []byte {
	if len(d) == 1 {
		sum := sha256.Sum256(append([]byte{0}, d[0]...))
		return sum[:]
	}
	k := 1
	for 2*k < len(d) {
		k *= 2
	}
	sum := sha256.Sum256(append(append([]byte{1}, rootByDefinition(d[:k])...), rootByDefinition(d[k:])...))
	return sum[:]
}

// TestLostAnchored: messages that are anchored and gone are said to be missing.
func TestLostAnchored(t *testing.T) {
	s := memstream.New(func(uint64, []byte) {})
	batches(t, s, 3)
	a := &Anchorer{Log: s, last: 5}
	if _, err := a.next(t.Context()); !errors.Is(err, ledger.ErrDamaged) {
		t.Errorf("5 anchored, 3 there: %v", err)
	}
}
