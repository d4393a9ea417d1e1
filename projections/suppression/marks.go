package suppression

import (
	"cmp"
	"slices"
	"strings"
	"time"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Mark is one piece of evidence about a number.
type Mark struct {
	Kind       string    // one of the Mark constants
	Value      string    // in the kind's own words
	Basis      string    // who says where the person is: person, address, prefix; empty for other kinds
	AsOf       time.Time // the date it speaks about, for MarkRndResult; zero: none
	AllSellers bool
	Time       Span
}

// Kinds of marks, and what their values are.
const (
	MarkReassigned      = "reassigned"       // who says so
	MarkRndResult       = "rnd_result"       // yes, no, no_data or unspecified
	MarkWrongParty      = "wrong_party"      // how we know
	MarkDisconnected    = "disconnected"     // who says so
	MarkPorted          = "ported"           // the kind of line it moved to
	MarkLineType        = "line_type"        // the kind of line
	MarkLocation        = "location"         // see Mark.Place
	MarkArea            = "area"             // an area finer than a state: US-NY-061
	MarkSubscriberClass = "subscriber_class" // individual, sole_trader or corporate
)

// markState is what facts about the number itself say.
func markState(f *consentv1.Fact) *State {
	t, _ := span(f, false)
	mark := func(kind, value, aspect string) *consentv1.MarkRegister {
		return &consentv1.MarkRegister{Kind: kind, Value: value, Aspect: aspect, Time: t}
	}
	one := func(m *consentv1.MarkRegister) *State { return &State{Marks: []*consentv1.MarkRegister{m}} }
	switch k := f.GetKind().(type) {
	case *consentv1.Fact_NumberReassigned:
		return reassignedState(k.NumberReassigned, mark)
	case *consentv1.Fact_Disconnected:
		return one(mark(MarkDisconnected, k.Disconnected.GetBasis(), ""))
	case *consentv1.Fact_Ported:
		return one(mark(MarkPorted, k.Ported.GetLine(), k.Ported.GetLine()))
	case *consentv1.Fact_LineTypeChecked:
		return one(mark(MarkLineType, k.LineTypeChecked.GetLine(), k.LineTypeChecked.GetLine()))
	case *consentv1.Fact_WrongPartyReported:
		return one(mark(MarkWrongParty, k.WrongPartyReported.GetMethod(), ""))
	case *consentv1.Fact_LocationRecorded:
		return locationState(k.LocationRecorded, mark)
	case *consentv1.Fact_SubscriberClass:
		kind := strings.ToLower(strings.TrimPrefix(k.SubscriberClass.GetSubscriber().String(), "SUBSCRIBER_KIND_"))
		return one(mark(MarkSubscriberClass, kind, kind))
	}
	return nil
}

// reassignedState: an answer that is not a plain no or "no data" counts as yes.
func reassignedState(m *consentv1.NumberReassigned, mark func(kind, value, aspect string) *consentv1.MarkRegister) *State {
	answer := mark(MarkRndResult, strings.ToLower(strings.TrimPrefix(m.GetResult().String(), "QUERY_RESULT_")), "")
	if m.GetAsOf() != nil {
		answer.AsOf = nanos(m.GetAsOf())
	}
	out := &State{Marks: []*consentv1.MarkRegister{answer}}
	switch m.GetResult() {
	case consentv1.QueryResult_QUERY_RESULT_NO, consentv1.QueryResult_QUERY_RESULT_NO_DATA:
	default:
		out.Marks = append(out.Marks, mark(MarkReassigned, m.GetBasis(), ""))
	}
	return out
}

// locationState: region and zone are one register of each basis, the area another,
// because it is often told apart from them.
func locationState(m *consentv1.LocationRecorded, mark func(kind, value, aspect string) *consentv1.MarkRegister) *State {
	region, area := m.GetRegion(), m.GetArea()
	if parts := strings.SplitN(region, "-", 3); len(parts) == 3 {
		region = parts[0] + "-" + parts[1]
		area = cmp.Or(area, m.GetRegion())
	}
	out := &State{}
	if region != "" || m.GetTimeZone() != "" || area == "" {
		out.Marks = append(out.Marks, mark(MarkLocation, region+" "+m.GetTimeZone(), m.GetBasis()))
	}
	if area != "" {
		out.Marks = append(out.Marks, mark(MarkArea, area, m.GetBasis()))
	}
	return out
}

// Marks gives the newest evidence of a kind, whether told of this seller or of
// all: several if they are of the same time.
func (v View) Marks(kind string) []Mark { return newestOnly(v.marks(kind)) }

// marks gives all that is kept of a kind.
func (v View) marks(kind string) (out []Mark) {
	for i, s := range v.halves() {
		for _, m := range s.GetMarks() {
			if m.GetKind() == kind {
				out = append(out, markOf(m, i == allHalf))
			}
		}
	}
	return out
}

func markOf(m *consentv1.MarkRegister, allSellers bool) Mark {
	out := Mark{Kind: m.GetKind(), Value: m.GetValue(), AsOf: instantOrNone(m.GetAsOf()), AllSellers: allSellers, Time: spanOf(m.GetTime())}
	if out.Kind == MarkLocation || out.Kind == MarkArea {
		out.Basis = m.GetAspect()
	}
	return out
}

// newestOnly keeps the newest marks of a list, ranked as what forbids is: by the
// last possible instant, then the first.
func newestOnly(all []Mark) []Mark {
	if len(all) < 2 {
		return all
	}
	newest := slices.MaxFunc(all, compareMarks)
	return slices.DeleteFunc(all, func(m Mark) bool { return compareMarks(m, newest) < 0 })
}

func compareMarks(a, b Mark) int {
	return cmp.Or(a.Time.Latest.Compare(b.Time.Latest), b.Time.Earliest.Compare(a.Time.Earliest))
}

// Place is the region and time zone of a MarkLocation; either may be empty.
func (m Mark) Place() (region, zone string) {
	region, zone, _ = strings.Cut(m.Value, " ")
	return region, zone
}

// Locations gives the newest location of each basis, ordered by basis: several of
// one if they are of the same time.
func (v View) Locations() []Mark { return v.byBasis(MarkLocation) }

// Areas gives the newest area of each basis, ordered by basis, but for those the
// person has since moved away from: a later location of that basis is elsewhere.
func (v View) Areas() []Mark {
	places := v.Locations()
	return slices.DeleteFunc(v.byBasis(MarkArea), func(area Mark) bool {
		return slices.ContainsFunc(places, func(p Mark) bool {
			region, _ := p.Place()
			return p.Basis == area.Basis && compareMarks(p, area) > 0 && region != "" && !within(area.Value, region)
		})
	})
}

// within tells whether an area lies in a region: US-NY-061 in US-NY and in US.
func within(area, region string) bool { return area == region || strings.HasPrefix(area, region+"-") }

func (v View) byBasis(kind string) (out []Mark) {
	all := v.marks(kind)
	slices.SortStableFunc(all, func(a, b Mark) int { return strings.Compare(a.Basis, b.Basis) })
	for len(all) > 0 {
		end := 1
		for end < len(all) && all[end].Basis == all[0].Basis {
			end++
		}
		out = append(out, newestOnly(slices.Clone(all[:end]))...)
		all = all[end:]
	}
	return out
}

// Lines a number may be, as a check or a port names them.
var lines = []string{"landline", "wireless", "voip", "toll_free", "fax"}

// Line gives the kind of line at an instant, and since when it is known to be so:
// what the newest check or port by then says. It is not known if nothing is, if
// the word is none of ours, or if another kind may have been found as late. A check
// does not make a landline of what was once found to be something else: only a port
// does, and many look-ups know the kind a number was born with and not its ports.
func (v View) Line(at time.Time) (line string, since Span, known bool) {
	all := append(v.marks(MarkLineType), v.marks(MarkPorted)...)
	m, known := certain(slices.Clone(all), at)
	if !known || !slices.Contains(lines, m.Value) || m.Value == "landline" && m.Kind == MarkLineType && leftTheWire(all, at) {
		return "", Span{}, false
	}
	return m.Value, m.Time, true
}

// leftTheWire tells whether a line can have been another kind than a landline by an
// instant without a later port that made it one.
func leftTheWire(all []Mark, at time.Time) bool {
	return slices.ContainsFunc(all, func(m Mark) bool {
		return m.Value != "landline" && !m.Time.Earliest.After(at) && !slices.ContainsFunc(all, func(p Mark) bool {
			return p.Kind == MarkPorted && p.Value == "landline" && !p.Time.Latest.After(at) && p.Time.Earliest.After(m.Time.Latest)
		})
	})
}

// Subscriber gives what the subscriber is at an instant: individual, sole_trader
// or corporate. It is not known if nothing is, if another class may have been
// found as late, or if the number has since been found in other hands.
func (v View) Subscriber(at time.Time) (class string, known bool) {
	m, known := certain(v.marks(MarkSubscriberClass), at)
	if !known || m.Value == "unspecified" || v.otherHands(m.Time.Earliest.UnixNano()) {
		return "", false
	}
	return m.Value, true
}

// certain gives the newest mark that had happened for sure by an instant; known
// is false if one of another value can have happened as late by then.
func certain(all []Mark, at time.Time) (newest Mark, known bool) {
	all = slices.DeleteFunc(all, func(m Mark) bool { return m.Time.Earliest.After(at) })
	if len(all) == 0 {
		return Mark{}, false
	}
	newest = slices.MaxFunc(all, compareMarks)
	if newest.Time.Latest.After(at) {
		return Mark{}, false
	}
	return newest, !slices.ContainsFunc(all, func(m Mark) bool {
		return m.Value != newest.Value && !m.Time.Latest.Before(newest.Time.Earliest)
	})
}

// voids tells whether a mark of a kind ends what the number's holder agreed to: it
// has another holder, or was given up and will get one.
func voids(kind string) bool {
	return kind == MarkReassigned || kind == MarkWrongParty || kind == MarkDisconnected
}

// otherHands tells whether the number was found in other hands at an instant or later.
func (v View) otherHands(since int64) bool {
	for _, s := range v.halves() {
		for _, m := range s.GetMarks() {
			if voids(m.GetKind()) && m.GetTime().GetLatest() >= since {
				return true
			}
		}
	}
	return false
}
