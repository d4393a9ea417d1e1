package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// demoDialer stands for a dialer: it subscribes to a seller's suppression feed and
// notes when each step of it arrives.
type demoDialer struct {
	arrivals chan arrival
	end      context.CancelFunc
}

// arrival is one step of the feed and when it was there.
type arrival struct {
	event *consentv1.SubscribeResponse
	at    time.Time
	err   error // the feed's end
}

// listen subscribes. The goroutine ends with stop, or when the feed does.
func listen(ctx context.Context, cl *client.Client, seller string) *demoDialer {
	ctx, end := context.WithCancel(ctx)
	d := &demoDialer{arrivals: make(chan arrival, 64), end: end}
	go func() {
		defer close(d.arrivals)
		for event, err := range cl.Subscribe(ctx, &consentv1.SubscribeRequest{Seller: seller}) {
			select {
			case d.arrivals <- arrival{event, time.Now(), err}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return d
}

// snapshot waits until the snapshot is whole, and gives its states.
func (d *demoDialer) snapshot(ctx context.Context) (states uint64, err error) {
	a, err := d.await(ctx, func(e *consentv1.SubscribeResponse) bool { return e.GetSnapshotEnd() != nil })
	return a.event.GetSnapshotEnd().GetStates(), err
}

// update waits for the change at a position.
func (d *demoDialer) update(ctx context.Context, position uint64) (arrival, error) {
	return d.await(ctx, func(e *consentv1.SubscribeResponse) bool { return e.GetUpdate().GetPosition() == position })
}

// awaitMax bounds waiting for the feed; what takes longer is a failure.
const awaitMax = 20 * time.Second

func (d *demoDialer) await(ctx context.Context, wanted func(*consentv1.SubscribeResponse) bool) (arrival, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, awaitMax, fmt.Errorf("nothing arrived within %s", awaitMax))
	defer cancel()
	for {
		select {
		case a, open := <-d.arrivals:
			switch {
			case !open:
				return arrival{}, fmt.Errorf("the dialer's feed ended")
			case a.err != nil:
				return arrival{}, fmt.Errorf("the dialer's feed: %w", a.err)
			case wanted(a.event):
				return a, nil
			}
		case <-ctx.Done():
			return arrival{}, fmt.Errorf("the dialer's feed: %w", context.Cause(ctx))
		}
	}
}

// stop ends the subscription and waits for it.
func (d *demoDialer) stop() {
	d.end()
	for range d.arrivals { // until it is closed
	}
}
