package feed

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/projections/runner"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// heartbeatEvery is the time between heartbeats. Who hears none for a few of
// these must take its copy for stale.
const heartbeatEvery = time.Second

// SubscriberConfig says what subscriptions work with. All but Ticks are needed.
type SubscriberConfig struct {
	State   State
	Listing Listing
	Tokens  Tokens
	Stream  Stream
	// Published is the position up to which every change is in the stream:
	// Publisher.Published.
	Published func() ledger.Position
	// Integrity knows about whom something is lost, and Broken whether a number is one of
	// them; nil: nothing is ever lost.
	Integrity Integrity
	Broken    func(v *runner.View, e164 string, t ledger.Token) (bool, error)
	// Ticks gives the heartbeats' clock and how to stop it. Nil: a time.Ticker.
	Ticks func(every time.Duration) (<-chan time.Time, func())
}

// Subscriber serves subscriptions. Safe for concurrent use.
type Subscriber struct {
	c SubscriberConfig

	searching sync.Mutex // held by the one subscription that looks for who is blocked
	mu        sync.Mutex // guards cached
	cached    *found
}

// NewSubscriber makes a subscriber.
func NewSubscriber(c SubscriberConfig) *Subscriber {
	if c.Ticks == nil {
		c.Ticks = func(every time.Duration) (<-chan time.Time, func()) {
			t := time.NewTicker(every)
			return t.C, t.Stop
		}
	}
	return &Subscriber{c: c}
}

// Request names a subscription.
type Request struct {
	Seller string
	// From: only changes after this position. 0: a snapshot first. A position
	// from before the seller was registered is taken as 0, because what then
	// changed for all sellers was not sent to it.
	From ledger.Position
	// Reveal adds the number in clear, unless its person is erased by the time the
	// update is sent, however old the update.
	Reveal bool
}

// Subscribe yields who is blocked because something about them is lost; the snapshot, if
// one is due; then every change after it in order and just once, heartbeats, and who is
// blocked whenever that changes. It ends with ctx, when the reader stops,
// or with an error; then the reader subscribes again from the last position it
// has. ErrNoSeller if the seller is not registered. While the snapshot is read,
// the database keeps what it holds: a reader should take it without pause.
func (s *Subscriber) Subscribe(ctx context.Context, q Request) iter.Seq2[*consentv1.SubscribeResponse, error] {
	return func(yield func(*consentv1.SubscribeResponse, error) bool) {
		send := func(r *consentv1.SubscribeResponse) error {
			if !yield(r, nil) {
				return errEnough
			}
			return nil
		}
		err := s.serve(ctx, q, send)
		if err != nil && !errors.Is(err, errEnough) {
			yield(nil, err)
		}
	}
}

// errEnough: the reader stopped.
var errEnough = errors.New("feed: the reader has had enough")

func (s *Subscriber) serve(ctx context.Context, q Request, send func(*consentv1.SubscribeResponse) error) error {
	seller, ok := s.c.Listing.Snapshot().Seller(q.Seller)
	if !ok {
		return fmt.Errorf("%w: %q", ErrNoSeller, q.Seller)
	}
	sub := subscription{Subscriber: s, q: q, send: send, last: q.From}
	if s.c.Integrity != nil {
		sub.said = sub.blockedNow()
		if err := sub.sendBlocked(sub.said); err != nil {
			return err
		}
	}
	if q.From == 0 || q.From < seller.Since {
		if err := sub.snapshot(ctx, seller.Since); err != nil {
			return err
		}
	}
	return sub.follow(ctx)
}

// subscription is one reader's place in the feed. It belongs to one goroutine.
type subscription struct {
	*Subscriber
	q    Request
	send func(*consentv1.SubscribeResponse) error
	// last is the position of the last change sent, or what the reader came with.
	last ledger.Position
	// whole is the position up to which everything was sent; never below last
	// at the start of a message.
	whole ledger.Position
	// said is whom the reader was told to block.
	said *consentv1.Blocked
}

func (s *subscription) sendBlocked(b *consentv1.Blocked) error {
	return s.send(&consentv1.SubscribeResponse{Event: &consentv1.SubscribeResponse_Blocked{Blocked: b}})
}

// snapshot sends every state of one moment, at or after a position.
func (s *subscription) snapshot(ctx context.Context, atLeast ledger.Position) error {
	return s.c.State.Read(ctx, atLeast, func(v runner.View) error {
		sent := uint64(0)
		err := eachState(v, s.q.Seller, func(t ledger.Token, own, all *consentv1.SuppressionState) error {
			if err := ctx.Err(); err != nil {
				return context.Cause(ctx)
			}
			token := s.c.Tokens.FeedOf(s.q.Seller, t)
			sent++
			return s.sendUpdate(ctx, &consentv1.FeedUpdate{
				Position: uint64(v.Position), Token: token[:], SellerState: own, AllState: all, Erased: isErased(all),
			})
		})
		if err != nil {
			return err
		}
		s.last = v.Position
		return s.send(&consentv1.SubscribeResponse{Event: &consentv1.SubscribeResponse_SnapshotEnd{
			SnapshotEnd: &consentv1.SnapshotEnd{Position: uint64(v.Position), States: sent},
		}})
	})
}

// eachState visits every token with a state towards the seller or towards all.
// Keys are ordered by token, so the two of one token are near each other.
func eachState(v runner.View, seller string, visit func(t ledger.Token, own, all *consentv1.SuppressionState) error) error {
	var token ledger.Token
	var own, all *consentv1.SuppressionState
	flush := func() error {
		if own == nil && all == nil {
			return nil
		}
		defer func() { own, all = nil, nil }()
		return visit(token, own, all)
	}
	lo, hi := store.SpaceRange(store.SpaceState)
	err := v.Each(lo, hi, func(k, raw []byte) error {
		t, id, err := store.ParseStateKey(k)
		if err != nil {
			return err
		}
		if t != token {
			if err := flush(); err != nil {
				return err
			}
			token = t
		}
		if id != seller && id != ledger.All {
			return nil
		}
		st := &consentv1.SuppressionState{}
		if err := proto.Unmarshal(raw, st); err != nil {
			return fmt.Errorf("feed: stored state: %w", err)
		}
		if id == seller {
			own = st
		} else {
			all = st
		}
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}

// follow sends changes and heartbeats until something ends it.
func (s *subscription) follow(ctx context.Context) error {
	s.whole = s.last
	ctx, cancel := context.WithCancel(ctx)
	batches := make(chan *consentv1.FeedBatch)
	var failed error // read only after batches is closed
	after := s.last
	go func() {
		defer close(batches)
		failed = s.pass(ctx, after, batches)
	}()
	blocked, watched := make(chan *consentv1.Blocked), make(chan struct{})
	go func() {
		defer close(watched)
		if s.c.Integrity != nil {
			s.watch(ctx, s.said, blocked)
		}
	}()
	defer func() {
		cancel()
		for range batches { // until the goroutines have ended
		}
		<-watched
	}()
	ticks, stop := s.c.Ticks(heartbeatEvery)
	defer stop()
	for {
		var err error
		select {
		case b, ok := <-batches:
			if !ok {
				return failed
			}
			err = s.sendBatch(ctx, b)
		case b := <-blocked:
			err = s.sendBlocked(b)
		case at := <-ticks:
			err = s.heartbeat(ctx, at)
		}
		if err != nil {
			return err
		}
	}
}

// pass hands messages over until ctx or the stream ends.
func (s *subscription) pass(ctx context.Context, after ledger.Position, out chan<- *consentv1.FeedBatch) error {
	for b, err := range s.c.Stream.Follow(ctx, s.q.Seller, after) {
		if err != nil {
			return err
		}
		select {
		case out <- b:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return context.Cause(ctx)
}

// sendBatch sends what is new in a message; a run that was published twice is
// sent once.
func (s *subscription) sendBatch(ctx context.Context, b *consentv1.FeedBatch) error {
	for _, u := range b.GetUpdates() {
		at := ledger.Position(u.GetPosition())
		if at <= s.last {
			continue
		}
		if err := s.sendUpdate(ctx, u); err != nil {
			return err
		}
		s.last = at
	}
	if !b.GetMore() {
		s.whole = max(s.whole, ledger.Position(b.GetThroughPosition()))
	}
	return nil
}

func (s *subscription) sendUpdate(ctx context.Context, u *consentv1.FeedUpdate) error {
	if s.q.Reveal && !u.GetErased() {
		n, err := s.number(ctx, ledger.Position(u.GetPosition()), s.c.Tokens.TokenOf(s.q.Seller, ledger.FeedToken(u.GetToken())))
		if err != nil {
			return fmt.Errorf("feed: position %d: %w", u.GetPosition(), err)
		}
		u.Number = n
	}
	return s.send(&consentv1.SubscribeResponse{Event: &consentv1.SubscribeResponse_Update{Update: u}})
}

// number is the number of a token, empty if its person is erased now. The state
// of now is asked, at or after the update's position, because the update, or the
// view a snapshot is read from, may be older than the erasure.
func (s *subscription) number(ctx context.Context, atLeast ledger.Position, t ledger.Token) (n string, err error) {
	err = s.c.State.Read(ctx, atLeast, func(v runner.View) error {
		all, err := stateOf(v, t, ledger.All)
		if err != nil || isErased(all) {
			return err
		}
		n, err = s.c.Tokens.NumberOf(t)
		return err
	})
	return n, err
}

// heartbeat says up to where everything was sent. The order matters: what was
// published is read first, the seller's last message after it; if that one was
// sent, there is nothing else up to what was published.
func (s *subscription) heartbeat(ctx context.Context, at time.Time) error {
	published := s.c.Published()
	// Without an answer it stays where it was: alive, and no further.
	if last, err := s.c.Stream.Last(ctx, s.q.Seller); err == nil && last <= s.whole {
		s.whole = max(s.whole, published)
	}
	return s.send(&consentv1.SubscribeResponse{Event: &consentv1.SubscribeResponse_Heartbeat{
		Heartbeat: &consentv1.Heartbeat{Position: uint64(s.whole), At: timestamppb.New(at)},
	}})
}
