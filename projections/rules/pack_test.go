package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/consent-ledger/consent-ledger/projections/rules/calendar"
)

const small = `id: small
version: "1"
title: A small pack
about: One rule.
layer: country
known_as_of: 2026-11-23
applies: {regions: [ZZ]}
permit:
  - id: one
    says: One rule.
    citation: 1 CFR 1
    confidence: verified
    effective_from: always
    channels: [sms]
    purposes: [survey]
    basis: OK_EXEMPT
`

func TestParseIsStrict(t *testing.T) {
	if _, err := Parse("small.yaml", []byte(small)); err != nil {
		t.Fatal(err)
	}
	second := strings.Replace(small[strings.Index(small, "  - id: one"):], "always", "2026-06-01", 1)
	for _, tc := range []struct{ name, old, new, want string }{
		{"unknown key", "    basis: OK_EXEMPT", "    basis: OK_EXEMPT\n    mood: good", "[17:5]"},
		{"unknown kind", "permit:", "permission:", "[8:1]"},
		{"double key", "    says: One rule.", "    says: One rule.\n    says: Another.", "[11:5]"},
		{"no citation", "    citation: 1 CFR 1\n", "", "small.yaml:9: permit[0].citation: is missing"},
		{"empty citation", "1 CFR 1", `""`, "small.yaml:11: permit[0].citation: is missing"},
		{"no sentence", "    says: One rule.\n", "", "permit[0].says: is missing"},
		{"confidence", "verified", "hearsay", "small.yaml:12: permit[0].confidence"},
		{"no first day", "    effective_from: always\n", "", "small.yaml:9: permit[0].effective_from"},
		{"impossible day", "always", "2026-02-30", "small.yaml:13: permit[0].effective_from"},
		{"ends before it begins", "effective_from: always", "effective_from: 2026-02-02\n    effective_to: 2026-02-01", "small.yaml:14: permit[0].effective_to"},
		{"overlap", "    basis: OK_EXEMPT\n", "    basis: OK_EXEMPT\n" + second, `small.yaml:21: permit[1].effective_from: "one" overlaps in time with its version in line 9`},
		{"channel", "[sms]", "[pigeon]", `small.yaml:14: permit[0].channels: "pigeon" is unknown`},
		{"all beside others", "[sms]", "[all, sms]", `"all" is unknown, or`},
		{"twice", "[sms]", "[sms, sms]", "named twice"},
		{"no channels", "    channels: [sms]\n", "", "permit[0].channels: is missing"},
		{"purpose", "[survey]", "[Survey]", "small.yaml:15: permit[0].purposes"},
		{"basis", "OK_EXEMPT", "OK_BECAUSE", "small.yaml:16: permit[0].basis"},
		{"layer", "country", "county", "small.yaml:5: layer"},
		{"id", "id: small", "id: Small", "small.yaml:1: id"},
		{"another's name", "id: small", "id: large", `small.yaml:1: id: "large" is not what the file is called`},
		{"no version", `version: "1"`, `version: ""`, "small.yaml:2: version: is missing"},
		{"known as of", "2026-11-23", "lately", "small.yaml:6: known_as_of"},
		{"both kinds of sectors", "    channels", "    sectors: [a]\n    except_sectors: [b]\n    channels", "not both"},
		{"region", "    channels", "    where: {regions: [usa]}\n    channels", "small.yaml:14: permit[0].where.regions: \"usa\" is no region"},
		{"two documents", "    basis: OK_EXEMPT\n", "    basis: OK_EXEMPT\n---\nid: x\n", "one YAML document"},
		{"no rules", small[strings.Index(small, "permit:"):], "", "holds no rule"},
		{"consent without levels", "permit:", "consent:", "[16:5]"},
		{"tag", "[survey]", "!survey", "small.yaml:15: tag: a pack is written without tags"},
		{"anchor and alias", "[survey]", "&p [survey]\n    where: *p", "small.yaml:15: anchor: "},
		{"merged key", "    says: One rule.", "    <<: {says: One rule.}", "small.yaml:10: mergekey: "},
		{"nothing", small, "", "small.yaml"},
		{"not YAML", "id: small", "id: [", "small.yaml"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text := strings.Replace(small, tc.old, tc.new, 1)
			if text == small {
				t.Fatal("the test changes nothing")
			}
			_, err := Parse("small.yaml", []byte(text))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error\n%v\nwant one with %q", err, tc.want)
			}
		})
	}
}

func TestVersionsOfARuleMayFollowEachOther(t *testing.T) {
	rule := small[strings.Index(small, "  - id: one"):]
	text := strings.Replace(small, "always", "always\n    effective_to: 2026-05-31", 1) + strings.Replace(rule, "always", "2026-06-01", 1)
	p, err := Parse("small.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if got := len(p.RuleIDs()); got != 1 {
		t.Errorf("%d rule ids, want 1", got)
	}
}

func TestLoad(t *testing.T) {
	if _, err := Load(fstest.MapFS{}); err == nil {
		t.Error("a folder without packs was loaded")
	}
	bad := fstest.MapFS{"small.yaml": {Data: []byte(small)}, "worse.yaml": {Data: []byte("id: worse\n")}}
	if _, err := Load(bad); err == nil {
		t.Error("a folder with a bad pack was loaded")
	}
	p, err := Parse("small.yaml", []byte(small))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(p, p); err == nil {
		t.Error("one id was taken twice")
	}
}

func TestEmbeddedPacksAreHashedAndDescribed(t *testing.T) {
	packs, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range packs.All() {
		raw, err := fs.ReadFile(embedded, "packs/"+p.ID+".yaml")
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(raw)
		if p.SHA256() != hex.EncodeToString(sum[:]) {
			t.Errorf("%s: hash %s", p.ID, p.SHA256())
		}
		page := packs.Page(p, calendar.MinDate).String()
		for _, r := range p.rules() {
			for _, want := range []string{r.ID, r.Says, r.Citation, r.Confidence} {
				if !strings.Contains(page, want) {
					t.Errorf("%s: its page lacks %q", p.ID, want)
				}
			}
		}
		if packs.Get(p.ID) != p {
			t.Errorf("%s cannot be found", p.ID)
		}
	}
	if len(packs.List()) != len(packs.All()) {
		t.Error("the list is not of all packs")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(small)
	raw, err := fs.ReadFile(embedded, "packs/baseline.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(raw))
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse("small.yaml", []byte(text))
		if err == nil && (p.ID == "" || (&Packs{}).Page(p, calendar.MinDate).String() == "") {
			t.Error("a pack without a name was accepted")
		}
	})
}
