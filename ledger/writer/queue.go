package writer

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/declare"
)

// Bounds of one commit. Its bytes stay far below a message's 1 MiB; more would
// only make a stop that arrives meanwhile wait longer.
const (
	commitEntriesMax = 1000
	commitBytesMax   = 256 << 10
	// bulkBytesMax bounds what bulk adds to a commit: a stop that arrives waits for
	// up to two bulk commits. Of 80, 128 and 160 KiB the last made an import of a million
	// rows a fifth faster than the first, with a stop's p99 at 46 ms instead of 37.
	bulkBytesMax = 160 << 10
)

// entryOverheadBytes is what sealing and hashing add to a fact, for the estimate.
const entryOverheadBytes = 480

// lane is how urgent a call is.
type lane int

const (
	stops    lane = iota // a single stop: before everything, and without bulk beside it
	singles              // any other single call
	bulk                 // streams and imports
	erasures             // alone in their commit
	lanes
)

// Bounds of what waits. A full lane makes its callers wait, not fail.
const (
	callsWaitingMax = 4096
	bulkWaitingMax  = 8
)

// call is one caller's facts and what became of them.
type call struct {
	facts    []*declare.Declared
	outcomes []ledger.Outcome
	taken    int           // facts handed to commits; belongs to the assembler
	open     atomic.Int32  // facts not yet answered
	done     chan struct{} // closed when open is 0
	alone    *alone        // set for a call that shares its commit with nobody
}

// alone is what an erasure does around its commit, while nothing else is open.
type alone struct {
	before func() (*declare.Declared, error) // in the assembler: makes the fact
	after  func(ctx context.Context) error   // in the publisher: once it is durable
}

func newCall(facts []*declare.Declared) *call {
	c := &call{facts: facts, outcomes: make([]ledger.Outcome, len(facts)), done: make(chan struct{})}
	c.open.Store(int32(len(facts)))
	return c
}

// answer fills one outcome. Each index is answered once.
func (c *call) answer(i int, o ledger.Outcome) {
	c.outcomes[i] = o
	if c.open.Add(-1) == 0 {
		close(c.done)
	}
}

// abandon answers what no commit has taken.
func (c *call) abandon(err error) {
	for ; c.taken < len(c.facts); c.taken++ {
		c.answer(c.taken, ledger.Outcome{Err: err})
	}
}

// item is one fact of one call.
type item struct {
	call *call
	i    int
}

func (it item) declared() *declare.Declared { return it.call.facts[it.i] }

// queue holds calls until the assembler takes them. It belongs to one assembler.
type queue struct {
	lanes   [lanes]chan *call
	carried *call // a bulk call of which a part is still to be taken
	// lagging tells whether local projections are so far behind that bulk must wait.
	lagging func() bool
}

func newQueue(lagging func() bool) *queue {
	return &queue{lagging: lagging, lanes: [lanes]chan *call{
		make(chan *call, callsWaitingMax), make(chan *call, callsWaitingMax), make(chan *call, bulkWaitingMax), make(chan *call, bulkWaitingMax)}}
}

// lagRecheck is how often waiting bulk looks whether projections have caught up.
const lagRecheck = 2 * time.Millisecond

// take gives the facts of the next commit. It waits only if there is nothing to
// do, so an idle writer answers at once; empty only when ctx is done.
func (q *queue) take(ctx context.Context) []item {
	for {
		var b batch
		if b.addAlone(q.lanes[erasures]) {
			return b.items
		}
		hasStop := b.fill(q.lanes[stops])
		b.fill(q.lanes[singles])
		if !hasStop {
			q.fillBulk(&b)
		}
		if len(b.items) > 0 || !q.wait(ctx, &b) {
			return b.items
		}
		if len(b.items) > 0 && b.items[0].call.alone == nil {
			b.fill(q.lanes[stops])
			b.fill(q.lanes[singles])
		}
		if len(b.items) > 0 {
			return b.items
		}
	}
}

// wait blocks until a call arrives, and adds it if it is no bulk.
func (q *queue) wait(ctx context.Context, b *batch) bool {
	arriving, recheck := q.lanes[bulk], (<-chan time.Time)(nil)
	if q.carried != nil || q.lagging() {
		arriving = nil
		timer := time.NewTimer(lagRecheck)
		defer timer.Stop()
		recheck = timer.C
	}
	select {
	case c := <-q.lanes[stops]:
		b.add(c)
	case c := <-q.lanes[singles]:
		b.add(c)
	case c := <-q.lanes[erasures]:
		b.add(c)
	case q.carried = <-arriving:
	case <-recheck:
	case <-ctx.Done():
		return false
	}
	return true
}

func (q *queue) fillBulk(b *batch) {
	if q.lagging() {
		return
	}
	for !b.full() && b.bytes < bulkBytesMax {
		if q.carried == nil {
			select {
			case q.carried = <-q.lanes[bulk]:
			default:
				return
			}
		}
		if b.addUpTo(q.carried, bulkBytesMax); q.carried.taken == len(q.carried.facts) {
			q.carried = nil
		}
	}
}

// empty tells whether nothing waits.
func (q *queue) empty() bool {
	if q.carried != nil {
		return false
	}
	for _, l := range q.lanes {
		if len(l) > 0 {
			return false
		}
	}
	return true
}

// drain empties the queue when the writer ends.
func (q *queue) drain(each func(*call)) {
	if q.carried != nil {
		each(q.carried)
		q.carried = nil
	}
	for _, l := range q.lanes {
		for len(l) > 0 {
			each(<-l)
		}
	}
}

// batch is what one commit will hold.
type batch struct {
	items []item
	bytes int
}

func (b *batch) full() bool { return len(b.items) >= commitEntriesMax || b.bytes >= commitBytesMax }

// fill takes what waits in a lane, and tells whether it took anything.
func (b *batch) fill(calls chan *call) bool {
	any := false
	for !b.full() {
		select {
		case c := <-calls:
			b.add(c)
			any = true
		default:
			return any
		}
	}
	return any
}

// addAlone takes one erasure, if one waits.
func (b *batch) addAlone(calls chan *call) bool {
	select {
	case c := <-calls:
		b.add(c)
		return true
	default:
		return false
	}
}

// add takes as many facts of a call as the commit holds. A single call always fits.
func (b *batch) add(c *call) { b.addUpTo(c, commitBytesMax) }

func (b *batch) addUpTo(c *call, bytesMax int) {
	for c.taken < len(c.facts) && ((!b.full() && b.bytes < bytesMax) || len(c.facts) == 1) {
		b.items = append(b.items, item{c, c.taken})
		if d := c.facts[c.taken]; d != nil { // nil: an erasure makes its fact later
			b.bytes += d.Bytes() + entryOverheadBytes
		}
		c.taken++
	}
}
