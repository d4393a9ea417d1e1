package index

import (
	"path/filepath"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

func TestCatalog(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "index")
	ix, h := open(t, dir, Options{}), newHistory(1)
	campaign := &consentv1.CampaignRegistered{Id: "spring", Seller: "acme", Channel: consentv1.Channel_CHANNEL_SMS}
	facts := []*consentv1.Fact{sellerFact("acme"),
		{Kind: &consentv1.Fact_ProgrammeRegistered{ProgrammeRegistered: &consentv1.ProgrammeRegistered{Id: "club", Seller: "acme"}}},
		{Kind: &consentv1.Fact_CampaignRegistered{CampaignRegistered: campaign}},
		{Kind: &consentv1.Fact_SourceRegistered{SourceRegistered: &consentv1.SourceRegistered{Id: "crm"}}},
		{Kind: &consentv1.Fact_SourceDistrusted{SourceDistrusted: &consentv1.SourceDistrusted{Id: "leads"}}}}
	var entries []*ledger.Entry
	for _, f := range facts {
		entries = append(entries, h.entry(ledger.Token{}, f))
	}
	must(t, ix.Stage(entries, nil, nil))
	if ix.Seller("acme") {
		t.Error("a staged seller is registered")
	}
	must(t, ix.ApplyCommit(1, entries))
	for range 2 { // from memory, then from disk
		if !ix.Seller("acme") || ix.Seller("club") || !ix.Programme("acme", "club") || ix.Programme("club", "acme") ||
			!proto.Equal(ix.Campaign("spring"), campaign) || ix.Campaign("x") != nil || !ix.Source("crm") || ix.Source("leads") ||
			!ix.Distrusted("leads") || ix.Distrusted("crm") || !slices.Equal(ix.Sellers(), []string{"acme"}) || !slices.Equal(ix.Sources(), []string{"crm"}) {
			t.Fatal("the catalog is another one")
		}
		must(t, ix.Close())
		ix = open(t, dir, Options{})
	}
	must(t, ix.Close())
}
