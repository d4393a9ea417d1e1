package node

import (
	"context"
	"errors"
	"time"

	"connectrpc.com/connect"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/recorder"
	ledgerrpc "github.com/consent-ledger/consent-ledger/ledger/rpc"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/projections/attempts"
	"github.com/consent-ledger/consent-ledger/projections/feed"
	"github.com/consent-ledger/consent-ledger/projections/registry"
	"github.com/consent-ledger/consent-ledger/projections/rpc"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
	"github.com/consent-ledger/consent-ledger/proto/gen/consent/v1/consentv1connect"
)

// decider is how this node answers questions.
func (n *Node) decider() *rpc.Decider {
	return &rpc.Decider{Runner: n.runner, Reader: n.reader, Listing: n.listing, Registry: n.registry, Packs: n.packs, Keys: n.keys,
		Integrity: n.mender, Attempts: n.attempts, KeepDecisions: n.cfg.RecordDecisions, Receipts: n.signing.Receipts, Durability: n.durability(), Acked: n.writer.Acked, Fresh: n.fresh.wait, Now: n.cfg.Clock.Wall, Observe: n.metrics.decided}
}

// attemptService is how this node keeps attempts.
func (n *Node) attemptService() *rpc.Attempts {
	return &rpc.Attempts{Decider: n.decider(), Catalog: n.index}
}

// ledgerService is how this node records.
func (n *Node) ledgerService() *ledgerrpc.Ledger {
	return &ledgerrpc.Ledger{Recorder: n.recorder, Writer: n.writer, Reader: n.reader, Index: n.index, Keys: n.keys, Inbox: n.inbox,
		Tree: n.tree, Signing: n.signing, Timestamps: n.stamps, Durability: n.durability(), Operations: &operations{n}}
}

// services mounts everything behind the key.
func (n *Node) services(opts []connect.HandlerOption) []mount {
	d := n.decider()
	sub := feed.NewSubscriber(feed.SubscriberConfig{State: n.runner, Listing: n.listing, Tokens: feedTokens{n.keys}, Stream: n.feedStream,
		Published: n.feed.Published,
		Integrity: n.mender, Broken: d.Broken})
	var out []mount
	add := func(m mount) { out = append(out, m) }
	path, h := consentv1connect.NewLedgerServiceHandler(n.ledgerService().Handler(), opts...)
	add(mount{path, h})
	path, h = consentv1connect.NewDecisionServiceHandler(d.Service(), opts...)
	add(mount{path, h})
	path, h = consentv1connect.NewAttemptServiceHandler(n.attemptService().Service(), opts...)
	add(mount{path, h})
	path, h = consentv1connect.NewFeedServiceHandler(&rpc.Feed{Subscriber: sub, Acked: n.writer.Acked, WaitApplied: n.runner.WaitApplied}, opts...)
	add(mount{path, h})
	quiet := n.decider() // what a bundle tells is asked by no dialer, and counts as no decision
	quiet.Observe = func(*consentv1.Decision, int, time.Duration) {}
	path, h = consentv1connect.NewExportServiceHandler(&rpc.Export{Decider: quiet, Recorder: n.recorder, Tree: n.tree, Signing: n.signing, Timestamps: n.stamps,
		PackFiles: n.packFiles(), AttemptLog: n.tries, Directory: n.Directory, Index: n.index}, opts...)
	add(mount{path, h})
	return out
}

// serveMicro answers over NATS until ctx is done.
func (n *Node) serveMicro(ctx context.Context) error {
	d, l, a := n.decider(), n.ledgerService(), n.attemptService()
	return rpc.ServeMicro(ctx, n.conn, microVersion, []rpc.Endpoint{
		rpc.Verb[consentv1.CheckRequest]("check", d.Check),
		rpc.Verb[consentv1.CheckBatchRequest]("check-batch", d.CheckBatch),
		rpc.Verb[consentv1.TimelineRequest]("timeline", d.Timeline),
		rpc.Verb[consentv1.RecordRequest]("record", l.RecordOne),
		rpc.Verb[consentv1.ReserveRequest]("reserve", a.Reserve),
		rpc.Verb[consentv1.CancelRequest]("cancel", a.Cancel),
		rpc.Verb[consentv1.RecordAttemptRequest]("attempt", a.RecordAttempt),
		rpc.Verb[consentv1.RecordAttemptsRequest]("attempts", a.RecordAttempts),
	})
}

// microVersion is the version of the service's contract, which NATS wants as semver.
const microVersion = "1.0.0"

// openFeed binds the publisher of suppression updates.
func (n *Node) openFeed(ctx context.Context) (*feed.Publisher, error) {
	var err error
	if n.feedStream, err = feed.OpenJetStream(ctx, n.js); err != nil {
		return nil, err
	}
	return feed.NewPublisher(feed.PublisherConfig{Source: n.reader, State: n.runner, Listing: n.listing, Tokens: feedTokens{n.keys},
		Stream: n.feedStream, Logger: n.cfg.Logger}), nil
}

// feedTokens makes a seller's pseudonyms from those of the projections.
type feedTokens struct{ keys *seal.Keyring }

// FeedOf implements feed.Tokens.
func (t feedTokens) FeedOf(seller string, token ledger.Token) ledger.FeedToken {
	return t.keys.Feed(seller, t.keys.ExchangeOf(token))
}

// TokenOf implements feed.Tokens.
func (t feedTokens) TokenOf(seller string, f ledger.FeedToken) ledger.Token {
	return t.keys.Token(t.keys.ExchangeOfFeed(seller, f))
}

// NumberOf implements feed.Tokens.
func (t feedTokens) NumberOf(token ledger.Token) (string, error) {
	return t.keys.Number(t.keys.ExchangeOf(token))
}

// decided counts one decision.
func (m *metrics) decided(d *consentv1.Decision, numbers int, took time.Duration) {
	verdict := "BLOCK"
	if d.GetVerdict() == consentv1.Verdict_VERDICT_ALLOW {
		verdict = "ALLOW"
	}
	m.decisions.of(verdict).Add(float64(numbers))
	for _, r := range d.GetReasons() {
		m.reasons.of(r.GetCode()).Add(float64(numbers))
	}
	if took > 0 { // of a number in a scrub it would say nothing
		m.latency.Observe(took.Seconds())
	}
}

// Recorder records in process: benchmarks use it beside the API.
func (n *Node) Recorder() *recorder.Recorder { return n.recorder }

// Decider answers in process: benchmarks use it beside the API.
func (n *Node) Decider() *rpc.Decider { return n.decider() }

// Lists is what the lists say now: benchmarks look into it beside the API.
func (n *Node) Lists() *registry.Snapshot { return n.registry.Snapshot() }

// ListsKept waits until everything about the lists is on this server's disk.
func (n *Node) ListsKept(ctx context.Context) error { return n.registry.WaitKept(ctx) }

// StateCache is how the projections' block cache has been used.
func (n *Node) StateCache() store.CacheUse { return n.stateDB.CacheUse() }

// StateResident tells whether all tokens that have state are known in memory.
func (n *Node) StateResident() bool { return n.runner.KnowsAll() }

// WaitApplied waits until the projections hold everything acknowledged.
func (n *Node) WaitApplied(ctx context.Context) error {
	return n.runner.WaitApplied(ctx, n.writer.Acked())
}

// Acked is the last durable position.
func (n *Node) Acked() ledger.Position { return n.writer.Acked() }

// StateHash hashes every projection.
func (n *Node) StateHash(ctx context.Context) (map[string]ledger.Hash, error) {
	_, out, err := n.stateHashAt(ctx)
	return out, err
}

// stateHashAt is StateHash with the position that is true of all but attempts,
// which follow a stream of their own.
func (n *Node) stateHashAt(ctx context.Context) (ledger.Position, map[string]ledger.Hash, error) {
	at, out, err := n.runner.StateHashAt(ctx)
	if err == nil {
		out[attempts.Name], err = n.attempts.StateHash(ctx)
	}
	return at, out, err
}

// Rebuild folds all projections anew.
func (n *Node) Rebuild(ctx context.Context) error {
	if !n.mender.Whole() {
		return errMendFirst
	}
	if err := n.runner.Rebuild(ctx, nil); err != nil {
		return err
	}
	return errors.Join(n.attempts.Rebuild(ctx), n.directory.Rebuild(ctx))
}
