package rpc

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/phone"
	"github.com/consent-ledger/consent-ledger/projections/rules"
	"github.com/consent-ledger/consent-ledger/projections/runner"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

const (
	// scrubViewDefault is how long a scrub is answered from one view, at one instant.
	// Longer, and what is written at last would be older than it looks.
	scrubViewDefault = 5 * time.Minute
	// scrubIdleMax is how long a view is kept for a client that sends nothing, or
	// does not take its answers.
	scrubIdleMax = 10 * time.Second
	// scrubAhead is how many messages of a scrub are under way for each worker.
	scrubAhead = 3
	// sharedAnswersMax is how many answers a client must remember.
	sharedAnswersMax = 1 << 16
)

// scrubStream is the server's end of a scrub.
type scrubStream interface {
	Receive() (*consentv1.ScrubRequest, error)
	Send(*consentv1.ScrubResponse) error
}

// scrub answers a stream of numbers about one question, from one view after
// another. It ends with the stream or with the first error.
func (d *Decider) scrub(ctx context.Context, st scrubStream) error {
	first, err := st.Receive()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return err
	}
	if first.GetQuestion() == nil {
		return &ledger.InvalidError{Field: "question", Problem: "is missing in the first message", Fix: "send the campaign first"}
	}
	group, ctx := errgroup.WithContext(ctx)
	s := &scrub{Decider: d, question: proto.CloneOf(first.GetQuestion()), region: first.GetDefaultRegion(),
		requests: receiveAll(ctx, st, first), order: make(chan *job, scrubAhead*runtime.GOMAXPROCS(0))}
	s.question.Number = ""
	out := &sender{st: st, shared: first.GetShareAnswers(), observe: d.Observe}
	group.Go(func() error { return out.all(ctx, s.order) })
	group.Go(func() error {
		defer close(s.order)
		return s.views(ctx)
	})
	return group.Wait()
}

// received is what a client sent, or why there is no more of it.
type received struct {
	req *consentv1.ScrubRequest
	err error
}

// receiveAll receives beside the work. A stream that is being waited for can only
// be left by ending the request, so nobody waits for this goroutine: it ends when
// the handler returns.
func receiveAll(ctx context.Context, st scrubStream, first *consentv1.ScrubRequest) <-chan received {
	out := make(chan received, 1)
	give := func(r received) bool {
		select {
		case out <- r:
			return true
		case <-ctx.Done():
			return false
		}
	}
	go func() {
		for more := give(received{req: first}); more; {
			req, err := st.Receive()
			if errors.Is(err, io.EOF) {
				close(out) // and only then: to be cut off is no end
				return
			}
			more = give(received{req, err}) && err == nil
		}
	}()
	return out
}

// scrub is one stream.
type scrub struct {
	*Decider
	question *consentv1.Question
	region   string
	requests <-chan received
	order    chan *job // in which the sender sends
}

// job is one message of numbers on its way.
type job struct {
	numbers numbers
	first   bool // of its view
	said    []*said
	done    chan struct{} // closed when said is whole
}

// job makes a job of what was received.
func (r received) job() (*job, error) {
	if r.err != nil {
		return nil, r.err
	}
	n, err := numbersOf(r.req)
	return &job{numbers: n, done: make(chan struct{})}, err
}

// numbers are those of one message, one after another in one text.
type numbers struct {
	text []byte
	ends []int
	gap  int // bytes between them
}

func (n *numbers) each(visit func(i int, raw []byte)) {
	begin := 0
	for i, end := range n.ends {
		visit(i, n.text[begin:end])
		begin = end + n.gap
	}
}

func numbersOf(req *consentv1.ScrubRequest) (n numbers, err error) {
	lines := req.GetLines()
	count := len(req.GetNumbers())
	switch {
	case len(lines) > 0 && count > 0:
		return n, &ledger.InvalidError{Field: "lines", Problem: "stand beside numbers, and nobody can tell which come first", Fix: "send one of them"}
	case len(lines) > 0 && lines[len(lines)-1] != '\n':
		return n, &ledger.InvalidError{Field: "lines", Problem: "break off: the last number has no line feed behind it", Fix: "end every number with one"}
	case len(lines) > 0:
		count = bytes.Count(lines, []byte("\n"))
	}
	if count > questionsMax {
		return n, &ledger.InvalidError{Field: "numbers", Problem: fmt.Sprintf("are %d in one message, at most %d are taken", count, questionsMax), Fix: "send smaller messages"}
	}
	n.ends = make([]int, 0, count)
	for _, raw := range req.GetNumbers() {
		n.text = append(n.text, raw...)
		n.ends = append(n.ends, len(n.text))
	}
	if len(lines) == 0 {
		return n, nil
	}
	n.text, n.gap = lines, 1
	for at := 0; at < len(lines); at = n.ends[len(n.ends)-1] + 1 {
		n.ends = append(n.ends, at+bytes.IndexByte(lines[at:], '\n'))
	}
	return n, nil
}

// views answers from one view after another. While the client is silent, or does
// not take its answers, none is held.
func (s *scrub) views(ctx context.Context) error {
	for {
		select {
		case req, more := <-s.requests:
			if !more {
				return nil
			}
			j, err := req.job()
			for j != nil && err == nil {
				j.first = true
				select {
				case s.order <- j:
					j, err = s.underView(ctx, j)
				case <-ctx.Done():
					err = context.Cause(ctx)
				}
			}
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// underView answers from one view, until that is too old, the client is silent,
// does not take its answers or is done, or something fails. It gives the job that
// had no more place.
func (s *scrub) underView(ctx context.Context, first *job) (next *job, err error) {
	need, whole := s.Acked(), s.Attempts.Wholeness()
	patience := applyWait
	if s.stuck() {
		patience = 0
	}
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if !s.Fresh(wait) {
		return nil, errScrubStale
	}
	s.AwaitPacks(wait)
	seen := false
	err = s.together(wait, need, func(v runner.View) error {
		known := resident{s.Listing.Snapshot(), s.Registry.Snapshot(), s.Packs.Snapshot()}
		if known.listed.Position != v.Position || known.lists.Position != v.Position || known.packs.Position != v.Position {
			return errApart
		}
		seen = true
		var r resolved
		if err := s.resolve(&r, s.question, &asking{region: s.region, now: s.Now()}, known.listed); err != nil {
			return err
		}
		r.whole = whole
		packs, err := s.asked(v.Position, known, &r)
		if err != nil {
			return err
		}
		if packs == nil && r.asOf.IsZero() {
			return errScrubStale
		}
		worker := func() *scrubWorker {
			return &scrubWorker{scrub: s, view: v, known: known, r: r, in: r.in, packs: packs, plain: phone.Plain(s.region)}
		}
		next, err = s.work(ctx, worker, first)
		return err
	})
	if errors.Is(err, errApart) || errors.Is(err, runner.ErrStopped) || err != nil && !seen && wait.Err() != nil && ctx.Err() == nil {
		return nil, errScrubStale
	}
	return next, err
}

// errScrubStale: nobody can tell now. A file of ten million rows that all say
// STATE_STALE would help nobody.
var errScrubStale = connect.NewError(connect.CodeUnavailable,
	errors.New(rules.CodeStateStale+": the server cannot tell now whether its state is whole and fresh; treat what was not answered as BLOCK and run the scrub again"))

// work lets workers answer what is received.
func (s *scrub) work(ctx context.Context, worker func() *scrubWorker, first *job) (next *job, err error) {
	group, ctx := errgroup.WithContext(ctx)
	work := make(chan *job)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() error {
			w := worker()
			for j := range work {
				var err error
				if j.said, err = w.answer(ctx, j.numbers); err != nil {
					return err
				}
				close(j.done)
			}
			return nil
		})
	}
	next, err = s.handOut(ctx, work, first)
	close(work)
	return next, errors.Join(err, group.Wait())
}

// handOut hands out jobs for as long as the view may be held.
func (s *scrub) handOut(ctx context.Context, work chan<- *job, j *job) (next *job, err error) {
	old := time.After(cmp.Or(s.ScrubView, scrubViewDefault))
	for {
		select {
		case work <- j:
		case <-ctx.Done():
			return nil, nil // whoever failed says why
		}
		wait := time.NewTimer(scrubIdleMax)
		j = nil
		select {
		case req, more := <-s.requests:
			if !more {
				return nil, nil
			}
			if j, err = req.job(); err != nil {
				return nil, err
			}
		case <-old:
		case <-wait.C:
		case <-ctx.Done():
		}
		if j == nil {
			wait.Stop()
			return nil, nil
		}
		select {
		case s.order <- j:
		case <-wait.C:
			return j, nil
		case <-ctx.Done():
			return nil, nil
		}
		wait.Stop()
	}
}

// sender gives answers in the form that the client wants. It belongs to one
// goroutine at a time.
type sender struct {
	st      scrubStream
	shared  bool
	observe func(*consentv1.Decision, int, time.Duration)

	numbering uint64 // which numbering of the answers this is
	given     uint32 // answers given in it
}

// all sends jobs as they are done. A view's answers begin a numbering of their own.
func (s *sender) all(ctx context.Context, jobs <-chan *job) error {
	for j := range jobs {
		select {
		case <-j.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if j.first {
			s.renumber()
		}
		give := s.rows
		if s.shared {
			give = s.numbered
		}
		res := give(j.said)
		if err := s.st.Send(res); err != nil {
			return err
		}
	}
	return nil
}

func (s *sender) renumber() { s.numbering, s.given = s.numbering+1, 0 }

func (s *sender) rows(all []*said) *consentv1.ScrubResponse {
	res := &consentv1.ScrubResponse{}
	for _, a := range all {
		s.observe(a.decision, 1, 0)
		res.Rows = append(res.Rows, a.row)
	}
	return res
}

func (s *sender) numbered(all []*said) *consentv1.ScrubResponse {
	if s.given > sharedAnswersMax {
		s.renumber()
	}
	res := &consentv1.ScrubResponse{Renumbered: s.given == 0, Answers: make([]uint32, len(all))}
	var met []*said
	for i, a := range all {
		if a.numbering != s.numbering {
			a.numbering, a.number = s.numbering, s.given
			s.given++
			res.Rows = append(res.Rows, a.row)
		}
		if a.rows == 0 {
			met = append(met, a)
		}
		a.rows++
		res.Answers[i] = a.number
	}
	for _, a := range met {
		s.observe(a.decision, a.rows, 0)
		a.rows = 0
	}
	return res
}
