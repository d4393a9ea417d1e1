package timeline

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// errBadItem: the value is damaged or of another version.
var errBadItem = errors.New("value is no timeline item")

// The stored form of an item. Its position is in the key.
//
//	entry id (16)  leaf (32)
//	recorded_at, earliest, latest      varint Unix nanoseconds, 0: not said
//	kind, source                       uvarint length, bytes
//	sellers                            uvarint count, then each as above
func encode(it Item) []byte {
	b := make([]byte, 0, 128)
	b = append(b, it.ID[:]...)
	b = append(b, it.Leaf[:]...)
	for _, t := range [...]time.Time{it.RecordedAt, it.Earliest, it.Latest} {
		b = appendTime(b, t)
	}
	b = appendString(b, string(it.Kind))
	b = appendString(b, it.Source)
	b = binary.AppendUvarint(b, uint64(len(it.Sellers)))
	for _, s := range it.Sellers {
		b = appendString(b, s)
	}
	return b
}

func appendTime(b []byte, t time.Time) []byte {
	var ns int64
	if !t.IsZero() {
		ns = t.UnixNano()
	}
	return binary.AppendVarint(b, ns)
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// decode reads what encode wrote; anything else is an error or some other item, never a panic.
func decode(b []byte) (Item, error) {
	d := decoder{b: b}
	var it Item
	copy(it.ID[:], d.take(uint64(len(it.ID))))
	copy(it.Leaf[:], d.take(uint64(len(it.Leaf))))
	it.RecordedAt, it.Earliest, it.Latest = d.time(), d.time(), d.time()
	it.Kind, it.Source = ledger.Kind(d.str()), d.str()
	n := d.uvarint()
	if n > uint64(len(d.b)) { // a seller takes a byte at least
		return Item{}, errBadItem
	}
	for range n {
		it.Sellers = append(it.Sellers, d.str())
	}
	if d.bad || len(d.b) > 0 {
		return Item{}, errBadItem
	}
	return it, nil
}

// decoder reads on from b; the first thing missing makes all the rest empty.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) take(n uint64) []byte {
	if d.bad || n > uint64(len(d.b)) {
		d.b, d.bad = nil, true
		return nil
	}
	out := d.b[:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) skip(n int) {
	if n <= 0 {
		d.b, d.bad = nil, true
		return
	}
	d.b = d.b[n:]
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	d.skip(n)
	return v
}

func (d *decoder) time() time.Time {
	ns, n := binary.Varint(d.b)
	d.skip(n)
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}

func (d *decoder) str() string { return string(d.take(d.uvarint())) }
