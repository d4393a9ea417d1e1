package rules

import (
	"encoding/binary"

	"github.com/consent-ledger/consent-ledger/projections/rules/places"
)

// classesMax bounds what a Classes remembers; there are some ten thousand classes
// of numbers on the national lists.
const classesMax = 1 << 16

// Classes remembers something for each class of numbers, for one question: numbers
// of which nothing is on record and of which an Input says the same are of one
// class, and Decide cannot tell them apart. So a list of ten million strangers takes a few
// thousand decisions. It belongs to one goroutine.
//
// What an Input says beside the number must be the same in every call: the
// question, the instant, the position, what holds for the seller. The test of this
// file fails when Input gets a field that class does not know of.
type Classes[V any] struct {
	of  map[class]V
	key []byte
}

// class is all that Decide may know of a number of which nothing is on record.
type class struct {
	places        *places.Place // the sets of package places are shared: one set, one address
	count         int
	unassigned    bool
	attemptsKnown bool
	registries    string
}

// Get gives what is remembered for the class of an input, made by fresh if there
// is nothing yet. ok is false for an input of its own, of which something is on
// record: it must be decided by itself.
func (c *Classes[V]) Get(in *Input, fresh func() V) (v V, ok bool) {
	if !stranger(in) {
		return v, false
	}
	k := class{count: len(in.Places), unassigned: in.Unassigned, attemptsKnown: in.AttemptsKnown}
	if k.count > 0 {
		k.places = &in.Places[0]
	}
	c.key = appendAnswers(c.key[:0], in.Registries)
	// Written this way the compiler looks up without copying the key.
	if v, ok = c.of[class{k.places, k.count, k.unassigned, k.attemptsKnown, string(c.key)}]; ok {
		return v, true
	}
	if c.of == nil || len(c.of) >= classesMax {
		c.of = map[class]V{}
	}
	v = fresh()
	k.registries = string(c.key)
	c.of[k] = v
	return v, true
}

// stranger tells whether nothing is on record of a number.
func stranger(in *Input) bool {
	v := &in.View
	return v.Seller == nil && v.All == nil && len(v.Party) == 0 && len(v.PartyNumbers) == 0 && len(in.Areas) == 0 && len(in.Attempts) == 0
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
