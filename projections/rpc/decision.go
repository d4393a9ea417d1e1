package rpc

import (
	"context"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/declare"
	"github.com/consent-ledger/consent-ledger/ledger/phone"
	ledgerrpc "github.com/consent-ledger/consent-ledger/ledger/rpc"
	"github.com/consent-ledger/consent-ledger/projections/runner"
	"github.com/consent-ledger/consent-ledger/projections/timeline"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
	"github.com/consent-ledger/consent-ledger/proto/gen/consent/v1/consentv1connect"
)

// questionsMax bounds one batch and one message of a scrub.
const questionsMax = 10_000

// Check answers one question.
func (d *Decider) Check(ctx context.Context, req *consentv1.CheckRequest) (*consentv1.CheckResponse, error) {
	if req.GetQuestion() == nil {
		return nil, ledgerrpc.Error(&ledger.InvalidError{Field: "question", Problem: "is missing", Fix: "name a number and a campaign"})
	}
	out, receipts, err := d.decideAndKeep(ctx, []*consentv1.Question{req.GetQuestion()},
		asking{atLeast: ledger.Position(req.GetAtLeast()), region: req.GetDefaultRegion(), reveal: req.GetReveal(), receipt: req.GetReceipt()})
	if err != nil {
		return nil, ledgerrpc.Error(err)
	}
	res := &consentv1.CheckResponse{Decision: out[0]}
	if receipts != nil {
		res.Receipt = receipts[0]
	}
	return res, nil
}

// CheckBatch answers many at one position.
func (d *Decider) CheckBatch(ctx context.Context, req *consentv1.CheckBatchRequest) (*consentv1.CheckBatchResponse, error) {
	if n := len(req.GetQuestions()); n > questionsMax {
		return nil, ledgerrpc.Error(&ledger.InvalidError{Field: "questions", Problem: fmt.Sprintf("are %d, at most %d are taken", n, questionsMax), Fix: "send several batches, or scrub"})
	}
	out, receipts, err := d.decideAndKeep(ctx, req.GetQuestions(),
		asking{atLeast: ledger.Position(req.GetAtLeast()), region: req.GetDefaultRegion(), reveal: req.GetReveal(), receipt: req.GetReceipt()})
	if err != nil {
		return nil, ledgerrpc.Error(err)
	}
	return &consentv1.CheckBatchResponse{Decisions: out, Receipts: receipts}, nil
}

// Timeline lists what was recorded about a number.
func (d *Decider) Timeline(ctx context.Context, req *consentv1.TimelineRequest) (*consentv1.TimelineResponse, error) {
	n, err := phone.Parse(req.GetNumber(), req.GetDefaultRegion())
	if err != nil {
		return nil, ledgerrpc.Error(declare.Unreadable(err, false))
	}
	x, err := d.Keys.Exchange(n.E164)
	if err != nil {
		return nil, ledgerrpc.Error(err)
	}
	res := &consentv1.TimelineResponse{Number: phone.Mask(n.E164)}
	if req.GetReveal() {
		res.Number = n.E164
	}
	var items []timeline.Item
	err = d.Runner.Read(ctx, d.Acked(), func(v runner.View) (err error) {
		res.Position = uint64(v.Position)
		items, res.More, err = timeline.Page(v, d.Keys.Token(x), ledger.Position(req.GetAfter()), int(req.GetPageSize()))
		return err
	})
	if err != nil {
		return nil, ledgerrpc.Error(err)
	}
	for _, it := range items {
		item, err := d.timelineItem(ctx, it.Position, req.GetReveal())
		if err != nil {
			return nil, ledgerrpc.Error(err)
		}
		res.Items = append(res.Items, item)
	}
	return res, nil
}

func (d *Decider) timelineItem(ctx context.Context, at ledger.Position, reveal bool) (*consentv1.TimelineItem, error) {
	e, err := d.Reader.Entry(ctx, at)
	if err != nil {
		return nil, err
	}
	f := e.Fact()
	item := &consentv1.TimelineItem{Position: uint64(at), RecordedAt: timestamppb.New(e.RecordedAt), Earliest: f.GetEarliest(), Latest: f.GetLatest(),
		Kind: string(ledger.KindOf(f)), Sellers: f.GetSellers(), Source: f.GetSource(), Summary: summary(f), EntryId: e.ID.String()}
	full, erased, err := d.Reader.Open(ctx, e)
	if err != nil {
		return nil, err
	}
	if item.Erased = erased; reveal {
		item.Personal = personal(full)
	}
	return item, nil
}

// Service serves DecisionService.
func (d *Decider) Service() consentv1connect.DecisionServiceHandler { return decisions{d} }

type decisions struct{ *Decider }

func (s decisions) Check(ctx context.Context, req *connect.Request[consentv1.CheckRequest]) (*connect.Response[consentv1.CheckResponse], error) {
	return respond(s.Decider.Check(ctx, req.Msg))
}

func (s decisions) CheckBatch(ctx context.Context, req *connect.Request[consentv1.CheckBatchRequest]) (*connect.Response[consentv1.CheckBatchResponse], error) {
	return respond(s.Decider.CheckBatch(ctx, req.Msg))
}

func (s decisions) Timeline(ctx context.Context, req *connect.Request[consentv1.TimelineRequest]) (*connect.Response[consentv1.TimelineResponse], error) {
	return respond(s.Decider.Timeline(ctx, req.Msg))
}

func (s decisions) Scrub(ctx context.Context, st *connect.BidiStream[consentv1.ScrubRequest, consentv1.ScrubResponse]) error {
	return ledgerrpc.Error(s.scrub(ctx, st))
}

// respond wraps a result for Connect.
func respond[T any](m *T, err error) (*connect.Response[T], error) {
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(m), nil
}
