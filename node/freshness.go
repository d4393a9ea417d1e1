package node

import (
	"context"
	"sync"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// Freshness (DESIGN 5): an ALLOW needs an answer about the ledger's tail that is
// younger than tailAgeMax, counted from the asking, and everything it announced
// applied. tailAskEvery is how often the tail is asked for.
const (
	tailAgeMax   = 2 * time.Second
	tailAskEvery = 500 * time.Millisecond
)

// freshness knows how old this node's knowledge of the ledger is.
type freshness struct {
	start time.Time // of the monotonic clock

	mu        sync.Mutex
	asked     time.Duration   // when the newest answered question was asked
	answered  chan struct{}   // closed and replaced at each answer
	ever      bool            // there was one
	appliedAt ledger.Position // by the slowest projection
	waiting   []marker        // durable and not yet applied, oldest first
}

// marker is a durable position and when it was first seen.
type marker struct {
	at   ledger.Position
	seen time.Duration
}

func newFreshness() *freshness {
	return &freshness{start: time.Now(), answered: make(chan struct{})}
}

// tailer asks the ledger's leader for its tail.
type tailer interface {
	Tail(ctx context.Context) (uint64, error)
}

// run asks for the tail until ctx is done. A question without an answer is no
// error: the age just grows. It grows too if the tail is not this node's own,
// because then there are commits it has not applied.
func (f *freshness) run(ctx context.Context, log tailer, foreign func(tail uint64) bool) error {
	tick := time.NewTicker(tailAskEvery)
	defer tick.Stop()
	for {
		asked := time.Since(f.start)
		ask, cancel := context.WithTimeout(ctx, tailAgeMax)
		tail, err := log.Tail(ask)
		cancel()
		if err == nil && !foreign(tail) {
			f.mu.Lock()
			f.asked, f.ever = asked, true
			close(f.answered)
			f.answered = make(chan struct{})
			f.mu.Unlock()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// fresh tells whether the ledger answered recently enough.
func (f *freshness) fresh() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.isFresh()
}

func (f *freshness) isFresh() bool { return f.ever && time.Since(f.start)-f.asked < tailAgeMax }

// wait is fresh, but gives the ledger until ctx ends to answer.
func (f *freshness) wait(ctx context.Context) bool {
	for {
		f.mu.Lock()
		fresh, answered := f.isFresh(), f.answered
		f.mu.Unlock()
		if fresh {
			return true
		}
		select {
		case <-answered:
		case <-ctx.Done():
			return false
		}
	}
}

// applied is told how far the slowest projection is.
func (f *freshness) applied(m *metrics) func(ledger.Position, time.Time) {
	return func(at ledger.Position, _ time.Time) {
		m.applied.Set(float64(at))
		f.mu.Lock()
		defer f.mu.Unlock()
		f.appliedAt = at
		for len(f.waiting) > 0 && f.waiting[0].at <= at {
			f.waiting = f.waiting[1:]
		}
	}
}

// lag is how long the oldest durable position that is not applied has waited. It
// is asked before every bulk commit, which is what keeps its markers few.
func (f *freshness) lag(acked ledger.Position) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Since(f.start)
	if f.appliedAt >= acked {
		return 0
	}
	if n := len(f.waiting); n == 0 || f.waiting[n-1].at < acked {
		f.waiting = append(f.waiting, marker{acked, now})
	}
	return now - f.waiting[0].seen
}
