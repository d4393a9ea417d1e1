package client

import (
	"context"
	"errors"
	"io"
	"iter"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Subscribe yields every change of a seller's state after req.From, in order,
// without end. When the connection breaks or the server restarts it goes on where
// it ended: no change is missed and none comes twice. Only a snapshot (From 0)
// that breaks off begins again; the last state of a number wins, so that changes
// nothing.
//
// The first event of every connection, and more whenever it changes, says whom to block
// because the ledger has lost something about them (Blocked): each replaces the one
// before, and a copy that does not heed it would allow what the server blocks.
//
// It ends with an error, its last value, when ctx is done, when the server refuses
// (key, seller), or when there is no server to begin with; once connected it waits
// for the server as long as ctx lets it. While it waits, the state it gave is
// ageing: a dialer must stop calling when heartbeats stay away. req is not changed.
func (c *Client) Subscribe(ctx context.Context, req *consentv1.SubscribeRequest) iter.Seq2[*consentv1.SubscribeResponse, error] {
	return func(yield func(*consentv1.SubscribeResponse, error) bool) {
		s := subscription{c: c, req: proto.CloneOf(req), yield: yield}
		pause := newBackoff(c.opts.Backoff)
		for {
			heard := s.heard
			err := s.follow(ctx)
			if s.stopped {
				return
			}
			if ctx.Err() != nil {
				yield(nil, context.Cause(ctx))
				return
			}
			if !resumable(err) || s.heard == 0 && errors.Is(err, ErrUnreachable) {
				yield(nil, err)
				return
			}
			if s.heard > heard {
				pause.reset()
			}
			if err := c.wait(ctx, pause.next(), err); err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// resumable tells whether a stream that ended may be opened again.
func resumable(err error) bool {
	return err == nil || errors.Is(err, io.EOF) || retriable(err)
}

// subscription is one caller's place in the feed. req.From is always the last
// position up to which everything was yielded; 0 until the snapshot is whole.
type subscription struct {
	c       *Client
	req     *consentv1.SubscribeRequest
	yield   func(*consentv1.SubscribeResponse, error) bool
	heard   uint64 // events, over all connections
	stopped bool   // the caller wants no more
}

// follow reads one connection to its end.
func (s *subscription) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := s.c.Feed.Subscribe(ctx, connect.NewRequest(s.req))
	if err != nil {
		return err
	}
	defer func() { cancel(); _ = stream.Close() }() // cancelled first: Close drains
	begun := s.req.GetFrom()
	for stream.Receive() {
		event := stream.Msg()
		s.heard++
		if u := event.GetUpdate(); u != nil && begun > 0 && u.GetPosition() <= begun {
			continue // a repetition: it was yielded before the connection broke
		}
		if !s.yield(event, nil) {
			s.stopped = true
			return nil
		}
		s.advance(event)
	}
	return stream.Err()
}

// advance notes what was yielded. States of a snapshot carry positions of their
// own and move nothing; its end does.
func (s *subscription) advance(event *consentv1.SubscribeResponse) {
	switch e := event.GetEvent().(type) {
	case *consentv1.SubscribeResponse_Update:
		if s.req.GetFrom() > 0 {
			s.req.From = max(s.req.GetFrom(), e.Update.GetPosition())
		}
	case *consentv1.SubscribeResponse_Heartbeat:
		if s.req.GetFrom() > 0 {
			s.req.From = max(s.req.GetFrom(), e.Heartbeat.GetPosition())
		}
	case *consentv1.SubscribeResponse_SnapshotEnd:
		s.req.From = max(s.req.GetFrom(), e.SnapshotEnd.GetPosition())
	}
}
