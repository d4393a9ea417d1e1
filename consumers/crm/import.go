package crm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Sender hands facts to a ledger. Import calls it from several goroutines.
type Sender interface {
	// Send gives one outcome a fact, in order. An error says nothing about what
	// was recorded; Import sends the same facts with the same ids again, unless
	// the error is ErrPermanent.
	Send(ctx context.Context, facts []*consentv1.Fact) ([]*consentv1.Outcome, error)
}

var (
	// ErrPermanent marks an error of Send that sending again cannot mend: a wrong
	// key, a dry run the server does not know. Nothing of that chunk was recorded.
	ErrPermanent = errors.New("crm: refused for good")

	// ErrUnknown: of some rows it is not known whether they were recorded. Import
	// the same file again: what is recorded is not added twice.
	ErrUnknown = errors.New("crm: the outcome of some rows is unknown; import the same file again, nothing is added twice")
)

// Summary counts rows. Added and Duplicates are as the server said: a row that
// had to be sent twice, because the first answer was lost, may count as a duplicate.
type Summary struct {
	Rows       int `json:"rows"`       // rows of the file, all of them
	Added      int `json:"added"`      // recorded now
	Duplicates int `json:"duplicates"` // recorded before
	Rejected   int `json:"rejected"`   // in the rejects file
	Inbox      int `json:"inbox"`      // possible stops a person must read
	Unknown    int `json:"unknown"`    // only with ErrUnknown or another error
}

// Progress is how far an import is.
type Progress struct {
	Summary
	// Bytes of the file whose rows are settled.
	Bytes int64
}

// ImportOptions bound an import. The zero value is useful.
type ImportOptions struct {
	// Rejects takes bad rows; nil: they are only counted.
	Rejects *Rejects
	// Progress is called after each chunk, in order, from Import's goroutine.
	Progress func(Progress)
	// ChunkRows is how many facts go into one Send; default and most 1,000.
	ChunkRows int
	// InFlight is how many Sends run at a time; default 4.
	InFlight int
	// Attempts is how often one fact is sent at most; default 8.
	Attempts int
	// Backoff is the first pause between attempts, doubled up to 10 s and
	// shortened by chance to half; default 200 ms.
	Backoff time.Duration
}

const (
	chunkRowsMax  = 1000
	chunkBytesMax = 1 << 20 // of raw fields; one larger row goes alone
	backoffMax    = 10 * time.Second
)

func (o *ImportOptions) setDefaults() {
	if o.ChunkRows <= 0 || o.ChunkRows > chunkRowsMax {
		o.ChunkRows = chunkRowsMax
	}
	if o.InFlight <= 0 {
		o.InFlight = 4
	}
	if o.Attempts <= 0 {
		o.Attempts = 8
	}
	if o.Backoff <= 0 {
		o.Backoff = 200 * time.Millisecond
	}
}

// chunk is a stretch of the file. It belongs to the producer until it is
// delivered, to deliver until done is closed, then to Import.
type chunk struct {
	rows     []Row
	facts    []*consentv1.Fact
	outcomes []*consentv1.Outcome // nil: unknown
	err      error
	bytes    int64 // of the file, up to and with this chunk
	done     chan struct{}
}

// Import sends every fact of a file and settles the rows in the order of the
// file. It returns when everything it began has ended. The summary counts what
// is known even if there is an error.
func Import(ctx context.Context, r *Reader, send Sender, o ImportOptions) (Summary, error) {
	o.setDefaults()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	// One chunk is in settle's hands, the others wait in the channel: together
	// never more than InFlight.
	ordered := make(chan *chunk, o.InFlight-1)
	var readErr error
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(ordered)
		readErr = produce(ctx, r, o, func(c *chunk) bool {
			select {
			case ordered <- c:
			case <-ctx.Done():
				return false
			}
			wg.Go(func() { c.deliver(ctx, send, o) })
			return true
		})
	})

	var sum Summary
	var firstErr error
	for c := range ordered {
		<-c.done
		if c.err != nil && firstErr == nil {
			firstErr = c.err
			cancel(c.err) // the others end soon; what they know still counts
		}
		if err := sum.settle(c, o.Rejects); err != nil && firstErr == nil {
			firstErr = err
			cancel(err)
		}
		if o.Progress != nil {
			o.Progress(Progress{Summary: sum, Bytes: c.bytes})
		}
	}
	wg.Wait()
	if firstErr == nil {
		firstErr = readErr
	}
	if o.Rejects != nil {
		firstErr = errors.Join(firstErr, o.Rejects.Flush())
	}
	return sum, firstErr
}

// produce cuts the file into chunks and hands them on until hand says no.
func produce(ctx context.Context, r *Reader, o ImportOptions, hand func(*chunk) bool) error {
	c, size := newChunk(), 0
	flush := func() bool {
		if len(c.rows) == 0 {
			return true
		}
		c.bytes = r.Bytes()
		c.outcomes = make([]*consentv1.Outcome, len(c.facts))
		ok := hand(c)
		c, size = newChunk(), 0
		return ok
	}
	for {
		row, err := r.Next()
		if err != nil {
			if !flush() {
				return context.Cause(ctx)
			}
			if err == io.EOF {
				return nil
			}
			return fmt.Errorf("read the file: %w", err)
		}
		c.rows = append(c.rows, row)
		for _, text := range row.Raw {
			size += len(text)
		}
		if row.Fact != nil {
			c.facts = append(c.facts, row.Fact)
		}
		if (len(c.rows) >= o.ChunkRows || size >= chunkBytesMax) && !flush() {
			return context.Cause(ctx)
		}
	}
}

func newChunk() *chunk { return &chunk{done: make(chan struct{})} }

// deliver sends a chunk until every fact has an outcome or the bounds are reached.
func (c *chunk) deliver(ctx context.Context, send Sender, o ImportOptions) {
	defer close(c.done)
	pending := make([]int, len(c.facts))
	for i := range pending {
		pending[i] = i
	}
	pause := o.Backoff
	for attempt := 1; len(pending) > 0; attempt++ {
		left, err := c.sendOnce(ctx, send, pending)
		switch {
		case err == nil && len(left) == 0:
			return
		case ctx.Err() != nil:
			c.err = context.Cause(ctx)
			return
		case errors.Is(err, ErrPermanent):
			c.err = err
			return
		case attempt >= o.Attempts:
			c.err = c.unknown(len(left), attempt, err)
			return
		}
		pending = left
		// Jitter, so that chunks that failed together do not return together.
		wait := time.NewTimer(pause/2 + rand.N(pause/2+1))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			c.err = context.Cause(ctx)
			return
		}
		pause = min(2*pause, backoffMax)
	}
}

// sendOnce sends what is pending and gives back what still is.
func (c *chunk) sendOnce(ctx context.Context, send Sender, pending []int) (left []int, err error) {
	facts := make([]*consentv1.Fact, len(pending))
	for i, at := range pending {
		facts[i] = c.facts[at]
	}
	outcomes, err := send.Send(ctx, facts)
	if err != nil {
		return pending, err
	}
	if len(outcomes) != len(facts) {
		return pending, fmt.Errorf("%d facts were answered with %d outcomes", len(facts), len(outcomes))
	}
	for i, at := range pending {
		if outcomes[i].GetResult() == nil || outcomes[i].GetRefusal().GetCode() == "UNCERTAIN" {
			left = append(left, at)
			continue
		}
		c.outcomes[at] = outcomes[i]
	}
	return left, nil
}

func (c *chunk) unknown(facts, attempts int, last error) error {
	where := fmt.Sprintf("lines %d to %d: %d facts without an answer after %d attempts", c.rows[0].Line, c.rows[len(c.rows)-1].Line, facts, attempts)
	if last != nil {
		return fmt.Errorf("%s: %w: %w", where, ErrUnknown, last)
	}
	return fmt.Errorf("%s: %w", where, ErrUnknown)
}

// settle counts a chunk's rows and writes the bad ones to the rejects file.
func (s *Summary) settle(c *chunk, rejects *Rejects) error {
	next := 0
	for i := range c.rows {
		row := &c.rows[i]
		s.Rows++
		reason := ""
		if row.Err != nil {
			reason = row.Err.Reason()
		} else {
			reason = s.count(c.outcomes[next])
			next++
		}
		if reason == "" {
			continue
		}
		s.Rejected++
		if rejects != nil {
			if err := rejects.Add(*row, reason); err != nil {
				return fmt.Errorf("write the rejects file: %w", err)
			}
		}
	}
	return nil
}

// count counts one outcome; a reason means it is a reject.
func (s *Summary) count(o *consentv1.Outcome) (reason string) {
	refusal := o.GetRefusal()
	switch {
	case o == nil:
		s.Unknown++
	case o.GetReceipt().GetDuplicate():
		s.Duplicates++
	case o.GetReceipt() != nil:
		s.Added++
	case refusal.GetCode() == "INBOX":
		s.Inbox++
	case refusal.GetMessage() == "":
		return "refused by the server: " + refusal.GetCode()
	case refusal.GetCode() == "INVALID":
		return refusal.GetMessage()
	default:
		return refusal.GetCode() + ": " + refusal.GetMessage()
	}
	return ""
}
