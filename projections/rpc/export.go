package rpc

import (
	"context"
	"crypto/sha256"
	"slices"

	"connectrpc.com/connect"
	"github.com/google/uuid"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/declare"
	"github.com/consent-ledger/consent-ledger/ledger/phone"
	"github.com/consent-ledger/consent-ledger/ledger/recorder"
	ledgerrpc "github.com/consent-ledger/consent-ledger/ledger/rpc"
	"github.com/consent-ledger/consent-ledger/projections/runner"
	"github.com/consent-ledger/consent-ledger/projections/timeline"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Export implements consentv1connect.ExportServiceHandler.
type Export struct {
	*Decider
	Recorder *recorder.Recorder
	// Directory fixes every history in the ledger as it is, before one is handed out.
	Directory func(context.Context) error
}

// exporting is one export under way.
type exporting struct {
	req     *consentv1.ExportRequest
	st      *connect.ServerStream[consentv1.ExportResponse]
	through ledger.Position
	entries uint64
	leaves  []byte // of the running hash
}

// Export streams entries, records that it did, and ends with that receipt.
func (s *Export) Export(ctx context.Context, req *connect.Request[consentv1.ExportRequest], st *connect.ServerStream[consentv1.ExportResponse]) error {
	if err := s.Directory(ctx); err != nil {
		return ledgerrpc.Error(err)
	}
	x := &exporting{req: req.Msg, st: st, through: s.Acked()}
	subject, err := "number", error(nil)
	switch {
	case (req.Msg.GetNumber() == "") == (req.Msg.GetSeller() == ""):
		err = &ledger.InvalidError{Field: "number", Problem: "and seller are both set or both missing", Fix: "name one of them"}
	case req.Msg.GetNumber() != "":
		err = s.exportNumber(ctx, x)
	default:
		subject, err = "seller", s.exportSeller(ctx, x)
	}
	if err != nil {
		return ledgerrpc.Error(err)
	}
	sum := sha256.Sum256(x.leaves)
	receipt, err := s.Recorder.System(ctx, &consentv1.Fact{Source: "consent-ledger", EventId: "export-" + uuid.NewString(), Kind: &consentv1.Fact_ExportProduced{
		ExportProduced: &consentv1.ExportProduced{Subject: subject, Format: format(req.Msg.GetFormat()), Entries: x.entries, Sha256: sum[:], ThroughPosition: uint64(x.through)}}})
	if err != nil {
		return ledgerrpc.Error(err)
	}
	return st.Send(&consentv1.ExportResponse{Part: &consentv1.ExportResponse_End{End: &consentv1.ExportEnd{
		Entries: x.entries, ThroughPosition: uint64(x.through), Receipt: ledgerrpc.Receipt(receipt)}}})
}

func format(f string) string {
	if f == "csv" {
		return f
	}
	return "jsonl"
}

func (s *Export) exportNumber(ctx context.Context, x *exporting) error {
	n, err := phone.Parse(x.req.GetNumber(), x.req.GetDefaultRegion())
	if err != nil {
		return declare.Unreadable(err, false)
	}
	token, err := s.Keys.Exchange(n.E164)
	if err != nil {
		return err
	}
	var positions []ledger.Position
	err = s.Runner.Read(ctx, x.through, func(v runner.View) error {
		return s.history(ctx, v, s.Keys.Token(token), 0, func(it timeline.Item) (bool, error) {
			positions = append(positions, it.Position)
			return it.Position <= x.through, nil
		})
	})
	if err != nil {
		return err
	}
	for _, at := range positions {
		e, err := s.Reader.Entry(ctx, at)
		if err != nil {
			return err
		}
		if err := s.send(ctx, x, e); err != nil {
			return err
		}
	}
	return nil
}

func (s *Export) exportSeller(ctx context.Context, x *exporting) error {
	if _, ok := s.Listing.Snapshot().Seller(x.req.GetSeller()); !ok {
		return &ledger.InvalidError{Field: "seller", Problem: "is not registered", Fix: "register it first: consent seller add ID"}
	}
	for entries, err := range s.Reader.Entries(ctx, 0) {
		if err != nil {
			return err
		}
		for _, e := range entries {
			sellers := e.Fact().GetSellers()
			if !e.Token.IsZero() && (slices.Contains(sellers, x.req.GetSeller()) || slices.Contains(sellers, ledger.All)) {
				if err := s.send(ctx, x, e); err != nil {
					return err
				}
			}
			if e.Position >= x.through {
				return nil
			}
		}
	}
	return context.Cause(ctx)
}

// send hands out one entry if it was recorded in the period asked for.
func (s *Export) send(ctx context.Context, x *exporting, e *ledger.Entry) error {
	if from := x.req.GetFrom(); from != nil && e.RecordedAt.Before(from.AsTime()) {
		return nil
	}
	if to := x.req.GetTo(); to != nil && !e.RecordedAt.Before(to.AsTime()) {
		return nil
	}
	full, erased, err := s.Reader.Open(ctx, e)
	if err != nil {
		return err
	}
	x.entries++
	sum := sha256.Sum256(append(x.leaves, e.Leaf[:]...))
	x.leaves = sum[:]
	return x.st.Send(&consentv1.ExportResponse{Part: &consentv1.ExportResponse_Entry{Entry: &consentv1.ExportedEntry{
		Position: uint64(e.Position), Entry: e.Bytes, LeafHash: e.Leaf.String(), Personal: personal(full), Erased: erased}}})
}
