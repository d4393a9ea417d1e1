package node

import (
	"os"
	"runtime/debug"
)

// RoomForGarbage lets the heap of this process grow to four times what is live before
// it is collected: a server's live heap is small beside its machine, and collecting
// half as often gave a tenth of the processor back. GOGC in the environment wins. It
// is for programs that run a node and little else.
func RoomForGarbage() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(300)
	}
}
