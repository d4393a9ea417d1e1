package node

import (
	"context"
	"time"

	"github.com/consent-ledger/consent-ledger/projections/attempts"
	"github.com/consent-ledger/consent-ledger/projections/rules"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// openAttempts binds the keeper of contact attempts. This node may grant: it holds
// the folder's lock, which is the writer's lease until failover exists.
func (n *Node) openAttempts() (*attempts.Keeper, error) {
	return attempts.Open(attempts.Config{Log: n.tries, DB: n.stateDB, Keys: n.keys, Now: n.writer.Now, Logger: n.cfg.Logger,
		Anchored: n.anchored,
		Decide: func(in rules.Input) *consentv1.Decision {
			packs, ok := n.packs.Snapshot().Packs(in.Seller)
			if !ok {
				return rules.Blocked(rules.CodeStateStale, in.At, in.Position)
			}
			return rules.Decide(in, packs)
		}})
}

// anchorer puts the roots of new batches into the ledger.
func (n *Node) anchorer() *attempts.Anchorer {
	return &attempts.Anchorer{Log: n.tries, Record: n.recorder.System, Logger: n.cfg.Logger,
		Last: func(ctx context.Context) (uint64, error) {
			seq, _, err := n.anchored(ctx)
			return seq, err
		}}
}

// anchored is what the ledger knows of the attempts' stream.
func (n *Node) anchored(ctx context.Context) (seq uint64, at time.Time, err error) {
	if err := n.runner.WaitApplied(ctx, n.writer.Acked()); err != nil {
		return 0, time.Time{}, err
	}
	return attempts.Anchored(n.stateDB)
}
