package rules_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/consent-ledger/consent-ledger/projections/rules"
	"github.com/consent-ledger/consent-ledger/projections/rules/places"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// homes are places whose rules about time differ most.
var homes = [][]places.Place{
	at("US-CA", "America/Los_Angeles"),
	at("US-FL", "America/New_York", "America/Chicago"),
	at("US-MS", "America/Chicago"),
	at("US-PA", "America/New_York"),
	at("US-UT", "America/Denver"),
	at("US-RI", "America/New_York"),
	at("US-TX", "America/Chicago", "America/Denver"),
	at("US-OR", "America/Los_Angeles"),
	at("US-LA", "America/Chicago"),
	at("US-NY", "America/New_York"),
	at("US-IN", "America/Indiana/Indianapolis", "America/Chicago"),
	at("US", "America/Phoenix", "America/Denver"),
	at("CA-ON", "America/Toronto"),
	at("CA", "America/St_Johns"),
	at("FR", "Europe/Paris"),
	at("RE", "Indian/Reunion"),
	at("GB", "Europe/London"),
	at("ES", "Europe/Madrid", "Atlantic/Canary"),
	at("IT", "Europe/Rome"),
	at("IN", "Asia/Kolkata"),
	at("AU-NSW", "Australia/Sydney", "Australia/Lord_Howe"),
	at("NL", "Europe/Amsterdam"),
	at("JP", "Asia/Tokyo"),
	{{Region: "US-CA"}},
	nil,
}

// scene draws a question about somebody of whom much is known. Only what has
// happened by now is known, though a fact of which only the day is known may count
// from its end.
func scene(t *rapid.T) (rules.Input, []*consentv1.Fact) {
	asked := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	if rapid.Bool().Draw(t, "near a change of the law") {
		asked = rapid.SampledFrom([]time.Time{
			time.Date(2026, 8, 9, 0, 0, 0, 0, time.UTC), time.Date(2026, 10, 16, 0, 0, 0, 0, time.UTC), time.Date(2026, 6, 29, 0, 0, 0, 0, time.UTC),
			time.Date(2025, 12, 30, 0, 0, 0, 0, time.UTC), time.Date(2026, 10, 31, 0, 0, 0, 0, time.UTC), time.Date(2026, 3, 7, 0, 0, 0, 0, time.UTC),
		}).Draw(t, "day")
	}
	asked = asked.Add(time.Duration(rapid.IntRange(0, 5*24*60).Draw(t, "minute")) * time.Minute)
	channel := rapid.SampledFrom([]consentv1.Channel{live, live, sms, smsATDS, recorded, consentv1.Channel_CHANNEL_VOICE_ATDS}).Draw(t, "channel")
	purpose := rapid.SampledFrom([]consentv1.Purpose{marketing, marketing, marketing, informing, consentv1.Purpose_PURPOSE_CHARITY, consentv1.Purpose_PURPOSE_SURVEY}).Draw(t, "purpose")
	before := func(name string, days int) time.Time {
		return asked.Add(-time.Duration(rapid.IntRange(0, days*24).Draw(t, name)) * time.Hour)
	}
	var facts []*consentv1.Fact
	for range rapid.IntRange(0, 5).Draw(t, "facts") {
		facts = append(facts, something(t, before, channel, purpose))
	}
	in := rules.Input{Seller: "acme", Channel: channel, Purpose: purpose, At: asked, View: person(facts...), AttemptsKnown: true,
		Places:  rapid.SampledFrom(homes).Draw(t, "home"),
		Subject: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "subject"),
		Sector:  rapid.SampledFrom([]string{"", "", "energy_renovation", "claims_management"}).Draw(t, "sector")}
	for _, list := range []string{"us_national_dnc", "us_tx_no_call", "us_in_telephone_privacy", "ca_national_dncl", "fr_bloctel", "uk_tps", "uk_ctps", "it_rpo", "au_dncr"} {
		if rapid.IntRange(0, 5).Draw(t, list) > 0 {
			a := rules.RegistryAnswer{Registry: list, Loaded: true, VersionDate: before("version", 40).Format(time.DateOnly)}
			if a.Listed = rapid.IntRange(0, 4).Draw(t, "listed") == 0; a.Listed {
				a.Since = before("since", 100).Format(time.DateOnly)
			}
			in.Registries = append(in.Registries, a)
		}
	}
	for range rapid.IntRange(0, 5).Draw(t, "attempts") {
		in.Attempts = append(in.Attempts, rules.Attempt{At: before("attempt", 3), Channel: channel, Purpose: purpose, Subject: rapid.SampledFrom([]string{"", "a"}).Draw(t, "of")})
	}
	slices.SortFunc(in.Attempts, func(a, b rules.Attempt) int { return b.At.Compare(a.At) })
	if rapid.IntRange(0, 3).Draw(t, "emergency") == 0 {
		in.Emergencies = []rules.Emergency{{Area: rapid.SampledFrom([]string{"US-LA", "US-NY-061"}).Draw(t, "area"), From: asked.Add(time.Duration(rapid.IntRange(-48, 48).Draw(t, "from")) * time.Hour),
			Until: asked.Add(time.Duration(rapid.IntRange(49, 200).Draw(t, "until")) * time.Hour)}}
	}
	return in, facts
}

// something is one fact about the person.
func something(t *rapid.T, before func(string, int) time.Time, c consentv1.Channel, p consentv1.Purpose) *consentv1.Fact {
	dayLong := func(f *consentv1.Fact) *consentv1.Fact {
		if rapid.IntRange(0, 3).Draw(t, "only the day is known") == 0 {
			f.Latest = timestamppb.New(f.GetEarliest().AsTime().Add(24 * time.Hour))
		}
		return f
	}
	relation := func(kind consentv1.RelationshipKind, phase consentv1.RelationshipPhase, days int) *consentv1.Fact {
		yes := true
		return dayLong(dated(before("relation", days), &consentv1.Fact{Kind: &consentv1.Fact_RelationshipRecorded{RelationshipRecorded: &consentv1.RelationshipRecorded{
			Relationship: kind, Phase: phase, OfferRelated: &yes, Customer: &yes, SimilarProducts: &yes, DetailsCollectedInSale: &yes, OptOutOffered: &yes, OptOutInEveryMessage: &yes}}}))
	}
	const start, end = consentv1.RelationshipPhase_RELATIONSHIP_PHASE_START, consentv1.RelationshipPhase_RELATIONSHIP_PHASE_END
	const contract = consentv1.RelationshipKind_RELATIONSHIP_KIND_CONTRACT
	switch rapid.IntRange(0, 15).Draw(t, "fact") {
	case 0:
		return dayLong(dnc(before("dnc", 1200)))
	case 1:
		return dated(before("refused", 70), &consentv1.Fact{Kind: &consentv1.Fact_ConsentRefused{ConsentRefused: &consentv1.ConsentRefused{Scope: scope(everyMedium, everyCell)}}})
	case 2:
		return relation(consentv1.RelationshipKind_RELATIONSHIP_KIND_PURCHASE, start, 560)
	case 3:
		return relation(consentv1.RelationshipKind_RELATIONSHIP_KIND_INQUIRY, start, 190)
	case 4:
		return relation(contract, start, 600)
	case 5:
		return relation(contract, end, 40)
	case 6:
		return dated(before("agreed", 20), &consentv1.Fact{Kind: &consentv1.Fact_TimeConsent{TimeConsent: &consentv1.TimeConsent{Weekdays: []uint32{7},
			Windows: []*consentv1.TimeWindow{{Weekdays: []uint32{1, 3}, FromMinute: 1200, ToMinute: 1290}}, Holidays: rapid.Bool().Draw(t, "holidays")}}})
	case 7:
		return dated(before("wish", 20), &consentv1.Fact{Kind: &consentv1.Fact_PreferenceSet{PreferenceSet: &consentv1.PreferenceSet{
			Windows: []*consentv1.TimeWindow{{FromMinute: 90, ToMinute: 700}, {Weekdays: []uint32{2}, FromMinute: 800, ToMinute: 1000}}}}})
	case 8:
		return dated(before("ncpr", 20), &consentv1.Fact{Sellers: []string{"all"}, Kind: &consentv1.Fact_PreferenceSet{PreferenceSet: &consentv1.PreferenceSet{Registry: "in_ncpr",
			Blocked: rapid.Bool().Draw(t, "blocked"), Windows: []*consentv1.TimeWindow{{FromMinute: 615, ToMinute: 720}}}}})
	case 9:
		return dated(before("often", 20), &consentv1.Fact{Kind: &consentv1.Fact_PreferenceSet{PreferenceSet: &consentv1.PreferenceSet{FrequencyMax: 2, FrequencyDays: 2}}})
	case 10:
		return dayLong(stop(before("stop", 90)))
	case 11:
		return erased(before("erased", 90))
	case 12:
		line := rapid.SampledFrom([]string{"landline", "wireless"}).Draw(t, "line")
		return dayLong(dated(before("checked", 90), &consentv1.Fact{Kind: &consentv1.Fact_LineTypeChecked{LineTypeChecked: &consentv1.LineTypeChecked{Line: line}}}))
	default:
		level := rapid.SampledFrom([]string{"express_written", "express", "consent", "implied"}).Draw(t, "level")
		g := dayLong(grant(before("grant", 100), level, c, p))
		if rapid.Bool().Draw(t, "ends") {
			until(g, g.GetEarliest().AsTime().Add(time.Duration(rapid.IntRange(1, 110*24).Draw(t, "for"))*time.Hour))
		}
		if rapid.Bool().Draw(t, "nothing is held") {
			g.GetConsentGranted().Evidence = &consentv1.Evidence{Undocumented: rapid.Bool().Draw(t, "and declared so")}
		}
		if rapid.Bool().Draw(t, "confirmed") {
			return confirmed(g)
		}
		return g
	}
}

func allows(in rules.Input, packs *rules.Packs, at time.Time) bool {
	in.At = at
	return rules.Decide(in, packs).GetVerdict() == consentv1.Verdict_VERDICT_ALLOW
}

// moments are instants after one and before another at which an answer is likely to
// change: quarters of an hour of the first days, then hours, each with the
// nanosecond before and after; and some drawn at random.
func moments(t *rapid.T, from, to time.Time) (out []time.Time) {
	add := func(at time.Time) {
		if at.After(from) && at.Before(to) {
			out = append(out, at)
		}
	}
	step := 15 * time.Minute
	for at := from.Truncate(step); at.Before(to); at = at.Add(step) {
		if at.Sub(from) > 3*24*time.Hour {
			step = time.Hour
		}
		if at.Sub(from) > 20*24*time.Hour {
			step = 7 * time.Hour
		}
		for _, near := range []time.Duration{-1, 0, 1} {
			add(at.Add(near))
		}
		if len(out) > 2500 {
			break
		}
	}
	for i := range 20 {
		add(from.Add(time.Duration(rapid.Int64Range(0, int64(to.Sub(from))).Draw(t, fmt.Sprint("moment ", i)))))
	}
	add(to.Add(-1))
	return out
}

// TestNextAllowedAtIsTheFirst: no earlier instant allows, and that one does. Where
// none is given, none is found.
func TestNextAllowedAtIsTheFirst(t *testing.T) {
	packs := baseline(t)
	rapid.Check(t, func(t *rapid.T) {
		in, _ := scene(t)
		d := rules.Decide(in, packs)
		if d.GetVerdict() == consentv1.Verdict_VERDICT_ALLOW {
			return
		}
		if d.GetNextAllowedAt() == nil {
			for _, at := range moments(t, in.At, in.At.AddDate(0, 0, 70)) {
				if allows(in, packs, at) {
					t.Fatalf("%v gives no end, and is allowed at %v", codes(d), at)
				}
			}
			return
		}
		next := d.GetNextAllowedAt().AsTime()
		if !next.After(in.At) {
			t.Fatalf("%v is allowed again at %v, which has passed at %v", codes(d), next, in.At)
		}
		if !allows(in, packs, next) {
			t.Fatalf("%v says %v, which does not allow", codes(d), next)
		}
		for _, at := range moments(t, in.At, next) {
			if allows(in, packs, at) {
				t.Fatalf("%v says %v, and is allowed at %v already", codes(d), next, at)
			}
		}
	})
}

// TestValidUntilHolds: nothing changes before it; without it, nothing changes.
func TestValidUntilHolds(t *testing.T) {
	packs := baseline(t)
	rapid.Check(t, func(t *rapid.T) {
		in, _ := scene(t)
		d := rules.Decide(in, packs)
		if d.GetVerdict() != consentv1.Verdict_VERDICT_ALLOW {
			return
		}
		end := in.At.AddDate(0, 0, 70)
		if d.GetValidUntil() != nil {
			if end = d.GetValidUntil().AsTime(); !end.After(in.At) {
				t.Fatalf("%v holds until %v, which has passed at %v", codes(d), end, in.At)
			}
		}
		for _, at := range moments(t, in.At, end) {
			if !allows(in, packs, at) {
				t.Fatalf("%v holds until %v, and is not allowed at %v", codes(d), end, at)
			}
		}
	})
}

const harderPack = `id: zz-harder
version: "1"
title: More demands
about: For the test.
layer: seller
seller: acme
known_as_of: 2026-11-23
window:
  - {id: hours, says: Mornings., citation: None, confidence: secondary, effective_from: always, channels: [all], purposes: [marketing], hours: [{days: mon-fri, from: "09:00", to: "12:00"}]}
cap:
  - {id: cap, says: One a week., citation: None, confidence: secondary, effective_from: always, channels: [all], purposes: [marketing, informational], max: 1, within_days: 7, per: seller}
consent:
  - {id: consent, says: Consent., citation: None, confidence: secondary, effective_from: 2026-10-01, channels: [voice], purposes: [all], levels: [express, express_written], lifted_by: [{relationship: purchase}]}
`

// TestMoreDoubtNeverAllows: a request to stop, a listing, a stricter pack, an unknown
// zone or one more candidate place never turns BLOCK into ALLOW.
func TestMoreDoubtNeverAllows(t *testing.T) {
	packs := baseline(t)
	p, err := rules.Parse("zz-harder.yaml", []byte(harderPack))
	if err != nil {
		t.Fatal(err)
	}
	harder, err := rules.New(append(slices.Clone(packs.All()), p)...)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		in, facts := scene(t)
		d := rules.Decide(in, packs)
		wellFormed(t, d)
		if d.GetVerdict() == consentv1.Verdict_VERDICT_ALLOW || in.Places == nil { // no place is all doubt there is
			return
		}
		with, what := packs, rapid.IntRange(0, 6).Draw(t, "doubt")
		switch what {
		case 0:
			in.View = person(append(slices.Clone(facts), stop(in.At.Add(-time.Hour)))...)
		case 1:
			in.View = person(append(slices.Clone(facts), dnc(in.At.Add(-time.Hour)))...)
		case 2:
			with = harder
		case 3:
			in.Places = append(slices.Clone(in.Places), places.Place{Region: "US-TX"})
		case 4:
			in.Places = append(slices.Clone(in.Places), rapid.SampledFrom(homes[:len(homes)-2]).Draw(t, "other")...)
		case 5:
			in.AttemptsKnown = false
		case 6:
			in.Registries = nil
		}
		if rules.Decide(in, with).GetVerdict() == consentv1.Verdict_VERDICT_ALLOW {
			t.Fatalf("doubt %d turned BLOCK %v into ALLOW", what, codes(d))
		}
	})
}
