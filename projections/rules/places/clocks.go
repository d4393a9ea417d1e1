package places

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger/zones"
)

// Clocks are compared between these instants. No decision is made about days
// before, and after them every zone follows a rule that has shown itself.
var (
	clocksFrom = time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC)
	clocksTo   = time.Date(2038, 1, 1, 0, 0, 0, 0, time.UTC)
)

// offsets holds what offsetsOf found, by zone. Zones come from ledger/zones only,
// so it is bounded.
var offsets sync.Map // *time.Location -> string

// alike tells whether the clocks of two zones always show the same time. Names do
// not decide: America/Detroit is America/New_York by another name.
func alike(a, b *time.Location) bool { return a == b || offsetsOf(a) == offsetsOf(b) }

// offsetsOf writes down when a zone has which offset: equal clocks, equal strings.
func offsetsOf(l *time.Location) string {
	if s, ok := offsets.Load(l); ok {
		return s.(string)
	}
	var out []byte
	last := 0
	for t := clocksFrom; t.Before(clocksTo); {
		local := t.In(l)
		if _, offset := local.Zone(); len(out) == 0 || offset != last {
			out = binary.AppendVarint(binary.AppendVarint(out, t.Unix()), int64(offset))
			last = offset
		}
		_, end := local.ZoneBounds()
		if end.IsZero() {
			break
		}
		t = end.UTC()
	}
	s, _ := offsets.LoadOrStore(l, string(out))
	return s.(string)
}

// load is zones.Load for names that stand in our own tables.
func load(name string) *time.Location {
	l, err := zones.Load(name)
	if err != nil {
		panic("places: " + err.Error())
	}
	return l
}
