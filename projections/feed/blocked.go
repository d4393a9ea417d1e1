package feed

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/projections/runner"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// A number about which the ledger has lost something is BLOCK here, and must be in every
// copy of the state: the copy may hold a grant, and what is lost may have been the stop.
// Subscriptions say of whom that is true in events of their own, and not in the stream,
// because it is true of now: each is the whole set, and the last one wins.

// Integrity knows about whom something is lost; mend.Mender does.
type Integrity interface {
	// Changed is closed when the answer may be another than now.
	Changed() <-chan struct{}
	// Blocked counts the numbers, and tells whether all are.
	Blocked() (numbers int, everybody bool)
}

const (
	// blockedMax is how many tokens are named; beyond it everybody is blocked.
	blockedMax = 50_000
	// blockedAgain is the wait before a search that failed is tried again. Everybody is
	// blocked meanwhile.
	blockedAgain = time.Second
)

// found are the tokens of those who are blocked, as of one moment.
type found struct {
	moment <-chan struct{} // Integrity.Changed of then
	tokens []ledger.Token
	many   bool // more than are named
}

// blockedNow is what can be said at once: everybody, if it is not nobody.
func (s *subscription) blockedNow() *consentv1.Blocked {
	numbers, everybody := s.c.Integrity.Blocked()
	return &consentv1.Blocked{Everybody: everybody || numbers > 0}
}

// watch hands over who is blocked, now and whenever that changes, until ctx ends.
func (s *subscription) watch(ctx context.Context, said *consentv1.Blocked, out chan<- *consentv1.Blocked) {
	say := func(b *consentv1.Blocked) bool {
		if proto.Equal(b, said) {
			return true
		}
		said = b
		select {
		case out <- b:
			return true
		case <-ctx.Done():
			return false
		}
	}
	for {
		moment := s.c.Integrity.Changed()
		numbers, everybody := s.c.Integrity.Blocked()
		var again <-chan time.Time
		switch {
		case numbers == 0 || everybody:
			if !say(&consentv1.Blocked{Everybody: everybody}) {
				return
			}
		default: // who they are takes a while to find out
			if !s.cachedAt(moment) && !say(&consentv1.Blocked{Everybody: true}) {
				return
			}
			f, err := s.find(ctx, moment)
			if err != nil {
				again = time.After(blockedAgain)
			} else if !ledger.Closed(moment) && !say(s.blocked(f)) {
				return
			}
		}
		select {
		case <-moment:
		case <-again:
		case <-ctx.Done():
			return
		}
	}
}

// blocked is what was found under the seller's own tokens.
func (s *subscription) blocked(f *found) *consentv1.Blocked {
	b := &consentv1.Blocked{Everybody: f.many}
	for _, t := range f.tokens {
		token := s.c.Tokens.FeedOf(s.q.Seller, t)
		b.Tokens = append(b.Tokens, token[:])
	}
	return b
}

func (s *Subscriber) cachedAt(moment <-chan struct{}) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cached != nil && s.cached.moment == moment
}

// find looks through every number there is anything about: what is lost is known by
// number, and a number cannot be read back from there. Subscriptions wait for each other
// and share what one has found.
func (s *Subscriber) find(ctx context.Context, moment <-chan struct{}) (*found, error) {
	s.searching.Lock()
	defer s.searching.Unlock()
	if s.cachedAt(moment) {
		return s.cached, nil
	}
	f := &found{moment: moment}
	err := s.c.State.Read(ctx, 0, func(v runner.View) error {
		var last ledger.Token
		lo, hi := store.SpaceRange(store.SpaceTimeline)
		return v.Each(lo, hi, func(k, _ []byte) error {
			t, _, err := store.ParseTimelineKey(k)
			if err != nil || t == last || f.many {
				return err
			}
			last = t
			if err := ctx.Err(); err != nil {
				return context.Cause(ctx)
			}
			number, err := s.c.Tokens.NumberOf(t)
			if err != nil {
				return err
			}
			broken, err := s.c.Broken(&v, number, t)
			if broken {
				f.tokens = append(f.tokens, t)
			}
			if len(f.tokens) > blockedMax {
				f.tokens, f.many = nil, true
			}
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("feed: who is blocked: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cached = f
	return f, nil
}
