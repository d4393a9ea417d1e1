package node

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/consent-ledger/consent-ledger/ledger/seal"
	"github.com/consent-ledger/consent-ledger/ledger/stream"
)

// StreamsVerb looks at or creates the streams of a ledger that is not served.
type StreamsVerb func(ctx context.Context, cfg Config) ([]stream.Difference, error)

// StreamsPlan lists what differs from the pinned configuration.
func StreamsPlan(ctx context.Context, cfg Config) ([]stream.Difference, error) {
	return onStreams(ctx, cfg, stream.Plan)
}

// StreamsApply creates streams that do not exist and lists what still differs.
func StreamsApply(ctx context.Context, cfg Config) ([]stream.Difference, error) {
	return onStreams(ctx, cfg, stream.Apply)
}

func onStreams(ctx context.Context, cfg Config, do func(context.Context, jetstream.JetStream, stream.Provision) ([]stream.Difference, error)) (diffs []stream.Difference, err error) {
	cfg.fill()
	cfg.NATSListen = NATSListenNone
	n := &Node{cfg: cfg, endRequests: func() {}}
	defer func() { err = errors.Join(err, n.Close()) }()
	if n.folder, err = openFolder(cfg.Dir); err != nil {
		return nil, err
	}
	n.onClose(n.folder.release)
	if n.adminKey, err = n.folder.adminKey(); err != nil {
		return nil, err
	}
	if n.keys, err = seal.Open(n.folder.path(keysDir)); err != nil {
		return nil, err
	}
	if err := n.connect(); err != nil {
		return nil, err
	}
	return do(ctx, n.js, n.provision())
}
