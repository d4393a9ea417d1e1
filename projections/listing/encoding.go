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
//	campaign   channel (4), purpose (4), seller, programme, subject, sector
//	source     registered (1), distrusted, distrust recorded (8 each), name
//	gate       paused (1), earliest, latest, recorded (8 each)
//	emergency  reporting (1), from, until, recorded (8 each)

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
	return appendStrings(b, m.GetSeller(), m.GetProgramme(), m.GetSubject(), m.GetSector())
}

func decodeCampaign(id string, v []byte) (Campaign, error) {
	d := decoder{b: v}
	c := Campaign{
		ID: id, Channel: consentv1.Channel(d.u32()), Purpose: consentv1.Purpose(d.u32()),
		Seller: d.str(), Programme: d.str(), Subject: d.str(), Sector: d.str(),
	}
	return c, d.end()
}

func (s Source) encode() []byte {
	b := []byte{0}
	if s.Registered {
		b[0] = 1
	}
	return appendStrings(appendTime(appendTime(b, s.Distrusted), s.DistrustKnown), s.Name)
}

func decodeSource(id string, v []byte) (Source, error) {
	d := decoder{b: v}
	s := Source{ID: id, Registered: d.u8() == 1, Distrusted: d.time(), DistrustKnown: d.time(), Name: d.str()}
	return s, d.end()
}

func (t Turn) encode() []byte {
	return encodeEvent(t.Paused, t.Span.Earliest, t.Span.Latest, t.RecordedAt)
}

func decodeTurn(v []byte) (Turn, error) {
	d := decoder{b: v}
	t := Turn{Paused: d.u8() == 1, Span: Span{d.time(), d.time()}, RecordedAt: d.time()}
	return t, d.end()
}

func encodeEmergency(recorded time.Time, m *consentv1.EmergencyDeclared) []byte {
	var until time.Time
	if m.GetUntil() != nil {
		until = m.GetUntil().AsTime()
	}
	return encodeEvent(m.GetReporting(), m.GetFrom().AsTime(), until, recorded)
}

func decodeEmergency(area string, v []byte) (Emergency, error) {
	d := decoder{b: v}
	e := Emergency{Area: area, Reporting: d.u8() == 1, From: d.time(), Until: d.time(), RecordedAt: d.time()}
	return e, d.end()
}

func encodeEvent(flag bool, times ...time.Time) []byte {
	b := []byte{0}
	if flag {
		b[0] = 1
	}
	for _, t := range times {
		b = appendTime(b, t)
	}
	return b
}

// positionID is an id, a zero byte and a position: one value an event.
func positionID(id string, at ledger.Position) string {
	return string(binary.BigEndian.AppendUint64(append([]byte(id), 0), uint64(at)))
}

func splitPositionID(key string) (id string, at ledger.Position, err error) {
	cut := len(key) - 9
	if cut < 0 || key[cut] != 0 {
		return "", 0, fmt.Errorf("%w: an event without a position", errBadValue)
	}
	return key[:cut], ledger.Position(binary.BigEndian.Uint64([]byte(key[cut+1:]))), nil
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
