package suppression_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/consent-ledger/consent-ledger/projections/suppression"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

const (
	individual, soleTrader, corporate = consentv1.SubscriberKind_SUBSCRIBER_KIND_INDIVIDUAL, consentv1.SubscriberKind_SUBSCRIBER_KIND_SOLE_TRADER,
		consentv1.SubscriberKind_SUBSCRIBER_KIND_CORPORATE
	purchase, contract = consentv1.RelationshipKind_RELATIONSHIP_KIND_PURCHASE, consentv1.RelationshipKind_RELATIONSHIP_KIND_CONTRACT
	start, end         = consentv1.RelationshipPhase_RELATIONSHIP_PHASE_START, consentv1.RelationshipPhase_RELATIONSHIP_PHASE_END
)

func TestLine(t *testing.T) {
	for _, c := range []struct {
		name  string
		facts inputs
		at    int
		want  string // empty: not known
	}{
		{"nothing", nil, 100, ""},
		{"a check", inputs{on(1, line("landline"))}, 100, "landline"},
		{"before the check", inputs{on(2, line("landline"))}, 1, ""},
		{"a port makes it wireless", inputs{on(1, line("landline")), on(9, ported("wireless"))}, 100, "wireless"},
		{"until then it was a landline", inputs{on(1, line("landline")), on(9, ported("wireless"))}, 8, "landline"},
		{"a check may come to that afterwards", inputs{on(1, line("landline")), on(9, ported("wireless")), on(10, line("wireless"))}, 8, "landline"},
		{"two kinds at one time", inputs{on(3, line("landline")), on(3, ported("wireless"))}, 100, ""},
		{"a port on some day of the check's", inputs{on(3, line("landline"), between(3, 5)), on(4, ported("wireless"))}, 100, ""},
		{"the same kind twice", inputs{on(3, line("wireless"), between(3, 5)), on(4, ported("wireless"))}, 100, "wireless"},
		{"perhaps not yet", inputs{on(3, line("landline"), between(3, 5))}, 4, ""},
		{"a look-up that does not know of the port", inputs{on(1, line("landline")), on(9, ported("wireless")), on(12, line("landline"))}, 100, ""},
		{"two look-ups, the newer says wireless", inputs{on(1, line("landline")), on(9, line("wireless"))}, 100, "wireless"},
		{"two look-ups, the newer says landline", inputs{on(1, line("wireless")), on(9, line("landline"))}, 100, ""},
		{"ported back", inputs{on(1, ported("wireless")), on(9, ported("landline")), on(12, line("landline"))}, 100, "landline"},
		{"ported back by itself", inputs{on(1, line("wireless")), on(9, ported("landline"))}, 100, "landline"},
		{"ported back, and found wireless again", inputs{on(1, ported("landline")), on(9, line("wireless")), on(12, line("landline"))}, 100, ""},
		{"perhaps ported back before it was wireless", inputs{on(3, ported("landline"), between(3, 6)), on(5, line("wireless")), on(12, line("landline"))}, 100, ""},
		{"a word of somebody else's", inputs{on(3, line("satellite"))}, 100, ""},
		{"told of another seller", inputs{on(3, line("landline"), forSellers("zed"))}, 100, ""},
		{"told of all", inputs{on(3, line("landline"), forNobody)}, 100, "landline"},
	} {
		if got, since, known := view(c.facts...).Line(day(c.at)); got != c.want || known != (c.want != "") || known && since.Latest.After(day(c.at)) {
			t.Errorf("%s: got %q %v %v, want %q", c.name, got, since, known, c.want)
		}
	}
}

func TestSubscriber(t *testing.T) {
	for _, c := range []struct {
		name  string
		facts inputs
		want  string
	}{
		{"nothing", nil, ""},
		{"a company", inputs{on(1, subscriber(corporate))}, "corporate"},
		{"a person since", inputs{on(1, subscriber(corporate)), on(2, subscriber(individual))}, "individual"},
		{"a person perhaps since", inputs{on(2, subscriber(corporate), between(2, 4)), on(3, subscriber(soleTrader))}, ""},
		{"both", inputs{on(2, subscriber(corporate)), on(2, subscriber(individual))}, ""},
		{"of another holder", inputs{on(2, subscriber(corporate)), on(3, reassigned(consentv1.QueryResult_QUERY_RESULT_YES))}, ""},
		{"of this holder", inputs{on(4, subscriber(corporate)), on(3, reassigned(consentv1.QueryResult_QUERY_RESULT_YES))}, "corporate"},
		{"whoever is named as seller", inputs{on(2, subscriber(corporate), forNobody)}, "corporate"},
	} {
		if got, known := view(c.facts...).Subscriber(day(100)); got != c.want || known != (c.want != "") {
			t.Errorf("%s: got %q %v, want %q", c.name, got, known, c.want)
		}
	}
}

func TestPlaces(t *testing.T) {
	at := func(region, zone, basis, area string) *consentv1.Fact {
		return &consentv1.Fact{Kind: &consentv1.Fact_LocationRecorded{LocationRecorded: &consentv1.LocationRecorded{
			Region: region, TimeZone: zone, Basis: basis, Area: area}}}
	}
	for _, c := range []struct {
		name          string
		facts         inputs
		places, areas string
	}{
		{"nothing", nil, "[]", "[]"},
		{"one of each basis", inputs{on(1, at("US-TX", "America/Chicago", "address", "")), on(2, at("US-NY", "", "person", "")), on(3, at("US", "", "person", ""))},
			"[address:US-TX America/Chicago person:US ]", "[]"},
		{"two of one time", inputs{on(2, at("US-NY", "", "person", "")), on(2, at("US-LA", "", "person", ""), forNobody)}, "[person:US-NY  person:US-LA ]", "[]"},
		{"an area beside the address", inputs{on(1, at("US-NY", "America/New_York", "address", "")), on(2, at("", "", "address", "US-NY-061"))},
			"[address:US-NY America/New_York]", "[address:US-NY-061]"},
		{"an area in the region", inputs{on(1, at("US-NY-061", "", "address", ""))}, "[address:US-NY ]", "[address:US-NY-061]"},
		{"moved away", inputs{on(1, at("US-NY-061", "", "address", "")), on(2, at("US-LA", "", "address", ""))}, "[address:US-LA ]", "[]"},
		{"seen there again", inputs{on(1, at("US-NY-061", "", "address", "")), on(2, at("US-NY", "", "address", ""))}, "[address:US-NY ]", "[address:US-NY-061]"},
		{"told on another basis", inputs{on(1, at("US-NY-061", "", "person", "")), on(2, at("US-LA", "", "address", ""))},
			"[address:US-LA  person:US-NY ]", "[person:US-NY-061]"},
	} {
		v := view(c.facts...)
		text := func(marks []suppression.Mark) string {
			var out []string
			for _, m := range marks {
				out = append(out, m.Basis+":"+m.Value)
			}
			return fmt.Sprint(out)
		}
		if got := text(v.Locations()); got != c.places {
			t.Errorf("%s: places %s, want %s", c.name, got, c.places)
		}
		if got := text(v.Areas()); got != c.areas {
			t.Errorf("%s: areas %s, want %s", c.name, got, c.areas)
		}
	}
}

// TestEndsOfRelationships: a window after the end counts from the first end after
// the beginning, and where that is not known from the beginning.
func TestEndsOfRelationships(t *testing.T) {
	related := func(n int, p consentv1.RelationshipPhase, flags ...*bool) suppression.Input {
		f := related(contract, p)
		if len(flags) > 0 {
			f.GetRelationshipRecorded().OfferRelated = flags[0]
		}
		return on(n, f)
	}
	var often inputs
	for n := 11; n < 60; n++ {
		often = append(often, related(n, end))
	}
	for _, c := range []struct {
		name  string
		facts inputs
		want  []string // day it began, day it ended
	}{
		{"runs", inputs{related(1, start)}, []string{"1"}},
		{"ended", inputs{related(1, start), related(5, end)}, []string{"1-5"}},
		{"its end was told twice", inputs{related(1, start), related(5, end), related(9, end)}, []string{"1-5"}},
		{"of another time", inputs{related(7, start), related(5, end)}, []string{"7"}},
		{"another began", inputs{related(1, start), related(5, end), related(7, start)}, []string{"7"}},
		{"another with other flags", inputs{related(1, start, yes()), related(5, end), related(7, start)}, []string{"7", "1-5"}},
		{"so often that the first is forgotten", append(inputs{related(1, start)}, often...), []string{"1-1"}},
		{"and yet known", append(inputs{related(30, start)}, often...), []string{"30-30"}},
	} {
		var got []string
		for _, r := range view(c.facts...).AllRelationships(day(100)) {
			days := func(t time.Time) int { return int(t.Sub(day(0)).Hours()) / 24 }
			text := fmt.Sprint(days(r.Since.Earliest))
			if r.Ended != (suppression.Span{}) {
				text += fmt.Sprintf("-%d", days(r.Ended.Earliest))
			}
			if r.Running() == (r.Ended != suppression.Span{}) {
				t.Errorf("%s: running and ended", c.name)
			}
			got = append(got, text)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s:\n%s", c.name, diff)
		}
	}
}

func TestFlagsOfRelationships(t *testing.T) {
	f := &consentv1.RelationshipRecorded{Relationship: purchase, OfferRelated: yes(), SimilarProducts: new(bool), DetailsCollectedInSale: yes(),
		OptOutInEveryMessage: yes(), Customer: new(bool)}
	got := view(on(1, &consentv1.Fact{Kind: &consentv1.Fact_RelationshipRecorded{RelationshipRecorded: f}}), on(2, reassigned(1))).AllRelationships(day(100))
	want := suppression.Flags{OfferRelated: yes(), SimilarProducts: new(bool), DetailsCollectedInSale: yes(), OptOutInEveryMessage: yes(), Customer: new(bool)}
	if len(got) != 1 || !got[0].Void || got[0].Kind != purchase {
		t.Fatalf("got %+v", got)
	}
	if diff := cmp.Diff(want, got[0].Flags); diff != "" {
		t.Error(diff)
	}
}

func TestLastStop(t *testing.T) {
	v := view(on(1, revoked()), on(2, dncAdded()), on(3, dncRemoved()), on(4, granted()), on(5, invalidated()))
	if p, found := v.LastStop(asked()); !found || p.Kind != suppression.KindDnc || !p.Time.Latest.Equal(day(2)) {
		t.Errorf("got %+v %v", p, found)
	}
	if _, found := view(on(1, revoked(), programmes("club"))).LastStop(asked(programme("news"))); found {
		t.Error("a stop of another programme")
	}
}

func TestTimeConsents(t *testing.T) {
	for name, c := range map[string]struct {
		facts inputs
		want  int
	}{
		"one":                        {inputs{on(1, timesAgreed(7))}, 1},
		"a newer one replaces it":    {inputs{on(1, timesAgreed(7)), on(2, timesAgreed(6))}, 1},
		"of this seller and of all":  {inputs{on(1, timesAgreed(7)), on(2, timesAgreed(6), forSellers("all"))}, 2},
		"to nobody in particular":    {inputs{on(1, timesAgreed(7), forNobody)}, 0},
		"not yet":                    {inputs{on(101, timesAgreed(7))}, 0},
		"a stop after it":            {inputs{on(1, timesAgreed(7)), on(2, revoked())}, 0},
		"a stop of the same time":    {inputs{on(2, timesAgreed(7)), on(2, revoked())}, 0},
		"a stop before it":           {inputs{on(3, timesAgreed(7)), on(2, revoked())}, 1},
		"an addition to the list":    {inputs{on(1, timesAgreed(7)), on(2, dncAdded())}, 0},
		"the number in other hands":  {inputs{on(1, timesAgreed(7)), on(2, wrongParty())}, 0},
		"an erasure takes it":        {inputs{on(1, timesAgreed(7)), on(2, erased(), forNobody)}, 0},
		"a late one from before it":  {inputs{on(2, erased(), forNobody), on(1, timesAgreed(7))}, 0},
		"a stop of other programmes": {inputs{on(1, timesAgreed(7)), on(2, revoked(), programmes("club"))}, 0}, // asked without a programme
	} {
		if got := view(c.facts...).TimeConsents(asked()); len(got) != c.want {
			t.Errorf("%s: got %v, want %d", name, got, c.want)
		}
	}
}

func TestRegistryPreferences(t *testing.T) {
	sundays := func(f *consentv1.Fact) { f.GetPreferenceSet().Weekdays = []uint32{7, 7} }
	morning := func(f *consentv1.Fact) {
		f.GetPreferenceSet().Windows = []*consentv1.TimeWindow{{FromMinute: 600, ToMinute: 720}}
	}
	other := func(f *consentv1.Fact) { f.GetPreferenceSet().Registry = "in_other" }
	for _, c := range []struct {
		name  string
		facts inputs
		q     suppression.Question
		want  string
	}{
		{"nothing", nil, asked(), ""},
		{"all is blocked", inputs{on(1, registryPreference(true), forNobody)}, asked(), "block "},
		{"on Sundays", inputs{on(1, registryPreference(true), sundays)}, asked(), "block [7]"},
		{"a family", inputs{on(1, registryPreference(true, smsAtds))}, asked(), "block "},
		{"another channel", inputs{on(1, registryPreference(true, live))}, asked(), ""},
		{"another registry", inputs{on(1, registryPreference(true), other)}, asked(), ""},
		{"only in the morning", inputs{on(1, registryPreference(false), morning, forNobody)}, asked(), "allow 600"},
		{"unblocked", inputs{on(1, registryPreference(true)), on(2, registryPreference(false))}, asked(), ""},
		{"at the same time", inputs{on(2, registryPreference(true)), on(2, registryPreference(false))}, asked(), "block "},
		{"unblocked on that day", inputs{on(2, registryPreference(true)), on(1, registryPreference(false), between(1, 3))}, asked(), "block "},
		{"blocked again", inputs{on(1, registryPreference(true)), on(2, registryPreference(false)), on(3, registryPreference(true))}, asked(), "block "},
		{"unblocked for calls", inputs{on(1, registryPreference(true)), on(2, registryPreference(false, live))}, asked(), "block "},
		{"and allowed in the morning only", inputs{on(1, registryPreference(true)), on(2, registryPreference(false), morning)}, asked(), "allow 600"},
		{"unblocked tomorrow", inputs{on(1, registryPreference(true)), on(101, registryPreference(false))}, asked(), "block "},
		{"a newer block takes the place of an older one", inputs{on(1, registryPreference(true)), on(2, registryPreference(true), sundays)}, asked(), "block [7]"},
	} {
		got := ""
		for _, p := range view(c.facts...).RegistryPreferences("in_ncpr", c.q) {
			kind := "allow "
			if p.Blocked {
				kind = "block "
			}
			got += kind
			if len(p.Weekdays) > 0 {
				got += fmt.Sprint(p.Weekdays)
			}
			for _, w := range p.Windows {
				got += fmt.Sprint(w.GetFromMinute())
			}
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
	v := view(on(1, registryPreference(true)))
	if p := v.Preferences(); len(p.Windows)+len(p.Frequencies)+len(p.Languages) > 0 {
		t.Errorf("a registry's preference counts as the person's own: %+v", p)
	}
}

func TestPartyDnc(t *testing.T) {
	const one, two = "party one 16 byt", "party two 16 byt"
	stop := on(5, dncAdded(), party(one))
	for _, c := range []struct {
		name   string
		number inputs // about the number asked about
		other  inputs // about another number
		want   bool
	}{
		{"a stop about the other number", inputs{on(1, partyNumber(), party(one))}, inputs{stop}, true},
		{"a revocation", inputs{on(1, partyNumber(), party(one))}, inputs{on(5, revoked(), party(one))}, true},
		{"a stop by text", inputs{on(1, partyNumber(), party(one))}, inputs{on(5, message(consentv1.MessageClass_MESSAGE_CLASS_STOP), party(one))}, true},
		{"a party of two", inputs{on(1, partyNumber(), party(two)), on(2, partyNumber(), party(one))}, inputs{stop}, true},
		{"a stop that does not name the party", inputs{on(1, partyNumber(), party(one))}, inputs{on(1, partyNumber(), party(one)), on(5, revoked())}, true},
		{"removed for that number", inputs{on(1, partyNumber(), party(one))},
			inputs{on(1, partyNumber(), party(one)), on(5, dncAdded()), on(6, dncRemoved())}, false},
		{"removed for that number alone", inputs{on(1, partyNumber(), party(one))}, inputs{stop, on(6, dncRemoved())}, true},
		{"another seller's", inputs{on(1, partyNumber(), party(one))}, inputs{on(5, dncAdded(), party(one), forSellers("zed"))}, false},
		{"any fact that names the party ties the number to it", inputs{on(1, granted(), party(one))}, inputs{stop}, true},
		{"the tie may come later", inputs{on(9, partyNumber(), party(one))}, inputs{stop}, true},
		{"no party", inputs{on(1, granted())}, inputs{stop}, false},
		{"removed since", inputs{on(1, partyNumber(), party(one))}, inputs{stop, on(6, dncRemoved(), party(one))}, false},
		{"removed for this number", inputs{on(1, partyNumber(), party(one)), on(6, dncRemoved())}, inputs{stop}, false},
		{"removed before", inputs{on(1, partyNumber(), party(one)), on(4, dncRemoved())}, inputs{stop}, true},
		{"a grant since", inputs{on(1, partyNumber(), party(one)), on(6, granted())}, inputs{stop}, false},
		{"a grant before", inputs{on(1, partyNumber(), party(one)), on(4, granted())}, inputs{stop}, true},
		{"a grant about the other number", inputs{on(1, partyNumber(), party(one))}, inputs{stop, on(6, granted(), party(one))}, true},
		{"an invalidated grant is no stop", inputs{on(1, partyNumber(), party(one))}, inputs{on(5, invalidated(), party(one))}, false},
		{"kept", inputs{on(1, partyNumber(), party(one))}, inputs{on(5, revoked(), party(one)), on(6, answered(5, "all"), party(one))}, false},
		{"the number's person was erased", inputs{on(1, partyNumber(), party(one)), on(2, erased(), forNobody)}, inputs{stop}, false},
	} {
		v := view(c.number...)
		v.Party, v.PartyLoaded = partyStates(v, append(c.other, c.number...)), true
		if len(v.Parties()) > 0 {
			v.PartyNumbers = []suppression.View{view(c.other...)}
		}
		if got, found := v.PartyDnc(asked(), suppression.Need{}, true); found != c.want {
			t.Errorf("%s: got %+v %v", c.name, got, found)
		}
	}
}
