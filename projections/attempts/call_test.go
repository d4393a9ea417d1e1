package attempts

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// TestJoin: whatever the order of what is said of a call, it ends at the same
// stage and time.
func TestJoin(t *testing.T) {
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	all := []said{
		{outcome: consentv1.AttemptOutcome_ATTEMPT_OUTCOME_RESERVED, at: at, token: ledger.Token{1}},
		{outcome: givenUp, at: at.Add(time.Minute)},
		{outcome: busy, at: at.Add(2 * time.Minute), token: ledger.Token{1}},
		{outcome: unknownEnd, at: at.Add(-time.Minute), token: ledger.Token{1}},
	}
	for mask := 1; mask < 1<<len(all); mask++ {
		var first *call
		for seed := range uint64(10) {
			rng := rand.New(rand.NewPCG(seed, 2))
			var c *call
			for _, i := range rng.Perm(2 * len(all)) { // everything twice
				if mask>>(i%len(all))&1 == 1 {
					c, _ = c.join(all[i%len(all)], 1)
				}
			}
			if first == nil {
				first = c
			}
			if stage(c.outcome) != stage(first.outcome) || !c.at.Equal(first.at) || c.token != first.token || counts(c.outcome) != counts(first.outcome) {
				t.Fatalf("mask %b, seed %d: %+v and %+v", mask, seed, c, first)
			}
			if mask>>2&1 == 1 && (c.outcome != busy || !counts(c.outcome)) {
				t.Fatalf("a call that was made became %v", c.outcome)
			}
		}
	}
}
