package demo

import (
	"testing"
	"time"
)

func TestStoryClock(t *testing.T) {
	var c storyClock
	clock := c.clock()
	if got := clock.Wall(); got != storyBegin {
		t.Errorf("begins at %s", got)
	}
	c.move(time.Minute)
	if got := clock.Wall().Sub(storyBegin); got != time.Minute || clock.Mono() != got {
		t.Errorf("stands at %s and %s", got, clock.Mono())
	}
	c.release()
	if got := clock.Mono(); got < time.Minute {
		t.Errorf("released, it went back to %s", got)
	}
}
