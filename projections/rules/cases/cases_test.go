package cases_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/consent-ledger/consent-ledger/projections/rules"
	"github.com/consent-ledger/consent-ledger/projections/rules/cases"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// casesMin is how many cases a pack has at least.
const casesMin = 20

// packCases are the cases beside a pack.
func packCases(t testing.TB, id string) []cases.Case {
	t.Helper()
	f, err := os.Open("../packs/" + id + ".cases.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := cases.Read(f)
	if err != nil {
		t.Fatalf("%s: %v", id, err)
	}
	return all
}

func TestPacksPassTheirCases(t *testing.T) {
	packs, err := rules.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, p := range packs.All() {
		all := packCases(t, p.ID)
		if len(all) < casesMin {
			t.Errorf("pack %s has %d cases, fewer than %d", p.ID, len(all), casesMin)
		}
		for _, c := range all {
			if seen[c.ID] {
				t.Errorf("%s: %s: the id occurs twice", p.ID, c.ID)
			}
			seen[c.ID] = true
			r, err := c.Run(packs)
			if err != nil {
				t.Error(err)
			} else if !r.Passed {
				t.Error(r)
			}
		}
	}
}

// TestEveryRuleHasACase removes each rule from its pack in turn: some case beside
// the pack must notice, or nobody would. A rule that is only announced has none.
func TestEveryRuleHasACase(t *testing.T) {
	packs, err := rules.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range packs.All() {
		all := packCases(t, p.ID)
		said := make([]bool, len(all))
		for i := range all {
			said[i] = saidBy(t, &all[i], packs, p.ID)
		}
		for _, id := range p.JudgedRuleIDs() {
			less := replaced(t, packs, p.Without(id))
			noticed := false
			for i := range all {
				r, err := all[i].Run(less)
				if err != nil {
					t.Fatal(err)
				}
				if noticed = !r.Passed || said[i] && !saidBy(t, &all[i], less, p.ID); noticed {
					break
				}
			}
			if !noticed {
				t.Errorf("without rule %s/%s all %d cases still pass", p.ID, id, len(all))
			}
		}
	}
}

// saidBy tells whether a rule of the pack gives the reason that a case expects: what
// a state forbids may be forbidden by its country too.
func saidBy(t testing.TB, c *cases.Case, packs *rules.Packs, pack string) bool {
	t.Helper()
	r, err := c.Run(packs)
	if err != nil {
		t.Fatal(err)
	}
	for _, why := range r.Decision.GetReasons() {
		if why.GetCode() == c.Reason && strings.HasPrefix(why.GetRule(), pack+"/") {
			return true
		}
	}
	return false
}

// replaced is a set of packs with another one of an id.
func replaced(t testing.TB, packs *rules.Packs, p *rules.Pack) *rules.Packs {
	t.Helper()
	var with []*rules.Pack
	for _, q := range packs.All() {
		if q.ID == p.ID {
			q = p
		}
		with = append(with, q)
	}
	out, err := rules.New(with...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

const header = "id,jurisdiction,number,number_class,facts,channel,purpose,call_at_utc,local_note,expected,reason,citation,confidence\n"

func TestReadRefuses(t *testing.T) {
	for _, tc := range []struct{ name, row, want string }{
		{"unknown type", `X-1,US,+12135550123,,"[{""type"":""telepathy""}]",sms,marketing,2026-11-23T18:00:00Z,,DENY,CONSENT_MISSING,,`, `line 2: X-1: fact type "telepathy" is unknown`},
		{"unknown key", `X-1,US,+12135550123,,"[{""type"":""revoke"",""mood"":1}]",sms,marketing,2026-11-23T18:00:00Z,,DENY,CONSENT_MISSING,,`, `fact revoke: key "mood" is unknown`},
		{"no type", `X-1,US,+12135550123,,"[{}]",sms,marketing,2026-11-23T18:00:00Z,,DENY,CONSENT_MISSING,,`, "one has no type"},
		{"channel", `X-1,US,+12135550123,,[],pigeon,marketing,2026-11-23T18:00:00Z,,DENY,CONSENT_MISSING,,`, `channel: "pigeon" is unknown`},
		{"purpose", `X-1,US,+12135550123,,[],sms,all,2026-11-23T18:00:00Z,,DENY,CONSENT_MISSING,,`, `purpose: "all" is unknown`},
		{"verdict", `X-1,US,+12135550123,,[],sms,marketing,2026-11-23T18:00:00Z,,MAYBE,CONSENT_MISSING,,`, "neither ALLOW nor DENY"},
		{"instant", `X-1,US,+12135550123,,[],sms,marketing,soon,,DENY,CONSENT_MISSING,,`, "call_at_utc"},
		{"facts", `X-1,US,+12135550123,,{,sms,marketing,2026-11-23T18:00:00Z,,DENY,CONSENT_MISSING,,`, "facts:"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := cases.Read(strings.NewReader(header + tc.row + "\n"))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
	if _, err := cases.Read(strings.NewReader("id,verdict\n")); err == nil {
		t.Error("other columns were accepted")
	}
}

// TestUnreadRow: a row nobody understands fails alone.
func TestUnreadRow(t *testing.T) {
	row := func(id, facts string) string {
		return id + `,US,+12135550123,,"` + facts + `",voice_prerecorded,marketing,2026-11-23T18:00:00Z,,DENY,CONSENT_MISSING,,` + "\n"
	}
	all, err := cases.ReadAll(strings.NewReader(header + row("X-1", "[]") + row("X-2", `[{""type"":""telepathy""}]`) + row("X-3", "[]")))
	if err != nil || len(all) != 3 {
		t.Fatalf("%d cases, %v", len(all), err)
	}
	packs, err := rules.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	for i, wantErr := range []bool{false, true, false} {
		if r, err := all[i].Run(packs); (err != nil) != wantErr || !wantErr && !r.Passed {
			t.Errorf("case %d: %v, %v", i, r, err)
		}
	}
}

// TestPlaceWithoutPack: where nobody wrote the law down, sales are blocked, and what
// is no place is an error.
func TestPlaceWithoutPack(t *testing.T) {
	packs, err := rules.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ jurisdiction, number, purpose, want, err string }{
		{"BR", "+550000000001", "marketing", "guard-no-pack", ""},
		{"br", "+550000000001", "informational", "baseline/permit-service", ""},
		{"US-GA", "+14045550123", "marketing", "us/registry", ""},
		{"ZZ", "+550000000001", "marketing", "", `there is no pack "zz"`},
		{"US-ZZ", "+14045550123", "marketing", "", `there is no pack "us-zz"`},
	} {
		row := "X-1," + tc.jurisdiction + "," + tc.number + ",,[],voice_live," + tc.purpose + ",2026-11-23T18:00:00Z,,DENY,CONSENT_MISSING,,\n"
		all, err := cases.Read(strings.NewReader(header + row))
		if err != nil {
			t.Fatal(err)
		}
		r, err := all[0].Run(packs)
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%s: error %v, want %q", tc.jurisdiction, err, tc.err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(r.Decision.GetReasons(), func(why *consentv1.Reason) bool { return why.GetRule() == tc.want }) {
			t.Errorf("%s: reasons %v, want one of rule %s", tc.jurisdiction, r.Decision.GetReasons(), tc.want)
		}
	}
}

// TestFixesStandAlone: an answer gives nextAllowedAt only if such an instant exists,
// so no fix may refer to it.
func TestFixesStandAlone(t *testing.T) {
	packs, err := rules.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range packs.All() {
		all := packCases(t, p.ID)
		for i := range all {
			r, err := all[i].Run(packs)
			if err != nil {
				t.Fatal(err)
			}
			for _, why := range r.Decision.GetReasons() {
				if strings.Contains(why.GetFix()+why.GetText(), "nextAllowedAt") {
					t.Fatalf("%s: %s refers to nextAllowedAt", all[i].ID, why.GetRule())
				}
			}
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(`[{"type":"grant","at":"2026-02-01T12:00:00Z","level":"express","channels":["sms"],"purposes":["marketing"]}]`)
	f.Add(`[{"type":"registry_snapshot","registry":"us_national_dnc","version_at":"2026-11-10","listed":true}]`)
	packs, err := rules.Embedded()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, facts string) {
		row := `X-1,US,+12135550123,,"` + strings.ReplaceAll(facts, `"`, `""`) + `",sms,marketing,2026-11-23T18:00:00Z,,DENY,CONSENT_MISSING,,` + "\n"
		all, err := cases.Read(strings.NewReader(header + row))
		if err != nil {
			return
		}
		for i := range all {
			if _, err := all[i].Run(packs); err != nil && !strings.Contains(err.Error(), "zone") {
				t.Fatal(err)
			}
		}
	})
}
