package demo

import (
	"testing"
	"time"
)

func TestDelay(t *testing.T) {
	for d, want := range map[time.Duration]string{
		1234 * time.Microsecond:  "1.2 ms after the ack",
		-1234 * time.Microsecond: "1.2 ms before the ack was read",
	} {
		if got := delay(d); got != want {
			t.Errorf("%s: %s", d, got)
		}
	}
}
