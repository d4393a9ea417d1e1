// Package client is the Go client of a Consent Ledger: what every consumer and
// the program's own verbs use.
//
// Client gives the generated services with the key sent along and errors made
// clear (errors.go). On top of them it has what each caller would otherwise have
// to get right alone: Record, which retries only where the same event id makes
// that safe; Sender, which hands over facts in bulk (sender.go); Subscribe, which
// goes on after a server's restart where it ended (subscribe.go).
package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
	"github.com/consent-ledger/consent-ledger/proto/gen/consent/v1/consentv1connect"
)

// ServerDefault is where a server listens if nobody says otherwise.
const ServerDefault = "http://127.0.0.1:8420"

// How a connection is kept honest: a peer that is gone without a word is noticed
// after pingAfter + pingWait, so that a subscriber does not wait for ever.
const (
	pingAfter = 15 * time.Second
	pingWait  = 10 * time.Second
	dialWait  = 5 * time.Second
)

// Options change how a Client behaves. The zero value is useful.
type Options struct {
	// HTTP carries the requests; nil: HTTP/2, without TLS for http:// URLs. Streams
	// in both directions need HTTP/2.
	HTTP connect.HTTPClient
	// Attempts is how often Record sends one fact at most; default 5.
	Attempts int
	// Backoff is the first pause between attempts, doubled up to 5 s and shortened
	// by chance to half; default 100 ms.
	Backoff time.Duration
	// OnRetry is called before each pause with what went wrong; nil: nobody is told.
	OnRetry func(err error, pause time.Duration)
}

func (o *Options) setDefaults() {
	if o.Attempts <= 0 {
		o.Attempts = 5
	}
	if o.Backoff <= 0 {
		o.Backoff = 100 * time.Millisecond
	}
	if o.OnRetry == nil {
		o.OnRetry = func(error, time.Duration) {}
	}
}

// Client talks to one server. Safe for concurrent use.
type Client struct {
	// The generated services. Their errors are *Error, and unwrap to a sentinel of
	// this package and to the *connect.Error.
	Ledger    consentv1connect.LedgerServiceClient
	Decisions consentv1connect.DecisionServiceClient
	Feed      consentv1connect.FeedServiceClient
	Exports   consentv1connect.ExportServiceClient
	Attempts  consentv1connect.AttemptServiceClient

	opts Options
	idle func()
}

// New makes a client. server is an http:// or https:// URL, key an API key; it
// goes to that server alone. Nothing is sent yet.
func New(server, key string, o Options) (*Client, error) {
	o.setDefaults()
	u, err := url.Parse(server)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("client: %q is no server; write http://host:port or https://host:port", server)
	}
	if key != strings.TrimSpace(key) || strings.ContainsAny(key, "\r\n") {
		return nil, errors.New("client: the API key holds white space; give it as it stands in admin.key, without the line's end")
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		return nil, fmt.Errorf("client: %q would send the API key in clear over the network; use https://", server)
	}
	c := &Client{opts: o, idle: func() {}}
	carrier := o.HTTP
	if carrier == nil {
		t := newRoutes(u.Scheme)
		c.idle = t.CloseIdleConnections
		carrier = &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	base := strings.TrimSuffix(u.String(), "/")
	with := connect.WithClientOptions(
		connect.WithInterceptors(&interceptor{server: base, bearer: "Bearer " + key}),
		// Receipts are hashes, which do not shrink: gzip took a sixteenth of an import.
		connect.WithAcceptCompression("gzip", nil, nil))
	c.Ledger = consentv1connect.NewLedgerServiceClient(carrier, base, with)
	c.Decisions = consentv1connect.NewDecisionServiceClient(carrier, base, with)
	c.Feed = consentv1connect.NewFeedServiceClient(carrier, base, with)
	c.Exports = consentv1connect.NewExportServiceClient(carrier, base, with)
	c.Attempts = consentv1connect.NewAttemptServiceClient(carrier, base, with)
	return c, nil
}

// Close gives up idle connections. Calls under way go on.
func (c *Client) Close() { c.idle() }

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Record makes one fact durable. A fact without an event id gets one, a UUIDv7,
// which stays the same in every attempt, so that none of them doubles the fact.
//
// It tries again while the server is not ready, the connection breaks or the
// outcome is unknown; not when the first attempt finds no server. What it gives
// up on is ErrUncertain if any attempt may have been recorded: call it again with
// the same source and event id. Texts that are not UTF-8 are sent with U+FFFD
// where they are not. req is not changed.
func (c *Client) Record(ctx context.Context, req *consentv1.RecordRequest) (*consentv1.Receipt, error) {
	req = proto.CloneOf(req)
	if f := req.GetFact(); f != nil && f.GetEventId() == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return nil, fmt.Errorf("client: event id: %w", err)
		}
		f.EventId = id.String()
	}
	if !sendable(req) {
		cleanStrings(req.ProtoReflect())
	}
	maybe := false // an attempt may have been recorded
	pause := newBackoff(c.opts.Backoff)
	for attempt := 1; ; attempt++ {
		res, err := c.Ledger.Record(ctx, connect.NewRequest(req))
		if err == nil {
			return res.Msg.GetReceipt(), nil
		}
		maybe = maybe || mayBeRecorded(err)
		again := retriable(err) && (maybe || !errors.Is(err, ErrUnreachable))
		if !again || attempt >= c.opts.Attempts || ctx.Err() != nil {
			return nil, settle(err, maybe, req.GetFact().GetEventId())
		}
		if err := c.wait(ctx, pause.next(), err); err != nil {
			return nil, settle(err, maybe, req.GetFact().GetEventId())
		}
	}
}

// settle makes the last error tell the truth about all attempts. A clear refusal
// is the truth by itself: the same id would have been a duplicate.
func settle(err error, maybe bool, eventID string) error {
	if !maybe || errors.Is(err, ErrUncertain) || errors.Is(err, ErrInvalid) || errors.Is(err, ErrConflict) || errors.Is(err, ErrInbox) {
		return err
	}
	hint := "retry with the same source and event id; a duplicate is a success"
	if _, uerr := uuid.Parse(eventID); uerr == nil {
		hint = "retry with the same source and event id " + eventID + "; a duplicate is a success" // ours, so it holds no number
	}
	return &Error{Kind: ErrUncertain, Code: "UNCERTAIN", Message: "the answer was lost: the fact may be in the ledger", Hint: hint, cause: err}
}
