//go:build race

package seal

// raceEnabled: the race detector makes sync.Pool forget on purpose.
const raceEnabled = true
