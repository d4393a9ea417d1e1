// Package scrub asks about every row of a calling list: a CSV file in, the same
// file with the server's answers out. It is an ordinary client of
// DecisionService.Scrub.
//
//	scrub.go    reading, asking and writing at once
//	list.go     the rows of the list, bad ones too; row.go one row
//	answers.go  the columns that are added
//	files.go    files, standard input and output, gzip and zstd
//	part.go     what is left of a scrub that broke off, and going on from it
//	summary.go  what came of it
//
// A row's own bytes are passed on as they are; ours follow behind the columns of
// the header. A row that cannot be read is answered too: BLOCK.
package scrub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
	"github.com/consent-ledger/consent-ledger/proto/gen/consent/v1/consentv1connect"
)

// batchesInFlight is how many batches are read or asked about and not yet written.
const batchesInFlight = 8

// Options of a scrub. Only Question is needed.
type Options struct {
	// Question is about every row; its number is the row's.
	Question *consentv1.Question
	// Region is the ISO country of numbers without a country code; empty: US.
	Region string
	// Column holds the numbers, by its name in the header; empty: one of a usual
	// name, or the only one.
	Column string
	// Neutralise puts an apostrophe before every cell of the list that a spreadsheet
	// would compute. Our own cells never are formulas.
	Neutralise bool
	// Restart begins anew where an earlier scrub into the same file broke off.
	Restart bool
	// Server names whose answers these are, so that a scrub does not go on with
	// those of another.
	Server string

	// Stdin and Stdout are what Standard stands for; nil: the process's own.
	Stdin  io.Reader
	Stdout io.Writer

	// Progress hears of bytes read of how many there are (-1: unknown) and of rows
	// done; nil: nobody.
	Progress func(bytes, total int64, rows int)
	// checkpoints are so far apart; 0: checkpointEvery. batch is the rows of a
	// message; 0: batchRows.
	checkpoints time.Duration
	batch       int

	// Say hears what somebody should know; nil: nobody. It holds no number.
	Say func(text string)
}

func (o *Options) setDefaults() {
	if o.Stdin == nil {
		o.Stdin = os.Stdin
	}
	if o.Stdout == nil {
		o.Stdout = os.Stdout
	}
	o.checkpoints, o.batch = cmp.Or(o.checkpoints, checkpointEvery), cmp.Or(o.batch, batchRows)
	if o.Progress == nil {
		o.Progress = func(int64, int64, int) {}
	}
	if o.Say == nil {
		o.Say = func(string) {}
	}
}

// ListError says what is wrong with a list, and what to do about it. It holds no
// phone number.
type ListError struct{ Problem, Fix string }

func (e *ListError) Error() string {
	if e.Fix == "" {
		return e.Problem
	}
	return e.Problem + "; " + e.Fix
}

// run is one scrub.
type run struct {
	Options
	decisions consentv1connect.DecisionServiceClient
	list      *list
	out       io.Writer // nil: rows are counted only
	sum       *Summary
	told      bool // of a bad row
	writing   bool // a batch is being written and not whole

	free chan *batch
	// written is called after each batch, with what it was.
	written func(*batch) error
	answers answers
	buf     []byte
}

func (r *run) writeHeader(b *batch) error {
	if r.out == nil {
		return nil
	}
	h := b.rows[0]
	r.buf = append(r.buf[:0], b.text[:h.begin]...)
	r.buf = r.appendRow(r.buf, b, h, headerCells)
	_, err := r.out.Write(r.buf)
	return err
}

// rows keeps three hands busy: one reads and asks, the server answers, one writes.
func (r *run) rows(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream := r.decisions.Scrub(ctx)
	// net/http does not look at a request's context while it waits for its body.
	defer context.AfterFunc(ctx, func() { _ = stream.CloseRequest() })()
	r.free = make(chan *batch, batchesInFlight)
	for range batchesInFlight {
		r.free <- &batch{}
	}
	asked := make(chan *batch, batchesInFlight)
	group.Go(func() error { return r.ask(ctx, stream, asked) })
	group.Go(func() error { return r.answer(stream, asked) })
	err := group.Wait()
	r.answers.settle(r.sum)
	cancel()
	_ = stream.CloseResponse() // every row is answered, or err says more
	return err
}

// errEnded: the server ended the stream as if all were answered. What it says nothing
// of is blocked, like everything from a server that is not there.
var errEnded = &client.Error{Kind: client.ErrNotReady, Message: "the server ended the scrub before the last row was answered"}

type bidi = connect.BidiStreamForClient[consentv1.ScrubRequest, consentv1.ScrubResponse]

// ask sends the numbers in batches, no further ahead than there are batches.
func (r *run) ask(ctx context.Context, stream *bidi, asked chan<- *batch) error {
	defer close(asked)
	defer func() { _ = stream.CloseRequest() }() // the answers say whether all arrived
	req := &consentv1.ScrubRequest{Question: r.Question, DefaultRegion: r.Region, ShareAnswers: true}
	for {
		var b *batch
		select {
		case b = <-r.free:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := r.list.batch(b); errors.Is(err, io.EOF) && len(b.rows) == 0 {
			return nil
		} else if err != nil {
			return err
		}
		b.ask(req)
		select {
		case asked <- b:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := stream.Send(req); errors.Is(err, io.EOF) {
			return nil // the answers say why
		} else if err != nil {
			return err
		}
		req.Question, req.DefaultRegion, req.ShareAnswers = nil, "", false
	}
}

// answer writes each batch with its answers, in order.
func (r *run) answer(stream *bidi, asked <-chan *batch) error {
	began, before := time.Now(), r.sum.Seconds
	for b := range asked {
		res, err := stream.Receive()
		if errors.Is(err, io.EOF) {
			return errEnded
		}
		if err != nil {
			return err
		}
		if err := r.answers.take(res, r.sum); err != nil {
			return err
		}
		if len(res.GetAnswers()) != len(b.rows) {
			return fmt.Errorf("%d rows were answered with %d", len(b.rows), len(res.GetAnswers()))
		}
		if err := r.write(b, res.GetAnswers()); err != nil {
			return err
		}
		r.sum.Seconds = before + time.Since(began).Seconds()
		if err := r.written(b); err != nil {
			return err
		}
		r.Progress(b.bytes, -1, r.sum.Rows)
		r.free <- b
	}
	return nil
}

// write writes the rows of a batch.
func (r *run) write(b *batch, answers []uint32) error {
	r.buf, r.writing = r.buf[:0], true
	for i := range b.rows {
		a, err := r.answers.of(answers[i])
		if err != nil {
			return err
		}
		if a.allow && b.empty(i) {
			return errors.New("the server allows a row without a number")
		}
		a.rows++
		if r.out != nil {
			r.buf = r.appendRow(r.buf, b, b.rows[i], a.cells)
		}
	}
	if b.bad != nil && !r.told {
		r.told = true
		r.Say(fmt.Sprintf("line %d %s. It is BLOCK, as is every row like it", b.bad.line, b.bad.problem))
	}
	if r.out != nil {
		if _, err := r.out.Write(r.buf); err != nil {
			return err
		}
	}
	r.sum.Rows, r.writing = r.sum.Rows+len(b.rows), false
	return nil
}

// appendRow appends a row with our cells behind the columns of the header, even if
// the row has fewer or more: of more, the last ones follow behind ours.
func (r *run) appendRow(dst []byte, b *batch, w row, cells []byte) []byte {
	own, surplus := b.text[w.begin:w.cut], b.text[w.cut:w.end]
	switch {
	case w.broken: // as it is it would swallow our columns
		dst = appendCell(dst, own)
	case r.Neutralise:
		dst = appendNeutral(dst, own)
	default:
		dst = append(dst, own...)
	}
	for range w.missing {
		dst = append(dst, ',')
	}
	dst = append(dst, cells...)
	if len(surplus) > 0 && r.Neutralise {
		dst = appendNeutral(dst, surplus)
	} else {
		dst = append(dst, surplus...)
	}
	if w.eol == 0 {
		return append(dst, r.list.end...)
	}
	return append(dst, b.text[w.end:w.end+w.eol]...)
}
