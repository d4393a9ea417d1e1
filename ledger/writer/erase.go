package writer

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/declare"
	"github.com/google/uuid"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Erase records PersonErased for every person of a number and destroys their
// keys. The number stays blocked. After an error the erasure may be recorded; a
// restart finishes what was recorded. It returns how many persons were named.
func (w *Writer) Erase(ctx context.Context, number string, x ledger.ExchangeToken, reason string) (ledger.Receipt, int, error) {
	var persons []ledger.PersonID
	c := newCall([]*declare.Declared{nil})
	c.alone = &alone{
		before: func() (d *declare.Declared, err error) {
			d, persons, err = w.erasure(number, x, reason)
			return d, err
		},
		after: w.finishErasures,
	}
	out := w.submit(ctx, erasures, c)[0]
	if out.Err != nil {
		return ledger.Receipt{}, 0, out.Err
	}
	return out.Receipt, len(persons), nil
}

// erasure makes the fact, when nothing else is open: it names every person of the token.
func (w *Writer) erasure(number string, x ledger.ExchangeToken, reason string) (*declare.Declared, []ledger.PersonID, error) {
	token := w.keys.Token(x)
	persons, err := w.index.Persons(token)
	if err != nil {
		return nil, nil, err
	}
	m := &consentv1.PersonErased{Reason: reason}
	for _, p := range persons {
		m.Persons = append(m.Persons, p[:])
	}
	d, err := declare.Declare(declare.Declaration{Fact: &consentv1.Fact{Source: "consent-ledger", EventId: "erasure-" + uuid.NewString(),
		Kind: &consentv1.Fact_PersonErased{PersonErased: m}}}, w.keys, w.index)
	if err != nil {
		return nil, nil, err
	}
	d.Exchange, d.Token = x, token
	return d, persons, nil
}

// finishErasures destroys the keys of every person that a durable PersonErased
// names. It runs after each erasure and at every start: a crash anywhere in it
// leaves old and new epoch live, and the next run goes through it again.
func (w *Writer) finishErasures(ctx context.Context) error {
	pending, err := w.index.PendingErasures()
	if err != nil || len(pending) == 0 {
		return err
	}
	return w.keys.Destroy(pending, w.index.BucketKeys, func(rewrapped *consentv1.WrappedKeys) error {
		data, err := proto.Marshal(rewrapped)
		if err != nil {
			return fmt.Errorf("writer: serialize keys: %w", err)
		}
		seq, err := w.appendKeysSettled(ctx, data)
		if err != nil {
			return err
		}
		return w.index.ApplyKeys(seq, rewrapped)
	})
}
