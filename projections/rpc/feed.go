package rpc

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	"github.com/consent-ledger/consent-ledger/ledger"
	ledgerrpc "github.com/consent-ledger/consent-ledger/ledger/rpc"
	"github.com/consent-ledger/consent-ledger/projections/feed"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Feed implements consentv1connect.FeedServiceHandler.
type Feed struct {
	Subscriber *feed.Subscriber
	// Acked is the last durable position: a seller just registered has a feed.
	Acked func() ledger.Position
	// WaitApplied waits for the projections.
	WaitApplied func(context.Context, ledger.Position) error
}

// Subscribe sends a snapshot or what came after a position, then waits for more.
func (s *Feed) Subscribe(ctx context.Context, req *connect.Request[consentv1.SubscribeRequest], st *connect.ServerStream[consentv1.SubscribeResponse]) error {
	if err := s.WaitApplied(ctx, s.Acked()); err != nil {
		return ledgerrpc.Error(err)
	}
	q := feed.Request{Seller: req.Msg.GetSeller(), From: ledger.Position(req.Msg.GetFrom()), Reveal: req.Msg.GetReveal()}
	if q.From > s.Acked() {
		return connect.NewError(connect.CodeFailedPrecondition, errors.New("from: lies beyond the ledger's tail; start with a snapshot (from 0)"))
	}
	for event, err := range s.Subscriber.Subscribe(ctx, q) {
		if errors.Is(err, feed.ErrNoSeller) {
			return ledgerrpc.Error(&ledger.InvalidError{Field: "seller", Problem: "is missing or not registered", Fix: "register it first: consent seller add ID"})
		}
		if err != nil {
			return ledgerrpc.Error(err)
		}
		if err := st.Send(event); err != nil {
			return err
		}
	}
	return nil
}
