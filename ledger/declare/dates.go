package declare

import (
	"strings"
	"time"
)

// AheadMax is how far a time may lie after recorded_at before it counts as dated
// ahead; it covers clocks that are a little off.
const AheadMax = 2 * time.Minute

// offsets are the least and greatest UTC offsets, daylight saving included, that
// occur where a number may be at home.
type offsets struct{ west, east time.Duration }

// everywhere spans all civil time on earth.
var everywhere = offsets{-12 * time.Hour, 14 * time.Hour}

// offsetsByPrefix resolves date-only values by the number alone (DESIGN 14). The
// longest matching prefix counts. Country-wide spans are used on purpose: a
// span too wide only delays a grant, one too narrow could date it before a stop.
var offsetsByPrefix = map[string]offsets{
	"+1":    {-10 * time.Hour, -150 * time.Minute}, // Hawaii to Newfoundland in summer
	"+1684": {-11 * time.Hour, -11 * time.Hour},    // American Samoa
	"+1670": {10 * time.Hour, 10 * time.Hour},      // Northern Marianas
	"+1671": {10 * time.Hour, 10 * time.Hour},      // Guam
	"+31":   {time.Hour, 2 * time.Hour},
	"+33":   {time.Hour, 2 * time.Hour}, // overseas departments have codes of their own
	"+34":   {0, 2 * time.Hour},         // Canary Islands to the mainland in summer
	"+353":  {0, time.Hour},
	"+39":   {time.Hour, 2 * time.Hour},
	"+44":   {0, time.Hour},
	"+49":   {time.Hour, 2 * time.Hour},
	"+61":   {390 * time.Minute, 12 * time.Hour}, // Cocos Islands to Norfolk Island in summer
	"+91":   {330 * time.Minute, 330 * time.Minute},
}

// candidateOffsets gives the span for a number in E.164.
func candidateOffsets(e164 string) offsets {
	for n := min(len(e164), 5); n >= 2; n-- {
		if o, ok := offsetsByPrefix[e164[:n]]; ok {
			return o
		}
	}
	return everywhere
}

// DaySpan gives the first and the last instant that can belong to a date at the
// home of a number. ok is false unless text is a plain YYYY-MM-DD.
func DaySpan(text, e164 string) (earliest, latest time.Time, ok bool) {
	day, err := time.Parse(time.DateOnly, strings.TrimSpace(text))
	if err != nil {
		return time.Time{}, time.Time{}, false
	}
	o := candidateOffsets(e164)
	return day.Add(-o.east), day.AddDate(0, 0, 1).Add(-o.west).Add(-time.Nanosecond), true
}
