package node

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/consent-ledger/consent-ledger/ledger/seal"
	"github.com/consent-ledger/consent-ledger/ledger/stream"
)

// StreamsVerb looks at or creates the streams of a ledger that is not served.
type StreamsVerb func(ctx context.Context, cfg Config) ([]stream.Difference, error)

// StreamsPlan lists what differs from the pinned configuration.
func StreamsPlan(ctx context.Context, cfg Config) ([]stream.Difference, error) {
	return onStreams(ctx, cfg, func(ctx context.Context, n *Node, p stream.Provision) ([]stream.Difference, error) {
		return stream.Plan(ctx, n.js, p)
	})
}

// StreamsApply creates what init of today creates and is not there: streams, and
// signing keys. It lists what still differs.
func StreamsApply(ctx context.Context, cfg Config) ([]stream.Difference, error) {
	return onStreams(ctx, cfg, func(ctx context.Context, n *Node, p stream.Provision) ([]stream.Difference, error) {
		if err := stream.Verify(ctx, n.js, p); n.lost(err) {
			return nil, n.errLost()
		}
		diffs, err := stream.Apply(ctx, n.js, p)
		if err != nil || len(diffs) > 0 {
			return diffs, err
		}
		return nil, n.createSigning(ctx)
	})
}

// lost tells of the embedded server that it knows no ledger stream. A folder gets
// its mark after its streams, so they were there once: nats-server leaves out, with
// a warning, what its key does not open. New streams beside them would look like
// an empty history.
func (n *Node) lost(err error) bool {
	var diff *stream.DifferenceError
	return n.cfg.NATSURL == "" && errors.As(err, &diff) &&
		slices.Contains(diff.Differences, stream.Difference{Stream: stream.LedgerStream, Field: "stream"})
}

func (n *Node) errLost() error {
	return fmt.Errorf("the keys in %s open no ledger in %s: one of the two is missing or another ledger's; nothing was changed; put back both from one backup",
		filepath.Join(n.cfg.Dir, keysDir), filepath.Join(n.cfg.Dir, jetstreamDir))
}

func onStreams(ctx context.Context, cfg Config, do func(context.Context, *Node, stream.Provision) ([]stream.Difference, error)) (diffs []stream.Difference, err error) {
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
	return do(ctx, n, n.provision())
}
