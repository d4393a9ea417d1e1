package node

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/projections/attempts"
	"github.com/consent-ledger/consent-ledger/projections/runner"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// operations are the verbs that look at or mend a whole node.
type operations struct{ n *Node }

// problems lists what keeps this node from answering ALLOW or from recording.
func (n *Node) problems(ctx context.Context) []string {
	out := n.writer.Problems()
	if err := n.runner.Err(); err != nil {
		out = append(out, err.Error()+"; look at the log, then: consent rebuild")
	}
	if n.attempts.Wholeness()%2 == 0 {
		out = append(out, "ATTEMPTS: contact attempts are not read to their end; whatever a cap limits is blocked")
	}
	if !n.fresh.fresh() {
		out = append(out, "STATE_STALE: the NATS server has not answered for 2 seconds, or somebody else writes to this ledger")
	}
	wait, cancel := context.WithTimeout(ctx, tailAgeMax)
	defer cancel()
	if err := n.runner.WaitApplied(wait, n.writer.Acked()); err != nil && n.runner.Err() == nil {
		out = append(out, fmt.Sprintf("STATE_STALE: projections hold position %d, the ledger %d", n.runner.Applied(), n.writer.Acked()))
	}
	if _, all := n.mender.Blocked(); all {
		out = append(out, "LEDGER_INTEGRITY: damage may concern every number; whatever is asked is blocked: consent doctor")
	}
	return append(append(out, n.packs.Problems()...), n.registry.Problems()...)
}

// Doctor examines the ledger and its projections.
func (o *operations) Doctor(ctx context.Context, req *consentv1.DoctorRequest) (*consentv1.DoctorResponse, error) {
	n := o.n
	if req.GetConfirmClock() {
		n.writer.ConfirmClock()
	}
	res := &consentv1.DoctorResponse{Position: uint64(n.writer.Acked()), Integrity: n.integrity(), Problems: n.problems(ctx), Durability: n.durability(),
		Directory: n.directoryStatus(), StateHash: map[string]string{}, Applied: map[string]uint64{"projections": uint64(n.runner.Applied()), "feed": uint64(n.feed.Published()), attempts.Name: n.attempts.Applied(), "tree": uint64(n.signedThrough())}}
	res.Problems = append(res.Problems, n.mender.Problems()...)
	res.Problems = append(res.Problems, n.tree.Problems()...)
	res.Problems = append(res.Problems, n.directory.Problems(n.cfg.Clock.Wall())...) // no reason to block: it proves, it does not decide
	for _, s := range n.listing.Snapshot().Sources() {
		if !s.Registered && s.ID != "consent-ledger" {
			res.UnregisteredSources = append(res.UnregisteredSources, s.ID)
		}
	}
	var err error
	if res.Inbox, err = n.inbox.Count(ctx); err != nil {
		return nil, err
	}
	if res.Inbox > 0 {
		res.Problems = append(res.Problems, fmt.Sprintf("INBOX: %d messages wait for a person: consent inbox list", res.Inbox))
	}
	if !req.GetStateHash() {
		return res, nil
	}
	hashes, err := n.StateHash(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(hashes)) {
		res.StateHash[name] = hashes[name].String()
	}
	return res, nil
}

// Rebuild folds all projections anew; checks block meanwhile.
func (o *operations) Rebuild(ctx context.Context, progress func(*consentv1.RebuildResponse) error) error {
	if !o.n.mender.Whole() {
		return errMendFirst
	}
	var sendErr error
	target := ledger.Position(o.n.writer.Acked())
	err := o.n.runner.Rebuild(ctx, func(p runner.Progress) {
		if sendErr == nil {
			sendErr = progress(&consentv1.RebuildResponse{Position: uint64(p.Folded), Target: uint64(p.Through)})
		}
	})
	if err != nil {
		return err
	}
	if sendErr != nil {
		return sendErr
	}
	// The runner rebuilds up to where it was, which just after a start is short of
	// the ledger's tail.
	if err := o.n.runner.WaitApplied(ctx, target); err != nil {
		return err
	}
	if err := o.n.attempts.Rebuild(ctx); err != nil {
		return err
	}
	at, hashes, err := o.n.stateHashAt(ctx)
	if err != nil {
		return err
	}
	last := &consentv1.RebuildResponse{Position: uint64(at), Target: uint64(target), StateHash: map[string]string{}}
	for name, h := range hashes {
		last.StateHash[name] = h.String()
	}
	return progress(last)
}
