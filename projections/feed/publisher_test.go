package feed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/projections/internal/memsource"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

func TestEachSellerIsToldItsChanges(t *testing.T) {
	w := newWorld(t)
	want := story(w.source)
	w.background(w.runner.Run)
	p := w.publish(nil)
	if p.Published() != w.source.Tail() {
		t.Error(p.Published())
	}
	got := w.messages()
	for s, positions := range want {
		if d := cmp.Diff(positions, told(got, s)); d != "" {
			t.Errorf("%s: %s", s, d)
		}
	}
	last := ledger.Position(0)
	for _, b := range got {
		if ledger.Position(b.GetThroughPosition()) < last {
			t.Error("a run ends before an earlier one")
		}
		last = ledger.Position(b.GetThroughPosition())
	}
}

func TestAnUpdateIsTheWholeState(t *testing.T) {
	w := newWorld(t)
	w.background(w.runner.Run)
	w.source.Append(seller("acme"))
	w.source.Append(revoked(1, "acme"), revoked(1))
	w.publish(nil)
	w.source.Append(revoked(1, "acme"))
	w.publish(nil)
	w.source.Append(erased(1))
	w.publish(nil)

	reg := func(at ...int64) *consentv1.SuppressionState {
		s := &consentv1.SuppressionState{}
		for _, p := range at {
			s.Revoked = append(s.Revoked, &consentv1.ProhibitionRegister{Time: &consentv1.TimeSpan{Latest: p}})
		}
		return s
	}
	want := []*consentv1.FeedUpdate{
		{Position: 2, SellerState: reg(2), AllState: reg(3), Cause: "consent_revoked"},
		{Position: 3, SellerState: reg(2), AllState: reg(3), Cause: "consent_revoked"},
		{Position: 4, SellerState: reg(2, 4), AllState: reg(3), Cause: "consent_revoked"},
		{Position: 5, AllState: &consentv1.SuppressionState{Erased: &consentv1.TimeSpan{Earliest: 5}}, Cause: "person_erased", Erased: true},
	}
	var got []*consentv1.FeedUpdate
	for _, b := range w.messages() {
		got = append(got, b.GetUpdates()...)
	}
	if d := cmp.Diff(want, got, protocmp.Transform(), protocmp.IgnoreFields(&consentv1.FeedUpdate{}, "token", "recorded_at")); d != "" {
		t.Error(d)
	}
	for _, u := range got {
		if tok := (tokens{}).FeedOf("acme", memsource.TokenOf(1)); !slices.Equal(u.GetToken(), tok[:]) {
			t.Error("not the seller's token")
		}
	}
}

// faulty is a stream that fails once, after some messages.
type faulty struct {
	Stream
	after  int
	stored bool // the message arrives, its acknowledgement does not
	failed bool
}

func (f *faulty) Publish(ctx context.Context, seller string, b []byte, last uint64) (uint64, error) {
	if f.after--; f.after >= 0 || f.failed {
		return f.Stream.Publish(ctx, seller, b, last)
	}
	f.failed = true
	if f.stored {
		if _, err := f.Stream.Publish(ctx, seller, b, last); err != nil {
			return 0, err
		}
	}
	return 0, ledger.ErrNoAnswer
}

// TestCrashBetweenSellers cuts a run after each of its messages, with the next
// one stored or not, and lets the publisher go on or another one take over.
func TestCrashBetweenSellers(t *testing.T) {
	for after := range 6 {
		for _, stored := range []bool{false, true} {
			for _, bytesMax := range []int{0, 1} {
				t.Run(fmt.Sprintf("after %d, stored %t, bytes %d", after, stored, bytesMax), func(t *testing.T) {
					w := newWorld(t)
					want := story(w.source)
					w.background(w.runner.Run)
					if err := w.runner.WaitApplied(t.Context(), w.source.Tail()); err != nil {
						t.Fatal(err)
					}
					w.publish(func(c *PublisherConfig) {
						c.Stream, c.BatchBytesMax = &faulty{Stream: w.stream, after: after, stored: stored}, bytesMax
					})
					w.assertTold(want, w.messages())
				})
			}
		}
	}
}

// dying ends its publisher after some messages, as a crash would.
type dying struct {
	Stream
	after int
	die   context.CancelFunc
}

func (d *dying) Publish(ctx context.Context, seller string, b []byte, last uint64) (uint64, error) {
	if d.after--; d.after < 0 {
		d.die()
		return 0, ctx.Err()
	}
	return d.Stream.Publish(ctx, seller, b, last)
}

func TestAnotherPublisherFinishesTheRun(t *testing.T) {
	for after := range 12 {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			w := newWorld(t)
			want := story(w.source)
			w.background(w.runner.Run)
			ctx, die := context.WithCancel(t.Context())
			defer die()
			p := NewPublisher(PublisherConfig{Source: w.source, State: w.runner, Listing: w.listing, Tokens: tokens{},
				Stream: &dying{Stream: w.stream, after: after, die: die}, BatchBytesMax: 1,
				Published: func(at ledger.Position, _ time.Time) {
					if at == w.source.Tail() {
						die()
					}
				}})
			if err := p.Run(ctx); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			w.source.Append(revoked(5)) // a change behind the run that was cut
			for s := range want {
				if s != "nobody" {
					want[s] = append(want[s], 13)
				}
			}
			w.publish(nil)
			w.assertTold(want, w.messages())
		})
	}
}

func TestTwoPublishersLoseNothing(t *testing.T) {
	w := newWorld(t)
	w.background(w.runner.Run)
	w.source.Append(seller("acme"), seller("beta"))
	small := func(c *PublisherConfig) { c.RunEntriesMax = 1 }
	_, one, _ := w.publisher(small)
	_, two, _ := w.publisher(small)
	want := map[string][]uint64{}
	for i := range 30 {
		at := uint64(w.source.Append(revoked(i)))
		want["acme"], want["beta"] = append(want["acme"], at), append(want["beta"], at)
	}
	one.wait(t, w.source.Tail())
	two.wait(t, w.source.Tail())
	w.assertTold(want, w.messages())
}

func TestThePublisherWaitsForTheProjections(t *testing.T) {
	w := newWorld(t)
	want := story(w.source)
	_, n, _ := w.publisher(nil) // the runner is not even started
	w.background(w.runner.Run)
	n.wait(t, w.source.Tail())
	w.assertTold(want, w.messages())
}

func TestTheProjectionsMayBeAhead(t *testing.T) {
	w := newWorld(t)
	w.background(w.runner.Run)
	want := story(w.source)
	if err := w.runner.WaitApplied(t.Context(), w.source.Tail()); err != nil {
		t.Fatal(err)
	}
	w.publish(nil)
	w.assertTold(want, w.messages())
	if err := w.runner.Rebuild(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	w.publish(nil) // nothing to do, and nothing repeated
	if d := cmp.Diff(want["acme"], told(w.messages(), "acme")); d != "" {
		t.Error(d)
	}
}

func TestPublisherEndsWithWhatItReads(t *testing.T) {
	w := newWorld(t)
	w.background(w.runner.Run)
	w.source.AppendRaw(memsource.NewEntry(1, seller("acme")))
	w.source.AppendRaw(memsource.NewEntry(3, revoked(1)))
	p := NewPublisher(PublisherConfig{Source: w.source, State: w.runner, Listing: w.listing, Tokens: tokens{}, Stream: w.stream})
	if err := p.Run(t.Context()); err == nil {
		t.Error("a gap was published over")
	}
}
