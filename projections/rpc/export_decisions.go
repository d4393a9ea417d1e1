package rpc

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// recorded shows every decision about the numbers that was kept: those of
// reservations, and all if the server keeps them. Attempts are found by number for
// two months only, so all of them are read.
func (z *zipSink) recorded(ctx context.Context) error {
	first, last, err := z.s.AttemptLog.Bounds(ctx)
	if err != nil || first > last {
		return err
	}
	number := map[ledger.Token]int{}
	for i, n := range z.x.numbers {
		number[n.token] = i + 1
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for m, err := range z.s.AttemptLog.Follow(ctx, first-1) {
		if err != nil {
			return err
		}
		var batch consentv1.AttemptBatch
		if err := proto.Unmarshal(m.Data, &batch); err != nil {
			return fmt.Errorf("export: message %d of attempts: %w", m.Seq, err)
		}
		for i, r := range batch.GetRecords() {
			ledger.Breathe(i)
			if err := z.attempt(ctx, number, r); err != nil {
				return fmt.Errorf("export: message %d of attempts: %w", m.Seq, err)
			}
		}
		if m.Seq >= last {
			return nil
		}
	}
	return context.Cause(ctx)
}

func (z *zipSink) attempt(ctx context.Context, number map[ledger.Token]int, r *consentv1.AttemptRecord) error {
	if r.GetDecision() == nil {
		return nil
	}
	_, token, err := z.s.Keys.OpenToken(&consentv1.Entry{EntryId: r.GetId(), Token: r.GetToken()})
	if err != nil || number[token] == 0 {
		return err
	}
	q := question{seller: r.GetSeller(), campaign: r.GetCampaign(), channel: r.GetChannel(), purpose: r.GetPurpose()}
	b := decided(number[token], "recorded", q, r.GetDecision())
	if len(r.GetReference()) > 0 {
		b.Outcome = word(r.GetOutcome(), "ATTEMPT_OUTCOME_")
	}
	return z.decision(ctx, b, r.GetDecision())
}
