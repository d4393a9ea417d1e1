package ledger

import "fmt"

// Counted writes a number of things for people: "1 entry", "2 entries", "0 entries".
func Counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
