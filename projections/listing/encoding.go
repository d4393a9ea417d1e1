package listing

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// errBadValue: the value is damaged or of another version; a rebuild mends it.
var errBadValue = errors.New("no value of the listing")

// Values: integers first, big-endian; then strings, each behind its length as
// two bytes. Instants are Unix nanoseconds in eight bytes, 0: none.
//
//	seller     since (8), name
//	programme  name
//	campaign   channel (4), purpose (4), seller, programme, subject
//	source     registered (1), distrusted (8), name
//	pause      paused earliest, latest, resumed earliest, latest (8 each)

func (s Seller) encode() []byte {
	return appendStrings(binary.BigEndian.AppendUint64(nil, uint64(s.Since)), s.Name)
}

func decodeSeller(id string, v []byte) (Seller, error) {
	d := decoder{b: v}
	s := Seller{ID: id, Since: ledger.Position(d.u64()), Name: d.str()}
	return s, d.end()
}

func decodeProgramme(key string, v []byte) (Programme, error) {
	seller, id, ok := strings.Cut(key, programmeSeparator)
	if !ok {
		return Programme{}, fmt.Errorf("%w: programme without a seller", errBadValue)
	}
	d := decoder{b: v}
	p := Programme{Seller: seller, ID: id, Name: d.str()}
	return p, d.end()
}

func encodeCampaign(m *consentv1.CampaignRegistered) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(m.GetChannel()))
	b = binary.BigEndian.AppendUint32(b, uint32(m.GetPurpose()))
	return appendStrings(b, m.GetSeller(), m.GetProgramme(), m.GetSubject())
}

func decodeCampaign(id string, v []byte) (Campaign, error) {
	d := decoder{b: v}
	c := Campaign{
		ID: id, Channel: consentv1.Channel(d.u32()), Purpose: consentv1.Purpose(d.u32()),
		Seller: d.str(), Programme: d.str(), Subject: d.str(),
	}
	return c, d.end()
}

func (s Source) encode() []byte {
	b := []byte{0}
	if s.Registered {
		b[0] = 1
	}
	return appendStrings(appendTime(b, s.Distrusted), s.Name)
}

func decodeSource(id string, v []byte) (Source, error) {
	d := decoder{b: v}
	s := Source{ID: id, Registered: d.u8() == 1, Distrusted: d.time(), Name: d.str()}
	return s, d.end()
}

func (g Gate) encode() []byte {
	var b []byte
	for _, t := range [...]time.Time{g.Paused.Earliest, g.Paused.Latest, g.Resumed.Earliest, g.Resumed.Latest} {
		b = appendTime(b, t)
	}
	return b
}

func decodeGate(v []byte) (Gate, error) {
	d := decoder{b: v}
	g := Gate{Paused: Span{d.time(), d.time()}, Resumed: Span{d.time(), d.time()}}
	return g, d.end()
}

func appendTime(b []byte, t time.Time) []byte {
	var ns int64
	if !t.IsZero() {
		ns = t.UnixNano()
	}
	return binary.BigEndian.AppendUint64(b, uint64(ns))
}

// appendStrings cuts at the length that two bytes can say; facts are shorter.
func appendStrings(b []byte, all ...string) []byte {
	for _, s := range all {
		s = s[:min(len(s), 1<<16-1)]
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
	}
	return b
}

// decoder reads on from b; the first thing missing makes all the rest empty.
type decoder struct {
	b   []byte
	bad bool
}

// end is nil if everything was there and nothing is left over.
func (d *decoder) end() error {
	if d.bad || len(d.b) > 0 {
		return errBadValue
	}
	return nil
}

func (d *decoder) take(n int) []byte {
	if d.bad || n > len(d.b) {
		d.b, d.bad = nil, true
		return make([]byte, n)
	}
	out := d.b[:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) u8() byte    { return d.take(1)[0] }
func (d *decoder) u32() uint32 { return binary.BigEndian.Uint32(d.take(4)) }
func (d *decoder) u64() uint64 { return binary.BigEndian.Uint64(d.take(8)) }
func (d *decoder) str() string { return string(d.take(int(binary.BigEndian.Uint16(d.take(2))))) }

func (d *decoder) time() time.Time {
	if ns := d.u64(); ns != 0 {
		return time.Unix(0, int64(ns)).UTC()
	}
	return time.Time{}
}
