package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"

	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
	ledgerrpc "github.com/consent-ledger/consent-ledger/ledger/rpc"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	"github.com/consent-ledger/consent-ledger/ledger/stream"
	"github.com/consent-ledger/consent-ledger/ledger/timestamp"
	"github.com/consent-ledger/consent-ledger/ledger/tree"
	"github.com/consent-ledger/consent-ledger/ledger/witness"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// openTree holds the stream against all that was ever signed about it. It comes
// before the writer, which would use positions again that are missing.
func (n *Node) openTree(ctx context.Context) (err error) {
	if n.signing, err = n.keys.Signing(); err != nil {
		return err
	}
	journal, err := stream.OpenCheckpoints(ctx, n.js, n.pulse())
	if err != nil {
		return err
	}
	if err := n.openMender(); err != nil {
		return err
	}
	cfg := tree.Config{Dir: n.folder.path(treeDir), Ledger: n.keys.LedgerID(), Source: n.mender.ForTree(), Signer: n.signing.Log, Verifier: n.signing.Log.Verifier,
		Journal: journal, Logger: n.cfg.Logger}
	for _, where := range n.cfg.Anchors {
		a, err := tree.NewAnchor(where, n.cfg.Dir)
		if err != nil {
			return err
		}
		cfg.Anchors = append(cfg.Anchors, a)
	}
	if n.shelf, err = timestamp.OpenShelf(n.folder.path(timestampsDir)); err != nil {
		return err
	}
	if _, st, err := n.shelf.Newest(); err == nil {
		cfg.Beside = map[string][]byte{"folder " + timestampsDir: st.Message}
	}
	if n.cfg.Policy != "" {
		file, err := os.ReadFile(n.cfg.Policy)
		if err != nil {
			return fmt.Errorf("policy: %w", err)
		}
		if cfg.Witnesses, err = witness.ParsePolicy(file); err != nil {
			return err
		}
	}
	if n.cfg.CopyDir != "" {
		var copied *Copy
		if copied, err = OpenCopy(ctx, n.cfg.CopyDir, n.cfg.Logger); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, copied.Close()) }()
		cfg.Copy, cfg.BeforeTail = copied.log, func(ctx context.Context) error { return n.takeKeysTail(ctx, copied.log) }
	}
	if n.tree, err = tree.Open(cfg); err != nil {
		return err
	}
	n.onClose(n.tree.Close)
	if err := n.watchBeside(ctx); err != nil {
		return err
	}
	if err := n.beginMending(ctx); err != nil {
		return err
	}
	return n.tree.CatchUp(ctx)
}

// takeKeysTail appends what a copy's stream of keys has behind the end of ours, before the
// entries that are sealed with them come back from that copy. A key that our key ring does
// not open ends it; a message that the copy has lost is passed over, and the parts sealed
// with its keys stay closed.
func (n *Node) takeKeysTail(ctx context.Context, from ledger.Log) error {
	tail, err := n.log.KeysTail(ctx)
	if err != nil {
		return err
	}
	for m, err := range from.FollowKeys(ctx, tail) {
		if err != nil {
			return fmt.Errorf("the copy's keys: %w", err)
		}
		var keys consentv1.WrappedKeys
		if proto.Unmarshal(m.Data, &keys) != nil {
			continue // lost there
		}
		for _, k := range keys.GetKeys() {
			if _, err := n.keys.Unwrap(k); err != nil && !errors.Is(err, seal.ErrErased) {
				return fmt.Errorf("the copy's keys, message %d: %w", m.Seq, err)
			}
		}
		if _, err := n.log.AppendKeys(ctx, m.Data); err != nil {
			return err
		}
	}
	return nil
}

// public shows the tree and what is said about it. On loopback it needs no key.
// Elsewhere it does, unless the operator shows it to everybody: how much is recorded is
// for them to tell.
func (n *Node) public(h http.Handler) http.Handler {
	if local, _ := loopback(n.listener.Addr().String()); local || n.cfg.PublicTree {
		return h
	}
	return n.authenticate(h)
}

// signedThrough is the last position under the newest checkpoint.
func (n *Node) signedThrough() ledger.Position {
	c, _ := n.tree.Published()
	return ledger.Position(c.Size)
}

// witnessStatus says what witnesses vouch for; nil: none is asked.
func (n *Node) witnessStatus() *consentv1.WitnessStatus {
	c, _ := n.tree.Shown()
	q, asked := n.tree.Quorum(c)
	if !asked {
		return nil
	}
	return &consentv1.WitnessStatus{Size: uint64(c.Size), Cosignatures: ledgerrpc.Cosignatures(q)}
}

// createSigning makes the signing keys of a ledger made before there were any. One
// that signed already has lost them, and new ones would not be believed.
func (n *Node) createSigning(ctx context.Context) error {
	if _, err := n.keys.Signing(); !errors.Is(err, seal.ErrNoSigning) {
		return err
	}
	journal, err := stream.OpenCheckpoints(ctx, n.js, n.pulse())
	if err != nil {
		return err
	}
	last, err := journal.Tail(ctx)
	if err != nil {
		return err
	}
	if last > 0 {
		return fmt.Errorf("this ledger has signed checkpoints and its signing keys are missing: put back %s from the backup of the keys folder", seal.SigningFile)
	}
	return n.keys.CreateSigning(n.cfg.Origin)
}
