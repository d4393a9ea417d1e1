package cases_test

import (
	"os"
	"strings"
	"testing"

	"github.com/consent-ledger/consent-ledger/projections/rules"
	"github.com/consent-ledger/consent-ledger/projections/rules/cases"
)

// packCases are the cases beside a pack.
func packCases(t *testing.T, id string) []cases.Case {
	t.Helper()
	f, err := os.Open("../packs/" + id + ".cases.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := cases.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestPacksPassTheirCases(t *testing.T) {
	packs, err := rules.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range packs.All() {
		all := packCases(t, p.ID)
		if len(all) < 20 {
			t.Errorf("pack %s has %d cases, fewer than 20", p.ID, len(all))
		}
		seen := map[string]bool{}
		for _, c := range all {
			t.Run(c.ID, func(t *testing.T) {
				if seen[c.ID] {
					t.Fatal("the id occurs twice")
				}
				seen[c.ID] = true
				r, err := c.Run(packs)
				if err != nil {
					t.Fatal(err)
				}
				if !r.Passed {
					t.Error(r)
				}
			})
		}
	}
}

// TestEveryRuleHasACase removes each rule from its pack in turn: some case must
// notice, or nobody would.
func TestEveryRuleHasACase(t *testing.T) {
	packs, err := rules.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range packs.All() {
		all := packCases(t, p.ID)
		for _, id := range p.RuleIDs() {
			t.Run(p.ID+"/"+id, func(t *testing.T) {
				less, err := rules.New(p.Without(id))
				if err != nil {
					t.Fatal(err)
				}
				for i := range all {
					r, err := all[i].Run(less)
					if err != nil {
						t.Fatal(err)
					}
					if !r.Passed {
						return
					}
				}
				t.Errorf("without rule %s all %d cases still pass", id, len(all))
			})
		}
	}
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
