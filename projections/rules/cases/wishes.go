package cases

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/projections/rules"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// beginning is since when what a row says of its number is known: always.
var beginning = time.Unix(0, 0).UTC()

// addClass takes the row's number class as facts: what subscriber, what line.
func (k *known) addClass(class string) error {
	line, of, ok := strings.Cut(class, "_")
	subscriber := consentv1.SubscriberKind_SUBSCRIBER_KIND_INDIVIDUAL
	switch {
	case class == "":
		return nil
	case class == "consumer":
		line = ""
	case class == "fax":
	case class == "sole_trader":
		line, subscriber = "", consentv1.SubscriberKind_SUBSCRIBER_KIND_SOLE_TRADER
	case class == "corporate_subscriber":
		line, subscriber = "", consentv1.SubscriberKind_SUBSCRIBER_KIND_CORPORATE
	case ok && (line == "landline" || line == "wireless") && (of == "individual" || of == "residential"):
	case ok && (line == "landline" || line == "wireless") && of == "business":
		subscriber = consentv1.SubscriberKind_SUBSCRIBER_KIND_CORPORATE
	default:
		return fmt.Errorf("number_class: %q is unknown", class)
	}
	if line != "" {
		if err := addLineType(k, &jsonFact{Line: line}, beginning); err != nil {
			return err
		}
	}
	if class == "fax" {
		return nil
	}
	return k.add(&jsonFact{}, beginning, &consentv1.Fact{Kind: &consentv1.Fact_SubscriberClass{SubscriberClass: &consentv1.SubscriberClass{Subscriber: subscriber}}})
}

// addPersonal takes a relationship with the caller; one with somebody else is none.
func addPersonal(k *known, f *jsonFact, at time.Time) error {
	if f.With != "" && f.With != "caller" {
		return nil
	}
	return relationship(consentv1.RelationshipKind_RELATIONSHIP_KIND_PERSONAL)(k, f, at)
}

func addPartyNumber(k *known, f *jsonFact, at time.Time) error {
	f.Party = cmp.Or(f.Party, party)
	return k.add(f, at, &consentv1.Fact{Kind: &consentv1.Fact_PartyNumber{PartyNumber: &consentv1.PartyNumber{Basis: "case"}}})
}

func addArea(k *known, f *jsonFact, at time.Time) error {
	return k.add(f, at, &consentv1.Fact{Kind: &consentv1.Fact_LocationRecorded{LocationRecorded: &consentv1.LocationRecorded{Area: f.Area, Basis: "address"}}})
}

// addAttempt keeps attempts newest first; facts come oldest first.
func addAttempt(k *known, f *jsonFact, at time.Time) error {
	a := rules.Attempt{At: at, Subject: f.Subject}
	var err error
	if a.Channel, err = channelOf(f.Channel); err != nil {
		return err
	}
	if a.Purpose, err = purposeOf(f.Purpose); err != nil {
		return err
	}
	k.attempts = slices.Insert(k.attempts, 0, a)
	return nil
}

func addEmergency(k *known, f *jsonFact, at time.Time) error {
	m := rules.Emergency{Area: f.Area, From: at, Reporting: f.PSCReporting}
	if f.Until != "" {
		var err error
		if m.Until, err = parseTime(f.Until); err != nil {
			return err
		}
	}
	k.emergencies = append(k.emergencies, m)
	return nil
}

// addPreference takes a subscriber's preference, at a registry or told the seller.
func addPreference(k *known, f *jsonFact, at time.Time) error {
	m := &consentv1.PreferenceSet{Registry: f.Registry, Blocked: f.Blocked}
	if f.Mode != "" && f.Mode != ledger.All {
		c, err := channelOf(f.Mode)
		if err != nil {
			return err
		}
		m.Channels = []consentv1.Channel{c}
	}
	days, windows, err := times(f.Days, f.Bands)
	if err != nil {
		return err
	}
	m.Weekdays, m.Windows = days, windows
	to := *f
	if f.Registry != "" {
		to.Sellers = []string{ledger.All}
	} else {
		for _, w := range m.Windows {
			w.Weekdays = days
		}
		m.Weekdays, m.Channels, m.Blocked = nil, nil, false
	}
	return k.add(&to, at, &consentv1.Fact{Kind: &consentv1.Fact_PreferenceSet{PreferenceSet: m}})
}

func addTimeConsent(k *known, f *jsonFact, at time.Time) error {
	m := &consentv1.TimeConsent{}
	for _, w := range f.Allows {
		var err error
		switch {
		case strings.EqualFold(w, "holidays"):
			m.Holidays = true
		case strings.Contains(w, ":"):
			_, m.Windows, err = times(nil, append(bandsOf(m.Windows), w))
		default:
			var days []uint32
			days, _, err = times([]string{w}, nil)
			m.Weekdays = append(m.Weekdays, days...)
		}
		if err != nil {
			return err
		}
	}
	return k.add(f, at, &consentv1.Fact{Kind: &consentv1.Fact_TimeConsent{TimeConsent: m}})
}

func bandsOf(windows []*consentv1.TimeWindow) (out []string) {
	for _, w := range windows {
		out = append(out, fmt.Sprintf("%02d:%02d-%02d:%02d", w.GetFromMinute()/60, w.GetFromMinute()%60, w.GetToMinute()/60, w.GetToMinute()%60))
	}
	return out
}

// times reads days of the week and bands, 10:00-12:00.
func times(days, bands []string) (weekdays []uint32, windows []*consentv1.TimeWindow, err error) {
	for _, name := range days {
		n := slices.IndexFunc([]string{"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"},
			func(d string) bool { return strings.EqualFold(d, name) })
		if n < 0 {
			return nil, nil, fmt.Errorf("%q is no day of the week", name)
		}
		weekdays = append(weekdays, uint32(n+1))
	}
	for _, b := range bands {
		var fromHour, from, toHour, to uint32
		if n, err := fmt.Sscanf(b, "%d:%d-%d:%d", &fromHour, &from, &toHour, &to); err != nil || n != 4 || toHour*60+to > 1440 || from > 59 || to > 59 {
			return nil, nil, fmt.Errorf("%q is no band, such as 10:00-12:00", b)
		}
		windows = append(windows, &consentv1.TimeWindow{FromMinute: fromHour*60 + from, ToMinute: toHour*60 + to})
	}
	return weekdays, windows, nil
}
