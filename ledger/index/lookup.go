package index

import (
	"errors"
	"iter"
	"slices"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// view looks things up: in the staged plans, newest first, then in the database.
type view struct {
	ix    *Index
	plans []*plan
	seen  *Seen // of the entry being planned, if it was looked up before
}

func (ix *Index) view() view { return view{ix: ix, plans: *ix.staged.Load()} }

// Idempotency finds what is recorded, or staged, under an idempotency hash.
func (ix *Index) Idempotency(h ledger.Hash) (r Recorded, found bool, err error) {
	return ix.view().event(eventKey(h[:store.IdempotencyBytes]))
}

func (v view) event(k eventKey) (r Recorded, found bool, err error) {
	for _, p := range slices.Backward(v.plans) {
		if e, ok := p.events[k]; ok {
			return recorded(e), true, nil
		}
	}
	if !v.ix.events.MayHold(fingerprint(k[:])) {
		return r, false, nil
	}
	raw, err := v.ix.get(store.IdempotencyKey(k))
	if raw == nil || err != nil {
		return r, false, err
	}
	r, err = decodeRecorded(raw)
	return r, err == nil, err
}

// Seen is what is known of a number: who holds it, where that person's chain ends,
// and the person's keys.
type Seen struct {
	holders holders
	person  person
}

// Holder is who holds the number; zero: the next fact begins a new person.
func (s *Seen) Holder() ledger.PersonID { return s.holders.holder() }

// Head is the end of the holder's chain; zero for a person who is still to begin.
func (s *Seen) Head() Head { return s.person.head }

// Key gives the holder's key for a class, wrapped; nil if there is none.
func (s *Seen) Key(class consentv1.PersonalClass) *consentv1.WrappedKey {
	return s.person.keys.find(s.Holder(), class, nil)
}

// Seen looks up what the writer needs to know of a number.
func (ix *Index) Seen(t ledger.Token) (*Seen, error) {
	v := ix.view()
	of, err := v.holders(t)
	if err != nil {
		return nil, err
	}
	s := &Seen{holders: of}
	if of.open {
		s.person, err = v.person(of.holder())
	}
	return s, err
}

// Persons gives everyone who ever held a number, oldest first, those erased too.
func (ix *Index) Persons(t ledger.Token) ([]ledger.PersonID, error) {
	h, err := ix.view().holders(t)
	return slices.Clone(h.persons), err
}

func (v view) holders(t ledger.Token) (holders, error) {
	for _, p := range slices.Backward(v.plans) {
		if h, ok := p.tokens[t]; ok {
			return h, nil
		}
	}
	if !v.ix.tokens.MayHold(fingerprint(t[1:])) {
		return holders{}, nil
	}
	raw, err := v.ix.get(store.TokenKey(t))
	if raw == nil || err != nil {
		return holders{}, err
	}
	return decodeHolders(raw)
}

// Head gives the end of a person's chain; not found for someone without entries.
func (ix *Index) Head(id ledger.PersonID) (h Head, found bool, err error) {
	p, err := ix.view().person(id)
	return p.head, p.known(), err
}

// person gives a person's row; zero if there is none.
func (v view) person(id ledger.PersonID) (person, error) {
	for _, p := range slices.Backward(v.plans) {
		if row, ok := p.persons[id]; ok {
			return row, nil
		}
	}
	raw, err := v.ix.get(store.PersonKey(id))
	if raw == nil || err != nil {
		return person{}, err
	}
	return decodePerson(raw)
}

// Erased gives the position at which a person was erased.
func (ix *Index) Erased(id ledger.PersonID) (at ledger.Position, found bool, err error) {
	return ix.view().erasedAt(id)
}

func (v view) erasedAt(id ledger.PersonID) (at ledger.Position, found bool, err error) {
	for _, p := range slices.Backward(v.plans) {
		if at, ok := p.erased[id]; ok {
			return at, true, nil
		}
	}
	raw, err := v.ix.get(store.ErasedKey(id))
	if raw == nil || err != nil {
		return 0, false, err
	}
	n, err := decodeSeq(raw)
	return ledger.Position(n), err == nil, err
}

// SeqOf gives the message that holds a position. ledger.ErrNotFound for 0 and
// beyond what is applied; what is only staged has no message yet.
func (ix *Index) SeqOf(at ledger.Position) (uint64, error) {
	if at == 0 || at > ix.Applied().Position {
		return 0, ledger.ErrNotFound
	}
	for _, p := range *ix.staged.Load() {
		if at >= p.first && at <= p.last {
			return p.seq, nil
		}
	}
	for _, r := range []*rows{ix.fresh.Load(), ix.storing.Load()} {
		if r == nil {
			continue
		}
		if seq := r.seqOf(at); seq > 0 {
			return seq, nil
		}
	}
	_, raw, err := ix.db.Last(store.CommitKey(0), store.CommitKey(at+1))
	if err != nil {
		return 0, err
	}
	return decodeSeq(raw)
}

// Key gives a person's key for a class by its name, as it is wrapped now: what opens
// a part that names it. A new part is sealed with Seen.Key.
func (ix *Index) Key(of ledger.PersonID, class consentv1.PersonalClass, id store.KeyID) (w *consentv1.WrappedKey, found bool, err error) {
	p, err := ix.view().person(of)
	w = p.keys.find(of, class, &id)
	return w, w != nil, err
}

// errEnough ends a scan that has found what it looks for.
var errEnough = errors.New("index: enough")

// BucketKeys yields all applied keys of a bucket, of the erased and of dead epochs
// too. It ends after an error.
func (ix *Index) BucketKeys(bucket uint16) iter.Seq2[*consentv1.WrappedKey, error] {
	lo, hi := store.PersonBucketRange(bucket)
	return func(yield func(*consentv1.WrappedKey, error) bool) {
		if err := ix.store(); err != nil {
			yield(nil, err)
			return
		}
		err := ix.db.Each(lo, hi, func(k, v []byte) error {
			id, err := store.ParsePersonKey(k)
			if err != nil {
				return err
			}
			p, err := decodePerson(v)
			if err == nil && !p.keys.each(id, func(w *consentv1.WrappedKey) bool { return yield(w, nil) }) {
				err = errEnough
			}
			return err
		})
		if err != nil && !errors.Is(err, errEnough) {
			yield(nil, err)
		}
	}
}

// PendingErasures lists the persons, ordered by id, whose PersonErased is applied
// while a key of theirs still lies under a live epoch: what a crash left to be done.
func (ix *Index) PendingErasures() ([]ledger.PersonID, error) {
	if err := ix.store(); err != nil {
		return nil, err
	}
	var erased, out []ledger.PersonID
	lo, hi := store.SpaceRange(store.SpaceErased)
	err := ix.db.Each(lo, hi, func(k, _ []byte) error {
		p, err := store.ParseErasedKey(k)
		erased = append(erased, p)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, p := range erased {
		live, err := ix.hasLiveKey(p)
		if err != nil {
			return nil, err
		}
		if live {
			out = append(out, p)
		}
	}
	return out, nil
}

func (ix *Index) hasLiveKey(id ledger.PersonID) (bool, error) {
	raw, err := ix.get(store.PersonKey(id))
	if raw == nil || err != nil {
		return false, err
	}
	p, err := decodePerson(raw)
	dead := p.keys.each(id, func(w *consentv1.WrappedKey) bool { return !ix.live(id.Bucket(), w.GetEpoch()) })
	return !dead, err
}
