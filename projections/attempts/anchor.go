package attempts

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/proof"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/projections"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

const (
	// anchorEvery is how often new batches are anchored if nobody says otherwise.
	anchorEvery = 10 * time.Minute
	// anchorMessagesMax bounds the messages of one anchor, whose tree is in memory.
	anchorMessagesMax = 1 << 16
	// lastAnchorWait bounds the anchor at a clean stop.
	lastAnchorWait = 5 * time.Second
)

// Anchors is the projection of the ledger that knows what is anchored.
type Anchors struct{}

var _ projections.Projection = Anchors{}

// Name implements projections.Projection.
func (Anchors) Name() string { return "anchors" }

// Version implements projections.Projection.
func (Anchors) Version() uint32 { return 2 }

// Spaces implements projections.Projection.
func (Anchors) Spaces() []byte { return []byte{store.SpaceAnchor} }

// Apply keeps the furthest message that is anchored, and when it was.
func (Anchors) Apply(b projections.Batch, e *ledger.Entry) error {
	m := e.Fact().GetAttemptsAnchored()
	if m == nil {
		return nil
	}
	raw, err := b.Get(store.AnchorKey())
	if err != nil {
		return err
	}
	if last, _, err := decodeAnchor(raw); err != nil || last >= m.GetLastSequence() {
		return err
	}
	value := binary.BigEndian.AppendUint64(nil, m.GetLastSequence())
	return b.Set(store.AnchorKey(), binary.BigEndian.AppendUint64(value, uint64(e.RecordedAt.UnixNano())))
}

// Anchored is the last message of CONSENT_ATTEMPTS that is anchored, and when it was; 0:
// none.
func Anchored(r store.Reader) (seq uint64, at time.Time, err error) {
	raw, err := r.Get(store.AnchorKey())
	if err != nil {
		return 0, time.Time{}, err
	}
	return decodeAnchor(raw)
}

func decodeAnchor(raw []byte) (seq uint64, at time.Time, err error) {
	switch len(raw) {
	case 0:
		return 0, time.Time{}, nil
	case 16:
		return binary.BigEndian.Uint64(raw), time.Unix(0, int64(binary.BigEndian.Uint64(raw[8:]))).UTC(), nil
	}
	return 0, time.Time{}, fmt.Errorf("anchors: %d bytes: %w", len(raw), store.ErrBadKey)
}

// Anchorer puts the Merkle roots of new batches into the ledger. A crash anywhere
// leaves messages that are not anchored yet, which the next anchor covers.
type Anchorer struct {
	Log Log
	// Last is the last message anchored, by all that the ledger holds.
	Last func(context.Context) (uint64, error)
	// Record appends a fact; the same source and event id again is the same entry.
	Record func(context.Context, *consentv1.Fact) (ledger.Receipt, error)
	// Every is how often; 0: ten minutes.
	Every time.Duration
	// Logger hears of what failed; nil discards.
	Logger *slog.Logger

	last uint64
	// open is an anchor that may be in the ledger: it is settled before another is made.
	open *consentv1.AttemptsAnchored
}

// Run anchors every so often, and once more when ctx is done: whatever failed
// then is for the next start. Its error is that of Last.
func (a *Anchorer) Run(ctx context.Context) (err error) {
	if a.Every == 0 {
		a.Every = anchorEvery
	}
	if a.Logger == nil {
		a.Logger = slog.New(slog.DiscardHandler)
	}
	if a.last, err = a.Last(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("attempts: what is anchored: %w", err)
	}
	tick := time.NewTicker(a.Every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			a.try(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastAnchorWait)
			defer cancel()
			a.try(last)
			return nil
		}
	}
}

func (a *Anchorer) try(ctx context.Context) {
	if err := a.anchor(ctx); err != nil && ctx.Err() == nil {
		a.Logger.Warn("attempts: not anchored; the next anchor covers it", "after", a.last, "error", err)
	}
}

// anchor covers everything up to the stream's tail.
func (a *Anchorer) anchor(ctx context.Context) error {
	for {
		if a.open == nil {
			m, err := a.next(ctx)
			if err != nil || m == nil {
				return err
			}
			a.open = m
		}
		_, err := a.Record(ctx, &consentv1.Fact{Source: "consent-ledger", EventId: fmt.Sprintf("attempts-%d-%d", a.open.GetFirstSequence(), a.open.GetLastSequence()),
			Kind: &consentv1.Fact_AttemptsAnchored{AttemptsAnchored: a.open}})
		if err != nil {
			return err
		}
		a.last, a.open = a.open.GetLastSequence(), nil
	}
}

// next makes the anchor of the messages after the last one; nil if there are none.
func (a *Anchorer) next(ctx context.Context) (*consentv1.AttemptsAnchored, error) {
	first, last, err := a.Log.Bounds(ctx)
	if err == nil && last < a.last {
		err = fmt.Errorf("message %d is anchored, the stream ends at %d: attempts are missing: %w", a.last, last, ledger.ErrDamaged)
	}
	if err != nil || last == a.last || first > last {
		return nil, err
	}
	out, t := &consentv1.AttemptsAnchored{}, &proof.SmallTree{}
	for m, err := range a.Log.Follow(ctx, a.last) {
		if err != nil {
			return nil, err
		}
		var b consentv1.AttemptBatch
		_ = proto.Unmarshal(m.Data, &b) // a damaged one is anchored as it stands, and has no records
		if err := t.Add(ledger.LeafHash(m.Data)); err != nil {
			return nil, fmt.Errorf("message %d: %w", m.Seq, err)
		}
		if out.FirstSequence == 0 {
			out.FirstSequence = m.Seq
		}
		out.LastSequence, out.Records = m.Seq, out.GetRecords()+uint64(len(b.GetRecords()))
		if m.Seq >= last || t.Size() >= anchorMessagesMax {
			break
		}
	}
	if t.Size() == 0 {
		return nil, context.Cause(ctx)
	}
	root, err := t.Root()
	out.Root = root[:]
	return out, err
}
