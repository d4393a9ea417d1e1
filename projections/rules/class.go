package rules

import (
	"encoding/binary"
	"slices"

	"github.com/consent-ledger/consent-ledger/projections/rules/places"
	"github.com/consent-ledger/consent-ledger/projections/suppression"
)

const (
	// classesMax bounds what a Classes remembers; there are some ten thousand classes of strangers
	// on the national lists.
	classesMax = 1 << 17
	// spansMax bounds the answers of one class of persons.
	spansMax = 32
)

// Classes remembers something for each class of numbers, for one question: numbers
// of one class have the same answer. A stranger's class is what an Input says of it;
// a person's is that and the shape of what is on record, and in it a span of instants (DecideSpan). So a list of ten
// million rows takes a few thousand decisions. It belongs to one goroutine.
//
// What an Input says beside the number must be the same in every call: the
// question, the instant, the position, what holds for the seller. The test of this
// file fails when Input gets a field that nobody has thought of here.
type Classes[V any] struct {
	strangers map[said]V
	listed    map[class]V // strangers of whom the lists say something of their own
	persons   map[class][]spanned[V]
	spans     int // of all persons
	key       []byte
}

// Number is what is known of a number before what is on record of it is read.
type Number struct {
	// Places are those of the number itself (places.OfNumber): sets of package places
	// are shared, one set, one address.
	Places []places.Place
	// Unassigned and AttemptsKnown are as in Input. Nothing has been tried.
	Unassigned, AttemptsKnown bool
	// Lists tells what the lists say: numbers of equal Lists have equal Registries, unless it
	// is ListsOwn; then Registries say it.
	Lists      uint64
	Registries []RegistryAnswer
	// Shape is of what is on record; nil: nothing is.
	Shape *suppression.Shape
}

// ListsOwn stands for what the lists say of one number alone.
const ListsOwn = ^uint64(0)

// said is all that Decide may know of most strangers. It has no text, so that it is found in
// half the time.
type said struct {
	places        *places.Place
	lists         uint64
	count         int32
	unassigned    bool
	attemptsKnown bool
}

// class is all that Decide may know of any number, but the instants on record.
type class struct {
	said
	rest string // registries, then the shape
}

type spanned[V any] struct {
	Span
	value V
}

// Get gives what is remembered for the class of a number.
func (c *Classes[V]) Get(n *Number) (v V, ok bool) {
	k := n.said()
	if n.Shape == nil && n.Lists != ListsOwn {
		v, ok = c.strangers[k]
		return v, ok
	}
	c.rest(n)
	// Written this way the compiler looks up without copying the key.
	if n.Shape == nil {
		v, ok = c.listed[class{k, string(c.key)}]
		return v, ok
	}
	all := c.persons[class{k, string(c.key)}]
	for i := range all {
		if all[i].holds(n.Shape.Instants) {
			return all[i].value, true
		}
	}
	return v, false
}

// Put remembers something for the class of a number, of a person within a span. in is what was
// decided about: if it says more of the number than its class does, nothing is remembered.
func (c *Classes[V]) Put(n *Number, in *Input, s Span, v V) {
	if !n.describes(in) {
		return
	}
	if c.strangers == nil || len(c.strangers)+len(c.listed)+c.spans >= classesMax {
		c.strangers, c.listed, c.persons, c.spans = map[said]V{}, map[class]V{}, map[class][]spanned[V]{}, 0
	}
	if n.Shape == nil && n.Lists != ListsOwn {
		c.strangers[n.said()] = v
		return
	}
	c.rest(n)
	k := class{n.said(), string(c.key)}
	if n.Shape == nil {
		c.listed[k] = v
	} else if all := c.persons[k]; len(all) < spansMax {
		c.persons[k] = append(all, spanned[V]{s, v})
		c.spans++
	}
}

func (n *Number) said() said {
	k := said{count: int32(len(n.Places)), lists: n.Lists, unassigned: n.Unassigned, attemptsKnown: n.AttemptsKnown}
	if k.count > 0 {
		k.places = &n.Places[0]
	}
	return k
}

// rest writes the rest of a class into the key.
func (c *Classes[V]) rest(n *Number) {
	c.key = c.key[:0]
	if n.Lists == ListsOwn {
		c.key = appendAnswers(binary.AppendUvarint(c.key, uint64(len(n.Registries))), n.Registries)
	}
	if n.Shape != nil {
		c.key = append(c.key, n.Shape.Key...)
	}
}

// describes tells whether an Input says no more of a number than its class does. Places
// and areas of who has a shape follow from that and from the number's own (Located).
func (n *Number) describes(in *Input) bool {
	v := &in.View
	switch {
	case len(v.Party) > 0, len(v.PartyNumbers) > 0, len(in.Attempts) > 0, in.Unassigned != n.Unassigned, in.AttemptsKnown != n.AttemptsKnown:
		return false
	case n.Lists == ListsOwn && !slices.Equal(in.Registries, n.Registries):
		return false
	case n.Shape != nil:
		return true
	}
	return v.Seller == nil && v.All == nil && len(in.Areas) == 0 && slices.Equal(in.Places, n.Places)
}

// appendAnswers writes answers so that different ones differ.
func appendAnswers(dst []byte, answers []RegistryAnswer) []byte {
	for i := range answers {
		a := &answers[i]
		said := byte(0)
		if a.Loaded {
			said |= 1
		}
		if a.Listed {
			said |= 2
		}
		dst = append(dst, said)
		for _, text := range [...]string{a.Registry, a.VersionDate, a.Since} {
			dst = append(binary.AppendUvarint(dst, uint64(len(text))), text...)
		}
	}
	return dst
}
