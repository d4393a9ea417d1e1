package bundle

import (
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// plainFact is a fact about nobody.
func plainFact() *consentv1.Fact {
	return &consentv1.Fact{Source: "crm", EventId: "seller", Kind: &consentv1.Fact_SellerRegistered{SellerRegistered: &consentv1.SellerRegistered{Id: "acme"}}}
}

// TestWordings: the text shown is the one the ledger published under the id, and the
// page shows it as text.
func TestWordings(t *testing.T) {
	s := richStory(t)
	zip := honest(s)
	sum := sha256.Sum256([]byte(wordingText))
	if page := string(s.unpack(zip)[ReportFile]); !strings.Contains(page, "Acme &lt;b&gt;may&lt;/b&gt; text me.") || strings.Contains(page, "<b>may") {
		t.Error("the page does not show the wording as text")
	}
	second := richStory(t)
	other := sha256.Sum256([]byte("another text"))
	second.cited = append(second.cited, second.add("", &consentv1.Fact{Source: "x", EventId: "y", Kind: &consentv1.Fact_WordingPublished{
		WordingPublished: &consentv1.WordingPublished{Id: "web-2026-01", Text: "another text", Sha256: other[:]}}}))
	odd := richStory(t)
	odd.cited = append(odd.cited, odd.add("", &consentv1.Fact{Source: "x", EventId: "y", Kind: &consentv1.Fact_WordingPublished{
		WordingPublished: &consentv1.WordingPublished{Id: "\x1b[2J", Text: "another text", Sha256: other[:]}}}))
	cases := []struct {
		name string
		zip  []byte
		want string // of the claim; of the refusal after a !
	}{
		{"published", zip, "1 text is what the ledger published as: web-2026-01"},
		{"none", honest(newStory(t)), "no text of a wording is here"},
		{"left out", s.lie(zip, func(f files) { delete(f, wordingName(sum)) }, nil), "no text of a wording is here"},
		{"another text", s.lie(zip, func(f files) { f[wordingName(sum)] = []byte("I agree to nothing") }, nil), "!no wording that the ledger published"},
		{"a text nobody published", s.lie(zip, func(f files) { f[wordingName(ledger.Hash(other))] = []byte("another text") }, nil), "!no wording that the ledger published"},
		{"not cited", s.lie(zip, func(f files) { f[CitedFile] = nil; f[CompletenessFile] = nil; f.without(packsFolder) }, nil), "!no wording that the ledger published"},
		{"two texts of one id", honest(second), "!published twice"},
		{"an id that is none", honest(odd), "!published twice, or as none"},
	}
	var zips [][]byte
	for _, c := range cases {
		zips = append(zips, c.zip)
	}
	v, errs := both(t, s.world, zips...)
	for i, c := range cases {
		if accepted(t, c.name, errs[i], c.want) && claim(v[i], "wordings").Text != c.want {
			t.Errorf("%s: %q, want %q", c.name, claim(v[i], "wordings").Text, c.want)
		}
	}
}

// without removes the files of a folder.
func (f files) without(folder string) {
	for name := range f {
		if strings.HasPrefix(name, folder) {
			delete(f, name)
		}
	}
}
