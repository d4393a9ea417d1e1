package crm

import (
	"strconv"
	"strings"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Weekdays and times of day, as people write them.

var weekdayNames = []string{"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"}

// weekday reads 1 (Monday) to 7, a name, or its first three letters.
func weekday(text string) (uint32, bool) {
	if n, err := strconv.ParseUint(text, 10, 8); err == nil {
		return uint32(n), n >= 1 && n <= 7
	}
	text = strings.ToLower(text)
	for i, name := range weekdayNames {
		if text == name || text == name[:3] {
			return uint32(i + 1), true
		}
	}
	return 0, false
}

// weekdays reads a list of days; nil if it is not said or cannot be read, which
// means every day.
func (b *builder) weekdays() (out []uint32) {
	for _, text := range b.list(fWeekdays) {
		d, ok := weekday(text)
		if !ok {
			b.doubt(fWeekdays, show(text)+" is no weekday", "write 1 (Monday) to 7, or the English name")
			return nil
		}
		out = append(out, d)
	}
	return out
}

// windows reads spans of local time: 09:00-12:00;14:00-17:30. nil if it is not
// said or cannot be read.
func (b *builder) windows() (out []*consentv1.TimeWindow) {
	for _, text := range b.list(fWindows) {
		first, last, _ := strings.Cut(text, "-")
		from, ok := minuteOfDay(first)
		to, ok2 := minuteOfDay(last)
		if !ok || !ok2 || from >= to {
			b.doubt(fWindows, "hold a span that cannot be read", "write 09:00-17:30, up to 24:00")
			return nil
		}
		out = append(out, &consentv1.TimeWindow{FromMinute: from, ToMinute: to})
	}
	return out
}

// minuteOfDay reads HH:MM, up to 24:00.
func minuteOfDay(text string) (uint32, bool) {
	hours, minutes, _ := strings.Cut(strings.TrimSpace(text), ":")
	h, err := strconv.ParseUint(hours, 10, 8)
	m, err2 := strconv.ParseUint(minutes, 10, 8)
	at := uint32(h*60 + m)
	return at, err == nil && err2 == nil && len(minutes) == 2 && m < 60 && at <= 24*60
}

// onDays limits spans to some days; days without a span are whole days.
func onDays(days []uint32, spans []*consentv1.TimeWindow) []*consentv1.TimeWindow {
	if len(days) > 0 && len(spans) == 0 {
		spans = []*consentv1.TimeWindow{{ToMinute: 24 * 60}}
	}
	for _, w := range spans {
		w.Weekdays = days
	}
	return spans
}
