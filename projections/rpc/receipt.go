package rpc

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/proof"
	"github.com/consent-ledger/consent-ledger/projections/attempts"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// decideAndKeep is decide, and keeps the decisions if this server is to, or if their
// receipts are asked for. Receipts are in the order of the questions; nil: none was
// asked for, or nothing was decided.
func (d *Decider) decideAndKeep(ctx context.Context, qs []*consentv1.Question, a asking) ([]*consentv1.Decision, [][]byte, error) {
	var asked []resolved
	if d.KeepDecisions || a.receipt {
		a.asked = &asked
	}
	out, err := d.decide(ctx, qs, a)
	if err != nil || len(asked) != len(out) || len(out) == 0 { // stale: nothing was decided
		return out, nil, err
	}
	receipts, err := d.keep(ctx, qs, asked, out, a.receipt)
	return out, receipts, err
}

// stated is a statement on its way to a signature.
type stated struct {
	text string
	salt [proof.SaltBytes]byte
}

// keep makes decisions durable, and then signs what was stated of them if that is
// wanted: a receipt never speaks of what a crash could still take away.
func (d *Decider) keep(ctx context.Context, qs []*consentv1.Question, asked []resolved, ds []*consentv1.Decision, receipts bool) ([][]byte, error) {
	now, keep, said := d.Now(), make([]attempts.Decided, len(ds)), make([]stated, len(ds))
	for i, dec := range ds {
		ledger.Breathe(i)
		id, err := attempts.NewRecordID()
		if err != nil {
			return nil, err
		}
		about := asked[i].call
		about.Reference = ""
		keep[i] = attempts.Decided{ID: id, About: about, Decision: dec}
		if !receipts {
			continue
		}
		if said[i], err = state(id, now, qs[i], &asked[i], dec); err != nil {
			return nil, err
		}
		keep[i].Statement = ledger.LeafHash([]byte(said[i].text))
	}
	kept, err := d.Attempts.Keep(ctx, keep)
	if err != nil || !receipts {
		return nil, err
	}
	out := make([][]byte, len(ds))
	for i, o := range kept {
		ledger.Breathe(i)
		signed, err := o.Stated.Sign(d.Durability, d.Receipts)
		if err != nil {
			return nil, err
		}
		r, err := signed.Receipt(o.Place, said[i].text, said[i].salt[:])
		if err != nil {
			return nil, err
		}
		out[i] = r.Encode()
	}
	return out, nil
}

// state puts an answer into words, with a salt of its own for the number.
func state(id ledger.EntryID, now time.Time, q *consentv1.Question, r *resolved, d *consentv1.Decision) (stated, error) {
	var out stated
	if _, err := rand.Read(out.salt[:]); err != nil {
		return out, fmt.Errorf("receipt: a salt: %w", err)
	}
	number := r.number.E164
	if r.unreadable {
		number = q.GetNumber()
	}
	s := proof.Statement{ID: id, DecidedAt: now, Number: proof.CommitNumber(out.salt, number), Unreadable: r.unreadable, Decision: d,
		Question: &consentv1.Question{Campaign: r.in.Campaign, Seller: r.in.Seller, Channel: r.in.Channel, Purpose: r.in.Purpose, Programme: r.in.Programme,
			Subject: r.in.Subject, Sector: r.in.Sector, Content: &consentv1.ContentFlags{Marketing: &r.in.Marketing, OptOutNotice: &r.in.OptOutNotice}}}
	if !r.asOf.IsZero() {
		s.Question.AsOf = timestamppb.New(r.asOf)
	}
	var err error
	out.text, err = s.Text()
	return out, err
}
