// Package parties knows which numbers are one person's, and what a person has
// asked for by any of them: some laws let a request to be left alone cover every
// number of who made it.
//
// A fact that names a party ties its number to it. The party's own state holds the
// requests and removals that name it. What the other numbers' states say is read
// beside it, so that a stop by text, which names nobody, covers the person too. A
// number without a party costs nothing: its state says that it has none.
package parties

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/projections"
	"github.com/consent-ledger/consent-ledger/projections/suppression"
)

const (
	name    = "parties"
	version = 1
)

// Projection folds what names a party. It keeps nothing in memory and may be
// shared. Several tokens meet in one party, so it is not ByToken.
type Projection struct{}

var _ projections.Projection = Projection{}

// Name implements projections.Projection.
func (Projection) Name() string { return name }

// Version implements projections.Projection.
func (Projection) Version() uint32 { return version }

// Spaces implements projections.Projection.
func (Projection) Spaces() []byte {
	return []byte{store.SpaceParty, store.SpacePartyNumber, store.SpaceNumberParty, store.SpacePartyFact}
}

// Apply ties a number to the party its fact names and folds what the party asks
// for. An erasure takes the number out of its parties; what a party asked for
// stays, because it holds for the other numbers.
func (Projection) Apply(b projections.Batch, e *ledger.Entry) error {
	if e.Token.IsZero() {
		return nil
	}
	if e.Fact().GetPersonErased() != nil {
		return leave(b, e.Token)
	}
	key := e.Fact().GetPartyKey()
	if len(key) != ledger.PartyKeyBytes {
		return nil
	}
	party := store.PartyID(key)
	if err := join(b, party, e.Token); err != nil {
		return err
	}
	return fold(b, party, e)
}

// leave removes a number from all its parties.
func leave(b projections.Batch, t ledger.Token) error {
	lo, hi := store.NumberPartyRange(t)
	var of []store.PartyID
	for k := range b.Scan(lo, hi) {
		_, party, err := store.ParseNumberPartyKey(k)
		if err != nil {
			return fmt.Errorf("parties: %w", err)
		}
		of = append(of, party)
	}
	for _, party := range of {
		if err := b.Delete(store.PartyNumberKey(party, t)); err != nil {
			return err
		}
		if err := b.Delete(store.NumberPartyKey(t, party)); err != nil {
			return err
		}
	}
	return nil
}

// mark is the value of keys that say all there is.
var mark = []byte{1}

func join(b projections.Batch, party store.PartyID, t ledger.Token) error {
	k := store.PartyNumberKey(party, t)
	if known, err := b.Get(k); err != nil || known != nil {
		return err
	}
	if err := b.Set(k, mark); err != nil {
		return err
	}
	return b.Set(store.NumberPartyKey(t, party), mark)
}

func fold(b projections.Batch, party store.PartyID, e *ledger.Entry) error {
	in := suppression.InputOf(e)
	said := suppression.PartyState(in)
	if said == nil {
		return nil
	}
	for _, seller := range suppression.Sellers(in.Fact) {
		k := store.PartyStateKey(party, seller)
		before, err := decode(b.Get(k))
		if err != nil {
			return err
		}
		raw, err := suppression.Encode(suppression.Join(before, said))
		if err != nil {
			return err
		}
		if err := b.Set(k, raw); err != nil {
			return err
		}
	}
	return b.Set(store.PartyFactKey(party, e.Position), binary.BigEndian.AppendUint64(nil, uint64(e.RecordedAt.UnixNano())))
}

func decode(raw []byte, err error) (*suppression.State, error) {
	if err != nil || raw == nil {
		return nil, err
	}
	return suppression.Decode(raw)
}

// Load completes the view of a number towards a seller by what is known of its
// parties and their other numbers. A number without a party is not looked up.
func Load(r projections.Reader, v suppression.View, t ledger.Token, seller string) (suppression.View, error) {
	return load(r, v, t,
		func(party store.PartyID) (suppression.View, error) {
			return half(r, func(seller string) []byte { return store.PartyStateKey(party, seller) }, seller)
		},
		func(other ledger.Token) (suppression.View, error) { return suppression.Load(r.Get, other, seller) })
}

// half reads the states towards a seller and towards all.
func half(r projections.Reader, key func(seller string) []byte, seller string) (v suppression.View, err error) {
	if v.Seller, err = decode(r.Get(key(seller))); err != nil {
		return v, fmt.Errorf("parties: state: %w", err)
	}
	if v.All, err = decode(r.Get(key(ledger.All))); err != nil {
		return v, fmt.Errorf("parties: state: %w", err)
	}
	return v, nil
}

// History is where entries of the past are read from.
type History struct {
	// Entry reads one.
	Entry func(ledger.Position) (*ledger.Entry, error)
	// Number gives the view of another number at the instant asked about.
	Number func(ledger.Token) (suppression.View, error)
	// At is that instant; what was recorded after AsOf is not used (zero: all is).
	At, AsOf time.Time
}

// LoadAt is Load for a question about the past. Which numbers a party has is what
// is known now; a tie that was not known then widens the answer, never narrows it.
func LoadAt(r projections.Reader, v suppression.View, t ledger.Token, seller string, h History) (suppression.View, error) {
	return load(r, v, t, func(party store.PartyID) (suppression.View, error) {
		states, err := h.fold(r, party)
		return states.View(seller), err
	}, h.Number)
}

// fold folds a party's state anew.
func (h History) fold(r projections.Reader, party store.PartyID) (suppression.States, error) {
	states := suppression.States{}
	lo, hi := store.PartyFactRange(party)
	err := r.Each(lo, hi, func(k, v []byte) error {
		_, at, err := store.ParsePartyFactKey(k)
		if err != nil || len(v) != 8 {
			return fmt.Errorf("parties: fact: %w", store.ErrBadKey)
		}
		if !h.AsOf.IsZero() && time.Unix(0, int64(binary.BigEndian.Uint64(v))).After(h.AsOf) {
			return nil
		}
		e, err := h.Entry(at)
		if err != nil {
			return fmt.Errorf("position %d: %w", at, err)
		}
		in := suppression.InputOf(e)
		if said := suppression.PartyState(in); said != nil && suppression.CountsAt(in.Fact, h.At) {
			for _, seller := range suppression.Sellers(in.Fact) {
				states[seller] = suppression.Join(states[seller], said)
			}
		}
		return nil
	})
	return states, err
}

// load gathers parties and their other numbers, in the order of their keys.
func load(r projections.Reader, v suppression.View, t ledger.Token,
	party func(store.PartyID) (suppression.View, error), number func(ledger.Token) (suppression.View, error)) (suppression.View, error) {
	v.PartyLoaded = true
	keys := v.Parties()
	if len(keys) == 0 {
		return v, nil
	}
	seen := map[ledger.Token]bool{t: true}
	for _, key := range keys {
		if len(key) != ledger.PartyKeyBytes {
			return v, fmt.Errorf("parties: a key of %d bytes: %w", len(key), suppression.ErrBadState)
		}
		id := store.PartyID(key)
		of, err := party(id)
		if err != nil {
			return v, err
		}
		v.Party = append(v.Party, of)
		var others []ledger.Token
		lo, hi := store.PartyNumberRange(id)
		err = r.Each(lo, hi, func(k, _ []byte) error {
			_, other, err := store.ParsePartyNumberKey(k)
			if err == nil && !seen[other] {
				seen[other] = true
				others = append(others, other)
			}
			return err
		})
		if err != nil {
			return v, fmt.Errorf("parties: numbers: %w", err)
		}
		for _, other := range others {
			of, err := number(other)
			if err != nil {
				return v, err
			}
			v.PartyNumbers = append(v.PartyNumbers, of)
		}
	}
	return v, nil
}
