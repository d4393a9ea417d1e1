package rules

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// room is a decision and what it usually holds, in one piece of memory: made one by
// one they took longer than the rules. A list that outgrows it goes elsewhere.
type room struct {
	decision             consentv1.Decision
	at, next, validUntil timestamppb.Timestamp
	uses                 [6]*consentv1.PackUse // where a seller has packs of its own
	lists                [2]*consentv1.ListUse
	list                 [2]consentv1.ListUse
	reasons              [4]*consentv1.Reason
	caps                 [2]*consentv1.CapUse
	cap                  [2]consentv1.CapUse
}

// judge evaluates a question. Who has read what the evaluation holds gives it back
// with done; the decision does not point to it.
func judge(in *Input, packs *Packs, n *notes) *evaluation {
	e := evaluations.Get().(*evaluation)
	e.in, e.packs, e.notes = in, packs, n
	if e.room == nil {
		e.room = &room{}
	}
	e.run()
	return e
}

func (e *evaluation) done() {
	kept := e.room
	if kept.decision.At != nil { // it belongs to who asked
		kept = nil
	}
	*e = evaluation{room: kept}
	evaluations.Put(e)
}

// evaluations are used again: one is more than a kilobyte.
var evaluations = sync.Pool{New: func() any { return &evaluation{} }}

// decision says what was found.
func (e *evaluation) decision() *consentv1.Decision {
	in, d := e.in, &e.room.decision
	d.Verdict, d.Position, d.At, d.Unassigned = consentv1.Verdict_VERDICT_ALLOW, uint64(in.Position), stamp(&e.room.at, in.At), in.Unassigned
	d.Packs, d.Lists, d.Caps, d.Deadlines = e.uses, e.lists, e.caps, e.due
	if d.Zones = e.plan.zones; len(d.Zones) > 0 {
		d.Tzdata = in.Tzdata
	}
	said := e.oks
	if e.blocked() {
		d.Verdict, said = consentv1.Verdict_VERDICT_BLOCK, e.blocks
	} else if e.lasts(); !e.validUntil.IsZero() {
		d.ValidUntil = stamp(&e.room.validUntil, e.validUntil)
	}
	slices.SortStableFunc(said, func(a, b reason) int { return cmp.Compare(a.rank, b.rank) })
	d.Reasons = e.room.reasons[:0]
	for _, r := range said {
		d.Reasons = append(d.Reasons, r.msg)
	}
	if d.Verdict == consentv1.Verdict_VERDICT_ALLOW {
		d.Basis = said[0].msg.GetCode()
	}
	return d
}

// lasts notes until when an ALLOW surely holds: until a window closes, or something
// that is known begins to count.
func (e *evaluation) lasts() {
	e.closings()
	e.holdsUntil(e.in.View.Wake(e.in.At))
}

// stamp writes an instant into a timestamp.
func stamp(t *timestamppb.Timestamp, at time.Time) *timestamppb.Timestamp {
	t.Seconds, t.Nanos = at.Unix(), int32(at.Nanosecond())
	return t
}
