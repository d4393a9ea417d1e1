package rules

import (
	"os"
	"strings"
	"testing"
)

// blocks are the YAML examples of the manual.
func blocks(t testing.TB) (out []string) {
	t.Helper()
	raw, err := os.ReadFile("packs/README.md")
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(raw), "```yaml\n")
	for _, p := range parts[1:] {
		text, _, closed := strings.Cut(p, "```")
		if !closed {
			t.Fatal("packs/README.md: a block is not closed")
		}
		out = append(out, text)
	}
	return out
}

const exampleHead = `id: example
version: "1"
title: An example
about: For the manual.
layer: country
known_as_of: 2026-11-23
applies: {regions: [ZZ]}
`

// packOf makes a pack of an example, and its file's name.
func packOf(text string) (name, pack string) {
	if id, ok := strings.CutPrefix(text, "id: "); ok {
		return strings.Fields(id)[0] + ".yaml", text
	}
	return "example.yaml", exampleHead + text
}

func TestExamplesOfTheManualParse(t *testing.T) {
	kinds := map[string]bool{}
	for _, text := range blocks(t) {
		name, pack := packOf(text)
		p, err := Parse(name, []byte(pack))
		if err != nil {
			t.Errorf("%v\nin\n%s", err, text)
			continue
		}
		for _, r := range p.rules() {
			kinds[r.kind] = true
		}
	}
	if len(kinds) != 12 {
		t.Errorf("examples of %d kinds, want 12: %v", len(kinds), kinds)
	}
}

// TestExamplesMadeWrongAreRefused breaks the examples of the manual one by one.
func TestExamplesMadeWrongAreRefused(t *testing.T) {
	for _, tc := range []struct{ in, old, new, want string }{
		{"id: us-zz", "regions: [US-ZZ]", "regions: [US]", `applies.regions: "US" does not fit layer state`},
		{"id: us-zz", "applies: {regions: [US-ZZ]}", "", "applies.regions: is missing"},
		{"id: us-zz", "applies: {regions: [US-ZZ]}", "applies: {without_pack: true}", "applies.without_pack: is for a pack of layer country"},
		{"id: us-zz", "layer: state", "layer: state\nseller: acme", "seller: belongs to layer seller"},
		{"registry:\n  - id: lifts", "within_months: 18", "within_months: 18, within_days: 3", "lifted_by[4]: name one of within_months"},
		{"registry:\n  - id: lifts", "{consent: [express_written]}", "{consent: [express_written], time_consent: true}", "lifted_by[0]: a ground is exactly one of"},
		{"registry:\n  - id: lifts", "{consent: [express_written]}", "{says: Nothing.}", "lifted_by[0]: a ground is exactly one of"},
		{"registry:\n  - id: lifts", "{consent: [express_written]}", "{time_consent: true}", "time_consent: lifts windows alone"},
		{"registry:\n  - id: lifts", "{consent: [express_written]}", "{consent: [express_written], active: true}", "belong to a relationship"},
		{"registry:\n  - id: lifts", "{consent: [express_written]}", "{relationship: personal, default_term_months: 3}", "evidence and default_term_months belong to consent"},
		{"registry:\n  - id: lifts", "active: true, offer", "active: true, after_end_days: 1, offer", "contradicts a term after the end"},
		{"registry:\n  - id: lifts", "{relationship: personal}", "{relationship: marriage}", `"marriage" is none of purchase`},
		{"registry:\n  - id: lifts", "{relationship: personal}", "{relationship: number_volunteered}", "basis: is missing: this ground has no code"},
		{"registry:\n  - id: lifts", "{class: {subscribers: [corporate]}}", "{class: {}}", "names neither lines nor subscribers"},
		{"registry:\n  - id: lifts", "{class: {subscribers: [corporate]}}", "{class: {lines: [tin_can]}}", `"tin_can" is none of landline`},
		{"registry:\n  - id: lifts", "basis: OK_SOFT_OPT_IN", "basis: OK_NOT_LISTED", "basis: must be one of"},
		{"registry:\n  - id: lifts", "channels: [fax]", "channels: [voice_ai]", "channels: are not all among the rule's"},
		{"registry:\n  - id: lifts", "flags: [details_collected_in_sale", "flags: [liked_us", `"liked_us" is none of`},
		{"registry:\n  - id: lifts", "content: opt_out_notice", "content: poetry", `"poetry" is none of opt_out_notice`},
		{"revocation:", "business_days: 10, ", "", "honour_within: is one of days and business_days"},
		{"revocation:", "business_days: 10, calendar: us-federal", "business_days: 10", "honour_within.calendar: is missing"},
		{"revocation:", "business_days: 10", "days: 10", "honour_within.calendar: belongs to business_days"},
		{"company_dnc:", "term_years: 3", "term_years: -3", "term_years: must be 0 to 100"},
		{"registry:\n  - id: quarterly", "issues: [01-01, 04-01", "issues: [04-01, 01-01", `issues: "01-01" is not after "04-01"`},
		{"registry:\n  - id: quarterly", "01-01, ", "02-30, ", `issues: "02-30" must be a day of every year`},
		{"registry:\n  - id: quarterly", "    issues: [01-01, 04-01, 07-01, 10-01]\n", "", "name one of max_age_days"},
		{"registry:\n  - id: quarterly", "max_age_days: 15", "max_age_days: 15\n    max_age_months: 1", "name one of max_age_days"},
		{"registry:\n  - id: quarterly", "voids_consent: true", "voids_consent: false", "spared: belongs to voids_consent"},
		{"registry:\n  - id: quarterly", "spared: {relationship: contract, after_end_days: 30}", "spared: {consent: [express]}", "spared: must be a relationship"},
		{"registry:\n  - id: quarterly", "grace_days: 60", "grace_days: 999", "grace_days: must be 0 to 400"},
		{"preference:", "registry: in_ncpr", "registry: In-NCPR", "registry: must match"},
		{"consent:", "levels: [express_written,", "levels: [express, express_written,", `"express" is named twice`},
		{"consent:", "default_term_months: 3", "default_term_months: -1", "default_term_months: must be"},
		{"permit:", "OK_CORPORATE", "OK_EBR", `"OK_EBR" is none of OK_EXEMPT`},
		{"confirmation:", "max: 1", "max: 0", "max: must be 1 to 10"},
		{"window:", `"-06:00"`, `"Central"`, "clock: "},
		{"window:", `to: "13:00"}`, `to: "14:00"}`, "overlaps or touches"},
		{"window:", "[mon, tue, wed, thu, fri]", "[mon, fry]", `"fry" is no day`},
		{"window:", "    holidays: us-federal\n", "", "holiday_hours: belongs to holidays"},
		{"window:", `[{from: "13:00", to: "21:00"}]`, `[{from: "21:00", to: "13:00"}]`, "is not after from"},
		{"window:", "holidays: us-federal", "holidays: us-lunar", `no calendar is called "us-lunar"`},
		{"calendars:", "on_days: mon-fri", "on_days: fri-mon", "on_days: "},
		{"calendars:", "when: 07-24", "when: 07-34", "calendars[0].holidays[0].when: "},
		{"calendars:", "includes: [us-federal]", "includes: [moon]", `calendars[0].includes[0]: no calendar is called "moon"`},
		{"cap:", "within_hours: 24", "within_hours: 24\n    within_days: 3", "is one of within_hours and within_days"},
		{"cap:", "within_hours: 24", "within_days: 90", "within_days: must be 0 to 31"},
		{"cap:", "per: seller", "per: moon", `"moon" is none of subject, seller`},
		{"cap:", "max: 3", "max: 0", "max: must be"},
		{"cap:", "counts: {channels: [voice, text]", "counts: {channels: [pigeon]", "counts.channels: "},
		{"cooling_off:", "days: 60", "days: 0", "days: must be"},
		{"ban:", "sectors: [energy_renovation]", "sectors: [Energy Renovation]", "sectors: "},
		{"ban:", "effective_from: always", "effective_from: pending\n    effective_to: 2027-01-01", "effective_to: has no meaning while"},
		{"emergency:", "while_reporting_only: false", "while_reporting: false", "unknown field"},
		{"id: acme-lists", "layer: seller", "layer: sector", "only a pack of layer seller relaxes"},
		{"id: acme-lists", "seller: acme\n", "", "seller: must be the id of the seller"},
		{"id: acme-lists", "rule: us-tx/state-list", "rule: state-list", "rule: must name a rule, pack/rule"},
		{"id: acme-lists", "officer: J. Doe", `officer: ""`, "officer: is missing"},
		{"id: acme-lists", "effective_from: 2026-11-01", "effective_from: always", "effective_from: must be a day"},
		{"id: acme-lists", "effective_to: 2027-10-31", "effective_to: 2025-10-31", "effective_to: is before"},
		{"id: acme-lists", "known_as_of: 2026-11-23", "known_as_of: 2026-11-23\npermit:\n  - {id: open, says: Open., citation: None, confidence: secondary, effective_from: always, channels: [all], purposes: [all], basis: OK_EXEMPT}",
			"only a pack of layer country permits"},
	} {
		t.Run(tc.in+"/"+tc.want, func(t *testing.T) {
			for _, text := range blocks(t) {
				if !strings.HasPrefix(text, tc.in) {
					continue
				}
				wrong := strings.Replace(text, tc.old, tc.new, 1)
				if wrong == text {
					t.Fatal("the test changes nothing")
				}
				name, pack := packOf(wrong)
				_, err := Parse(name, []byte(pack))
				if err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("error\n%v\nwant one with %q", err, tc.want)
				}
				return
			}
			t.Fatalf("no example begins with %q", tc.in)
		})
	}
}
