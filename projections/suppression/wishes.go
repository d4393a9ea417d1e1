package suppression

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Preferences are the limits a person set. All that are listed bind.
type Preferences struct {
	Windows     [][]*consentv1.TimeWindow // each set allows what one of its windows allows
	Frequencies []Frequency
	Languages   []string
}

// Frequency is at most Max contacts in Days.
type Frequency struct{ Max, Days uint32 }

// RegistryPreference is a subscriber's preference kept by a registry. If Blocked
// it forbids the days and times it names, or all if it names none; else it
// forbids all others.
type RegistryPreference struct {
	Blocked  bool
	Weekdays []uint32                // ISO weekdays 1 (Monday) to 7; empty: every day
	Windows  []*consentv1.TimeWindow // empty: at every time
	Time     Span
}

// TimeConsent is a person's word that calls at certain times are welcome.
type TimeConsent struct {
	Weekdays []uint32                // ISO weekdays 1 (Monday) to 7, at any time of the day
	Windows  []*consentv1.TimeWindow // local times of day
	Holidays bool                    // on public holidays too
	Time     Span
}

// Dimensions of preferences. Those of registries go on with the registry and the
// channels and purposes they are about, as masks.
const (
	dimensionWindows   = "windows"
	dimensionFrequency = "frequency"
	dimensionLanguage  = "language"
	dimensionTimes     = "times"
	dimensionBlock     = "registry_block "
	dimensionAllow     = "registry_allow "
)

// preferenceState makes a register for each dimension that is set; its value is
// a PreferenceSet with that dimension alone.
func preferenceState(f *consentv1.Fact, m *consentv1.PreferenceSet) *State {
	if m.GetRegistry() != "" {
		return registryPreferenceState(f, m)
	}
	t, _ := span(f, false)
	out := &State{}
	add := func(dimension string, wish *consentv1.PreferenceSet) {
		out.Preferences = append(out.Preferences, wishRegister(dimension, wish, t)...)
	}
	if len(m.GetWindows()) > 0 {
		add(dimensionWindows, &consentv1.PreferenceSet{Windows: sortedWindows(m.GetWindows())})
	}
	if m.GetFrequencyMax() > 0 {
		add(dimensionFrequency, &consentv1.PreferenceSet{FrequencyMax: m.GetFrequencyMax(), FrequencyDays: m.GetFrequencyDays()})
	}
	if m.GetLanguage() != "" {
		add(dimensionLanguage, &consentv1.PreferenceSet{Language: m.GetLanguage()})
	}
	return out
}

// wishRegister is none for what has no bytes: a string that is no UTF-8, which no
// stored fact can hold.
func wishRegister(dimension string, wish proto.Message, t *consentv1.TimeSpan) []*consentv1.PreferenceRegister {
	value, err := proto.MarshalOptions{Deterministic: true}.Marshal(wish)
	if err != nil {
		return nil
	}
	return []*consentv1.PreferenceRegister{{Dimension: dimension, Value: value, Time: t}}
}

// endsBlock: a registry's preference that neither blocks nor names times only
// takes an earlier block away.
func endsBlock(m *consentv1.PreferenceSet) bool {
	return m.GetRegistry() != "" && !m.GetBlocked() && len(m.GetWindows())+len(m.GetWeekdays()) == 0
}

// registryPreferenceState: what blocks covers whole families and, where it has a
// gap, everything; what allows covers what it names, or all if it names nothing.
func registryPreferenceState(f *consentv1.Fact, m *consentv1.PreferenceSet) *State {
	t, ok := span(f, !m.GetBlocked())
	if !ok {
		return nil
	}
	scope := &consentv1.Scope{Channels: m.GetChannels(), Purposes: m.GetPurposes()}
	kind, covers := dimensionAllow, forbidden(scope)
	if m.GetBlocked() {
		kind, covers = dimensionBlock, stopped(scope)
	}
	wish := &consentv1.PreferenceSet{Blocked: m.GetBlocked(), Weekdays: sortedDays(m.GetWeekdays()), Windows: sortedWindows(m.GetWindows())}
	return &State{Preferences: wishRegister(fmt.Sprintf("%s%s %x", kind, m.GetRegistry(), cut(covers.Purposes)), wish, t)}
}

// timeConsentState keeps the days and times a person agreed to.
func timeConsentState(f *consentv1.Fact, m *consentv1.TimeConsent) *State {
	t, ok := span(f, true)
	if !ok {
		return nil
	}
	return &State{TimeConsents: wishRegister(dimensionTimes, &consentv1.TimeConsent{Weekdays: sortedDays(m.GetWeekdays()),
		Windows: sortedWindows(m.GetWindows()), Holidays: m.GetHolidays()}, t)}
}

func sortedDays(days []uint32) []uint32 { return slices.Compact(slices.Sorted(slices.Values(days))) }

func sortedWindows(in []*consentv1.TimeWindow) []*consentv1.TimeWindow {
	out := make([]*consentv1.TimeWindow, len(in))
	for i, w := range in {
		out[i] = &consentv1.TimeWindow{Weekdays: sortedDays(w.GetWeekdays()), FromMinute: w.GetFromMinute(), ToMinute: w.GetToMinute()}
	}
	less := func(a, b *consentv1.TimeWindow) int {
		return slices.Compare(append([]uint32{a.GetFromMinute(), a.GetToMinute()}, a.GetWeekdays()...),
			append([]uint32{b.GetFromMinute(), b.GetToMinute()}, b.GetWeekdays()...))
	}
	slices.SortFunc(out, less)
	return slices.CompactFunc(out, func(a, b *consentv1.TimeWindow) bool { return less(a, b) == 0 })
}

// Preferences gives the limits the person set, towards this seller and towards
// all. A limit that this version cannot read allows nothing: an empty window set
// or no contacts at all.
func (v View) Preferences() (out Preferences) {
	for _, s := range v.halves() {
		for _, r := range s.GetPreferences() {
			wish := wishOf(r)
			switch r.GetDimension() {
			case dimensionWindows:
				out.Windows = append(out.Windows, wish.GetWindows())
			case dimensionFrequency:
				out.Frequencies = append(out.Frequencies, Frequency{Max: wish.GetFrequencyMax(), Days: wish.GetFrequencyDays()})
			case dimensionLanguage:
				out.Languages = append(out.Languages, wish.GetLanguage())
			}
		}
	}
	return out
}

// wishOf reads a preference; one that cannot be read is empty.
func wishOf(r *consentv1.PreferenceRegister) *consentv1.PreferenceSet {
	wish := &consentv1.PreferenceSet{}
	if proto.Unmarshal(r.GetValue(), wish) != nil {
		return &consentv1.PreferenceSet{}
	}
	return wish
}

// RegistryPreferences gives the subscriber's preferences at a registry that cover
// the question and count: all of them bind. One that blocks counts unless a
// strictly later one that does not block covers the question too. One that this
// version cannot read blocks.
func (v View) RegistryPreferences(registry string, q Question) (out []RegistryPreference) {
	var ended Span // the newest that allows
	for _, s := range v.halves() {
		for _, r := range s.GetPreferences() {
			if p, ok := registryPreference(r, dimensionAllow+registry+" ", q); ok && q.has(r.GetTime().GetLatest()) {
				if p.Time.Earliest.After(ended.Earliest) {
					ended = p.Time
				}
				if len(p.Weekdays)+len(p.Windows) > 0 {
					out = append(out, p)
				}
			}
		}
	}
	for _, s := range v.halves() {
		for _, r := range s.GetPreferences() {
			if p, ok := registryPreference(r, dimensionBlock+registry+" ", q); ok && !ended.Earliest.After(p.Time.Latest) {
				p.Blocked = true
				out = append(out, p)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b RegistryPreference) int {
		return cmp.Or(compareBool(a.Blocked, b.Blocked), a.Time.Latest.Compare(b.Time.Latest))
	})
	return out
}

// registryPreference reads a register of a registry and kind if it covers the question.
func registryPreference(r *consentv1.PreferenceRegister, prefix string, q Question) (p RegistryPreference, ok bool) {
	masks, ok := strings.CutPrefix(r.GetDimension(), prefix)
	if !ok {
		return p, false
	}
	var purposes []uint32
	for _, m := range strings.Fields(strings.Trim(masks, "[]")) {
		var mask uint32
		if _, err := fmt.Sscanf(m, "%x", &mask); err != nil {
			return p, false
		}
		purposes = append(purposes, mask)
	}
	set := &consentv1.Cells{Purposes: purposes}
	blocks := strings.HasPrefix(prefix, dimensionBlock)
	if blocks && !q.forbiddenBy(all, set) || !blocks && !q.liftedBy(all, set) {
		return p, false
	}
	wish := wishOf(r)
	return RegistryPreference{Blocked: blocks, Weekdays: wish.GetWeekdays(), Windows: wish.GetWindows(), Time: spanOf(r.GetTime())}, true
}

// TimeConsents gives what the person agreed to by the instant asked about: of this
// seller and of all the newest each. One is void before a request to be left
// alone that covers the question, an erasure, or the number in other hands.
func (v View) TimeConsents(q Question) (out []TimeConsent) {
	stop, stopped := v.LastStop(q)
	for _, s := range v.halves() {
		for _, r := range s.GetTimeConsents() {
			t := r.GetTime()
			m := &consentv1.TimeConsent{}
			if !q.has(t.GetLatest()) || proto.Unmarshal(r.GetValue(), m) != nil ||
				stopped && t.GetEarliest() <= stop.latest() || v.otherHands(t.GetEarliest()) || v.erasedSince(t.GetEarliest()) {
				continue
			}
			out = append(out, TimeConsent{Weekdays: m.GetWeekdays(), Windows: m.GetWindows(), Holidays: m.GetHolidays(), Time: spanOf(t)})
		}
	}
	return out
}

// erasedSince tells whether the person was erased at an instant or later.
func (v View) erasedSince(ns int64) bool {
	return slices.ContainsFunc(v.all(), func(s *State) bool { return s.GetErased() != nil && s.GetErased().GetLatest() >= ns })
}

func (v View) all() []*State { h := v.halves(); return h[:] }
