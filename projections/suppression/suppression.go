// Package suppression is the state of one number towards one seller: what all
// facts about the number say, whatever the order they came in.
//
// A State is a set of registers. Joining two states joins each register, so that
// permuting, repeating and splitting facts changes nothing, and equal states are
// equal bytes. What permits ranks by its first possible instant and counts from
// its last one; what forbids ranks by its last and counts from its first: doubt
// about a time always falls on the side of silence.
//
// The package is pure: no database, no clock. A server folds entries with
// Projection; a mirror reads the same states with the same View.
//
//	suppression.go  states, folding, keys, the projection
//	fact.go         what one fact says: a state of its own
//	grade.go        grants: grade, evidence, end
//	scope.go        channels and purposes as bit masks
//	registers.go    the registers and how they join
//	encoding.go     the bytes of a state
//	wire.go         reading them
//	reader.go       reading many, one after another, in the same memory
//	view.go         questions and what a state answers
//	consent.go      which grant holds, or why none does
//	marks.go        what is known of the number itself: line, place, subscriber
//	relationship.go what ties a person to a seller besides consent
//	wishes.go       when a person may be called, by own or a registry's word
//	party.go        several numbers of one person
package suppression

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/projections"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// State is the stored form: all registers of one number towards one seller, or
// towards all of them. It is canonical whenever it comes out of this package;
// nil is the empty state.
type State = consentv1.SuppressionState

// Input is all the fold may see of an entry. Position, recorded_at and person
// are left out on purpose: state must not depend on them.
type Input struct {
	// EntryID names a message that could not be understood; nothing else uses it.
	EntryID []byte
	// Content is the keyed hash of the fact as declared: the last tie-break.
	Content []byte
	// Fact is the clear part as the writer stores it: `earliest` and `latest` set,
	// the lists of scopes filled. Here a gap in what permits covers nothing, and one
	// in what forbids covers everything.
	Fact *consentv1.Fact
	// SealedFields are the paths of the fields that were sealed ("21.5.3"). Only
	// grants need them: they tell whether evidence is held.
	SealedFields []string
}

// InputOf is what the fold may see of an entry.
func InputOf(e *ledger.Entry) Input {
	in := Input{EntryID: e.Msg.GetEntryId(), Content: e.Msg.GetContent(), Fact: e.Fact()}
	if evidenceField(in.Fact) == "" {
		return in
	}
	for _, p := range e.Msg.GetPersonal() {
		in.SealedFields = append(in.SealedFields, p.GetField())
	}
	return in
}

// States are the states of one number: by seller, and under ledger.All what is
// true towards every seller. Empty states are not in it.
type States map[string]*State

// Fold folds a fact into the states of its number and names the sellers whose
// state changed, sorted. Facts commute, except that PersonErased is a barrier at
// its place: it takes away what was folded before it.
func (m States) Fold(in Input) (changed []string) {
	if in.Fact.GetPersonErased() != nil {
		changed = slices.Sorted(maps.Keys(m))
		clear(m)
		m[ledger.All] = erasedState(in.Fact)
		if !slices.Contains(changed, ledger.All) {
			changed = append(changed, ledger.All)
			slices.Sort(changed)
		}
		return changed
	}
	for _, seller := range Sellers(in.Fact) {
		said := stateOf(in) // one each: merging uses it up
		if said == nil {
			return nil
		}
		s := m[seller]
		if s == nil {
			s = &State{}
		}
		if merge(s, said) {
			m[seller] = s
			changed = append(changed, seller)
		}
	}
	return changed
}

// View is what a decision for one seller reads.
func (m States) View(seller string) View { return View{Seller: m[seller], All: m[ledger.All]} }

// Fold folds facts about one number, in the order of the ledger.
func Fold(facts iter.Seq[Input]) States {
	m := States{}
	for in := range facts {
		m.Fold(in)
	}
	return m
}

// FoldAt folds those facts that count at an instant: what was true then. Facts
// must come in the order of the ledger. An erasure counts at every instant,
// because what it took away cannot be told any more. Ask the result about
// the same instant.
func FoldAt(at time.Time, facts iter.Seq[Input]) States {
	return Fold(func(yield func(Input) bool) {
		for in := range facts {
			if CountsAt(in.Fact, at) && !yield(in) {
				return
			}
		}
	})
}

// Sellers names the states a fact goes to, sorted: the sellers it names, or
// ledger.All if it names none. What permits and names none goes nowhere, unless
// it is about all (aboutAll). An erasure goes to
// ledger.All and ends every other state of its number.
func Sellers(f *consentv1.Fact) []string {
	named := f.GetSellers()
	switch {
	case f.GetPersonErased() != nil:
		return []string{ledger.All}
	case len(named) == 0 && permits(f) && !aboutAll(f):
		return nil
	case len(named) == 0:
		return []string{ledger.All}
	case len(named) == 1:
		return named
	}
	named = slices.Clone(named)
	slices.Sort(named)
	return slices.Compact(named)
}

// all stands for every programme.
const all = ledger.All

const (
	// space is the key space of states; it equals store.SpaceState, which this
	// package may not import because it must not pull in a database.
	space byte = 0x20

	name    = "suppression"
	version = 3
)

// Key is the key of the state of a token towards a seller, or ledger.All.
func Key(t ledger.Token, seller string) []byte {
	return appendKey(make([]byte, 0, 1+len(t)+len(seller)), t, seller)
}

func appendKey(k []byte, t ledger.Token, seller string) []byte {
	return append(append(append(k, space), t[:]...), seller...)
}

// Range is the range [lo, hi) of all states of a token.
func Range(t ledger.Token) (lo, hi []byte) {
	lo, hi = Key(t, ""), Key(t, "")
	for i := len(hi) - 1; ; i-- { // ends at the latest at the space byte, which is not 0xff
		if hi[i]++; hi[i] != 0 {
			return lo, hi[:i+1]
		}
	}
}

// Load reads what a decision about a token needs for one seller. get gives the
// value of a key, nil if there is none.
func Load(get func(key []byte) ([]byte, error), t ledger.Token, seller string) (View, error) {
	return new(Reader).Load(get, t, seller)
}

// Projection folds entries into the space of states. It keeps nothing in memory
// and may be shared.
type Projection struct{}

var _ projections.Joined = Projection{}

// Name implements projections.Projection.
func (Projection) Name() string { return name }

// Version implements projections.Projection.
func (Projection) Version() uint32 { return version }

// Spaces implements projections.Projection.
func (Projection) Spaces() []byte { return []byte{space} }

// ByToken implements projections.ByToken.
func (Projection) ByToken() {}

// Join implements projections.Joined: joining is what folding does with every fact.
func (Projection) Join(values [][]byte) ([]byte, error) {
	s, err := Decode(values[0])
	if err != nil {
		return nil, err
	}
	for _, raw := range values[1:] {
		later, err := Decode(raw)
		if err != nil {
			return nil, err
		}
		merge(s, later)
	}
	return Encode(s)
}

// Apply folds an entry about a number into each state it concerns. An erasure
// deletes all states of the number and leaves one, towards all sellers.
func (Projection) Apply(b projections.Batch, e *ledger.Entry) error {
	if e.Token.IsZero() {
		return nil
	}
	in := InputOf(e)
	if in.Fact.GetPersonErased() != nil {
		if err := b.DeleteRange(Range(e.Token)); err != nil {
			return err
		}
		return set(b, Key(e.Token, ledger.All), erasedState(in.Fact))
	}
	for _, seller := range Sellers(in.Fact) {
		if err := apply(b, Key(e.Token, seller), in); err != nil {
			return err
		}
	}
	return nil
}

func apply(b projections.Batch, key []byte, in Input) error {
	said := stateOf(in)
	if said == nil {
		return nil
	}
	s := &State{}
	raw, err := b.Get(key)
	if err == nil && raw != nil {
		s, err = Decode(raw)
	}
	if err != nil {
		return fmt.Errorf("suppression: state: %w", err)
	}
	if !merge(s, said) {
		return nil
	}
	return set(b, key, s)
}

func set(b projections.Batch, key []byte, s *State) error {
	raw, err := Encode(s)
	if err != nil {
		return err
	}
	return b.Set(key, raw)
}
