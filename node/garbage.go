package node

import (
	"os"
	"runtime/debug"
	"sync/atomic"
)

// ballastBytes is what a server's heap counts as live beside what is: memory that
// nobody touches, so it takes none.
const ballastBytes = 128 << 20

// ballast is kept for as long as the program runs.
var ballast atomic.Pointer[[ballastBytes]byte]

// RoomForGarbage lets the heap of this process grow to four times what is live before
// it is collected, and to some 600 MB in any case: a server's live heap is small beside
// its machine. Collecting half as often gave a tenth of the processor back. And a
// collection holds checks up while it lasts, 30 ms on two cores: twice a second, that was
// the slowest hundredth of them (test/bench/RESULTS.md, checks over HTTP).
// GOGC or GOMEMLIMIT in the environment win. It is for programs that run a node and little
// else.
func RoomForGarbage() {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(300)
	if os.Getenv("GOMEMLIMIT") == "" { // it would count the ballast
		ballast.Store(new([ballastBytes]byte))
	}
}
