package rules_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/consent-ledger/consent-ledger/ledger/zones"
	"github.com/consent-ledger/consent-ledger/projections/rules"
	"github.com/consent-ledger/consent-ledger/projections/rules/places"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

func TestDecide(t *testing.T) {
	packs := baseline(t)
	day := 24 * time.Hour
	windows := func(w ...*consentv1.TimeWindow) *consentv1.Fact {
		return dated(now.Add(-day), &consentv1.Fact{Kind: &consentv1.Fact_PreferenceSet{PreferenceSet: &consentv1.PreferenceSet{Windows: w}}})
	}
	written := func() *consentv1.Fact { return grant(now.Add(-30*day), "express_written", smsATDS, marketing) }
	shownBy := func(e *consentv1.Evidence) *consentv1.Fact {
		g := written()
		g.GetConsentGranted().Evidence = e
		return g
	}
	for _, tc := range []struct {
		name   string
		in     rules.Input
		change func(*rules.Input)
		want   []string // all reasons, strictest first
	}{
		{name: "allowed", in: ask(live, marketing), want: []string{"OK_NOT_LISTED"}},
		{name: "no instant", in: ask(live, marketing), change: func(in *rules.Input) { in.At = time.Time{} }, want: []string{"CONSENT_MISSING"}},
		{name: "no channel", in: ask(consentv1.Channel_CHANNEL_UNSPECIFIED, emergency), want: []string{"CONSENT_MISSING"}},
		{name: "every channel", in: ask(everyMedium, emergency), want: []string{"CONSENT_MISSING"}},
		{name: "every purpose", in: ask(live, everyCell), want: []string{"CONSENT_MISSING"}},
		{name: "a channel of tomorrow", in: ask(99, emergency), want: []string{"CONSENT_MISSING"}},
		{name: "a cell without a rule", in: ask(live, consentv1.Purpose_PURPOSE_OPT_OUT_CONFIRMATION), want: []string{"CONSENT_MISSING"}},
		{name: "no place", in: ask(live, marketing), change: func(in *rules.Input) { in.Places = nil }, want: []string{"CONSENT_MISSING"}},
		{name: "paused", in: ask(live, marketing), change: func(in *rules.Input) { in.Paused = true }, want: []string{"CONTACT_PAUSED"}},
		{name: "paused holds back an emergency", in: ask(live, emergency), change: func(in *rules.Input) { in.Paused = true }, want: []string{"CONTACT_PAUSED"}},
		{name: "every reason", in: ask(live, marketing, stop(now.Add(-day)), dnc(now.Add(-day))),
			change: func(in *rules.Input) {
				in.Paused = true
				in.Registries[0].Listed, in.Registries[0].VersionDate = true, "2026-01-01"
			},
			want: []string{"CONTACT_PAUSED", "CONSENT_REVOKED", "COMPANY_DNC", "REGISTRY_LISTED", "REGISTRY_STALE"}},
		{name: "list of a later day", in: ask(live, marketing), change: func(in *rules.Input) { in.Registries[0].VersionDate = "2026-11-25" }, want: []string{"REGISTRY_STALE"}},
		{name: "list of tomorrow", in: ask(live, marketing), change: func(in *rules.Input) { in.Registries[0].VersionDate = "2026-11-24" }, want: []string{"OK_NOT_LISTED"}},
		{name: "list without a day", in: ask(live, marketing), change: func(in *rules.Input) { in.Registries[0].VersionDate = "soon" }, want: []string{"REGISTRY_STALE"}},
		{name: "answer that is not loaded", in: ask(live, marketing), change: func(in *rules.Input) { in.Registries[0].Loaded = false }, want: []string{"REGISTRY_STALE"}},
		{name: "31 days where the person is", in: ask(live, marketing), change: func(in *rules.Input) {
			in.At, in.Registries[0].VersionDate = now.Add(10*time.Hour), "2026-10-23" // still the 23rd
		}, want: []string{"OK_NOT_LISTED"}},
		{name: "erased", in: ask(live, informing, dated(now.Add(-day), &consentv1.Fact{Kind: &consentv1.Fact_PersonErased{PersonErased: &consentv1.PersonErased{}}})),
			want: []string{"ERASED_BLOCK"}},
		{name: "distrusted source", in: ask(smsATDS, marketing, written()), change: func(in *rules.Input) {
			in.Distrusted = func(source string) bool { return source == "web" }
		}, want: []string{"CONSENT_MISSING"}},
		{name: "trusted source", in: ask(smsATDS, marketing, written()), change: func(in *rules.Input) {
			in.Distrusted = func(source string) bool { return source == "fax" }
		}, want: []string{"OK_WRITTEN_CONSENT"}},
		{name: "invalidated", in: ask(smsATDS, marketing, written(), dated(now.Add(-day), &consentv1.Fact{Kind: &consentv1.Fact_ConsentInvalidated{
			ConsentInvalidated: &consentv1.ConsentInvalidated{Scope: scope(smsATDS, marketing)}}})), want: []string{"CONSENT_REVOKED"}},
		{name: "written, and nothing is said of evidence", in: ask(smsATDS, marketing, shownBy(nil)), want: []string{"OK_WRITTEN_CONSENT", "OK_EVIDENCE_NOT_HELD"}},
		{name: "written, and an older one is shown", in: ask(smsATDS, marketing, shownBy(nil), grant(now.Add(-60*day), "express_written", smsATDS, marketing)),
			want: []string{"OK_WRITTEN_CONSENT"}},
		{name: "written, and declared that nobody holds it", in: ask(smsATDS, marketing, shownBy(&consentv1.Evidence{Undocumented: true})),
			want: []string{"EVIDENCE_MISSING"}},
		{name: "and so on a list", in: ask(live, marketing, func() *consentv1.Fact {
			g := grant(now.Add(-30*day), "express_written", live, marketing)
			g.GetConsentGranted().Evidence = &consentv1.Evidence{Undocumented: true}
			return g
		}()), change: func(in *rules.Input) { in.Registries[0].Listed = true }, want: []string{"REGISTRY_LISTED", "EVIDENCE_MISSING"}},
		{name: "newer consent lifts a stop", in: ask(live, informing, stop(now.Add(-2*day)), grant(now.Add(-day), "express", live, informing)),
			want: []string{"OK_EXPRESS_CONSENT", "OK_EXEMPT"}},
		{name: "ticked beforehand", in: func() rules.Input {
			g := written()
			g.GetConsentGranted().Evidence.PreTicked = proto.Bool(true)
			return ask(smsATDS, marketing, g)
		}(), want: []string{"WORDING_INVALID"}},
		{name: "times wished, place unknown", in: ask(live, informing, windows(&consentv1.TimeWindow{FromMinute: 0, ToMinute: 1440})), change: func(in *rules.Input) { in.Places = nil }, want: []string{"PREFERENCE_WINDOW"}},
		{name: "times wished, inside everywhere", in: ask(live, informing, windows(&consentv1.TimeWindow{Weekdays: []uint32{1}, FromMinute: 600, ToMinute: 781})),
			change: func(in *rules.Input) { in.Places = at("US-CA", "America/Los_Angeles", "America/New_York") }, want: []string{"OK_EXEMPT"}}, // 10:00 and 13:00
		{name: "times wished, outside in one zone", in: ask(live, informing, windows(&consentv1.TimeWindow{Weekdays: []uint32{1}, FromMinute: 600, ToMinute: 780})),
			change: func(in *rules.Input) { in.Places = at("US-CA", "America/Los_Angeles", "America/New_York") }, want: []string{"PREFERENCE_WINDOW"}},
		{name: "times wished, other weekday", in: ask(live, informing, windows(&consentv1.TimeWindow{Weekdays: []uint32{7}, FromMinute: 0, ToMinute: 1440})),
			change: func(in *rules.Input) { in.Places = at("US-CA", "America/Los_Angeles") }, want: []string{"PREFERENCE_WINDOW"}},
		{name: "how often wished", in: ask(live, informing, dated(now, &consentv1.Fact{Kind: &consentv1.Fact_PreferenceSet{
			PreferenceSet: &consentv1.PreferenceSet{FrequencyMax: 1, FrequencyDays: 7}}})), want: []string{"PREFERENCE_FREQUENCY"}},
		{name: "an emergency overrides wishes", in: ask(live, emergency, windows(&consentv1.TimeWindow{FromMinute: 0, ToMinute: 1}), stop(now)), want: []string{"OK_EXEMPT"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.change != nil {
				tc.change(&tc.in)
			}
			d := rules.Decide(tc.in, packs)
			if diff := cmp.Diff(tc.want, codes(d)); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
			wellFormed(t, d)
		})
	}
}

// wellFormed checks what holds for every decision.
func wellFormed(t interface{ Errorf(string, ...any) }, d *consentv1.Decision) {
	if len(d.GetReasons()) == 0 {
		t.Errorf("a decision without a reason")
	}
	allow := d.GetVerdict() == consentv1.Verdict_VERDICT_ALLOW
	if !allow && d.GetVerdict() != consentv1.Verdict_VERDICT_BLOCK {
		t.Errorf("verdict %v", d.GetVerdict())
	}
	if allow != (d.GetBasis() != "") {
		t.Errorf("verdict %v with basis %q", d.GetVerdict(), d.GetBasis())
	}
	for _, r := range d.GetReasons() {
		if strings.HasPrefix(r.GetCode(), "OK_") != allow {
			t.Errorf("verdict %v with reason %s", d.GetVerdict(), r.GetCode())
		}
		if r.GetText() == "" || r.GetCitation() == "" || r.GetRule() == "" || (!allow && r.GetFix() == "") {
			t.Errorf("reason %s lacks a part: %v", r.GetCode(), r)
		}
	}
}

func TestBlocked(t *testing.T) {
	for _, code := range []string{rules.CodeNumberInvalid, rules.CodeStateStale, rules.CodeLedgerIntegrity, rules.CodeErasedBlock,
		rules.CodeContactPaused, rules.CodeStopUnreviewed, rules.CodeWordingInvalid, rules.CodeNeedsServer, "SOMETHING_NEW"} {
		d := rules.Blocked(code, now, 9)
		if d.GetVerdict() != consentv1.Verdict_VERDICT_BLOCK || d.GetPosition() != 9 || !d.GetAt().AsTime().Equal(now) || !slices.Equal(codes(d), []string{code}) {
			t.Errorf("%s: %v", code, d)
		}
		if code != "SOMETHING_NEW" && code != rules.CodeWordingInvalid {
			wellFormed(t, d)
		}
	}
	if rules.Blocked(rules.CodeNumberInvalid, time.Time{}, 0).At != nil {
		t.Error("an instant that is not known was given")
	}
}

func TestValidUntil(t *testing.T) {
	packs := baseline(t)
	end := now.Add(3 * time.Hour)
	waiver := time.Date(2027, 1, 31, 8, 0, 0, 0, time.UTC) // a rule begins in California
	nine := time.Date(2026, 11, 24, 5, 0, 0, 1, time.UTC)  // 9 p.m. is still open
	counted := func(in rules.Input) rules.Input { in.AttemptsKnown = true; return in }
	for _, tc := range []struct {
		name string
		in   rules.Input
		want time.Time
	}{
		{"the hours end", ask(live, marketing), nine},
		{"the grant ends", ask(smsATDS, marketing, until(grant(now.Add(-time.Hour), "express_written", smsATDS, marketing), end)), end},
		{"the grant that lifts a stop ends", ask(live, informing, stop(now.Add(-2*time.Hour)),
			until(grant(now.Add(-time.Hour), "express", live, informing), end)), end},
		{"the grant that lifts an erasure ends", ask(live, informing, erased(now.Add(-2*time.Hour)),
			confirmed(until(grant(now.Add(-time.Hour), "express", live, informing), end))), end},
		{"the kind of line becomes known", ask(smsATDS, informing, grant(now.Add(-time.Hour), "express", smsATDS, informing), func() *consentv1.Fact {
			f := dated(now.Add(-time.Hour), &consentv1.Fact{Kind: &consentv1.Fact_LineTypeChecked{LineTypeChecked: &consentv1.LineTypeChecked{Line: "landline"}}})
			f.Latest = timestamppb.New(end) // on some day of which the end has not come
			return f
		}()), end},
		{"the law changes", ask(smsATDS, informing, grant(now.Add(-time.Hour), "express", smsATDS, informing)), waiver},
		{"nothing known", ask(live, emergency), time.Time{}},
		{"a stop was confirmed", counted(ask(smsATDS, consentv1.Purpose_PURPOSE_OPT_OUT_CONFIRMATION, stop(now.Add(-time.Minute)))), now.Add(4*time.Minute + 1)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := rules.Decide(tc.in, packs)
			if d.GetVerdict() != consentv1.Verdict_VERDICT_ALLOW {
				t.Fatal(d)
			}
			if d.ValidUntil == nil {
				if !tc.want.IsZero() {
					t.Fatalf("no end, want %v", tc.want)
				}
				return
			}
			if got := d.GetValidUntil().AsTime(); !got.Equal(tc.want) {
				t.Fatalf("until %v, want %v", got, tc.want)
			}
			// It is the last moment: then the answer has another ground or falls.
			before := tc.in
			before.At = tc.want.Add(-time.Nanosecond)
			if got := rules.Decide(before, packs); got.GetVerdict() != consentv1.Verdict_VERDICT_ALLOW {
				t.Errorf("just before: %v", got)
			}
		})
	}
}

const dncPack = `id: term
version: "1"
title: A list with a term
about: For the test.
layer: country
known_as_of: 2026-11-23
applies: {regions: [US]}
company_dnc:
  - id: five-years
    says: For five years.
    citation: 47 CFR 64.1200(d)(6)
    confidence: verified
    effective_from: always
    channels: [all]
    purposes: [marketing]
    term_years: 5
permit:
  - id: open
    says: Open.
    citation: 47 CFR 64.1200(c)
    confidence: verified
    effective_from: always
    channels: [all]
    purposes: [marketing]
    basis: OK_EXEMPT
`

func TestNextAllowedAt(t *testing.T) {
	p, err := rules.Parse("term.yaml", []byte(dncPack))
	if err != nil {
		t.Fatal(err)
	}
	packs, err := rules.New(p)
	if err != nil {
		t.Fatal(err)
	}
	in := ask(live, marketing, dnc(time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)))
	d := rules.Decide(in, packs)
	next := d.GetNextAllowedAt().AsTime()
	if d.GetVerdict() != consentv1.Verdict_VERDICT_BLOCK || !next.Equal(time.Date(2029, 3, 1, 8, 0, 0, 0, time.UTC)) {
		t.Fatal(d)
	}
	in.At = next.Add(-time.Nanosecond)
	if got := rules.Decide(in, packs); got.GetVerdict() != consentv1.Verdict_VERDICT_BLOCK {
		t.Errorf("just before: %v", got)
	}
	in.At = next
	if got := rules.Decide(in, packs); got.GetVerdict() != consentv1.Verdict_VERDICT_ALLOW {
		t.Errorf("then: %v", got)
	}
	in.At, in.Paused = now, true
	if got := rules.Decide(in, packs); got.NextAllowedAt != nil {
		t.Errorf("a pause has no known end: %v", got)
	}
}

const statePack = `id: state
version: "1"
title: A state that asks for more
about: For the test.
layer: state
known_as_of: 2026-11-23
applies: {regions: [US-CA]}
consent:
  - id: more
    says: Written consent for every live sales call.
    citation: State Code 2
    confidence: verified
    effective_from: 2026-01-01
    channels: [voice_live]
    purposes: [marketing]
    levels: [express_written]
`

func TestLayers(t *testing.T) {
	p, err := rules.Parse("state.yaml", []byte(statePack))
	if err != nil {
		t.Fatal(err)
	}
	both, err := rules.New(p, baseline(t).Get("us"), baseline(t).Get("de"))
	if err != nil {
		t.Fatal(err)
	}
	alone, err := rules.New(p)
	if err != nil {
		t.Fatal(err)
	}
	abroad := ask(live, informing, grant(now.Add(-time.Hour), "express", live, marketing))
	abroad.Places = at("DE", "Europe/Berlin")
	for _, tc := range []struct {
		name  string
		in    rules.Input
		packs *rules.Packs
		want  []string
	}{
		{"a narrow layer alone allows nothing", ask(recorded, marketing), alone, []string{"CONSENT_MISSING"}},
		{"a narrow layer may ask for more", ask(live, marketing), both, []string{"CONSENT_MISSING"}},
		{"and get it", ask(live, marketing, grant(now.Add(-time.Hour), "express_written", live, marketing)), both, []string{"OK_WRITTEN_CONSENT", "OK_NOT_LISTED"}},
		{"not of others", abroad, both, []string{"OK_EXEMPT"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, codes(rules.Decide(tc.in, tc.packs))); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
		})
	}
	if got := len(both.For(&abroad)); got != 1 {
		t.Errorf("%d packs apply abroad, want 1", got)
	}
	before := ask(live, marketing)
	before.At = time.Date(2025, 12, 31, 18, 0, 0, 0, time.UTC)
	before.Registries[0].VersionDate = "2025-12-20"
	d := rules.Decide(before, both)
	if d.GetVerdict() != consentv1.Verdict_VERDICT_ALLOW || len(d.GetPacks()) != 2 {
		t.Errorf("the day before: %v", d)
	}
}

// TestForbiddingNeverAllows: whatever is known, one more fact or finding that
// forbids never turns BLOCK into ALLOW, and the same question has the same answer.
func TestForbiddingNeverAllows(t *testing.T) {
	packs := baseline(t)
	instant := rapid.Custom(func(t *rapid.T) time.Time {
		return now.Add(-time.Duration(rapid.IntRange(0, 5).Draw(t, "days")) * 24 * time.Hour)
	})
	channel := rapid.SampledFrom([]consentv1.Channel{2, 3, 4, 5, 6, 7, 8})
	purpose := rapid.SampledFrom([]consentv1.Purpose{2, 3, 4, 5, 6, 7, 8, 9})
	fact := rapid.Custom(func(t *rapid.T) *consentv1.Fact {
		switch rapid.IntRange(0, 4).Draw(t, "kind") {
		case 0:
			return stop(instant.Draw(t, "stop"))
		case 1:
			return dnc(instant.Draw(t, "dnc"))
		default:
			level := rapid.SampledFrom([]string{"express_written", "express", "implied"}).Draw(t, "level")
			return grant(instant.Draw(t, "grant"), level, channel.Draw(t, "c"), purpose.Draw(t, "p"))
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		facts := rapid.SliceOfN(fact, 0, 5).Draw(t, "facts")
		in := ask(channel.Draw(t, "channel"), purpose.Draw(t, "purpose"), facts...)
		in.Places = rapid.SampledFrom([][]places.Place{nil, at("US-CA", "America/Los_Angeles"), at("GB", "Europe/London")}).Draw(t, "places")
		in.Registries[0].Listed = rapid.Bool().Draw(t, "listed")
		d := rules.Decide(in, packs)
		wellFormed(t, d)
		if diff := cmp.Diff(d, rules.Decide(in, packs), protocmp.Transform()); diff != "" {
			t.Fatalf("asked again:\n%s", diff)
		}
		if in.Purpose == consentv1.Purpose_PURPOSE_OPT_OUT_CONFIRMATION {
			return // only a stop makes its confirmation lawful
		}
		more := in
		switch rapid.IntRange(0, 4).Draw(t, "more") {
		case 0:
			more.View = person(append(slices.Clone(facts), stop(instant.Draw(t, "later stop")))...)
		case 1:
			more.View = person(append(slices.Clone(facts), dnc(instant.Draw(t, "later dnc")))...)
		case 2:
			more.Registries = []rules.RegistryAnswer{{Registry: "us_national_dnc", Loaded: true, VersionDate: "2026-11-10", Listed: true}}
		case 3:
			more.Registries = nil
		case 4:
			more.Distrusted = func(string) bool { return true }
		}
		if d.GetVerdict() == consentv1.Verdict_VERDICT_BLOCK && rules.Decide(more, packs).GetVerdict() != consentv1.Verdict_VERDICT_BLOCK {
			t.Fatalf("BLOCK %v became ALLOW", codes(d))
		}
	})
}

// BenchmarkDecide judges the law of the United States and of a state, with lists,
// hours, holidays and caps, for a number of which much, little or nothing is known.
func BenchmarkDecide(b *testing.B) {
	packs := baseline(b)
	florida := func(in rules.Input) rules.Input {
		in.Places, in.AttemptsKnown, in.Tzdata = at("US-FL", "America/New_York", "America/Chicago"), true, zones.Version()
		in.Registries = append(in.Registries, rules.RegistryAnswer{Registry: "us_fl", Loaded: true, VersionDate: "2026-11-10"})
		return in
	}
	written := grant(now.Add(-24*time.Hour), "express_written", smsATDS, marketing)
	listed := florida(ask(live, marketing, stop(now), dnc(now)))
	listed.Registries[0].Listed = true
	night := florida(ask(live, marketing))
	night.At = now.Add(10 * time.Hour)
	holiday := ask(live, marketing)
	holiday.Places = at("US-LA", "America/Chicago")
	texas := ask(live, marketing)
	texas.Places = at("US-TX", "America/Chicago", "America/Denver")
	texas.Registries = append(texas.Registries, rules.RegistryAnswer{Registry: "us_tx_no_call", Loaded: true, VersionDate: "2026-10-01"})
	anywhere := ask(live, marketing)
	anywhere.At = now.Add(2 * time.Hour) // noon in California
	anywhere.Places = places.OfNumber("+18005550123").Places
	for _, bc := range []struct {
		name string
		in   rules.Input
	}{
		{"unknown-number", florida(ask(live, marketing))},
		{"state-list", texas},
		{"state-holidays", holiday},
		{"written-consent", florida(ask(smsATDS, marketing, written))},
		{"every-reason", listed},
		{"at-night", night},
		{"toll-free", anywhere},
	} {
		b.Run(bc.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if rules.DecideOn(&bc.in, packs) == nil {
					b.Fatal("no decision")
				}
			}
		})
	}
}
