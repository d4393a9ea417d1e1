package rpc

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/declare"
	"github.com/consent-ledger/consent-ledger/ledger/phone"
	ledgerrpc "github.com/consent-ledger/consent-ledger/ledger/rpc"
	"github.com/consent-ledger/consent-ledger/projections/attempts"
	"github.com/consent-ledger/consent-ledger/projections/rules"
	"github.com/consent-ledger/consent-ledger/projections/runner"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
	"github.com/consent-ledger/consent-ledger/proto/gen/consent/v1/consentv1connect"
)

// attemptsMax bounds one batch.
const attemptsMax = 5_000

// reserveWait is how long a dialer waits for a reservation; after that nobody
// knows, and it must ask again.
const reserveWait = 3 * time.Second

// reserving is a reservation on its way through a decision.
type reserving struct {
	reference string
	// Filled by the decision: what it was made on, what it is about, and whether
	// the reference is known already.
	in    rules.Input
	call  attempts.Call
	known bool
}

// tried fills in what was tried before. A reservation does not count its own call.
func (d *Decider) tried(v *runner.View, token ledger.Token, r *resolved, in *rules.Input) (err error) {
	c := attempts.Contact{Token: token, Seller: in.Seller, At: r.at, Past: r.past, AsOf: r.asOf}
	in.Attempts, in.AttemptsKnown, err = d.Attempts.Attempts(v, r.whole, c)
	if err != nil || r.reserving == nil {
		return err
	}
	key := attempts.ReferenceKey(d.Keys, in.Seller, r.reserving.reference)
	if r.reserving.known, err = attempts.Knows(v, key); err != nil {
		return err
	}
	if own := hex.EncodeToString(key[:attempts.ReferenceBytes]); r.reserving.known {
		in.Attempts = slices.DeleteFunc(in.Attempts, func(a rules.Attempt) bool { return a.Reference == own })
	}
	r.reserving.in, r.reserving.call = *in, r.call
	return nil
}

// Attempts serves AttemptService.
type Attempts struct {
	*Decider
	// Catalog knows what is registered, as exactly as the writer does.
	Catalog declare.Catalog
}

// Reserve checks one contact and, where a cap limits it, reserves it.
func (s *Attempts) Reserve(ctx context.Context, req *consentv1.ReserveRequest) (*consentv1.ReserveResponse, error) {
	out, err := s.reserve(ctx, req)
	if err != nil {
		return nil, ledgerrpc.Error(err)
	}
	s.Observe(out.GetDecision(), 1, 0)
	return out, nil
}

func (s *Attempts) reserve(ctx context.Context, req *consentv1.ReserveRequest) (*consentv1.ReserveResponse, error) {
	q := req.GetQuestion()
	switch {
	case q == nil:
		return nil, &ledger.InvalidError{Field: "question", Problem: "is missing", Fix: "name a number and a campaign"}
	case q.GetAt() != nil:
		return nil, &ledger.InvalidError{Field: "at", Problem: "is set; a reservation is for now", Fix: "leave it out, or check without reserving"}
	case q.GetAsOf() != nil:
		return nil, &ledger.InvalidError{Field: "as_of", Problem: "is set; a reservation counts everything recorded", Fix: "leave it out, or check without reserving"}
	}
	if err := attempts.CheckCall(attempts.Call{Reference: req.GetReference(), CallerID: req.GetCallerId(), Source: req.GetSource()}); err != nil {
		return nil, err
	}
	var asked []resolved
	res := &reserving{reference: req.GetReference()}
	out, err := s.decide(ctx, []*consentv1.Question{q}, asking{atLeast: ledger.Position(req.GetAtLeast()), region: req.GetDefaultRegion(), reveal: req.GetReveal(), reserving: res, asked: &asked})
	if err != nil {
		return nil, err
	}
	// Most answers need no write: what is blocked, or limited by no cap.
	r, allowed := &consentv1.ReserveResponse{Decision: out[0]}, out[0].GetVerdict() == consentv1.Verdict_VERDICT_ALLOW
	if res.known || allowed && len(out[0].GetCaps()) > 0 {
		if r, err = s.reserveOne(ctx, req, res); err != nil {
			return nil, err
		}
		allowed = r.GetDecision().GetVerdict() == consentv1.Verdict_VERDICT_ALLOW
	}
	written := r.GetReserved() && allowed // its decision is in the reservation
	if len(asked) == 0 || !req.GetReceipt() && (written || !s.KeepDecisions) {
		return r, nil
	}
	receipts, err := s.keep(ctx, []*consentv1.Question{q}, asked, []*consentv1.Decision{r.GetDecision()}, req.GetReceipt())
	if receipts != nil {
		r.Receipt = receipts[0]
	}
	return r, err
}

// reserveOne asks the keeper, which counts everything up to then.
func (s *Attempts) reserveOne(ctx context.Context, req *consentv1.ReserveRequest, res *reserving) (*consentv1.ReserveResponse, error) {
	res.call.Reference, res.call.CallerID, res.call.Source = req.GetReference(), req.GetCallerId(), req.GetSource()
	wait, cancel := context.WithTimeout(ctx, reserveWait)
	defer cancel()
	o := s.Decider.Attempts.Reserve(wait, res.call, res.in)
	if o.Err != nil {
		return nil, o.Err
	}
	n, _ := phone.Parse(req.GetQuestion().GetNumber(), req.GetDefaultRegion()) // it was read before
	show(o.Decision, n, req.GetReveal())
	r := &consentv1.ReserveResponse{Decision: o.Decision, Reserved: o.Reserved, Duplicate: o.Duplicate, Sequence: o.Sequence}
	if o.Reserved {
		r.Durability = s.Durability
	}
	return r, nil
}

// Cancel gives a reservation up.
func (s *Attempts) Cancel(ctx context.Context, req *consentv1.CancelRequest) (*consentv1.CancelResponse, error) {
	r, err := s.RecordAttempt(ctx, &consentv1.RecordAttemptRequest{Attempt: &consentv1.Attempt{Reference: req.GetReference(), Campaign: req.GetCampaign(),
		Seller: req.GetSeller(), Source: req.GetSource(), Outcome: consentv1.AttemptOutcome_ATTEMPT_OUTCOME_CANCELLED}})
	if err != nil {
		return nil, err
	}
	return &consentv1.CancelResponse{Receipt: r.GetReceipt()}, nil
}

// RecordAttempt makes one attempt durable.
func (s *Attempts) RecordAttempt(ctx context.Context, req *consentv1.RecordAttemptRequest) (*consentv1.RecordAttemptResponse, error) {
	o := s.record(ctx, []*consentv1.Attempt{req.GetAttempt()}, req.GetDefaultRegion())[0]
	if o.Err != nil {
		return nil, ledgerrpc.Error(o.Err)
	}
	return &consentv1.RecordAttemptResponse{Receipt: s.receipt(o)}, nil
}

// RecordAttempts makes many durable.
func (s *Attempts) RecordAttempts(ctx context.Context, req *consentv1.RecordAttemptsRequest) (*consentv1.RecordAttemptsResponse, error) {
	results, err := s.results(ctx, req.GetAttempts(), req.GetDefaultRegion())
	if err != nil {
		return nil, ledgerrpc.Error(err)
	}
	return &consentv1.RecordAttemptsResponse{Results: results}, nil
}

// record declares and records; one outcome each, in order.
func (s *Attempts) record(ctx context.Context, in []*consentv1.Attempt, region string) []attempts.Outcome {
	out := make([]attempts.Outcome, len(in))
	var ds []attempts.Declared
	var at []int
	for i, a := range in {
		d, err := attempts.Declare(a, region, s.Keys, s.Catalog)
		if out[i].Err = err; err == nil {
			ds, at = append(ds, d), append(at, i)
		}
		ledger.Breathe(i)
	}
	for k, o := range s.Decider.Attempts.Record(ctx, ds) {
		out[at[k]] = o
	}
	return out
}

func (s *Attempts) results(ctx context.Context, in []*consentv1.Attempt, region string) ([]*consentv1.AttemptResult, error) {
	if n := len(in); n > attemptsMax {
		return nil, &ledger.InvalidError{Field: "attempts", Problem: fmt.Sprintf("are %d, at most %d are taken", n, attemptsMax), Fix: "send several batches"}
	}
	out := make([]*consentv1.AttemptResult, len(in))
	for i, o := range s.record(ctx, in, region) {
		if out[i] = (&consentv1.AttemptResult{Result: &consentv1.AttemptResult_Receipt{Receipt: s.receipt(o)}}); o.Err != nil {
			out[i].Result = &consentv1.AttemptResult_Refusal{Refusal: ledgerrpc.Refuse(o.Err)}
		}
	}
	return out, nil
}

func (s *Attempts) receipt(o attempts.Outcome) *consentv1.AttemptReceipt {
	r := &consentv1.AttemptReceipt{Sequence: o.Sequence, Duplicate: o.Duplicate, Durability: s.Durability, Outcome: o.Counts}
	if !o.Duplicate {
		r.RecordedAt = timestamppb.New(o.RecordedAt)
	}
	return r
}

// Service serves it over Connect.
func (s *Attempts) Service() consentv1connect.AttemptServiceHandler { return attemptService{s} }

type attemptService struct{ s *Attempts }

func (h attemptService) Reserve(ctx context.Context, req *connect.Request[consentv1.ReserveRequest]) (*connect.Response[consentv1.ReserveResponse], error) {
	return respond(h.s.Reserve(ctx, req.Msg))
}

func (h attemptService) Cancel(ctx context.Context, req *connect.Request[consentv1.CancelRequest]) (*connect.Response[consentv1.CancelResponse], error) {
	return respond(h.s.Cancel(ctx, req.Msg))
}

func (h attemptService) RecordAttempt(ctx context.Context, req *connect.Request[consentv1.RecordAttemptRequest]) (*connect.Response[consentv1.RecordAttemptResponse], error) {
	return respond(h.s.RecordAttempt(ctx, req.Msg))
}

func (h attemptService) RecordAttempts(ctx context.Context, req *connect.Request[consentv1.RecordAttemptsRequest]) (*connect.Response[consentv1.RecordAttemptsResponse], error) {
	return respond(h.s.RecordAttempts(ctx, req.Msg))
}

func (h attemptService) StreamAttempts(ctx context.Context, st *connect.BidiStream[consentv1.StreamAttemptsRequest, consentv1.StreamAttemptsResponse]) error {
	for {
		req, err := st.Receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		results, err := h.s.results(ctx, req.GetAttempts(), req.GetDefaultRegion())
		if err != nil {
			return ledgerrpc.Error(err)
		}
		if err := st.Send(&consentv1.StreamAttemptsResponse{Results: results}); err != nil {
			return err
		}
	}
}
