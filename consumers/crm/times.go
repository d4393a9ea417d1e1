package crm

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
)

// layout is one form of writing a time.
type layout struct {
	text    string // for package time
	hasTime bool
}

// layoutParts translate the map's parts into those of package time; longer ones first.
var layoutParts = strings.NewReplacer(
	"YYYY", "2006", "YY", "06", "MM", "01", "M", "1", "DD", "02", "D", "2",
	"hh", "15", "h", "3", "mm", "04", "ss", "05", "AM", "PM", "PM", "PM",
)

func parseLayout(text string) (layout, error) {
	if !strings.Contains(text, "Y") || !strings.Contains(text, "M") || !strings.Contains(text, "D") {
		return layout{}, fmt.Errorf("%q lacks year, month or day; write it like MM/DD/YYYY or DD.MM.YYYY hh:mm", text)
	}
	l := layout{text: layoutParts.Replace(text), hasTime: strings.Contains(text, "h")}
	if strings.Contains(text, "AM") || strings.Contains(text, "PM") {
		l.text = strings.Replace(l.text, "15", "03", 1)
	}
	sample := time.Date(2026, 11, 23, 22, 58, 59, 0, time.UTC)
	if back, err := time.Parse(l.text, sample.Format(l.text)); err != nil || back.YearDay() != sample.YearDay() || back.Year() != sample.Year() {
		return layout{}, fmt.Errorf("%q cannot be read back; known parts are YYYY YY MM M DD D hh h mm ss AM", text)
	}
	return l, nil
}

// moment is a time as a row gives it: an instant, or a text that the server
// resolves or refuses.
type moment struct {
	at *timestamppb.Timestamp
	on string
	// left is what the text said and `on` does not.
	left string
}

// readMoment reads a time. Only what names one instant becomes one; a plain date
// stays a date, because which instants it can mean depends on the number.
func readMoment(text string, layouts []layout, zone *time.Location) moment {
	text = strings.TrimSpace(text)
	if text == "" {
		return moment{}
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		if ts := timestamppb.New(t); ts.CheckValid() == nil {
			return moment{at: ts}
		}
	}
	for _, l := range layouts {
		t, err := time.ParseInLocation(l.text, text, time.UTC)
		switch {
		case err != nil:
			continue
		case !l.hasTime:
			return moment{on: t.Format(time.DateOnly)}
		case zone == nil:
			return moment{on: t.Format(time.DateOnly), left: text}
		}
		if at, once := inZone(t, zone); once {
			return moment{at: timestamppb.New(at)}
		}
		return moment{on: t.Format(time.DateOnly), left: text}
	}
	return moment{on: text}
}

// inZone gives the instant at which clocks of a zone show t's time of day; once
// is false when clocks are turned and they show it twice or never.
func inZone(t time.Time, zone *time.Location) (at time.Time, once bool) {
	at = time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), zone)
	same := func(o time.Time) bool { return o.Format(time.DateTime) == t.Format(time.DateTime) }
	return at, same(at) && !same(at.Add(-time.Hour)) && !same(at.Add(time.Hour))
}

// midnight is the start of a plain date in UTC; nil if it is none.
func midnight(date string) *timestamppb.Timestamp {
	t, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return nil
	}
	return timestamppb.New(t)
}
