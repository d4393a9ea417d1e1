package suppression

import (
	"fmt"
	"unicode/utf8"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// The bytes of a state are protobuf's. They are read here by hand, because nearly
// every check reads some: the library's reader takes four times as long and a
// piece of memory for each record, and it passes over what it does not know inside
// a record, which might forbid.

// Wire types, as the low three bits of a field's tag.
const (
	wireVarint = 0
	wireBytes  = 2
	wireBits   = 3
)

// input is what is left of a message. The first thing that is wrong sets bad for
// good and ends it.
type input struct {
	s   string
	bad *bool
}

func (in *input) fail() { *in.bad, in.s = true, "" }

func (in *input) varint() (v uint64) {
	if len(in.s) > 0 && in.s[0] < 0x80 {
		v, in.s = uint64(in.s[0]), in.s[1:]
		return v
	}
	for i := range min(len(in.s), 10) {
		b := in.s[i]
		if i == 9 && b > 1 {
			break
		}
		if v |= uint64(b&0x7f) << (7 * i); b < 0x80 {
			in.s = in.s[i+1:]
			return v
		}
	}
	in.fail()
	return 0
}

// text is a field of bytes.
func (in *input) text() string {
	n := in.varint()
	if n > uint64(len(in.s)) {
		in.fail()
		return ""
	}
	t := in.s[:n]
	in.s = in.s[n:]
	return t
}

// words is a field of text.
func (in *input) words() string {
	t := in.text()
	if !utf8.ValidString(t) {
		in.fail()
		return ""
	}
	return t
}

func (in *input) message() input { return input{in.text(), in.bad} }
func (in *input) bool() bool     { return in.varint() != 0 }

// decode reads a state into an empty one.
func (r *Reader) decode(s *State, raw []byte) error {
	bad := false
	in := input{string(raw), &bad} // the only copy: texts are parts of it
	for in.s != "" {
		tag := in.varint()
		if tag&(1<<wireBits-1) != wireBytes {
			in.fail()
			break
		}
		r.field(s, tag>>wireBits, in.message())
	}
	if bad {
		return fmt.Errorf("%w: its bytes are damaged", ErrBadState)
	}
	if !canonical(s) {
		return ErrBadState
	}
	return nil
}

// field reads one field of a state.
func (r *Reader) field(s *State, number uint64, m input) {
	switch number {
	case 1:
		s.Grants = r.lists.grants.append(s.Grants, r.grant(m))
	case 2:
		s.Revoked = r.lists.prohibitions.append(s.Revoked, r.prohibition(m))
	case 3:
		s.Kept = r.lists.prohibitions.append(s.Kept, r.prohibition(m))
	case 4:
		s.DncAdded = r.lists.prohibitions.append(s.DncAdded, r.prohibition(m))
	case 5:
		s.DncRemoved = r.lists.prohibitions.append(s.DncRemoved, r.prohibition(m))
	case 6:
		s.Refused = r.lists.prohibitions.append(s.Refused, r.prohibition(m))
	case 7:
		s.Relationships = r.lists.marks.append(s.Relationships, r.mark(m))
	case 8:
		s.Marks = r.lists.marks.append(s.Marks, r.mark(m))
	case 9:
		s.Preferences = r.lists.preferences.append(s.Preferences, r.preference(m))
	case 10:
		s.Unclear = r.lists.unclear.append(s.Unclear, r.unread(m))
	case 13:
		r.span(&s.Erased, m)
	case 14:
		s.TimeConsents = r.lists.preferences.append(s.TimeConsents, r.preference(m))
	case 15:
		s.Parties = append(s.Parties, r.keep(m.s))
	default: // 11 and 12 are not used
		m.fail()
	}
}

// keep copies what is no text.
func (r *Reader) keep(s string) []byte {
	begin := len(r.bytes)
	r.bytes = append(r.bytes, s...)
	return r.bytes[begin:len(r.bytes):len(r.bytes)]
}

// span reads an interval, of which a record has one at most.
func (r *Reader) span(into **consentv1.TimeSpan, m input) {
	if *into != nil {
		m.fail()
		return
	}
	t := r.spans.next()
	*into = t
	for m.s != "" {
		switch m.varint() {
		case 1<<wireBits | wireVarint:
			t.Earliest = int64(m.varint())
		case 2<<wireBits | wireVarint:
			t.Latest = int64(m.varint())
		default:
			m.fail()
		}
	}
}

// cellsOf reads a set of channels and purposes, of which a record has one at most.
func (r *Reader) cellsOf(into **consentv1.Cells, m input) {
	if *into != nil {
		m.fail()
		return
	}
	c := r.cells.next()
	*into = c
	for m.s != "" {
		if m.varint() != 1<<wireBits|wireBytes || c.Purposes != nil {
			m.fail()
			return
		}
		masks, n := m.message(), 0
		for i := range len(masks.s) {
			if masks.s[i] < 0x80 { // the last byte of a number
				n++
			}
		}
		c.Purposes = r.masks.run(n)
		for i := range c.Purposes {
			c.Purposes[i] = uint32(masks.varint())
		}
		if masks.s != "" {
			masks.fail()
		}
	}
}

func (r *Reader) grant(m input) *consentv1.GrantRegister {
	g := r.grants.next()
	for m.s != "" {
		switch m.varint() {
		case 1<<wireBits | wireBytes:
			g.Programme = m.words()
		case 2<<wireBits | wireBytes:
			r.cellsOf(&g.Cells, m.message())
		case 3<<wireBits | wireBytes:
			g.Level = m.words()
		case 4<<wireBits | wireBytes:
			g.Source = m.words()
		case 5<<wireBits | wireVarint:
			g.Confirmed = m.bool()
		case 6<<wireBits | wireVarint:
			g.EvidenceHeld = m.bool()
		case 7<<wireBits | wireVarint:
			g.WordingValid = m.bool()
		case 8<<wireBits | wireVarint:
			g.Historical = m.bool()
		case 9<<wireBits | wireBytes:
			r.span(&g.Time, m.message())
		case 10<<wireBits | wireVarint:
			g.Expires = int64(m.varint())
		case 11<<wireBits | wireBytes:
			g.Content = r.keep(m.text())
		case 12<<wireBits | wireVarint:
			g.ConditionOfPurchase = m.bool()
		case 13<<wireBits | wireVarint:
			g.Undocumented = m.bool()
		default:
			m.fail()
		}
	}
	return g
}

func (r *Reader) prohibition(m input) *consentv1.ProhibitionRegister {
	p := r.prohibitions.next()
	for m.s != "" {
		switch m.varint() {
		case 1<<wireBits | wireBytes:
			p.Programme = m.words()
		case 2<<wireBits | wireBytes:
			r.cellsOf(&p.Cells, m.message())
		case 3<<wireBits | wireBytes:
			p.Kind = m.words()
		case 4<<wireBits | wireVarint:
			p.Historical = m.bool()
		case 5<<wireBits | wireBytes:
			r.span(&p.Time, m.message())
		default:
			m.fail()
		}
	}
	return p
}

func (r *Reader) mark(m input) *consentv1.MarkRegister {
	k := r.marks.next()
	for m.s != "" {
		switch m.varint() {
		case 1<<wireBits | wireBytes:
			k.Kind = m.words()
		case 2<<wireBits | wireBytes:
			k.Value = m.words()
		case 3<<wireBits | wireBytes:
			r.span(&k.Time, m.message())
		case 4<<wireBits | wireVarint:
			k.AsOf = int64(m.varint())
		case 5<<wireBits | wireBytes:
			k.Aspect = m.words()
		default:
			m.fail()
		}
	}
	return k
}

func (r *Reader) preference(m input) *consentv1.PreferenceRegister {
	p := r.preferences.next()
	for m.s != "" {
		switch m.varint() {
		case 1<<wireBits | wireBytes:
			p.Dimension = m.words()
		case 2<<wireBits | wireBytes:
			p.Value = r.keep(m.text())
		case 3<<wireBits | wireBytes:
			r.span(&p.Time, m.message())
		default:
			m.fail()
		}
	}
	return p
}

func (r *Reader) unread(m input) *consentv1.UnclearRegister {
	u := r.unclear.next()
	for m.s != "" {
		switch m.varint() {
		case 1<<wireBits | wireBytes:
			u.EntryId = r.keep(m.text())
		case 2<<wireBits | wireVarint:
			u.Opened = m.bool()
		case 3<<wireBits | wireVarint:
			u.Closed = m.bool()
		case 4<<wireBits | wireBytes:
			r.span(&u.Time, m.message())
		case 5<<wireBits | wireVarint:
			u.Channel = consentv1.Channel(int32(m.varint()))
		default:
			m.fail()
		}
	}
	return u
}
