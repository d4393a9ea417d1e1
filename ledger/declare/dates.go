package declare

import (
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// aheadMax is how far a time may lie after recorded_at before it counts as dated
// ahead; it covers clocks that are a little off.
const aheadMax = 2 * time.Minute

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

// daySpan gives the first and the last instant that can belong to a date at the
// home of a number. ok is false unless text is a plain YYYY-MM-DD.
func daySpan(text, e164 string) (earliest, latest time.Time, ok bool) {
	if text == "" { // most facts end on no date, and a parser's error is dear
		return time.Time{}, time.Time{}, false
	}
	day, err := time.Parse(time.DateOnly, strings.TrimSpace(text))
	if err != nil {
		return time.Time{}, time.Time{}, false
	}
	o := candidateOffsets(e164)
	return day.Add(-o.east), day.AddDate(0, 0, 1).Add(-o.west).Add(-time.Nanosecond), true
}

// Resolve fills the fact's dates for an entry recorded at an instant (DESIGN 5):
// doubt about a time always falls on the side of silence. The error is an
// *InvalidError: a fact that permits has no readable date or is dated ahead.
func (d *Declared) Resolve(recordedAt time.Time) error {
	f := d.Fact
	earliest, latest, ok := d.span(recordedAt)
	ahead := ok && earliest.After(recordedAt.Add(aheadMax))
	if MustBeDated(f) {
		if !ok {
			return &ledger.InvalidError{Field: "occurred_at", Problem: "cannot be read as a time or date since 1990", Fix: "write RFC 3339 or YYYY-MM-DD"}
		}
		if ahead {
			return &ledger.InvalidError{Field: "occurred_at", Problem: "lies in the future", Fix: "record a grant once it has happened"}
		}
	} else if !ok || ahead {
		switch {
		case ok:
			d.Notices = append(d.Notices, "occurred_at lies in the future: taken as now")
		case f.GetOccurredAt() != nil || f.GetOccurredOn() != "":
			d.Notices = append(d.Notices, "occurred_at could not be read: taken as now")
		}
		earliest, latest = recordedAt, recordedAt
	}
	if latest.Before(d.NotBefore) {
		latest = d.NotBefore
	}
	if latest.After(recordedAt) {
		latest = recordedAt
	}
	if earliest.After(latest) {
		earliest = latest
	}
	f.Earliest, f.Latest = timestamppb.New(earliest), timestamppb.New(latest)
	d.resolveExpiry()
	return nil
}

// plausibleMin is the earliest date that is believed. What systems write for "no
// date" (year 1, 1900, 1970) lies before it: a stop dated so would precede every
// grant and stop nothing.
var plausibleMin = time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC)

func (d *Declared) span(recordedAt time.Time) (earliest, latest time.Time, ok bool) {
	f := d.Fact
	switch {
	case f.GetOccurredAt() != nil:
		t := f.GetOccurredAt().AsTime()
		return t, t, f.GetOccurredAt().CheckValid() == nil && !t.Before(plausibleMin) && !t.After(maxTime)
	case f.GetOccurredOn() != "":
		earliest, latest, ok = daySpan(f.GetOccurredOn(), d.Number)
		return earliest, latest, ok && !earliest.Before(plausibleMin)
	case d.interactive:
		return recordedAt, recordedAt, true
	}
	return time.Time{}, time.Time{}, false
}

// resolveExpiry: a grant that ends on a date ends at that date's first possible instant.
func (d *Declared) resolveExpiry() {
	switch k := d.Fact.GetKind().(type) {
	case *consentv1.Fact_ConsentGranted:
		if from, _, ok := daySpan(k.ConsentGranted.GetExpiresOn(), d.Number); ok && k.ConsentGranted.GetExpiresAt() == nil {
			k.ConsentGranted.ExpiresAt = timestamppb.New(from)
		}
	case *consentv1.Fact_ConsentConfirmed:
		if from, _, ok := daySpan(k.ConsentConfirmed.GetExpiresOn(), d.Number); ok && k.ConsentConfirmed.GetExpiresAt() == nil {
			k.ConsentConfirmed.ExpiresAt = timestamppb.New(from)
		}
	}
}

// maxTime keeps times inside int64 nanoseconds.
var minTime, maxTime = time.Unix(0, 0), time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC)

func validTime(field string, t *timestamppb.Timestamp) error {
	if t == nil {
		return nil
	}
	if t.CheckValid() != nil || t.AsTime().Before(minTime) || t.AsTime().After(maxTime) {
		return &ledger.InvalidError{Field: field, Problem: "is no time between 1970 and 2262", Fix: "write RFC 3339"}
	}
	return nil
}
