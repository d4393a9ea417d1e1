package writer

import (
	"context"
	"fmt"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// A message of keys drawn ahead holds reserveMin of them at first and twice as many
// each time, up to reserveMax: what a process leaves unused is of the order of what
// it used.
const (
	reserveMin = 16
	reserveMax = 1024
)

// reserve is persons that nobody is yet, with keys of class NUMBER that are durable:
// a commit about new numbers need not wait for a message of keys of its own. Those
// left at the end are orphans, which harm nobody.
type reserve struct {
	wanted chan struct{} // closed once a new person has come
	want   sync.Once
	drawn  chan []seal.PersonKey
	ready  []seal.PersonKey // the assembler's
}

func newReserve() *reserve {
	return &reserve{wanted: make(chan struct{}), drawn: make(chan []seal.PersonKey)}
}

// take gives the key of a new person, if one is ready.
func (r *reserve) take() (k seal.PersonKey, ok bool) {
	if len(r.ready) == 0 {
		select {
		case r.ready = <-r.drawn:
		default:
			r.want.Do(func() { close(r.wanted) })
			return k, false
		}
	}
	k = r.ready[0]
	r.ready[0], r.ready = seal.PersonKey{}, r.ready[1:] // no key stays behind
	return k, true
}

// drawAhead keeps one message of keys ready until ctx is done.
func (w *Writer) drawAhead(ctx context.Context) error {
	select {
	case <-w.reserve.wanted:
	case <-ctx.Done():
		return nil
	}
	for n := reserveMin; ; n = min(2*n, reserveMax) {
		keys, err := w.drawPersons(ctx, n)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case w.reserve.drawn <- keys:
		case <-ctx.Done():
			return nil
		}
	}
}

// drawPersons draws n persons and makes their keys durable.
func (w *Writer) drawPersons(ctx context.Context, n int) ([]seal.PersonKey, error) {
	w.keysMu.Lock() // from here on: no epoch may end between wrapping and noting
	defer w.keysMu.Unlock()
	keys := make([]seal.PersonKey, n)
	wrapped := make([]*consentv1.WrappedKey, n)
	for i := range keys {
		var err error
		keys[i] = seal.DrawKey(seal.DrawPerson(), consentv1.PersonalClass_PERSONAL_CLASS_NUMBER)
		if wrapped[i], err = w.keys.Wrap(keys[i]); err != nil {
			return nil, fmt.Errorf("writer: key of a person: %w", err)
		}
		ledger.Breathe(i)
	}
	return keys, w.storeKeys(ctx, &consentv1.WrappedKeys{Keys: wrapped})
}

// keysFirst makes the keys durable that a commit brings, while the commit before
// it may still be in flight. A crash after it leaves orphans.
func (w *Writer) keysFirst(ctx context.Context, j *job) error {
	if j.keys == nil {
		return nil
	}
	w.keysMu.Lock()
	defer w.keysMu.Unlock()
	return w.storeKeys(ctx, j.keys)
}

// storeKeys makes keys durable and lets the index know. The caller holds keysMu, so
// that the index hears of messages in their order.
func (w *Writer) storeKeys(ctx context.Context, keys *consentv1.WrappedKeys) error {
	data, err := proto.Marshal(keys)
	if err != nil {
		return fmt.Errorf("writer: serialize keys: %w", err)
	}
	seq, err := w.appendKeysSettled(ctx, data)
	if err != nil {
		return err
	}
	return w.index.KeysStored(seq, keys)
}
