package suppression

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// shapeInstantsMax is how many different instants a shape may have: ranks are bytes.
const shapeInstantsMax = 255

// Shape is all that the states of a number say, but for when. Of its instants it has
// the order alone: among themselves, and before, at or after the instant asked about.
// No View of this package does anything with an instant but compare it and hand it out,
// so that the views of two states of one shape differ in nothing but the instants they
// hand out.
type Shape struct {
	// Key is the shape: different shapes, different keys. Not to be changed.
	Key []byte
	// Instants are those of the states, of the question and zero, ascending, each once, in Unix
	// nanoseconds. States of one shape have as many. Not to be changed.
	Instants []int64
}

// Shaper makes shapes from the bytes of states, without reading them as messages.
// What it does not know to be an instant is in the key as it stands, so a register of
// a later version tells shapes apart before anybody thinks of it here. It belongs to one
// goroutine.
type Shaper struct {
	key      []byte
	seen     []int64 // in the order of the bytes
	instants []int64
	contents [][]byte // of grants: they break ties
}

// Of makes the shape of what is on record of a number towards the seller and towards
// all, either of which may be nil, for a question about an instant. It is valid until
// the next call. ok is false for what has no shape: a party or an unread message, which
// bring in more than the states, too many instants, or bytes that are no state.
func (s *Shaper) Of(seller, all []byte, at time.Time) (shape Shape, ok bool) {
	s.key, s.seen, s.contents = s.key[:0], s.seen[:0], s.contents[:0]
	for _, raw := range [...][]byte{seller, all} {
		if raw == nil {
			s.key = append(s.key, halfMissing)
			continue
		}
		if s.key = append(s.key, halfThere); !s.state(raw) {
			return Shape{}, false
		}
	}
	now := unixNano(at)
	s.instants = append(append(s.instants[:0], s.seen...), now, 0)
	slices.Sort(s.instants)
	if s.instants = slices.Compact(s.instants); len(s.instants) > shapeInstantsMax {
		return Shape{}, false
	}
	for _, ns := range s.seen {
		s.rank(ns)
	}
	s.rank(now)
	s.rank(0) // what a missing instant reads as
	s.rankContents()
	return Shape{s.key, s.instants}, true
}

// The bytes between what is written of the parts of a state. No field has number 0.
const (
	endOfPart = iota
	halfMissing
	halfThere
)

func (s *Shaper) rank(ns int64) {
	at, _ := slices.BinarySearch(s.instants, ns)
	s.key = append(s.key, byte(at))
}

// rankContents writes how many of the contents are smaller than each.
func (s *Shaper) rankContents() {
	if len(s.contents) < 2 {
		return
	}
	for _, c := range s.contents {
		smaller := 0
		for _, other := range s.contents {
			if bytes.Compare(other, c) < 0 {
				smaller++
			}
		}
		s.key = binary.AppendUvarint(s.key, uint64(smaller))
	}
}

// Numbers of the fields of SuppressionState and of its parts that are not copied.
const (
	fieldGrants  = 1
	fieldUnclear = 10
	fieldErased  = 13
	fieldParties = 15

	fieldGrantExpires = 10
	fieldGrantContent = 11
)

// timeOf is, for each field of a state, the number of the field of its records that is
// their time; 0: it has none that is known here.
var timeOf = [...]protowire.Number{1: 9, 2: 5, 3: 5, 4: 5, 5: 5, 6: 5, 7: 3, 8: 3, 9: 3, 14: 3}

// state writes the parts of a state.
func (s *Shaper) state(raw []byte) bool {
	for len(raw) > 0 {
		field, kind, n := protowire.ConsumeTag(raw)
		if n < 0 || kind != protowire.BytesType || field == fieldUnclear || field == fieldParties {
			return false
		}
		raw = raw[n:]
		part, n := protowire.ConsumeBytes(raw)
		if n < 0 {
			return false
		}
		raw = raw[n:]
		s.key = protowire.AppendVarint(s.key, uint64(field))
		switch {
		case field == fieldErased:
			if !s.span(part) {
				return false
			}
		case int(field) < len(timeOf) && timeOf[field] != 0:
			if !s.record(field, part) {
				return false
			}
		default:
			s.key = protowire.AppendBytes(s.key, part)
		}
	}
	s.key = append(s.key, endOfPart)
	return true
}

// record writes one record of a register.
func (s *Shaper) record(of protowire.Number, raw []byte) bool {
	for len(raw) > 0 {
		field, kind, tag := protowire.ConsumeTag(raw)
		if tag < 0 {
			return false
		}
		size := protowire.ConsumeFieldValue(field, kind, raw[tag:])
		if size < 0 {
			return false
		}
		whole, value := raw[:tag+size], raw[tag:tag+size]
		raw = raw[tag+size:]
		switch {
		case field == timeOf[of] && kind == protowire.BytesType:
			s.key = append(s.key, whole[:tag]...)
			if span, _ := protowire.ConsumeBytes(value); !s.span(span) {
				return false
			}
		case of == fieldGrants && field == fieldGrantExpires && kind == protowire.VarintType:
			s.key = append(s.key, whole[:tag]...)
			s.instant(value)
		case of == fieldGrants && field == fieldGrantContent && kind == protowire.BytesType:
			s.key = append(s.key, whole[:tag]...)
			content, _ := protowire.ConsumeBytes(value)
			if len(content) == 0 { // it would read as a missing one
				return false
			}
			s.contents = append(s.contents, content)
		default:
			s.key = append(s.key, whole...)
		}
	}
	s.key = append(s.key, endOfPart)
	return true
}

// span writes a TimeSpan, both of whose fields are instants.
func (s *Shaper) span(raw []byte) bool {
	for len(raw) > 0 {
		field, kind, tag := protowire.ConsumeTag(raw)
		if tag < 0 {
			return false
		}
		size := protowire.ConsumeFieldValue(field, kind, raw[tag:])
		if size < 0 {
			return false
		}
		if s.key = append(s.key, raw[:tag]...); field <= 2 && kind == protowire.VarintType {
			s.instant(raw[tag : tag+size])
		} else {
			s.key = append(s.key, raw[tag:tag+size]...)
		}
		raw = raw[tag+size:]
	}
	s.key = append(s.key, endOfPart)
	return true
}

// instant keeps an instant for its rank.
func (s *Shaper) instant(value []byte) {
	ns, _ := protowire.ConsumeVarint(value) // its size was looked at
	s.seen = append(s.seen, int64(ns))
}
