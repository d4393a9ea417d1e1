package seal

import (
	"sync"
	"testing"
)

// TestRandomIsNeverHandedOutTwice, whatever sizes are drawn and by how many.
func TestRandomIsNeverHandedOutTwice(t *testing.T) {
	var mu sync.Mutex
	seen := map[[8]byte]bool{}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 2000 {
				b := make([]byte, 8+(i*31+w)%(randomBytes+100))
				random(b)
				mu.Lock()
				for at := 0; at+8 <= len(b); at += 8 {
					word := [8]byte(b[at:])
					if seen[word] || word == ([8]byte{}) {
						t.Errorf("draw %d of %d bytes repeats itself or is empty", i, len(b))
					}
					seen[word] = true
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}
