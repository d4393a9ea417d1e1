package declare

import (
	"slices"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// MustBeDated tells whether a fact can make contact easier, so that doubt about
// its time refuses it: kinds that permit; that a subscriber is a company; and a
// registry's preference that does not block.
func MustBeDated(f *consentv1.Fact) bool {
	switch k := f.GetKind().(type) {
	case *consentv1.Fact_SubscriberClass:
		return k.SubscriberClass.GetSubscriber() == consentv1.SubscriberKind_SUBSCRIBER_KIND_CORPORATE
	case *consentv1.Fact_PreferenceSet:
		return k.PreferenceSet.GetRegistry() != "" && !k.PreferenceSet.GetBlocked()
	}
	return ledger.NatureOf(ledger.KindOf(f)) == ledger.Permits
}

// checkNeutral refuses what says nothing.
func checkNeutral(f *consentv1.Fact) error {
	switch k := f.GetKind().(type) {
	case *consentv1.Fact_PartyNumber:
		if len(f.GetPartyKey()) == 0 {
			return &ledger.InvalidError{Field: "party", Problem: "is missing", Fix: "say whose number it is, by the same id for all numbers of that person"}
		}
	case *consentv1.Fact_SubscriberClass:
		s := k.SubscriberClass.GetSubscriber()
		if s == 0 || consentv1.SubscriberKind_name[int32(s)] == "" {
			return &ledger.InvalidError{Field: "subscriber", Problem: "is missing or not known",
				Fix: "name it: " + wordsOf(consentv1.SubscriberKind_name, "SUBSCRIBER_KIND_")}
		}
	}
	return nil
}

// checkRegistryPreference: what blocks is widened where it has gaps; what does
// not block must be whole.
func (d *Declared) checkRegistryPreference() error {
	m := d.Fact.GetPreferenceSet()
	if m.GetRegistry() == "" {
		return nil
	}
	if !m.GetBlocked() {
		switch {
		case !ValidID(m.GetRegistry()):
			return badID("registry")
		case slices.ContainsFunc(m.GetChannels(), unknownChannel):
			return &ledger.InvalidError{Field: "channels", Problem: "are not known", Fix: "name them: " + wordsOf(consentv1.Channel_name, "CHANNEL_")}
		case slices.ContainsFunc(m.GetPurposes(), unknownPurpose):
			return &ledger.InvalidError{Field: "purposes", Problem: "are not known", Fix: "name them: " + wordsOf(consentv1.Purpose_name, "PURPOSE_")}
		}
		return checkTimes(m.GetWeekdays(), m.GetWindows())
	}
	if slices.ContainsFunc(m.GetChannels(), unknownChannel) {
		d.widened("channels", "")
		m.Channels = nil
	}
	if slices.ContainsFunc(m.GetPurposes(), unknownPurpose) {
		d.widened("purposes", "")
		m.Purposes = nil
	}
	if checkTimes(m.GetWeekdays(), m.GetWindows()) != nil {
		d.widened("windows", "")
		m.Weekdays, m.Windows = nil, nil
	}
	return nil
}

// checkTimes refuses weekdays and times of day that do not exist.
func checkTimes(weekdays []uint32, windows []*consentv1.TimeWindow) error {
	noDay := func(d uint32) bool { return d < 1 || d > 7 }
	if len(weekdays) > 7 || slices.ContainsFunc(weekdays, noDay) {
		return &ledger.InvalidError{Field: "weekdays", Problem: "are no ISO weekdays", Fix: "write 1 (Monday) to 7 (Sunday)"}
	}
	for _, w := range windows {
		if w.GetFromMinute() >= w.GetToMinute() || w.GetToMinute() > 24*60 || slices.ContainsFunc(w.GetWeekdays(), noDay) {
			return &ledger.InvalidError{Field: "windows", Problem: "hold one that is empty or not within a day",
				Fix: "give from_minute below to_minute, at most 1440, and ISO weekdays"}
		}
	}
	return nil
}
