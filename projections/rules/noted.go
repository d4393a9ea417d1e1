package rules

import (
	"math"
	"slices"
	"time"

	"github.com/consent-ledger/consent-ledger/projections/rules/calendar"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Span says, for each instant of a suppression.Shape, from when to when it may lie
// without an answer being another.
type Span struct{ from, to []int64 } // both included, Unix nanoseconds

// holds tells whether all instants of another state of the same shape lie within.
func (s *Span) holds(instants []int64) bool {
	for i, ns := range instants {
		if ns < s.from[i] || s.to[i] < ns {
			return false
		}
	}
	return len(instants) == len(s.from)
}

// DecideSpan decides as DecideOn does, but for the deadlines, which it leaves out, and tells which
// other numbers have the same answer: those of which everything else in the Input is
// the same, whose states are of the same suppression.Shape, and whose instants lie within the span.
// Of the answer that means verdict, reasons, basis, packs, lists and next allowed instant; ValidUntil
// is the number's own. ok is false if something was asked of the state that only this
// number can answer.
//
// Why it is the same: a View of another state of the shape differs in nothing but the
// instants it hands out (see Shape), so that Decide would do the same, step by step, up to the first
// step that looks at an instant in another way than to compare it with another of the
// state or with that of the question. Every such step notes here between which instants it
// would have done the same. A test counts the steps that touch an instant, and another compares
// answers about states made by chance.
func DecideSpan(in *Input, packs *Packs, instants []int64) (d *consentv1.Decision, s Span, ok bool) {
	n := newNotes(instants)
	d = decide(in, packs, n)
	return d, n.Span, !n.own
}

// notes are what an evaluation read of the instants on record. nil notes nothing.
type notes struct {
	Span
	instants []int64
	own      bool // something was read that is none of the instants

	// ends are what was read for the end of a block only: it matters if that is asked for.
	ends []noted
}

type noted struct{ ns, from, to int64 }

func newNotes(instants []int64) *notes {
	n := &notes{instants: instants, Span: Span{make([]int64, len(instants)), make([]int64, len(instants))}}
	for i := range instants {
		n.from[i], n.to[i] = math.MinInt64, math.MaxInt64
	}
	return n
}

// between notes that an instant read anywhere from one to another, both included, is as good.
func (n *notes) between(x noted) {
	i, ok := slices.BinarySearch(n.instants, x.ns)
	if !ok {
		n.own = true
		return
	}
	n.from[i], n.to[i] = max(n.from[i], x.from), min(n.to[i], x.to)
}

// split notes that every instant was compared with one that is not on record.
func (n *notes) split(at time.Time) {
	if n == nil || at.IsZero() {
		return
	}
	t := nanos(at)
	for i, ns := range n.instants {
		switch {
		case ns < t:
			n.to[i] = min(n.to[i], t-1)
		case ns > t:
			n.from[i] = max(n.from[i], t+1)
		default:
			n.from[i], n.to[i] = t, t
		}
	}
}

// asked notes that the end of a block is asked for, and with it what was read for that.
func (n *notes) asked() {
	if n == nil {
		return
	}
	for _, x := range n.ends {
		n.between(x)
	}
	n.ends = n.ends[:0]
}

// exactly is an instant of which only it itself is as good.
func exactly(t time.Time) noted { return noted{nanos(t), nanos(t), nanos(t)} }

func nanos(t time.Time) int64 {
	switch {
	case t.Before(time.Unix(0, math.MinInt64)):
		return math.MinInt64
	case t.After(time.Unix(0, math.MaxInt64)):
		return math.MaxInt64
	}
	return t.UnixNano()
}

// clocksBackMax is more than any zone ever put its clocks back: an instant that much
// after the beginning of a date is of no earlier date.
const clocksBackMax = 26 * time.Hour

// Where a date must have come.
const (
	everywhere = true
	somewhere  = false
)

// noteSide notes that of an instant was asked whether it is of a date, each place's own, or a
// later one, everywhere or somewhere.
func (e *evaluation) noteSide(t time.Time, where bool, of func(*here) calendar.Date) {
	if e.notes == nil {
		return
	}
	var begins time.Time
	for _, h := range e.clocks {
		if h.place.Zone == nil {
			begins = time.Time{}
			break
		}
		if b := of(h).Start(h.place.Zone); begins.IsZero() || b.After(begins) == where {
			begins = b
		}
	}
	switch since := begins.Add(clocksBackMax); {
	case begins.IsZero(): // no clock is known
		e.notes.between(exactly(t))
	case t.Before(begins):
		e.notes.between(noted{nanos(t), math.MinInt64, nanos(begins) - 1})
	case t.Before(since):
		e.notes.between(exactly(t))
	default:
		e.notes.between(noted{nanos(t), nanos(since), math.MaxInt64})
	}
}

// sameDates are the instants that have the dates of t at all places.
func (e *evaluation) sameDates(t time.Time) noted {
	out := noted{nanos(t), math.MinInt64, math.MaxInt64}
	same := func(zone *time.Location, shift time.Duration) bool {
		from := calendar.Of(t.Add(shift), zone).Start(zone)
		to := calendar.NextDay(from, zone)
		out.from, out.to = max(out.from, nanos(from.Add(-shift))), min(out.to, nanos(to.Add(-shift))-1)
		return t.Add(shift).Before(to) // not so where clocks go back over midnight
	}
	ok := len(e.clocks) > 0 || same(time.UTC, -westward) && same(time.UTC, eastward)
	for _, h := range e.clocks {
		if h.place.Zone == nil {
			ok = ok && same(time.UTC, -westward) && same(time.UTC, eastward)
		} else {
			ok = ok && same(h.place.Zone, 0)
		}
	}
	if !ok {
		return exactly(t)
	}
	return out
}

// noteDates notes that the dates of an instant were read.
func (e *evaluation) noteDates(t time.Time) {
	if e.notes != nil {
		e.notes.between(e.sameDates(t))
	}
}

// noteEnd notes that the dates of an instant were read for the end of a block.
func (e *evaluation) noteEnd(t time.Time) {
	if e.notes != nil {
		e.notes.ends = append(e.notes.ends, e.sameDates(t))
	}
}
