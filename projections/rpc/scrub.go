package rpc

import (
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
	"github.com/consent-ledger/consent-ledger/projections/rules"
	"github.com/consent-ledger/consent-ledger/projections/runner"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

const (
	// scrubViewDefault is how long a scrub is answered from one view, at one instant.
	// Longer, and what is written at last would be older than it looks.
	scrubViewDefault = 5 * time.Minute
	// scrubIdleMax is how long a view is kept for a client that sends nothing.
	scrubIdleMax = 10 * time.Second
	// scrubAhead is how many messages of a scrub are under way for each worker.
	scrubAhead = 3
	// answersMax is how many answers a client must remember.
	answersMax = 1 << 16
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
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &scrub{Decider: d, question: proto.CloneOf(first.GetQuestion()), region: first.GetDefaultRegion(),
		requests: receiveAll(ctx, st, first), out: sender{st: st, shared: first.GetShareAnswers(), observe: d.Observe}}
	s.question.Number = ""
	for {
		select {
		case req, more := <-s.requests:
			if !more {
				return nil
			}
			if err := s.underView(ctx, req); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// received is what a client sent, or why there is no more of it.
type received struct {
	numbers []string
	err     error
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
		defer close(out)
		for more := give(received{numbers: first.GetNumbers()}); more; {
			req, err := st.Receive()
			if errors.Is(err, io.EOF) {
				return
			}
			more = give(received{req.GetNumbers(), err}) && err == nil
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
	out      sender
}

// job is one message of numbers on its way.
type job struct {
	numbers []string
	said    []*said
	done    chan struct{} // closed when said is whole
}

// underView answers from one view, until that is too old, the client is silent or
// done, or something fails.
func (s *scrub) underView(ctx context.Context, first received) error {
	need, whole := s.Acked(), s.Attempts.Wholeness()
	wait, cancel := context.WithTimeout(ctx, applyWait)
	defer cancel()
	if !s.Fresh(wait) {
		return errScrubStale
	}
	s.AwaitPacks(wait)
	seen := false
	err := s.together(wait, need, func(v runner.View) error {
		known := resident{s.Listing.Snapshot(), s.Registry.Snapshot(), s.Packs.Snapshot()}
		if known.listed.Position != v.Position || known.lists.Position != v.Position || known.packs.Position != v.Position {
			return errApart
		}
		seen = true
		r, err := s.resolve(s.question, asking{region: s.region}, known.listed, s.Now())
		if err != nil {
			return err
		}
		r.whole = whole
		in, packs, err := s.asked(v, known, &r)
		if err != nil {
			return err
		}
		if packs == nil && r.asOf.IsZero() {
			return errScrubStale
		}
		worker := func() *scrubWorker { return &scrubWorker{scrub: s, view: v, known: known, r: r, in: in, packs: packs} }
		return s.work(ctx, worker, first)
	})
	if errors.Is(err, errApart) || errors.Is(err, runner.ErrStopped) || err != nil && !seen && wait.Err() != nil && ctx.Err() == nil {
		return errScrubStale
	}
	return err
}

// errScrubStale: nobody can tell now. A file of ten million rows that all say
// STATE_STALE would help nobody.
var errScrubStale = connect.NewError(connect.CodeUnavailable,
	errors.New(rules.CodeStateStale+": the server cannot tell now whether its state is whole and fresh; treat what was not answered as BLOCK and run the scrub again"))

// work hands what is received to workers and their answers, in order, to the sender.
func (s *scrub) work(ctx context.Context, worker func() *scrubWorker, first received) error {
	group, ctx := errgroup.WithContext(ctx)
	workers := runtime.GOMAXPROCS(0)
	work, order := make(chan *job), make(chan *job, scrubAhead*workers)
	for range workers {
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
	group.Go(func() error { return s.out.all(ctx, order) })
	err := s.handOut(ctx, work, order, first)
	close(work)
	close(order)
	return errors.Join(err, group.Wait())
}

// handOut hands out requests until the view is too old, the client is silent or done.
func (s *scrub) handOut(ctx context.Context, work, order chan<- *job, next received) error {
	old, more := time.After(cmp.Or(s.ScrubView, scrubViewDefault)), true
	for more {
		switch n := len(next.numbers); {
		case next.err != nil:
			return next.err
		case n > questionsMax:
			return &ledger.InvalidError{Field: "numbers", Problem: fmt.Sprintf("are %d in one message, at most %d are taken", n, questionsMax), Fix: "send smaller messages"}
		}
		j := &job{numbers: next.numbers, done: make(chan struct{})}
		for _, to := range []chan<- *job{order, work} {
			select {
			case to <- j:
			case <-ctx.Done():
				return nil // whoever failed says why
			}
		}
		silent := time.NewTimer(scrubIdleMax)
		select {
		case next, more = <-s.requests:
		case <-old:
			more = false
		case <-silent.C:
			more = false
		case <-ctx.Done():
			more = false
		}
		silent.Stop()
	}
	return nil
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
	s.renumber()
	for j := range jobs {
		select {
		case <-j.done:
		case <-ctx.Done():
			return context.Cause(ctx)
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
	if s.given > answersMax {
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
