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

// personsPerErasure bounds the persons one PersonErased names, so that its entry
// stays small. More than one number ever had is no reason not to be erased.
const personsPerErasure = 2000

// Erase records PersonErased for every person of a number and destroys their
// keys. The number stays blocked. After an error the erasure may be recorded; a
// restart finishes what was recorded. It returns how many persons were named, and
// the receipt of the last fact if it took several.
func (w *Writer) Erase(ctx context.Context, number string, x ledger.ExchangeToken, reason string) (receipt ledger.Receipt, erased int, err error) {
	for more := true; more; {
		var persons []ledger.PersonID
		c := newCall([]*declare.Declared{nil})
		c.alone = &alone{
			before: func() (d *declare.Declared, err error) {
				d, persons, more, err = w.erasure(number, x, reason)
				return d, err
			},
			after: w.finishErasures,
		}
		out := w.submit(ctx, erasures, c)[0]
		if out.Err != nil {
			return ledger.Receipt{}, erased, out.Err
		}
		receipt, erased = out.Receipt, erased+len(persons)
	}
	return receipt, erased, nil
}

// erasure makes the fact, when nothing else is open: it names the persons of the
// token who are not erased yet, and says whether there are more.
func (w *Writer) erasure(number string, x ledger.ExchangeToken, reason string) (d *declare.Declared, persons []ledger.PersonID, more bool, err error) {
	token := w.keys.Token(x)
	all, err := w.index.Persons(token)
	if err != nil {
		return nil, nil, false, err
	}
	for _, p := range all {
		_, erased, err := w.index.Erased(p)
		if err != nil {
			return nil, nil, false, err
		}
		if more = !erased && len(persons) == personsPerErasure; more {
			break
		}
		if !erased {
			persons = append(persons, p)
		}
	}
	m := &consentv1.PersonErased{Reason: reason}
	for _, p := range persons {
		m.Persons = append(m.Persons, p[:])
	}
	d, err = declare.Declare(declare.Declaration{Fact: &consentv1.Fact{Source: "consent-ledger", EventId: "erasure-" + uuid.NewString(),
		Kind: &consentv1.Fact_PersonErased{PersonErased: m}}}, w.keys, w.index)
	if err != nil {
		return nil, nil, false, err
	}
	d.Exchange, d.Token = x, token
	return d, persons, more, nil
}

// finishErasures destroys the keys of every person that a durable PersonErased
// names. It runs after each erasure and at every start: a crash anywhere in it
// leaves old and new epoch live, and the next run goes through it again.
func (w *Writer) finishErasures(ctx context.Context) error {
	w.keysMu.Lock()
	defer w.keysMu.Unlock()
	if err := w.index.Flush(); err != nil { // the keys of a bucket are looked for in the database
		return err
	}
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
