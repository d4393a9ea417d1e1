package rules_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/consent-ledger/consent-ledger/projections/rules"
	"github.com/consent-ledger/consent-ledger/projections/rules/calendar"
	"github.com/consent-ledger/consent-ledger/projections/rules/places"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// TestDeadlines: ten business days of the FCC, without weekends and federal holidays.
func TestDeadlines(t *testing.T) {
	packs := baseline(t)
	noon := func(day string) time.Time {
		d, err := time.Parse(time.DateOnly, day)
		if err != nil {
			t.Fatal(err)
		}
		return d.Add(20 * time.Hour)
	}
	for asked, want := range map[string]string{"2026-11-23": "2026-12-08", "2026-12-18": "2027-01-05", "2026-11-03": "2026-11-18"} {
		due := noon(want)
		for _, tc := range []struct {
			at   time.Time
			want string
		}{{noon(asked).Add(time.Hour), want}, {due, want}, {due.AddDate(0, 0, 1), ""}} {
			in := ask(live, informing, stop(noon(asked)))
			in.At = tc.at
			got := ""
			for _, d := range rules.Decide(in, packs).GetDeadlines() {
				got += d.GetDue()
				if d.GetRule() == "" || d.GetText() == "" || d.GetCitation() == "" {
					t.Errorf("a deadline lacks a part: %v", d)
				}
			}
			if got != tc.want {
				t.Errorf("asked on %s, at %v: due %q, want %q", asked, tc.at, got, tc.want)
			}
		}
	}
	in := ask(live, marketing, dnc(noon("2026-11-20")))
	if d := rules.Decide(in, packs); len(d.GetDeadlines()) != 1 || d.GetDeadlines()[0].GetRule() != "us/company-dnc" {
		t.Errorf("a company-list request: %v", d.GetDeadlines())
	}
}

const relaxedPack = `id: acme-lists
version: "1"
title: Lists that Acme does not take
about: For the test.
layer: seller
seller: acme
known_as_of: 2026-11-23
relaxes:
  - {rule: us-tx/state-list, reason: own customers only, officer: J. Doe, effective_from: 2026-11-01, effective_to: 2026-11-30}
`

func TestRelaxing(t *testing.T) {
	packs := baseline(t)
	p, err := rules.Parse("acme-lists.yaml", []byte(relaxedPack))
	if err != nil {
		t.Fatal(err)
	}
	relaxed, err := rules.New(append(slices.Clone(packs.All()), p)...)
	if err != nil {
		t.Fatal(err)
	}
	texas := ask(live, marketing)
	texas.Places = at("US-TX", "America/Chicago")
	list := func(version string, listed bool) rules.RegistryAnswer {
		return rules.RegistryAnswer{Registry: "us_tx_no_call", Loaded: true, VersionDate: version, Listed: listed}
	}
	for _, tc := range []struct {
		name   string
		packs  *rules.Packs
		change func(*rules.Input)
		want   []string
	}{
		{"not relaxed", packs, nil, []string{"REGISTRY_STALE"}},
		{"relaxed", relaxed, nil, []string{"OK_NOT_LISTED"}},
		{"for another seller", relaxed, func(in *rules.Input) { in.Seller = "beta" }, []string{"REGISTRY_STALE"}},
		{"before its first day", relaxed, func(in *rules.Input) { in.At = now.AddDate(0, 0, -24); in.Registries[0].VersionDate = "2026-10-20" }, []string{"REGISTRY_STALE"}},
		{"after its last day", relaxed, func(in *rules.Input) { in.At = now.AddDate(0, 0, 8) }, []string{"REGISTRY_STALE"}},
		{"a list at hand binds", relaxed, func(in *rules.Input) { in.Registries = append(in.Registries, list("2026-10-01", true)) }, []string{"REGISTRY_LISTED"}},
		{"an old list is no list", relaxed, func(in *rules.Input) { in.Registries = append(in.Registries, list("2026-07-01", false)) }, []string{"REGISTRY_STALE"}},
		{"the national list is never relaxed", relaxed, func(in *rules.Input) { in.Registries = nil }, []string{"REGISTRY_STALE"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := texas
			in.Registries = slices.Clone(texas.Registries)
			if tc.change != nil {
				tc.change(&in)
			}
			if diff := cmp.Diff(tc.want, codes(rules.Decide(in, tc.packs))); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
		})
	}
	for _, wrong := range []string{"us/registry", "us-tx/hours", "us-tx/nothing", "us-zz/state-list"} {
		p, err := rules.Parse("acme-lists.yaml", []byte(strings.Replace(relaxedPack, "us-tx/state-list", wrong, 1)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := rules.New(append(slices.Clone(packs.All()), p)...); err == nil || !strings.Contains(err.Error(), "relaxes[0]: rule: ") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}

func TestWhoseLaw(t *testing.T) {
	packs := baseline(t)
	for _, tc := range []struct {
		name   string
		places []places.Place
		want   []string
	}{
		{"a state", at("US-FL", "America/New_York"), []string{"us", "us-fl", "us-carriers"}},
		{"a state without a pack", at("US-ZZ", "America/New_York"), []string{"us", "us-carriers"}},
		{"a county", at("US-FL-086", "America/New_York"), []string{"us", "us-fl", "us-carriers"}},
		{"another country", at("DE", "Europe/Berlin"), []string{"de"}},
		{"two countries", append(at("DE", "Europe/Berlin"), at("GB", "Europe/London")...), []string{"de", "gb"}},
		{"a country without a pack", at("JP", "Asia/Tokyo"), []string{"baseline"}},
		{"with and without", append(at("JP", "Asia/Tokyo"), at("GB", "Europe/London")...), []string{"baseline", "gb"}},
		{"no country", []places.Place{{Zone: zone("Asia/Tokyo")}}, []string{"baseline"}},
		{"nowhere", nil, []string{"baseline"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := ask(live, informing)
			in.Places = tc.places
			var got []string
			for _, p := range packs.For(&in) {
				got = append(got, p.ID)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("packs (-want +got):\n%s", diff)
			}
			got = nil
			for _, p := range rules.Decide(in, packs).GetPacks() {
				got = append(got, p.GetId())
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("packs of the decision (-want +got):\n%s", diff)
			}
		})
	}
	unknown := ask(live, informing)
	unknown.Places = at("US", "America/New_York")
	if got := len(packs.For(&unknown)); got < 20 {
		t.Errorf("%d packs for an unknown state: every state's law counts", got)
	}
}

// TestEveryCountrySpeaks: what one country permits, another one's silence blocks.
func TestEveryCountrySpeaks(t *testing.T) {
	packs := baseline(t)
	in := ask(live, marketing, grant(now.Add(-time.Hour), "express", live, marketing))
	in.Places = at("GB", "Europe/London")
	in.Registries = []rules.RegistryAnswer{{Registry: "uk_tps", Loaded: true, VersionDate: "2026-11-20"}, {Registry: "uk_ctps", Loaded: true, VersionDate: "2026-11-20"}}
	in.At = now.Add(-6 * time.Hour)
	if d := rules.Decide(in, packs); d.GetVerdict() != consentv1.Verdict_VERDICT_ALLOW {
		t.Fatal(d)
	}
	in.View = person()
	in.Places = append(in.Places, at("DE", "Europe/Berlin")...)
	if d := rules.Decide(in, packs); !slices.Contains(codes(d), "CONSENT_MISSING") {
		t.Errorf("in Germany too: %v", codes(d))
	}
}

func TestPageOfADay(t *testing.T) {
	packs := baseline(t)
	day := func(s string) calendar.Date {
		d, err := calendar.ParseDate(s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	ids := func(g rules.Page) (out []string) {
		for _, r := range g.Rules {
			out = append(out, r.ID)
		}
		return out
	}
	before, after := packs.Page(packs.Get("us-or"), day("2025-12-31")), packs.Page(packs.Get("us-or"), day("2026-01-01"))
	if slices.Contains(ids(before), "hours") || !slices.Contains(ids(after), "hours") {
		t.Errorf("Oregon's hours: %v, then %v", ids(before), ids(after))
	}
	if len(after.Also) == 0 || after.Also[0].ID != "us" || !slices.Contains(after.Also[0].Rules, "hours") {
		t.Errorf("beside Oregon: %v", after.Also)
	}
	us := packs.Page(packs.Get("us"), day("2026-11-23"))
	if slices.Contains(ids(us), "revocation-every-programme") || slices.Contains(ids(us), "revocation-by-category") {
		t.Errorf("rules that are not in force: %v", ids(us))
	}
	all := packs.Page(packs.Get("us"), calendar.MinDate)
	if !slices.Contains(ids(all), "revocation-by-category") || !strings.Contains(all.String(), "announced") {
		t.Error("an announced rule is not shown")
	}
}
