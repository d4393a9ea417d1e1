package feed

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/projections/internal/memsource"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// manualTicks is a heartbeat clock that a test moves.
func manualTicks() (chan time.Time, func(time.Duration) (<-chan time.Time, func())) {
	c := make(chan time.Time)
	return c, func(time.Duration) (<-chan time.Time, func()) { return c, func() {} }
}

// reader takes one response after the other.
type reader struct {
	t    *testing.T
	next func() (*consentv1.SubscribeResponse, error, bool)
}

func (w *world) subscribe(p *Publisher, q Request) (r *reader, ticks chan<- time.Time) {
	w.t.Helper()
	c, source := manualTicks()
	s := NewSubscriber(SubscriberConfig{State: w.runner, Listing: w.listing, Tokens: tokens{}, Stream: w.stream, Published: p.Published, Ticks: source})
	next, stop := iter.Pull2(s.Subscribe(w.t.Context(), q))
	w.t.Cleanup(stop)
	return &reader{w.t, next}, c
}

func (r *reader) response() *consentv1.SubscribeResponse {
	r.t.Helper()
	got, err, ok := r.next()
	if err != nil || !ok {
		r.t.Fatal(err, ok)
	}
	return got
}

func (r *reader) updates(n int) (out []*consentv1.FeedUpdate) {
	r.t.Helper()
	for range n {
		u := r.response().GetUpdate()
		if u == nil {
			r.t.Fatal("no update")
		}
		out = append(out, u)
	}
	return out
}

func positionsOf(us []*consentv1.FeedUpdate) (out []uint64) {
	for _, u := range us {
		out = append(out, u.GetPosition())
	}
	return out
}

func TestSubscribeFromAPosition(t *testing.T) {
	w := newWorld(t)
	want := story(w.source)
	w.background(w.runner.Run)
	p, n, _ := w.publisher(func(c *PublisherConfig) { c.RunEntriesMax = 1 })
	n.wait(t, w.source.Tail())
	for from := ledger.Position(1); from < w.source.Tail(); from++ {
		r, _ := w.subscribe(p, Request{Seller: "acme", From: from})
		var expected []uint64
		for _, at := range want["acme"] {
			if at > uint64(from) {
				expected = append(expected, at)
			}
		}
		if d := cmp.Diff(expected, positionsOf(r.updates(len(expected)))); d != "" {
			t.Errorf("from %d: %s", from, d)
		}
	}
	r, ticks := w.subscribe(p, Request{Seller: "acme", From: w.source.Tail()})
	go func() { ticks <- memsource.Start }()
	h := r.response().GetHeartbeat()
	if h.GetPosition() != uint64(w.source.Tail()) || !h.GetAt().AsTime().Equal(memsource.Start) {
		t.Error(h)
	}
	at := w.source.Append(revoked(9, "beta"), revoked(9, "acme"))
	if u := r.updates(1)[0]; u.GetPosition() != uint64(at) {
		t.Error(u)
	}
}

func TestSubscribeFromTheStart(t *testing.T) {
	w := newWorld(t)
	w.background(w.runner.Run)
	story(w.source)
	p, n, _ := w.publisher(nil)
	n.wait(t, w.source.Tail())
	r, ticks := w.subscribe(p, Request{Seller: "acme", Reveal: true})
	numbers := map[string]bool{}
	for _, u := range r.updates(4) { // tokens 1 (erased), 2, 3, 4
		if u.GetPosition() != uint64(w.source.Tail()) || u.GetCause() != "" {
			t.Error(u)
		}
		numbers[u.GetNumber()] = u.GetErased()
	}
	want := map[string]bool{"": true, "+12025550102": false, "+12025550103": false, "+12025550104": false}
	if d := cmp.Diff(want, numbers); d != "" {
		t.Error(d)
	}
	end := r.response().GetSnapshotEnd()
	if end.GetPosition() != uint64(w.source.Tail()) || end.GetStates() != 4 {
		t.Error(end)
	}
	// A change for another seller only: the heartbeat says that we are complete.
	at := w.source.Append(revoked(50, "beta"))
	n.wait(t, at)
	go func() { ticks <- memsource.Start }()
	if h := r.response().GetHeartbeat(); h.GetPosition() != uint64(at) {
		t.Error(h)
	}
	at = w.source.Append(revoked(51))
	if u := r.updates(1)[0]; u.GetPosition() != uint64(at) || u.GetNumber() != "+12025550151" {
		t.Error(u)
	}
}

// TestNoNumberOfWhoWasErasedSince: an update that is older than the erasure is
// sent as it was, but without the number.
func TestNoNumberOfWhoWasErasedSince(t *testing.T) {
	w := newWorld(t)
	w.background(w.runner.Run)
	w.source.Append(seller("acme"))
	w.source.Append(revoked(1, "acme"), revoked(2, "acme"))
	w.publish(nil)
	w.source.Append(erased(1), revoked(1, "acme"))
	p := w.publish(nil)
	if err := w.runner.WaitApplied(t.Context(), w.source.Tail()); err != nil {
		t.Fatal(err)
	}
	type told struct {
		Position uint64
		Number   string
		Erased   bool
	}
	r, _ := w.subscribe(p, Request{Seller: "acme", From: 1, Reveal: true})
	var got []told
	for _, u := range r.updates(4) {
		got = append(got, told{u.GetPosition(), u.GetNumber(), u.GetErased()})
	}
	want := []told{{2, "", false}, {3, "+12025550102", false}, {4, "", true}, {5, "", true}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestNoNumberOfWhoIsErasedDuringASnapshot: the snapshot is of the moment it
// began; the numbers it reveals are not.
func TestNoNumberOfWhoIsErasedDuringASnapshot(t *testing.T) {
	w := newWorld(t)
	w.background(w.runner.Run)
	w.source.Append(seller("acme"))
	w.source.Append(revoked(1), revoked(2), revoked(3))
	p := w.publish(nil)
	r, _ := w.subscribe(p, Request{Seller: "acme", Reveal: true})
	first := r.updates(1)[0]
	if first.GetNumber() == "" {
		t.Fatal("a number is missing")
	}
	at := w.source.Append(erased(1), erased(2), erased(3))
	if err := w.runner.WaitApplied(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	for _, u := range r.updates(2) {
		if u.GetNumber() != "" || u.GetPosition() != first.GetPosition() {
			t.Errorf("position %d, number given: %v", u.GetPosition(), u.GetNumber() != "")
		}
	}
}

func TestFromBeforeTheSellerBeginsWithASnapshot(t *testing.T) {
	w := newWorld(t)
	w.background(w.runner.Run)
	w.source.Append(seller("acme"), revoked(1), revoked(2))
	w.source.Append(seller("late"))
	p, n, _ := w.publisher(nil)
	n.wait(t, w.source.Tail())
	r, _ := w.subscribe(p, Request{Seller: "late", From: 2})
	r.updates(2)
	if r.response().GetSnapshotEnd().GetStates() != 2 {
		t.Error("what was revoked for all before the seller came is missing")
	}
}

// TestHeartbeatNeverPromisesWhatWasNotSent holds messages back from the reader
// while the publisher goes on.
func TestHeartbeatNeverPromisesWhatWasNotSent(t *testing.T) {
	w := newWorld(t)
	w.background(w.runner.Run)
	w.source.Append(seller("acme"))
	p, n, _ := w.publisher(nil)
	at := w.source.Append(revoked(1, "acme"))
	n.wait(t, at)
	sent := []*consentv1.SubscribeResponse{}
	s := NewSubscriber(SubscriberConfig{State: w.runner, Listing: w.listing, Tokens: tokens{}, Stream: w.stream, Published: p.Published})
	sub := subscription{Subscriber: s, q: Request{Seller: "acme"}, last: 1, whole: 1, send: func(r *consentv1.SubscribeResponse) error {
		sent = append(sent, r)
		return nil
	}}
	if err := sub.heartbeat(t.Context(), memsource.Start); err != nil {
		t.Fatal(err)
	}
	batch := w.messages()[0]
	batch.More = true // its run goes on
	if err := errors.Join(sub.sendBatch(t.Context(), batch), sub.heartbeat(t.Context(), memsource.Start)); err != nil {
		t.Fatal(err)
	}
	batch.More = false // published again, and whole
	if err := errors.Join(sub.sendBatch(t.Context(), batch), sub.heartbeat(t.Context(), memsource.Start)); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range sent {
		if h := r.GetHeartbeat(); h != nil {
			got = append(got, fmt.Sprint("heartbeat ", h.GetPosition()))
		} else {
			got = append(got, fmt.Sprint("update ", r.GetUpdate().GetPosition()))
		}
	}
	if d := cmp.Diff([]string{"heartbeat 1", "update 2", "heartbeat 1", "heartbeat 2"}, got); d != "" {
		t.Error(d)
	}
}

func TestUnknownSellerHasNoFeed(t *testing.T) {
	w := newWorld(t)
	w.background(w.runner.Run)
	p := NewPublisher(PublisherConfig{})
	r, _ := w.subscribe(p, Request{Seller: "nobody"})
	if _, err, _ := r.next(); !errors.Is(err, ErrNoSeller) {
		t.Error(err)
	}
}

func TestSubscriptionEndsWithItsContext(t *testing.T) {
	w := newWorld(t)
	w.background(w.runner.Run)
	w.source.Append(seller("acme"))
	if err := w.runner.WaitApplied(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	s := NewSubscriber(SubscriberConfig{State: w.runner, Listing: w.listing, Tokens: tokens{}, Stream: w.stream,
		Published: func() ledger.Position { return 0 }})
	ctx, cancel := context.WithCancel(t.Context())
	var err error
	for r, e := range s.Subscribe(ctx, Request{Seller: "acme"}) {
		if err = e; r.GetSnapshotEnd() != nil {
			cancel()
		}
	}
	cancel()
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
