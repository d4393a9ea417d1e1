package node

import (
	"context"
	"errors"
	"fmt"
	"os"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger/timestamp"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// openTimestamps names the authority that stamps checkpoints, if there is one. It is
// not asked here: one that does not answer is no reason not to serve.
func (n *Node) openTimestamps(context.Context) error {
	if n.cfg.TimestampURL == "" {
		if n.cfg.TimestampCA != "" || n.cfg.TimestampEvery != 0 {
			return errors.New("timestamp-ca and timestamp-every say nothing without timestamp-url")
		}
		return nil
	}
	if n.cfg.TimestampCA == "" {
		return errors.New("timestamp-url needs timestamp-ca: the certificate, in PEM, of those who vouch for the authority")
	}
	if n.cfg.TimestampEvery < 0 {
		return errors.New("timestamp-every is below zero")
	}
	pem, err := os.ReadFile(n.cfg.TimestampCA)
	if err != nil {
		return fmt.Errorf("timestamp-ca: %w", err)
	}
	roots, err := timestamp.ParseRoots(pem)
	if err != nil {
		return err
	}
	authority, err := timestamp.NewAuthority(n.cfg.TimestampURL, roots)
	if err != nil {
		return err
	}
	shelf, err := timestamp.OpenShelf(n.folder.path(timestampsDir))
	if err != nil {
		return err
	}
	n.stamps = timestamp.NewKeeper(timestamp.Config{Shelf: shelf, Authority: authority, Verifier: n.signing.Log.Verifier, Newest: n.tree.Shown,
		Every: n.cfg.TimestampEvery, Logger: n.cfg.Logger})
	return nil
}

func (n *Node) runTimestamps(ctx context.Context) {
	if n.stamps != nil {
		n.stamps.Run(ctx)
	}
}

func (n *Node) timestampProblems() []string {
	if n.stamps == nil {
		return nil
	}
	return n.stamps.Problems()
}

// timestampStatus says what was stamped last; nil: no authority is asked.
func (n *Node) timestampStatus() *consentv1.TimestampStatus {
	if n.stamps == nil {
		return nil
	}
	size, st, err := n.stamps.Shelf.Newest()
	if err != nil { // none, or damaged: then it proves nothing
		return &consentv1.TimestampStatus{}
	}
	return &consentv1.TimestampStatus{Size: uint64(size), At: timestamppb.New(st.At)}
}
