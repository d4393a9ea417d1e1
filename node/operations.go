package node

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/mend"
	"github.com/consent-ledger/consent-ledger/ledger/stream"
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
	n.addIntegrity(res)
	res.Problems = append(append(res.Problems, n.mender.Problems()...), n.besideProblems()...)
	res.Problems = append(res.Problems, n.tree.Problems()...)
	res.Problems, res.Timestamp, res.Witness = append(res.Problems, n.stamps.Problems()...), n.timestampStatus(), n.witnessStatus()
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

// damagesMax bounds how many damages doctor lists; those that block come first.
const damagesMax = 1000

// addIntegrity says what is damaged, what that blocks, and how far the scrubber is.
func (n *Node) addIntegrity(res *consentv1.DoctorResponse) {
	res.IntegrityMeans = integrityMeans[res.GetIntegrity()]
	all := n.mender.Damages()
	slices.SortStableFunc(all, func(a, b mend.Damage) int { return cmp.Compare(truth(a.Mended), truth(b.Mended)) })
	for _, d := range all[:min(len(all), damagesMax)] {
		res.Damages = append(res.Damages, &consentv1.Damage{Message: d.Seq, First: uint64(d.First), Last: uint64(d.Last), Problem: d.Problem, Numbers: uint64(len(d.Numbers)),
			Everybody: d.Everybody, Tampered: d.Tampered, Mended: d.Mended, FoundAt: timestamppb.New(d.FoundAt)})
	}
	for _, l := range n.mender.Losses() {
		res.Losses = append(res.Losses, &consentv1.Loss{Stream: l.Stream, First: l.First, Last: l.Last, Healed: l.Healed, FoundAt: timestamppb.New(l.FoundAt)})
	}
	s := n.mender.ScrubStatus()
	res.Scrub = &consentv1.ScrubStatus{PaceBytes: uint64(s.PaceBytes), Position: uint64(s.Position), Seconds: s.Took.Seconds(), Positions: uint64(s.Positions)}
	if !s.Finished.IsZero() {
		res.Scrub.FinishedAt = timestamppb.New(s.Finished)
	}
	if at := n.mender.BesideFinished(); !at.IsZero() {
		res.Scrub.OthersFinishedAt = timestamppb.New(at)
	}
}

// Repair takes copies of lost entries.
func (o *operations) Repair(ctx context.Context, req *consentv1.RepairRequest) (*consentv1.RepairResponse, error) {
	t, err := o.n.mender.Take(ctx, req.GetEntries())
	if err != nil {
		return nil, err
	}
	res := &consentv1.RepairResponse{Taken: uint64(t.Taken), Refused: uint64(t.Refused), Unneeded: uint64(t.Unneeded), Mended: uint64(t.Mended),
		Left: uint64(t.Left)}
	var data [][]byte
	var seqs []uint64
	for _, k := range req.GetKeys() {
		data, seqs = append(data, k.GetData()), append(seqs, k.GetMessage())
	}
	taken, refused, err := o.n.writer.TakeKeys(ctx, data)
	res.Keys, res.Refused = uint64(taken), res.GetRefused()+uint64(refused)
	if err != nil || refused > 0 {
		return res, err
	}
	return res, o.n.mender.Healed(stream.KeysStream, seqs)
}

// rebuildPhases are the phases of folding the ledger.
var rebuildPhases = map[runner.Phase]consentv1.RebuildPhase{
	runner.Reading: consentv1.RebuildPhase_REBUILD_PHASE_READING, runner.Sorting: consentv1.RebuildPhase_REBUILD_PHASE_SORTING,
	runner.TakingOver: consentv1.RebuildPhase_REBUILD_PHASE_TAKING_OVER,
}

// Rebuild folds all projections anew; checks block meanwhile.
func (o *operations) Rebuild(ctx context.Context, progress func(*consentv1.RebuildResponse) error) error {
	if !o.n.mender.Whole() {
		return errMendFirst
	}
	var sendErr error
	target := ledger.Position(o.n.writer.Acked())
	at := func(phase consentv1.RebuildPhase) *consentv1.RebuildResponse {
		return &consentv1.RebuildResponse{Phase: phase, Position: uint64(target), Target: uint64(target)}
	}
	err := o.n.runner.Rebuild(ctx, func(p runner.Progress) {
		if sendErr != nil {
			return
		}
		m := at(rebuildPhases[p.Phase])
		m.Position, m.Target = uint64(p.Folded), max(uint64(p.Through), uint64(target))
		if p.Phase == runner.Sorting {
			m.SortedBytes, m.SortingBytes = uint64(p.Sorted), uint64(p.Sorting)
		}
		sendErr = progress(m)
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
	for _, next := range []struct {
		phase consentv1.RebuildPhase
		do    func(context.Context) error
	}{
		{consentv1.RebuildPhase_REBUILD_PHASE_ATTEMPTS, o.n.attempts.Rebuild},
		{consentv1.RebuildPhase_REBUILD_PHASE_DIRECTORY, o.n.directory.Rebuild},
	} {
		if err := progress(at(next.phase)); err != nil {
			return err
		}
		if err := next.do(ctx); err != nil {
			return err
		}
	}
	if err := progress(at(consentv1.RebuildPhase_REBUILD_PHASE_HASHING)); err != nil {
		return err
	}
	position, hashes, err := o.n.stateHashAt(ctx)
	if err != nil {
		return err
	}
	last := at(consentv1.RebuildPhase_REBUILD_PHASE_DONE)
	last.Position, last.StateHash = uint64(position), map[string]string{}
	for name, h := range hashes {
		last.StateHash[name] = h.String()
	}
	return progress(last)
}
