package attempts

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// plan is one batch being decided. It changes nothing outside itself, so it can be
// thrown away and made anew when another node was first.
type plan struct {
	k          *Keeper
	o          *overlay
	seq        uint64 // the message it will be
	recordedAt time.Time
	clockOff   string // why nothing may be reserved now; empty: it may
	batch      *consentv1.AttemptBatch
	stated     *Stated
	outcomes   []Outcome
}

// decide says what becomes of each item, in order. The error is the database's.
func (k *Keeper) decide(items []*item) (*plan, error) {
	p := &plan{k: k, o: newOverlay(k.c.DB, k.known.Load()), seq: k.at.seq + 1, outcomes: make([]Outcome, len(items))}
	p.recordedAt, p.clockOff = k.now()
	p.batch = &consentv1.AttemptBatch{RecordedAt: timestamppb.New(p.recordedAt)}
	p.stated = &Stated{sequence: p.seq, recordedAt: p.recordedAt}
	for i, it := range items {
		var err error
		switch {
		case it.ask != nil:
			err = p.reserve(it, &p.outcomes[i])
		case len(it.record.GetReference()) == 0:
			p.keep(it, &p.outcomes[i])
		default:
			err = p.record(it, &p.outcomes[i])
		}
		if err != nil {
			return nil, err
		}
	}
	return p, nil
}

// now is the instant of the next batch, and why nothing may be reserved now. It
// never goes back; if the machine's clock stands behind what is recorded already,
// windows cannot be counted.
func (k *Keeper) now() (time.Time, string) {
	t, off := k.c.Now()
	t = t.Round(0).UTC()
	if behind := k.at.recordedAt.Sub(t); behind > 0 {
		t = k.at.recordedAt
		if behind > aheadMax && off == "" {
			off = fmt.Sprintf("CLOCK: the machine's clock is %s behind the last recorded attempt", behind.Round(time.Second))
		}
	}
	return t, off
}

// reserve decides on a contact and reserves it if a cap limits it. The call itself
// is not counted, so that the same question again has the same answer, and a stop
// that came meanwhile is heard.
func (p *plan) reserve(it *item, out *Outcome) error {
	c, err := p.o.call(it.ref)
	if err != nil {
		return err
	}
	if out.Err = mayReserve(c, it.token); out.Err != nil {
		return nil
	}
	if p.clockOff != "" {
		out.Err = notReady(fmt.Errorf("%s; put it right and confirm it: consent doctor --confirm-clock", p.clockOff))
		return nil
	}
	in := *it.ask
	in.At, in.AttemptsKnown = p.recordedAt, p.recordedAt.Add(-counted).UnixNano() >= p.k.horizon.Load()
	if in.Attempts, err = p.o.attempts(it.token, it.record.GetSeller(), p.recordedAt.Add(-counted), it.ref); err != nil {
		return err
	}
	out.Decision = p.k.c.Decide(in)
	if out.Reserved = c != nil; out.Reserved {
		out.Sequence, out.Counts = c.seq, c.outcome
	}
	allowed := out.Decision.GetVerdict() == consentv1.Verdict_VERDICT_ALLOW
	if !allowed || c == nil && len(out.Decision.GetCaps()) == 0 {
		return nil
	}
	// A reservation asked for again is moved to now, because the call is made now.
	r := proto.CloneOf(it.record)
	r.At, r.Decision = p.batch.GetRecordedAt(), kept(out.Decision)
	out.Duplicate, out.Reserved = c != nil, true
	return p.add(r, it, out)
}

// mayReserve refuses a reference that does not stand for a call still to be made.
func mayReserve(c *call, t ledger.Token) error {
	switch {
	case c == nil:
		return nil
	case !c.token.IsZero() && c.token != t:
		return &ledger.InvalidError{Field: "reference", Problem: "stands for a call to another number", Fix: "give each call a reference of its own"}
	case stage(c.outcome) == made:
		return &ledger.InvalidError{Field: "reference", Problem: "stands for a call that was made",
			Fix: "give each call a reference of its own, and each time it is dialled again a new one"}
	case stage(c.outcome) == cancelled:
		return &ledger.InvalidError{Field: "reference", Problem: "stands for a call that was cancelled", Fix: "reserve again with a new reference"}
	}
	return nil
}

// record takes what is said of a call.
func (p *plan) record(it *item, out *Outcome) error {
	c, err := p.o.call(it.ref)
	if err != nil {
		return err
	}
	if out.Err = mayRecord(c, it); out.Err != nil {
		return nil
	}
	at := it.at
	switch ahead := at.Sub(p.recordedAt); {
	case it.unsaid && c != nil && stage(c.outcome) >= stage(it.record.GetOutcome()):
		at = c.at // said before: nothing new of its time
	case ahead > aheadMax && p.clockOff == "" && !it.unsaid:
		out.Err = &ledger.InvalidError{Field: "at", Problem: "lies in the future", Fix: "record attempts after they were made, by a clock that is right"}
		return nil
	case ahead > 0:
		at = p.recordedAt
	}
	r := proto.CloneOf(it.record)
	r.At = timestamppb.New(at)
	return p.add(r, it, out)
}

// mayRecord refuses what contradicts what is known of the call.
func mayRecord(c *call, it *item) error {
	switch {
	case c == nil:
		return nil
	case !c.token.IsZero() && !it.token.IsZero() && c.token != it.token:
		return &ledger.InvalidError{Field: "reference", Problem: "stands for a call to another number", Fix: "give each call a reference of its own"}
	case stage(c.outcome) == made && stage(it.record.GetOutcome()) == cancelled:
		return &ledger.InvalidError{Field: "outcome", Problem: "cannot be cancelled: the call was made, and counts", Fix: "cancel before the call is made"}
	}
	return nil
}

// add puts a record into the batch, unless it says nothing new.
func (p *plan) add(r *consentv1.AttemptRecord, it *item, out *Outcome) error {
	s, _, err := saidBy(r, it.token, p.recordedAt)
	if err != nil {
		return err
	}
	now, added, err := p.o.say(s, p.seq)
	if err != nil {
		return err
	}
	out.Counts, out.Sequence = now.outcome, now.seq
	if !added {
		out.Duplicate = true
		return nil
	}
	out.RecordedAt = p.recordedAt
	p.batch.Records = append(p.batch.Records, r)
	return nil
}

// keep takes a decision that reserves nothing.
func (p *plan) keep(it *item, out *Outcome) {
	r := proto.CloneOf(it.record)
	r.At = p.batch.GetRecordedAt()
	p.batch.Records = append(p.batch.Records, r)
	out.Sequence, out.RecordedAt = p.seq, p.recordedAt
	if len(r.GetStatement()) > 0 {
		out.Stated, out.Place = p.stated, len(p.stated.leaves)
		p.stated.leaves = append(p.stated.leaves, ledger.Hash(r.GetStatement()))
	}
}

// kept is a decision as it is stored: the number has its token, and texts and
// fixes follow from the packs it names.
func kept(d *consentv1.Decision) *consentv1.Decision {
	d = proto.CloneOf(d)
	d.Number = ""
	for _, r := range d.GetReasons() {
		r.Text, r.Fix = "", ""
	}
	return d
}
