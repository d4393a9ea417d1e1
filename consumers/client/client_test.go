package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
	"github.com/consent-ledger/consent-ledger/proto/gen/consent/v1/consentv1connect"
)

const key = "k3y"

// server is a server's side of the contract, as far as a test scripts it. What it
// does not script answers unimplemented.
type server struct {
	consentv1connect.UnimplementedLedgerServiceHandler
	consentv1connect.UnimplementedFeedServiceHandler
	record    func(*consentv1.RecordRequest) (*consentv1.Receipt, error)
	stream    func(*connect.BidiStream[consentv1.RecordStreamRequest, consentv1.RecordStreamResponse]) error
	subscribe func(*consentv1.SubscribeRequest, *connect.ServerStream[consentv1.SubscribeResponse]) error
}

func (s *server) Record(_ context.Context, r *connect.Request[consentv1.RecordRequest]) (*connect.Response[consentv1.RecordResponse], error) {
	receipt, err := s.record(r.Msg)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&consentv1.RecordResponse{Receipt: receipt}), nil
}

func (s *server) RecordStream(_ context.Context, st *connect.BidiStream[consentv1.RecordStreamRequest, consentv1.RecordStreamResponse]) error {
	return s.stream(st)
}

func (s *server) Subscribe(_ context.Context, r *connect.Request[consentv1.SubscribeRequest], st *connect.ServerStream[consentv1.SubscribeResponse]) error {
	return s.subscribe(r.Msg, st)
}

// start serves over HTTP/2 without TLS, as a ledger does, and demands the key.
func (s *server) start(t *testing.T) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle(consentv1connect.NewLedgerServiceHandler(s))
	mux.Handle(consentv1connect.NewFeedServiceHandler(s))
	errs := connect.NewErrorWriter()
	h := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+key {
			_ = errs.Write(w, r, connect.NewError(connect.CodeUnauthenticated, errors.New("the API key is missing or wrong")))
			return
		}
		mux.ServeHTTP(w, r)
	}))
	h.Config.Protocols = new(http.Protocols)
	h.Config.Protocols.SetHTTP1(true)
	h.Config.Protocols.SetUnencryptedHTTP2(true)
	h.Start()
	t.Cleanup(h.Close)
	return h.URL
}

func dial(t *testing.T, url string) *client.Client {
	t.Helper()
	c, err := client.New(url, key, client.Options{Backoff: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// refusal is an error as the server's rpc room makes it.
func refusal(code connect.Code, r *consentv1.Refusal) error {
	e := connect.NewError(code, errors.New(r.GetMessage()))
	d, err := connect.NewErrorDetail(r)
	if err != nil {
		panic(err)
	}
	e.AddDetail(d)
	return e
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	for _, tc := range []struct{ name, server, key string }{
		{"no scheme", "127.0.0.1:8420", key},
		{"other scheme", "ftp://127.0.0.1", key},
		{"no host", "http://", key},
		{"the key's line end", "http://127.0.0.1:8420", key + "\n"},
		{"the key in clear over a network", "http://ledger.example:8420", key},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := client.New(tc.server, tc.key, client.Options{}); err == nil {
				t.Error("accepted")
			}
		})
	}
}

// TestRecordRetries: every failure in pairs, not done and done but unheard.
func TestRecordRetries(t *testing.T) {
	notReady := refusal(connect.CodeUnavailable, &consentv1.Refusal{Code: "NOT_READY", Message: "not ready"})
	uncertain := refusal(connect.CodeUnavailable, &consentv1.Refusal{Code: "UNCERTAIN", Message: "unknown"})
	invalid := refusal(connect.CodeInvalidArgument, &consentv1.Refusal{Code: "INVALID", Field: "seller", Message: "seller: is not registered"})
	conflict := refusal(connect.CodeAlreadyExists, &consentv1.Refusal{Code: "EVENT_ID_CONFLICT", Message: "conflict"})
	abort := errors.New("abort")
	for _, tc := range []struct {
		name    string
		answers []error // nil: recorded
		want    error   // nil: a receipt
		calls   int
	}{
		{"at once", []error{nil}, nil, 1},
		{"not ready, then recorded", []error{notReady, nil}, nil, 2},
		{"unknown, then recorded", []error{uncertain, nil}, nil, 2},
		{"answer lost, then recorded", []error{abort, nil}, nil, 2},
		{"never ready", []error{notReady, notReady, notReady, notReady, notReady}, client.ErrNotReady, 5},
		{"unknown, then never ready", []error{uncertain, notReady, notReady, notReady, notReady}, client.ErrUncertain, 5},
		{"answers lost", []error{abort, abort, abort, abort, abort}, client.ErrUncertain, 5},
		{"refused is not retried", []error{invalid}, client.ErrInvalid, 1},
		{"lost, then refused: refused is the truth", []error{abort, invalid}, client.ErrInvalid, 2},
		{"conflict is not retried", []error{conflict}, client.ErrConflict, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var ids []string
			s := &server{record: func(r *consentv1.RecordRequest) (*consentv1.Receipt, error) {
				ids = append(ids, r.GetFact().GetEventId())
				if len(ids) > len(tc.answers) {
					return nil, fmt.Errorf("call %d was not expected", len(ids))
				}
				switch err := tc.answers[len(ids)-1]; err {
				case nil:
					return &consentv1.Receipt{Position: 7}, nil
				case abort:
					panic(http.ErrAbortHandler)
				default:
					return nil, err
				}
			}}
			got, err := dial(t, s.start(t)).Record(t.Context(), &consentv1.RecordRequest{Fact: &consentv1.Fact{Source: "test"}})
			if tc.want == nil && (err != nil || got.GetPosition() != 7) {
				t.Errorf("receipt %v, error %v", got, err)
			}
			if !errors.Is(err, tc.want) {
				t.Errorf("error %v, want %v", err, tc.want)
			}
			if len(ids) != tc.calls || ids[0] == "" || len(slices.Compact(ids)) != 1 {
				t.Errorf("%d calls with ids %q; want %d with one id", len(ids), ids, tc.calls)
			}
		})
	}
}

func TestErrorsAreClear(t *testing.T) {
	s := &server{record: func(*consentv1.RecordRequest) (*consentv1.Receipt, error) { return nil, nil }}
	url := s.start(t)
	t.Run("no server", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		free := "http://" + l.Addr().String()
		l.Close()
		_, err = dial(t, free).Record(t.Context(), &consentv1.RecordRequest{Fact: &consentv1.Fact{}})
		var clear *client.Error
		if !errors.Is(err, client.ErrUnreachable) || !errors.As(err, &clear) || clear.Message != "no server answers at "+free || clear.Hint == "" {
			t.Errorf("%v", err)
		}
	})
	t.Run("a stream that breaks off", func(t *testing.T) {
		s := &server{subscribe: func(_ *consentv1.SubscribeRequest, st *connect.ServerStream[consentv1.SubscribeResponse]) error {
			if err := st.Send(&consentv1.SubscribeResponse{}); err != nil {
				return err
			}
			panic(http.ErrAbortHandler) // resets the stream
		}}
		st, err := dial(t, s.start(t)).Feed.Subscribe(t.Context(), connect.NewRequest(&consentv1.SubscribeRequest{}))
		if err != nil {
			t.Fatal(err)
		}
		for st.Receive() {
		}
		if err := st.Err(); !errors.Is(err, client.ErrNotReady) {
			t.Errorf("%v", err)
		}
		_ = st.Close()
	})
	t.Run("wrong key", func(t *testing.T) {
		c, err := client.New(url, "other", client.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, err = c.Record(t.Context(), &consentv1.RecordRequest{Fact: &consentv1.Fact{}})
		if !errors.Is(err, client.ErrKey) {
			t.Errorf("%v", err)
		}
		sender := c.NewSender(t.Context(), client.SenderOptions{})
		defer sender.Close()
		if _, err := sender.Send(t.Context(), nil); !errors.Is(err, client.ErrKey) {
			t.Errorf("stream: %v", err)
		}
	})
	t.Run("refused with a field", func(t *testing.T) {
		err := error(client.RefusalError(&consentv1.Refusal{Code: "INVALID", Field: "number", Message: "number: cannot be read"}))
		if !errors.Is(err, client.ErrInvalid) || err.Error() != "number: cannot be read" {
			t.Errorf("%v", err)
		}
	})
}

// TestSender sends from many goroutines while the server breaks every third
// stream: each caller hears about its own facts or an error, never another's.
func TestSender(t *testing.T) {
	var mu sync.Mutex
	streams := 0
	s := &server{stream: func(st *connect.BidiStream[consentv1.RecordStreamRequest, consentv1.RecordStreamResponse]) error {
		mu.Lock()
		streams++
		breaks := streams%3 == 1
		mu.Unlock()
		for n := 0; ; n++ {
			req, err := st.Receive()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if breaks && n == 2 {
				panic(http.ErrAbortHandler)
			}
			res := &consentv1.RecordStreamResponse{}
			for _, f := range req.GetFacts() {
				res.Outcomes = append(res.Outcomes, &consentv1.Outcome{Result: &consentv1.Outcome_Receipt{Receipt: &consentv1.Receipt{EntryId: f.GetEventId()}}})
			}
			if err := st.Send(res); err != nil {
				return err
			}
		}
	}}
	sender := dial(t, s.start(t)).NewSender(t.Context(), client.SenderOptions{})
	defer sender.Close()
	var wg sync.WaitGroup
	for caller := range 4 {
		wg.Go(func() {
			for i := range 50 {
				id := fmt.Sprintf("%d-%d", caller, i)
				facts := []*consentv1.Fact{{EventId: id}, {EventId: id + "b"}}
				for {
					out, err := sender.Send(t.Context(), facts)
					if err != nil {
						continue // the stream broke: the same facts again
					}
					if len(out) != 2 || out[0].GetReceipt().GetEntryId() != id || out[1].GetReceipt().GetEntryId() != id+"b" {
						t.Errorf("%s: answered with %v", id, out)
					}
					break
				}
			}
		})
	}
	wg.Wait()
	mu.Lock()
	defer mu.Unlock()
	if streams < 2 {
		t.Errorf("%d streams: nothing broke", streams)
	}
}

// TestSubscribeGoesOn breaks the feed after every few events, at every place, and
// repeats what a server might repeat: the caller sees each change once, in order.
func TestSubscribeGoesOn(t *testing.T) {
	const tail = 40
	for every := 1; every <= 5; every++ {
		t.Run(fmt.Sprintf("every %d", every), func(t *testing.T) {
			s := &server{subscribe: func(r *consentv1.SubscribeRequest, st *connect.ServerStream[consentv1.SubscribeResponse]) error {
				for p := r.GetFrom(); p <= min(r.GetFrom()+uint64(every), tail); p++ { // begins with one the caller has
					if err := st.Send(update(p)); err != nil {
						return err
					}
				}
				if r.GetFrom() == tail {
					return connect.NewError(connect.CodeInvalidArgument, errors.New("the end"))
				}
				panic(http.ErrAbortHandler)
			}}
			var got []uint64
			for e, err := range dial(t, s.start(t)).Subscribe(t.Context(), &consentv1.SubscribeRequest{Seller: "acme", From: 3}) {
				if err != nil {
					if !errors.Is(err, client.ErrInvalid) {
						t.Errorf("ended with %v", err)
					}
					break
				}
				got = append(got, e.GetUpdate().GetPosition())
			}
			var want []uint64
			for p := uint64(4); p <= tail; p++ {
				want = append(want, p)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestSubscribeSnapshot: a snapshot that breaks off begins again; one that is
// whole does not, and heartbeats move the place.
func TestSubscribeSnapshot(t *testing.T) {
	end := &consentv1.SubscribeResponse{Event: &consentv1.SubscribeResponse_SnapshotEnd{SnapshotEnd: &consentv1.SnapshotEnd{Position: 20, States: 1}}}
	beat := &consentv1.SubscribeResponse{Event: &consentv1.SubscribeResponse_Heartbeat{Heartbeat: &consentv1.Heartbeat{Position: 25}}}
	scripts := [][]*consentv1.SubscribeResponse{{update(9)}, {update(9), end, beat}, {update(26)}}
	var asked []uint64
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := &server{subscribe: func(r *consentv1.SubscribeRequest, st *connect.ServerStream[consentv1.SubscribeResponse]) error {
		asked = append(asked, r.GetFrom())
		for _, e := range scripts[len(asked)-1] {
			if err := st.Send(e); err != nil {
				return err
			}
		}
		return nil
	}}
	var got []*consentv1.SubscribeResponse
	for e, err := range dial(t, s.start(t)).Subscribe(ctx, &consentv1.SubscribeRequest{Seller: "acme"}) {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, e); e.GetUpdate().GetPosition() == 26 {
			break
		}
	}
	if diff := cmp.Diff([]uint64{0, 0, 25}, asked); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]*consentv1.SubscribeResponse{update(9), update(9), end, beat, update(26)}, got, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
}

func update(p uint64) *consentv1.SubscribeResponse {
	return &consentv1.SubscribeResponse{Event: &consentv1.SubscribeResponse_Update{Update: &consentv1.FeedUpdate{Position: p, Token: []byte{1, byte(p)}}}}
}
