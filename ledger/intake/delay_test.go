package intake

import (
	"testing"
	"time"
)

// TestDelay grows to a minute: what is never settled must not crowd out the rest.
func TestDelay(t *testing.T) {
	want := []time.Duration{0: time.Second, 1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 6: 32 * time.Second, 7: time.Minute, 200: time.Minute}
	for n, w := range want {
		if got := delay(uint64(n)); w != 0 && got != w {
			t.Errorf("after %d deliveries: %s, want %s", n, got, w)
		}
	}
	if got := delay(1 << 63); got != time.Minute {
		t.Errorf("for ever: %s", got)
	}
}
