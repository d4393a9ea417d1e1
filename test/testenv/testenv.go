// Package testenv runs a whole server in a test's process, on ports of its own.
package testenv

import (
	"context"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/consent-ledger/consent-ledger/node"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
	"github.com/consent-ledger/consent-ledger/proto/gen/consent/v1/consentv1connect"
)

// Env is a ledger's folder and the server on it.
type Env struct {
	t   testing.TB
	Dir string
	// Log hears the server; set it before Start.
	Log *slog.Logger
	// RecordDecisions as in node.Config; set it before Start.
	RecordDecisions bool

	mu   sync.Mutex
	Node *node.Node
	stop context.CancelFunc
	done chan error

	http     *http.Client
	Ledger   consentv1connect.LedgerServiceClient
	Decision consentv1connect.DecisionServiceClient
	Feed     consentv1connect.FeedServiceClient
	Export   consentv1connect.ExportServiceClient
	Attempt  consentv1connect.AttemptServiceClient
}

// patience bounds the wait for a server's own rule packs.
const patience = 20 * time.Second

// New makes a ledger and serves it until the test ends.
func New(t testing.TB) *Env {
	t.Helper()
	e := &Env{t: t, Dir: filepath.Join(t.TempDir(), "ledger"), Log: slog.New(slog.DiscardHandler)}
	if _, err := node.Init(t.Context(), e.config()); err != nil {
		t.Fatal(err)
	}
	e.Start()
	t.Cleanup(e.Stop)
	return e
}

func (e *Env) config() node.Config {
	return node.Config{Dir: e.Dir, Listen: "127.0.0.1:0", NATSListen: "127.0.0.1:0", Version: "test", Logger: e.Log, RecordDecisions: e.RecordDecisions}
}

// Start serves the folder. New has done so already.
func (e *Env) Start() {
	e.t.Helper()
	n, err := node.Open(context.Background(), e.config())
	if err != nil {
		e.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	e.mu.Lock()
	defer e.mu.Unlock()
	e.Node, e.stop, e.done = n, cancel, make(chan error, 1)
	go func(done chan error) { done <- n.Run(ctx) }(e.done)
	packs, enough := context.WithTimeout(ctx, patience) // the first facts are those of the packs, every time
	defer enough()
	n.Decider().AwaitPacks(packs)
	e.connect()
}

// Stop ends the server in order. It may be called twice.
func (e *Env) Stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.Node == nil {
		return
	}
	e.stop()
	if err := <-e.done; err != nil {
		e.t.Errorf("serve: %v", err)
	}
	e.http.CloseIdleConnections()
	if err := e.Node.Close(); err != nil {
		e.t.Errorf("close: %v", err)
	}
	e.Node = nil
}

// Restart stops and starts.
func (e *Env) Restart() {
	e.t.Helper()
	e.Stop()
	e.Start()
}

func (e *Env) connect() {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	e.http = &http.Client{Transport: &http.Transport{Protocols: protocols}}
	key := connect.WithInterceptors(bearer(e.Node.AdminKey()))
	e.Ledger = consentv1connect.NewLedgerServiceClient(e.http, e.Node.URL(), key)
	e.Decision = consentv1connect.NewDecisionServiceClient(e.http, e.Node.URL(), key)
	e.Feed = consentv1connect.NewFeedServiceClient(e.http, e.Node.URL(), key)
	e.Export = consentv1connect.NewExportServiceClient(e.http, e.Node.URL(), key)
	e.Attempt = consentv1connect.NewAttemptServiceClient(e.http, e.Node.URL(), key)
}

// Must records one fact and gives its receipt.
func (e *Env) Must(f *consentv1.Fact) *consentv1.Receipt {
	e.t.Helper()
	res, err := e.Ledger.Record(e.t.Context(), connect.NewRequest(&consentv1.RecordRequest{Fact: f}))
	if err != nil {
		e.t.Fatal(err)
	}
	return res.Msg.GetReceipt()
}

// Seller registers a seller.
func (e *Env) Seller(id string) *consentv1.Receipt {
	e.t.Helper()
	return e.Must(&consentv1.Fact{Source: "test", EventId: "seller-" + id,
		Kind: &consentv1.Fact_SellerRegistered{SellerRegistered: &consentv1.SellerRegistered{Id: id, Name: id}}})
}

// Check asks one question.
func (e *Env) Check(q *consentv1.Question) *consentv1.Decision {
	e.t.Helper()
	res, err := e.Decision.Check(e.t.Context(), connect.NewRequest(&consentv1.CheckRequest{Question: q}))
	if err != nil {
		e.t.Fatal(err)
	}
	return res.Msg.GetDecision()
}

// bearer puts the key on every call.
type bearer string

func (b bearer) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
		r.Header().Set("Authorization", "Bearer "+string(b))
		return next(ctx, r)
	}
}

func (b bearer) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, s connect.Spec) connect.StreamingClientConn {
		c := next(ctx, s)
		c.RequestHeader().Set("Authorization", "Bearer "+string(b))
		return c
	}
}

func (b bearer) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}
