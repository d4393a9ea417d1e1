package index

import (
	"bytes"
	"fmt"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// plan is what one commit changes. Once made it does not change.
type plan struct {
	seq    uint64                 // its message, once it is settled
	brings *consentv1.WrappedKeys // its new keys
	keysIn *keysMessage           // their message, once it is stored; mu guards it

	first, last ledger.Position
	recordedAt  time.Time
	leaf        ledger.Hash // of the last entry

	events  map[eventKey]*ledger.Entry
	tokens  map[ledger.Token]holders
	persons map[ledger.PersonID]person
	erased  map[ledger.PersonID]ledger.Position
	catalog []*consentv1.Fact
}

// eventKey is the stored part of an idempotency hash.
type eventKey = [store.IdempotencyBytes]byte

// plan checks the entries of the next commit against everything applied, staged
// and before them in the commit, and says what they and the commit's new keys
// change. seen is as Stage has it, or nil. The caller holds mu.
func (ix *Index) plan(entries []*ledger.Entry, keys *consentv1.WrappedKeys, seen []*Seen) (*plan, error) {
	if len(entries) == 0 {
		return nil, fmt.Errorf("commit without entries: %w", ledger.ErrDamaged)
	}
	p := &plan{
		first:   entries[0].Position,
		events:  make(map[eventKey]*ledger.Entry, len(entries)),
		tokens:  make(map[ledger.Token]holders, len(entries)),
		persons: make(map[ledger.PersonID]person, len(entries)),
		erased:  map[ledger.PersonID]ledger.Position{},
		brings:  keys,
	}
	at := ix.Applied()
	p.last, p.recordedAt = at.Position, at.RecordedAt
	staged := *ix.staged.Load()
	if n := len(staged); n > 0 {
		p.last, p.recordedAt = staged[n-1].last, staged[n-1].recordedAt
	}
	v := view{ix: ix, plans: append(staged[:len(staged):len(staged)], p)}
	for i, e := range entries {
		if v.seen = nil; seen != nil {
			v.seen = seen[i]
		}
		if err := p.add(v, e); err != nil {
			return nil, fmt.Errorf("position %d: %w", e.Position, err)
		}
	}
	for _, w := range keys.GetKeys() {
		if err := p.key(v, w); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// key adds a key to its person's row.
func (p *plan) key(v view, w *consentv1.WrappedKey) error {
	k, err := keyOfWrapped(w)
	if err != nil {
		return err
	}
	row, err := v.person(k.person) // the plan's own, if there is one
	row.keys = row.keys.with(k, w)
	p.persons[k.person] = row
	return err
}

func damaged(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, ledger.ErrDamaged)...)
}

// add checks and plans one entry. v sees the plan itself.
func (p *plan) add(v view, e *ledger.Entry) error {
	if e.Position != p.last+1 {
		return damaged("%d is due", p.last+1)
	}
	if e.RecordedAt.Before(p.recordedAt) {
		return damaged("recorded before the entry before it")
	}
	if err := p.event(v, e); err != nil {
		return err
	}
	p.last, p.recordedAt, p.leaf = e.Position, e.RecordedAt, e.Leaf
	switch k := e.Fact().GetKind().(type) {
	case *consentv1.Fact_PersonErased:
		return p.erase(v, e, k.PersonErased)
	case *consentv1.Fact_SellerRegistered, *consentv1.Fact_ProgrammeRegistered, *consentv1.Fact_CampaignRegistered,
		*consentv1.Fact_SourceRegistered, *consentv1.Fact_SourceDistrusted:
		p.catalog = append(p.catalog, e.Fact())
	}
	if len(e.Msg.GetPerson()) == 0 {
		if !e.Token.IsZero() {
			return damaged("a number without a person")
		}
		return nil
	}
	return p.person(v, e)
}

// event notes the idempotency key, which nothing else may have.
func (p *plan) event(v view, e *ledger.Entry) error {
	if len(e.Msg.GetIdempotency()) != len(ledger.Hash{}) || len(e.Msg.GetContent()) != len(ledger.Hash{}) {
		return damaged("keyed hashes of an impossible size")
	}
	k := eventKey(e.Msg.GetIdempotency())
	if before := p.events[k]; before != nil {
		return damaged("the same source and event id as position %d", before.Position)
	}
	if v.seen == nil {
		if r, found, err := v.event(k); err != nil {
			return err
		} else if found {
			return damaged("the same source and event id as position %d", r.Position)
		}
	}
	p.events[k] = e
	return nil
}

// recorded is what is found under the idempotency key of an entry.
func recorded(e *ledger.Entry) Recorded {
	return Recorded{Position: e.Position, EntryID: e.ID, Leaf: e.Leaf, RecordedAt: e.RecordedAt.Round(0).UTC(), Content: ledger.Hash(e.Msg.GetContent())}
}

// person checks the entry's place in its person's chain and in the history of
// its number.
func (p *plan) person(v view, e *ledger.Entry) error {
	if len(e.Msg.GetPerson()) != len(ledger.PersonID{}) || e.Token.IsZero() {
		return damaged("a person without a number, or with an impossible id")
	}
	id := ledger.PersonID(e.Msg.GetPerson())
	of, row, err := p.before(v, e.Token, id)
	if err != nil {
		return err
	}
	h, known := row.head, row.known()
	if e.Msg.GetPersonSeq() != h.Seq+1 || (known && !bytes.Equal(e.Msg.GetPersonPrev(), h.Leaf[:])) || (!known && len(e.Msg.GetPersonPrev()) > 0) {
		return damaged("entry %d of its person, linked to %x, does not follow entry %d with leaf %s", e.Msg.GetPersonSeq(), e.Msg.GetPersonPrev(), h.Seq, h.Leaf)
	}
	begins, ends := !of.open && !known, ledger.EndsPerson(e.Fact())
	if of.holder() != id && !begins {
		return damaged("its person is not the one who holds the number")
	}
	if begins {
		of = of.begin(id)
		if a, ok := v.ix.ahead[id]; ok {
			row.keys = a.keys
		}
	}
	if ends {
		of = of.end()
	}
	if begins || ends {
		p.tokens[e.Token] = of
	}
	row.head = Head{Seq: h.Seq + 1, Leaf: e.Leaf, Position: e.Position}
	p.persons[id] = row
	return nil
}

// before gives who held a number and a person's row before an entry.
func (p *plan) before(v view, t ledger.Token, id ledger.PersonID) (of holders, row person, err error) {
	of, here := p.tokens[t]
	row, known := p.persons[id]
	if v.seen != nil {
		if !here {
			of = v.seen.holders
		}
		if !known && v.seen.Holder() == id {
			row = v.seen.person
		}
		return of, row, nil
	}
	if !known {
		if row, err = v.person(id); err != nil {
			return of, row, err
		}
	}
	if !here {
		of, err = v.holders(t)
	}
	return of, row, err
}

// erase marks the persons named and leaves the number without a holder.
func (p *plan) erase(v view, e *ledger.Entry, m *consentv1.PersonErased) error {
	if e.Token.IsZero() || len(e.Msg.GetPerson()) > 0 {
		return damaged("an erasure without a number, or in a person's chain")
	}
	of, err := v.holders(e.Token)
	if err != nil {
		return err
	}
	p.tokens[e.Token] = of.end()
	for _, raw := range m.GetPersons() {
		if len(raw) != len(ledger.PersonID{}) {
			return damaged("an erased person with an impossible id")
		}
		id := ledger.PersonID(raw)
		at, erased, err := v.erasedAt(id)
		if err != nil {
			return err
		}
		if !erased { // a number erased again names its old persons again
			at = e.Position
		}
		p.erased[id] = at
	}
	return nil
}

// isOf tells whether the plan was made of these entries.
func (p *plan) isOf(entries []*ledger.Entry) bool {
	n := len(entries)
	return n > 0 && entries[0].Position == p.first && entries[n-1].Position == p.last && entries[n-1].Leaf == p.leaf
}

// writeTo makes the plan's rows.
func (p *plan) writeTo(r *rows) error {
	var buf [256]byte
	for k, e := range p.events {
		r.set(store.IdempotencyKey(k), recorded(e).encode(buf[:0]))
	}
	for t, h := range p.tokens {
		r.set(store.TokenKey(t), h.encode(buf[:0]))
	}
	p.writePersons(r)
	r.commit(p.first, p.seq)
	for id, at := range p.erased {
		r.set(store.ErasedKey(id), encodeSeq(uint64(at)))
	}
	var err error
	for k, v := range catalogRows(p.catalog, &err) {
		r.set([]byte(k), v)
	}
	return err
}

// writePersons makes only the persons' rows.
func (p *plan) writePersons(r *rows) {
	var buf [256]byte
	for id, row := range p.persons {
		r.set(store.PersonKey(id), row.encode(buf[:0]))
	}
}
