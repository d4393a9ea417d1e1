package seal

import (
	"sync"
	"testing"
)

func TestHashes(t *testing.T) {
	r := testRing(t)
	a := r.Idempotency("crm", "12")
	if a != r.Idempotency("crm", "12") {
		t.Error("one event, two keys")
	}
	if a == r.Idempotency("crm1", "2") || a == testRing(t).Idempotency("crm", "12") {
		t.Error("two events, one key")
	}
	if c := r.ContentMAC([]byte{1}); c == r.ContentMAC([]byte{2}) || r.ConflictKey(a, c) == r.ConflictKey(c, a) {
		t.Error("two contents, one hash")
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				if r.Idempotency("crm", "12") != a {
					t.Error("another key in another goroutine")
					return
				}
			}
		})
	}
	wg.Wait()
}
