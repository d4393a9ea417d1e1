package rpc

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/singleflight"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/proof"
	"github.com/consent-ledger/consent-ledger/ledger/timestamp"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

const (
	// commitsSignedKept is how many signed commits stay in memory: callers of one
	// commit ask at about the same time.
	commitsSignedKept = 64
	// coverWait bounds the wait for a checkpoint over a new entry: one a second is
	// made.
	coverWait = 5 * time.Second
)

// signedCommits signs each commit once for all who ask about its entries.
type signedCommits struct {
	one singleflight.Group

	mu   sync.Mutex // guards kept, newest last
	kept []*proof.SignedCommit
}

// signedCommit gives the signed commit that holds a position.
func (l *Ledger) signedCommit(ctx context.Context, at ledger.Position) (*proof.SignedCommit, error) {
	if c := l.signed.lookUp(at); c != nil {
		return c, nil
	}
	seq, entries, err := l.Reader.Commit(ctx, at)
	if err != nil {
		return nil, err
	}
	c, err, _ := l.signed.one.Do(strconv.FormatUint(seq, 10), func() (any, error) {
		if c := l.signed.lookUp(at); c != nil {
			return c, nil
		}
		c, err := proof.SignCommit(entries, l.Durability, l.Signing.Receipts)
		if err == nil {
			l.signed.keep(c)
		}
		return c, err
	})
	if err != nil {
		return nil, err
	}
	return c.(*proof.SignedCommit), nil
}

func (s *signedCommits) lookUp(at ledger.Position) *proof.SignedCommit {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.kept) - 1; i >= 0; i-- {
		if c := s.kept[i]; at >= c.First && at < c.First+ledger.Position(c.Count) {
			return c
		}
	}
	return nil
}

func (s *signedCommits) keep(c *proof.SignedCommit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept = append(s.kept, c); len(s.kept) > commitsSignedKept {
		s.kept[0] = nil
		s.kept = s.kept[1:]
	}
}

// sign adds the signed form to a receipt. That it cannot be made does not undo the
// fact: the receipt says so, and it can be asked for again.
func (l *Ledger) sign(ctx context.Context, r *consentv1.Receipt) {
	c, err := l.signedCommit(ctx, ledger.Position(r.GetPosition()))
	if err == nil {
		var file proof.Receipt
		if file, err = c.Receipt(ledger.Position(r.GetPosition())); err == nil {
			r.Signed = file.Encode()
			return
		}
	}
	r.Notices = append(r.Notices, fmt.Sprintf("it is recorded, but could not be signed now; ask again for the receipt of position %d", r.GetPosition()))
}

// receipt finds a receipt again, with what is asked for beside it.
func (l *Ledger) receipt(ctx context.Context, at ledger.Position, req *consentv1.GetReceiptRequest) (*consentv1.GetReceiptResponse, error) {
	e, err := l.Reader.Entry(ctx, at)
	if err != nil {
		return nil, err
	}
	res := &consentv1.GetReceiptResponse{Entry: e.Bytes, Receipt: Receipt(ledger.Receipt{
		Position: e.Position, EntryID: e.ID, Leaf: e.Leaf, RecordedAt: e.RecordedAt, Durability: l.Durability})}
	if req.GetSigned() {
		c, err := l.signedCommit(ctx, at)
		if err != nil {
			return nil, err
		}
		file, err := c.Receipt(at)
		if err != nil {
			return nil, err
		}
		file.Entry = e.Bytes
		res.Receipt.Signed = file.Encode()
	}
	switch {
	case req.GetTimestamp():
		res.TlogProof, res.Timestamp, err = l.stamped(ctx, e)
	case req.GetTlogProof():
		res.TlogProof, err = l.include(ctx, e)
	}
	return res, err
}

// stamped gives the path to the first checkpoint over an entry that was stamped, and
// its token.
func (l *Ledger) stamped(ctx context.Context, e *ledger.Entry) (path, token []byte, err error) {
	if l.Timestamps.Asks() {
		wait, cancel := context.WithTimeout(ctx, coverWait)
		defer cancel()
		if _, err := l.Tree.WaitShown(wait, e.Position, coverWait); err != nil {
			return nil, nil, fmt.Errorf("%w: %w", ledger.ErrNotReady, err)
		}
	}
	c, st, err := l.Timestamps.Covering(ctx, e.Position)
	if errors.Is(err, timestamp.ErrNobodyAsked) {
		return nil, nil, &ledger.InvalidError{Field: "timestamp",
			Problem: "is asked for, none that was made before covers the position, and this server asks no timestamping authority",
			Fix:     "leave it out, or start the server with --timestamp-url"}
	}
	if err != nil {
		return nil, nil, err
	}
	p, err := l.Tree.Prover(c).Path(e.Position, e.Leaf)
	if err != nil {
		return nil, nil, err
	}
	return proof.Inclusion{Position: e.Position, Path: p, Checkpoint: c.Note}.Encode(), st.Token, nil
}

// include waits for a checkpoint that covers an entry, and gives the path to it.
func (l *Ledger) include(ctx context.Context, e *ledger.Entry) ([]byte, error) {
	wait, cancel := context.WithTimeout(ctx, coverWait)
	defer cancel()
	if _, err := l.Tree.WaitPublished(wait, e.Position); err != nil {
		return nil, fmt.Errorf("%w: %w", ledger.ErrNotReady, err)
	}
	p, err := l.Tree.Include(e.Position)
	if err != nil {
		return nil, err
	}
	if _, err := p.Check(e.Leaf, l.Signing.Log.Verifier); err != nil {
		return nil, fmt.Errorf("rpc: position %d is not what the tree was made of: %w: %w", e.Position, err, ledger.ErrDamaged)
	}
	return p.Encode(), nil
}

func (s *service) ListPublicKeys(context.Context, *connect.Request[consentv1.ListPublicKeysRequest]) (*connect.Response[consentv1.ListPublicKeysResponse], error) {
	return connect.NewResponse(&consentv1.ListPublicKeysResponse{Origin: s.Signing.Origin, Keys: []*consentv1.PublicKey{
		{Purpose: "checkpoints", Verifier: s.Signing.Log.Public}, {Purpose: "receipts", Verifier: s.Signing.Receipts.Public},
		{Purpose: "exports", Verifier: s.Signing.Exports.Public}}}), nil
}
