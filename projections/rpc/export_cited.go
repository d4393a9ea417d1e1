package rpc

import (
	"context"
	"maps"
	"slices"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/bundle"
	"github.com/consent-ledger/consent-ledger/ledger/proof"
	"github.com/consent-ledger/consent-ledger/ledger/reader"
)

// since shows that the checkpoint which the recipient has is a beginning of the
// bundle's; without one, nothing. Only one that this ledger's key signed can be led on
// from, and one that it signed and cannot be led on from is an alarm.
func (z *zipSink) since(note []byte) error {
	if len(note) == 0 {
		return nil
	}
	c, err := proof.OpenCheckpoint(note, z.s.Signing.Log.Verifier)
	if err != nil {
		return &ledger.InvalidError{Field: "since_checkpoint", Problem: "is no checkpoint that this ledger signed", Fix: "give a checkpoint of this ledger, or a bundle of its"}
	}
	path, err := z.prover.Since(c)
	if err != nil {
		return err
	}
	return z.w.Consistent(c, path)
}

// wordings shows the texts that the entries name, as far as they were published.
func (z *zipSink) wordings(ctx context.Context) error {
	for _, id := range slices.Sorted(maps.Keys(z.shown)) {
		if err := z.wording(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

func (z *zipSink) wording(ctx context.Context, id string) error {
	r, found, err := z.s.Index.Idempotency(z.s.Keys.Idempotency(ledger.ProgramSource, ledger.WordingEventID(id)))
	if err != nil || !found || r.Position > z.x.through {
		return err // not published, or after what is exported: the report says that the text is not here
	}
	e, err := z.s.Reader.Entry(ctx, r.Position)
	if err != nil {
		return err
	}
	if e.Fact().GetWordingPublished().GetId() != id {
		return nil // somebody else's fact has the event id
	}
	parts, _, err := z.s.Reader.Parts(ctx, e, nil)
	if err != nil {
		return err
	}
	full, err := reader.Restored(e, parts)
	if err != nil {
		return err
	}
	if err := z.cite(ctx, r.Position); err != nil {
		return err
	}
	m := full.GetWordingPublished()
	return z.w.Wording(bundle.Wording{ID: id, Language: m.GetLanguage(), Text: m.GetText(), Position: r.Position, Recorded: shownTime(e.RecordedAt)})
}
