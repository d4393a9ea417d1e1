// Package rpc serves the ledger over Connect, gRPC and plain JSON. Handlers
// translate and delegate; wire types stop here.
package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/declare"
	"github.com/consent-ledger/consent-ledger/ledger/index"
	"github.com/consent-ledger/consent-ledger/ledger/phone"
	"github.com/consent-ledger/consent-ledger/ledger/proof"
	"github.com/consent-ledger/consent-ledger/ledger/reader"
	"github.com/consent-ledger/consent-ledger/ledger/recorder"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	"github.com/consent-ledger/consent-ledger/ledger/stream"
	"github.com/consent-ledger/consent-ledger/ledger/timestamp"
	"github.com/consent-ledger/consent-ledger/ledger/tree"
	"github.com/consent-ledger/consent-ledger/ledger/writer"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
	"github.com/consent-ledger/consent-ledger/proto/gen/consent/v1/consentv1connect"
)

// streamFactsMax bounds one message of RecordStream; messagesOpenMax how many of
// one stream may be under way.
const (
	streamFactsMax  = 5000
	messagesOpenMax = 4
)

// Operations are the verbs of LedgerService that concern what is built on the
// ledger; the node that has built it provides them.
type Operations interface {
	LoadRegistry(ctx context.Context, s *connect.ClientStream[consentv1.LoadRegistryRequest]) (*consentv1.LoadRegistryResponse, error)
	GetRegistryLoad(ctx context.Context, req *consentv1.GetRegistryLoadRequest) (*consentv1.GetRegistryLoadResponse, error)
	ListRegistries(ctx context.Context, req *consentv1.ListRegistriesRequest) (*consentv1.ListRegistriesResponse, error)
	PublishPack(ctx context.Context, req *consentv1.PublishPackRequest) (*consentv1.PublishPackResponse, error)
	WithdrawPack(ctx context.Context, req *consentv1.WithdrawPackRequest) (*consentv1.WithdrawPackResponse, error)
	ListPacks(ctx context.Context, req *consentv1.ListPacksRequest) (*consentv1.ListPacksResponse, error)
	Doctor(ctx context.Context, req *consentv1.DoctorRequest) (*consentv1.DoctorResponse, error)
	Rebuild(ctx context.Context, progress func(*consentv1.RebuildResponse) error) error
	Repair(ctx context.Context, req *consentv1.RepairRequest) (*consentv1.RepairResponse, error)
}

// Ledger implements consentv1connect.LedgerServiceHandler.
type Ledger struct {
	Recorder *recorder.Recorder
	Writer   *writer.Writer
	Reader   *reader.Reader
	Index    *index.Index
	Keys     *seal.Keyring
	Inbox    *stream.Inbox
	Tree     *tree.Tree
	Signing  *seal.Signing
	// Timestamps has the stamps of checkpoints.
	Timestamps *timestamp.Keeper
	Durability consentv1.Durability
	Operations

	signed signedCommits
}

var _ consentv1connect.LedgerServiceHandler = (*service)(nil)

// service adapts Ledger's Operations to Connect's signatures.
type service struct{ *Ledger }

// Handler makes the Connect handler.
func (l *Ledger) Handler() consentv1connect.LedgerServiceHandler { return &service{l} }

// Receipt puts a receipt on the wire.
func Receipt(r ledger.Receipt) *consentv1.Receipt {
	out := &consentv1.Receipt{Position: uint64(r.Position), Duplicate: r.Duplicate, Durability: r.Durability,
		ConflictsWith: uint64(r.ConflictsWith), Notices: r.Notices}
	if r.Position > 0 {
		out.EntryId, out.LeafHash, out.RecordedAt = r.EntryID.String(), r.Leaf.String(), timestamppb.New(r.RecordedAt)
	}
	return out
}

// Cosignatures puts on the wire how far witnesses vouch for a checkpoint.
func Cosignatures(q proof.Quorum) *consentv1.Cosignatures {
	return &consentv1.Cosignatures{Asked: uint32(q.Asked), Cosigned: uint32(q.Cosigned), Demanded: uint32(q.Demanded), Satisfied: q.Satisfied}
}

// RecordOne serves Record for every transport.
func (l *Ledger) RecordOne(ctx context.Context, req *consentv1.RecordRequest) (*consentv1.RecordResponse, error) {
	o := l.Recorder.Record(ctx, []declare.Declaration{{Fact: req.GetFact(), DefaultRegion: req.GetDefaultRegion(), Interactive: req.GetInteractive(), Owned: true}})[0]
	if o.Err != nil {
		return nil, Error(o.Err)
	}
	res := &consentv1.RecordResponse{Receipt: Receipt(o.Receipt)}
	if req.GetSigned() {
		l.sign(ctx, res.Receipt)
	}
	return res, nil
}

func (s *service) Record(ctx context.Context, req *connect.Request[consentv1.RecordRequest]) (*connect.Response[consentv1.RecordResponse], error) {
	return respond(s.RecordOne(ctx, req.Msg))
}

// RecordStream answers in order while up to messagesOpenMax messages are under way.
func (s *service) RecordStream(ctx context.Context, st *connect.BidiStream[consentv1.RecordStreamRequest, consentv1.RecordStreamResponse]) error {
	open := make(chan chan *consentv1.RecordStreamResponse, messagesOpenMax)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	sent := make(chan error, 1)
	go func() {
		for answer := range open {
			if err := st.Send(<-answer); err != nil {
				cancel(err) // the caller is gone: stop reading
				for answer := range open {
					<-answer
				}
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	err := s.receive(ctx, st, open)
	if err != nil && errors.Is(context.Cause(ctx), ledger.ErrClosed) {
		err = ledger.ErrUncertain // the last answers do not arrive, and what they are about goes on
	}
	close(open)
	return Error(errors.Join(err, <-sent))
}

func (s *service) receive(ctx context.Context, st *connect.BidiStream[consentv1.RecordStreamRequest, consentv1.RecordStreamResponse], open chan<- chan *consentv1.RecordStreamResponse) error {
	type message struct {
		req *consentv1.RecordStreamRequest
		err error
	}
	// Nothing but the end of the handler ends a Receive, and a handler must end when
	// the server does.
	messages := make(chan message)
	go func() {
		for {
			req, err := st.Receive()
			select {
			case messages <- message{req, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	for {
		var m message
		select {
		case m = <-messages:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		switch {
		case errors.Is(m.err, io.EOF):
			return nil
		case m.err != nil:
			return m.err
		case len(m.req.GetFacts()) > streamFactsMax:
			return connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("facts: %d in one message, at most %d are taken; send smaller ones", len(m.req.GetFacts()), streamFactsMax))
		}
		answer := make(chan *consentv1.RecordStreamResponse, 1)
		open <- answer
		go func() { answer <- s.recordMany(ctx, m.req) }()
	}
}

func (s *service) recordMany(ctx context.Context, req *consentv1.RecordStreamRequest) *consentv1.RecordStreamResponse {
	in := make([]declare.Declaration, len(req.GetFacts()))
	for i, f := range req.GetFacts() {
		in[i] = declare.Declaration{Fact: f, DefaultRegion: req.GetDefaultRegion(), Owned: true}
	}
	do := s.Recorder.Record
	if req.GetDryRun() {
		do = s.Recorder.Preview
	}
	res := &consentv1.RecordStreamResponse{Outcomes: make([]*consentv1.Outcome, 0, len(in))}
	for _, o := range do(ctx, in) {
		if o.Err != nil {
			res.Outcomes = append(res.Outcomes, &consentv1.Outcome{Result: &consentv1.Outcome_Refusal{Refusal: Refuse(o.Err)}})
			continue
		}
		r := Receipt(o.Receipt)
		if req.GetSigned() && !req.GetDryRun() {
			s.sign(ctx, r)
		}
		res.Outcomes = append(res.Outcomes, &consentv1.Outcome{Result: &consentv1.Outcome_Receipt{Receipt: r}})
	}
	return res
}

func (s *service) GetReceipt(ctx context.Context, req *connect.Request[consentv1.GetReceiptRequest]) (*connect.Response[consentv1.GetReceiptResponse], error) {
	at := ledger.Position(req.Msg.GetPosition())
	if at == 0 {
		r, found, err := s.Index.Idempotency(s.Keys.Idempotency(req.Msg.GetSource(), req.Msg.GetEventId()))
		if err != nil {
			return nil, Error(err)
		}
		if !found {
			return nil, Error(ledger.ErrNotFound)
		}
		at = r.Position
	}
	return respond(s.receipt(ctx, at, req.Msg))
}

func (s *service) Erase(ctx context.Context, req *connect.Request[consentv1.EraseRequest]) (*connect.Response[consentv1.EraseResponse], error) {
	n, err := phone.Parse(req.Msg.GetNumber(), req.Msg.GetDefaultRegion())
	if err != nil {
		return nil, Error(declare.Unreadable(err, false))
	}
	if !validReason(req.Msg.GetReason()) {
		return nil, Error(&ledger.InvalidError{Field: "reason", Problem: "is missing or no word", Fix: "say erasure_request, retention or court_order"})
	}
	x, err := s.Keys.Exchange(n.E164)
	if err != nil {
		return nil, Error(err)
	}
	r, persons, err := s.Writer.Erase(ctx, n.E164, x, req.Msg.GetReason())
	if err != nil {
		return nil, Error(err)
	}
	if err := s.eraseInbox(ctx, x); err != nil {
		return nil, Error(err)
	}
	return connect.NewResponse(&consentv1.EraseResponse{Receipt: Receipt(r), Persons: uint32(persons)}), nil
}

// eraseInbox removes what the inbox keeps about an erased number. It comes after the
// erasure is durable, so that a stop is never gone while its person is not; if it
// fails the caller erases again.
func (s *service) eraseInbox(ctx context.Context, x ledger.ExchangeToken) error {
	entries, err := s.Inbox.List(ctx)
	if err != nil {
		return err
	}
	for _, e := range entries {
		about, err := s.Recorder.InboxAbout(e.Item, x)
		if err != nil {
			return err
		}
		if !about {
			continue
		}
		if err := s.Inbox.Remove(ctx, e.ID); err != nil {
			return err
		}
	}
	return nil
}

// validReason: an erasure cannot be undone, so its reason is one of three words.
func validReason(s string) bool {
	return s == "erasure_request" || s == "retention" || s == "court_order"
}

func (s *service) PublishPack(ctx context.Context, req *connect.Request[consentv1.PublishPackRequest]) (*connect.Response[consentv1.PublishPackResponse], error) {
	return respond(s.Operations.PublishPack(ctx, req.Msg))
}

func (s *service) WithdrawPack(ctx context.Context, req *connect.Request[consentv1.WithdrawPackRequest]) (*connect.Response[consentv1.WithdrawPackResponse], error) {
	return respond(s.Operations.WithdrawPack(ctx, req.Msg))
}

func (s *service) ListPacks(ctx context.Context, req *connect.Request[consentv1.ListPacksRequest]) (*connect.Response[consentv1.ListPacksResponse], error) {
	return respond(s.Operations.ListPacks(ctx, req.Msg))
}

func (s *service) LoadRegistry(ctx context.Context, st *connect.ClientStream[consentv1.LoadRegistryRequest]) (*connect.Response[consentv1.LoadRegistryResponse], error) {
	return respond(s.Operations.LoadRegistry(ctx, st))
}

func (s *service) GetRegistryLoad(ctx context.Context, req *connect.Request[consentv1.GetRegistryLoadRequest]) (*connect.Response[consentv1.GetRegistryLoadResponse], error) {
	return respond(s.Operations.GetRegistryLoad(ctx, req.Msg))
}

func (s *service) ListRegistries(ctx context.Context, req *connect.Request[consentv1.ListRegistriesRequest]) (*connect.Response[consentv1.ListRegistriesResponse], error) {
	return respond(s.Operations.ListRegistries(ctx, req.Msg))
}

func (s *service) Doctor(ctx context.Context, req *connect.Request[consentv1.DoctorRequest]) (*connect.Response[consentv1.DoctorResponse], error) {
	return respond(s.Operations.Doctor(ctx, req.Msg))
}

func (s *service) Rebuild(ctx context.Context, _ *connect.Request[consentv1.RebuildRequest], st *connect.ServerStream[consentv1.RebuildResponse]) error {
	return Error(s.Operations.Rebuild(ctx, st.Send))
}

func (s *service) Repair(ctx context.Context, req *connect.Request[consentv1.RepairRequest]) (*connect.Response[consentv1.RepairResponse], error) {
	return respond(s.Operations.Repair(ctx, req.Msg))
}

func (s *service) ListInbox(ctx context.Context, req *connect.Request[consentv1.ListInboxRequest]) (*connect.Response[consentv1.ListInboxResponse], error) {
	entries, err := s.Inbox.List(ctx)
	if err != nil {
		return nil, Error(err)
	}
	res := &consentv1.ListInboxResponse{}
	for _, e := range entries {
		item := &consentv1.InboxItem{Id: e.ID, ReceivedAt: e.Item.GetReceivedAt(), Source: e.Item.GetSource(), Reason: e.Item.GetReason(),
			PossibleStop: e.Item.GetPossibleStop(), Position: e.Item.GetPosition()}
		if req.Msg.GetReveal() {
			if item.Content, err = s.content(ctx, e.Item); err != nil {
				return nil, Error(err)
			}
		}
		res.Items = append(res.Items, item)
	}
	return connect.NewResponse(res), nil
}

// content shows what an item said.
func (s *service) content(ctx context.Context, item *consentv1.StoredInboxItem) (string, error) {
	var m proto.Message
	if at := ledger.Position(item.GetPosition()); at > 0 {
		e, err := s.Reader.Entry(ctx, at)
		if err != nil {
			return "", err
		}
		fact, erased, err := s.Reader.Open(ctx, e)
		if err != nil || erased {
			return "", err
		}
		m = fact
	} else {
		req, err := s.Recorder.OpenInbox(ctx, item)
		if errors.Is(err, ledger.ErrNotFound) {
			return "", nil // its removal was interrupted after the content
		}
		if err != nil {
			return "", err
		}
		m = req
	}
	text, err := protojson.Marshal(m)
	return string(text), err
}

var closeOutcomes = map[string]bool{"recorded": true, "not_a_stop": true, "duplicate": true}

// CloseInbox records the closing first: a crash before the removal leaves an item
// that can be closed again.
func (s *service) CloseInbox(ctx context.Context, req *connect.Request[consentv1.CloseInboxRequest]) (*connect.Response[consentv1.CloseInboxResponse], error) {
	if !closeOutcomes[req.Msg.GetOutcome()] {
		return nil, Error(&ledger.InvalidError{Field: "outcome", Problem: "is missing or not known", Fix: "say recorded, not_a_stop or duplicate"})
	}
	item, err := s.Inbox.Get(ctx, req.Msg.GetId())
	if err != nil {
		return nil, Error(err)
	}
	fact := &consentv1.Fact{Source: "consent-ledger", EventId: "inbox-" + req.Msg.GetId() + "-closed", Kind: &consentv1.Fact_InboxItemClosed{
		InboxItemClosed: &consentv1.InboxItemClosed{Item: req.Msg.GetId(), Outcome: req.Msg.GetOutcome(), MessagePosition: item.GetPosition()}}}
	o := s.Recorder.Record(ctx, []declare.Declaration{{Fact: fact}})[0]
	if o.Err != nil {
		return nil, Error(o.Err)
	}
	if err := s.Inbox.Remove(ctx, req.Msg.GetId()); err != nil {
		return nil, Error(err)
	}
	return connect.NewResponse(&consentv1.CloseInboxResponse{Receipt: Receipt(o.Receipt)}), nil
}

// respond wraps a result for Connect.
func respond[T any](m *T, err error) (*connect.Response[T], error) {
	if err != nil {
		return nil, Error(err)
	}
	return connect.NewResponse(m), nil
}
