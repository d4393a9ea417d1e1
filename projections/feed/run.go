package feed

import (
	"context"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/projections/listing"
	"github.com/consent-ledger/consent-ledger/projections/runner"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// run collects the updates of a run of positions by seller.
type run struct {
	updates map[string][]*consentv1.FeedUpdate
	states  map[stateKey]*consentv1.SuppressionState // read already, from one view
}

type stateKey struct {
	token  ledger.Token
	seller string
}

// build waits until the run's entries are applied and reads the states they led
// to. What was recorded since may be in them already: its own update follows.
func (w *worker) build(ctx context.Context, entries []*ledger.Entry, wanted func(string) bool) (*run, error) {
	last := entries[len(entries)-1].Position
	for {
		var r *run
		err := w.c.State.Read(ctx, last, func(v runner.View) error {
			l := w.c.Listing.Snapshot()
			if l.Position < last {
				return nil // a rebuild began after the view was taken: wait for it
			}
			r = &run{updates: map[string][]*consentv1.FeedUpdate{}, states: map[stateKey]*consentv1.SuppressionState{}}
			return r.add(v, entries, l.Sellers(), wanted, w.c.Tokens)
		})
		if r != nil || err != nil {
			return r, err
		}
	}
}

func (r *run) add(v runner.View, entries []*ledger.Entry, registered []listing.Seller, wanted func(string) bool, t Tokens) error {
	for i, e := range entries {
		ledger.Breathe(i)
		for _, seller := range sellersOf(e, registered) {
			if !wanted(seller) {
				continue
			}
			u, err := r.update(v, e, seller, t)
			if err != nil {
				return err
			}
			r.updates[seller] = append(r.updates[seller], u)
		}
	}
	return nil
}

func (r *run) update(v runner.View, e *ledger.Entry, seller string, t Tokens) (*consentv1.FeedUpdate, error) {
	own, err := r.state(v, stateKey{e.Token, seller})
	if err != nil {
		return nil, err
	}
	all, err := r.state(v, stateKey{e.Token, ledger.All})
	if err != nil {
		return nil, err
	}
	token := t.FeedOf(seller, e.Token)
	return &consentv1.FeedUpdate{
		Position: uint64(e.Position), Token: token[:], SellerState: own, AllState: all,
		Cause: string(ledger.KindOf(e.Fact())), RecordedAt: timestamppb.New(e.RecordedAt), Erased: isErased(all),
	}, nil
}

func (r *run) state(v runner.View, k stateKey) (*consentv1.SuppressionState, error) {
	if s, ok := r.states[k]; ok {
		return s, nil
	}
	s, err := stateOf(v, k.token, k.seller)
	if err == nil {
		r.states[k] = s
	}
	return s, err
}

// batches packs the updates: sellers in order, and of each as many messages as
// it takes to stay below bytesMax, all but the last marked with more.
func (r *run) batches(bytesMax int) (out []*consentv1.FeedBatch) {
	for _, seller := range slices.Sorted(maps.Keys(r.updates)) {
		b, bytes := &consentv1.FeedBatch{Seller: seller}, 0
		for _, u := range r.updates[seller] {
			size := proto.Size(u)
			if len(b.Updates) > 0 && bytes+size > bytesMax {
				b.More = true
				out = append(out, b)
				b, bytes = &consentv1.FeedBatch{Seller: seller}, 0
			}
			b.Updates = append(b.Updates, u)
			bytes += size
		}
		out = append(out, b)
	}
	return out
}

func marshal(b *consentv1.FeedBatch) ([]byte, error) {
	return proto.MarshalOptions{Deterministic: true}.Marshal(b)
}
