package calendar

import (
	"sync"
	"time"
)

// Ahead remembers, for each zone, the next instant of some kind: an opening, a
// closing, another day. What is next after one instant is next after every later one
// until it has come, so that one search serves everybody until then. The zero value
// is ready and safe for concurrent use; it holds one stretch for each zone asked about.
type Ahead struct{ zones sync.Map } // *time.Location -> *stretch

// stretch is a time in which nothing of the kind happens, and what ends it.
type stretch struct{ from, next time.Time }

// After gives what find(t) does: the first instant of the kind after t, in a zone.
// An answer that is not after t is not remembered.
func (a *Ahead) After(t time.Time, zone *time.Location, find func(time.Time) time.Time) time.Time {
	if s, ok := a.zones.Load(zone); ok {
		if s := s.(*stretch); !t.Before(s.from) && t.Before(s.next) {
			return s.next
		}
	}
	next := find(t)
	if next.After(t) {
		a.zones.Store(zone, &stretch{t, next})
	}
	return next
}
