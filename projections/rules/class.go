package rules

import (
	"encoding/binary"
	"slices"

	"github.com/consent-ledger/consent-ledger/projections/rules/places"
	"github.com/consent-ledger/consent-ledger/projections/suppression"
)

const (
	// classesMax bounds what a Classes remembers of strangers, and of persons; there are some ten
	// thousand classes of numbers on the national lists.
	classesMax = 1 << 16
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
	strangers map[class]V
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

// class is all that Decide may know of a number, but the instants on record.
type class struct {
	places        *places.Place
	count         int
	unassigned    bool
	attemptsKnown bool
	lists         uint64
	rest          string // registries, then the shape
}

type spanned[V any] struct {
	Span
	value V
}

// Get gives what is remembered for the class of a number.
func (c *Classes[V]) Get(n *Number) (v V, ok bool) {
	k := c.classOf(n)
	// Written this way the compiler looks up without copying the key.
	if n.Shape == nil {
		v, ok = c.strangers[class{k.places, k.count, k.unassigned, k.attemptsKnown, k.lists, string(c.key)}]
		return v, ok
	}
	all := c.persons[class{k.places, k.count, k.unassigned, k.attemptsKnown, k.lists, string(c.key)}]
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
	k := c.classOf(n)
	k.rest = string(c.key)
	if n.Shape == nil {
		if c.strangers == nil || len(c.strangers) >= classesMax {
			c.strangers = map[class]V{}
		}
		c.strangers[k] = v
		return
	}
	if c.persons == nil || c.spans >= classesMax {
		c.persons, c.spans = map[class][]spanned[V]{}, 0
	}
	if all := c.persons[k]; len(all) < spansMax {
		c.persons[k] = append(all, spanned[V]{s, v})
		c.spans++
	}
}

// classOf gives the class but for its rest, which is in the key.
func (c *Classes[V]) classOf(n *Number) class {
	k := class{count: len(n.Places), unassigned: n.Unassigned, attemptsKnown: n.AttemptsKnown, lists: n.Lists}
	if k.count > 0 {
		k.places = &n.Places[0]
	}
	c.key = c.key[:0]
	if n.Lists == ListsOwn {
		c.key = appendAnswers(binary.AppendUvarint(c.key, uint64(len(n.Registries))), n.Registries)
	}
	if n.Shape != nil {
		c.key = append(c.key, n.Shape.Key...)
	}
	return k
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
