package writer

import (
	"fmt"
	"sync"
	"time"
)

// driftMax is how far the wall clock may part from the process's own time.
const driftMax = 2 * time.Minute

// Clock is the machine's time, for tests to replace.
type Clock struct {
	Wall func() time.Time     // may jump
	Mono func() time.Duration // since any fixed instant; never jumps
}

// SystemClock is the machine's own.
func SystemClock() Clock {
	start := time.Now()
	return Clock{
		Wall: func() time.Time { return time.Now().Round(0) },
		Mono: func() time.Duration { return time.Since(start) },
	}
}

// clock gives recorded_at. Within a process it advances by the monotonic clock
// and never goes backwards. Once the wall clock is more than driftMax off, or
// starts that far behind the tail, it is suspect until an officer confirms:
// grants are refused, stops are recorded. Less than that is what time services
// correct every day.
type clock struct {
	source Clock

	mu      sync.Mutex
	base    time.Time     // wall clock when it was last trusted
	baseAt  time.Duration // process time then
	last    time.Time     // newest recorded_at
	problem string
}

// newClock starts a clock on a ledger whose tail was recorded at tail.
func newClock(source Clock, tail time.Time) *clock {
	c := &clock{source: source, base: source.Wall(), baseAt: source.Mono(), last: tail}
	if behind := tail.Sub(c.base); behind > driftMax {
		c.problem = fmt.Sprintf("CLOCK: the machine's clock is %s behind the ledger's last entry", behind.Round(time.Second))
	}
	return c
}

// now gives the next recorded_at, and what is wrong with the clock.
func (c *clock) now() (t time.Time, problem string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t = c.base.Add(c.source.Mono() - c.baseAt)
	if drift := c.source.Wall().Sub(t); c.problem == "" && drift.Abs() > driftMax {
		c.problem = fmt.Sprintf("CLOCK: the machine's clock jumped by %s", drift.Round(time.Second))
	}
	if t.Before(c.last) {
		t = c.last
	}
	c.last = t
	return t, c.problem
}

// confirm trusts the wall clock from now on; recorded_at still never goes back.
func (c *clock) confirm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.base, c.baseAt, c.problem = c.source.Wall(), c.source.Mono(), ""
}

// state tells what is wrong without moving the clock.
func (c *clock) state() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.problem
}
