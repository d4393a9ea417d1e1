package attempts

import (
	"context"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/projections/rules"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Bounds of one batch: as of a commit of the ledger, far below a message's 1 MiB.
const (
	batchRecordsMax = 1000
	batchBytesMax   = 256 << 10
	// bulkBytesMax bounds what streams add: a reservation that arrives waits for
	// the batch in flight.
	bulkBytesMax = 80 << 10
	// decisionBytes is what a decision adds to a record, for the estimate.
	decisionBytes = 1 << 10
)

// Bounds of what waits. A full lane makes its callers wait, not fail.
const (
	requestsWaitingMax = 4096
	bulkWaitingMax     = 8
)

// Outcome is what became of one thing said or asked.
type Outcome struct {
	// Err says that it is not durable, or that nobody knows.
	Err error
	// Sequence is the message that says so; 0: none. RecordedAt is its instant, if
	// it was written now.
	Sequence   uint64
	RecordedAt time.Time
	// Duplicate: all of it was known before.
	Duplicate bool
	// Counts is what the call counts as now.
	Counts consentv1.AttemptOutcome
	// Decision and Reserved answer a reservation.
	Decision *consentv1.Decision
	Reserved bool
	// Stated signs the statement of a decision that was kept, the one at Place; nil:
	// it has none.
	Stated *Stated
	Place  int
}

// item is one thing to decide.
type item struct {
	Declared
	// ask is what a reservation is decided on, without attempts; nil: no reservation.
	ask *rules.Input
	in  *request
	i   int
}

func (it *item) bytes() int {
	n := proto.Size(it.record)
	if it.ask != nil {
		n += decisionBytes
	}
	return n
}

// request is one caller's items and what became of them.
type request struct {
	items    []item
	outcomes []Outcome
	taken    int           // items handed to batches; belongs to the keeper
	open     atomic.Int32  // items not yet answered
	done     chan struct{} // closed when open is 0
}

func newRequest(items []item) *request {
	r := &request{items: items, outcomes: make([]Outcome, len(items)), done: make(chan struct{})}
	r.open.Store(int32(len(items)))
	for i := range r.items {
		r.items[i].in, r.items[i].i = r, i
	}
	return r
}

// answer fills one outcome. Each is answered once.
func (it *item) answer(o Outcome) {
	it.in.outcomes[it.i] = o
	if it.in.open.Add(-1) == 0 {
		close(it.in.done)
	}
}

// abandon answers what no batch has taken.
func (r *request) abandon(err error) {
	for ; r.taken < len(r.items); r.taken++ {
		r.items[r.taken].answer(Outcome{Err: err})
	}
}

// queue holds requests until the keeper takes them.
type queue struct {
	singles, bulk chan *request
	carried       *request // bulk of which a part is still to be taken
}

func newQueue() *queue {
	return &queue{singles: make(chan *request, requestsWaitingMax), bulk: make(chan *request, bulkWaitingMax)}
}

// lane is where a request waits: what a dialer waits for goes before streams.
func (q *queue) lane(r *request) chan *request {
	if len(r.items) == 1 {
		return q.singles
	}
	return q.bulk
}

// take gives the items of the next batch, all that waits within its bounds. It
// waits if there is nothing; nothing is given only when ctx is done or other
// brings something else to do.
func (q *queue) take(ctx context.Context, other <-chan func(context.Context) error) (batch []*item, do func(context.Context) error) {
	select {
	case do = <-other: // before everything, or a busy keeper would never come to it
		return nil, do
	default:
	}
	var b load
	if !b.fill(q.singles) && q.carried == nil {
		select {
		case r := <-q.singles:
			b.add(r, batchBytesMax)
			b.fill(q.singles)
		case q.carried = <-q.bulk:
		case do = <-other:
			return nil, do
		case <-ctx.Done():
			return nil, nil
		}
	}
	for !b.full(bulkBytesMax) {
		if q.carried == nil {
			select {
			case q.carried = <-q.bulk:
			default:
				return b.items, nil
			}
		}
		if b.add(q.carried, bulkBytesMax); q.carried.taken == len(q.carried.items) {
			q.carried = nil
		}
	}
	return b.items, nil
}

// drain empties the queue at the end.
func (q *queue) drain(each func(*request)) {
	if q.carried != nil {
		each(q.carried)
		q.carried = nil
	}
	for _, lane := range []chan *request{q.singles, q.bulk} {
		for len(lane) > 0 {
			each(<-lane)
		}
	}
}

// load is what one batch will hold.
type load struct {
	items []*item
	bytes int
}

func (b *load) full(bytesMax int) bool { return len(b.items) >= batchRecordsMax || b.bytes >= bytesMax }

// fill takes what waits in a lane of single requests, and tells whether it took any.
func (b *load) fill(lane chan *request) bool {
	for !b.full(batchBytesMax) {
		select {
		case r := <-lane:
			b.add(r, batchBytesMax)
		default:
			return len(b.items) > 0
		}
	}
	return true
}

func (b *load) add(r *request, bytesMax int) {
	for r.taken < len(r.items) && (!b.full(bytesMax) || len(r.items) == 1) {
		it := &r.items[r.taken]
		b.items, b.bytes = append(b.items, it), b.bytes+it.bytes()
		r.taken++
	}
}
