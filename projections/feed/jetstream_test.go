package feed

import (
	"testing"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

func FuzzDecode(f *testing.F) {
	data, err := marshal(&consentv1.FeedBatch{Seller: "acme", FromPosition: 1, ThroughPosition: 2,
		Updates: []*consentv1.FeedUpdate{{Position: 2, Token: make([]byte, 17)}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := decode(data, 1)
		if err != nil {
			return
		}
		if b.GetFromPosition() == 0 || b.GetThroughPosition() < b.GetFromPosition() {
			t.Error("a run that is none")
		}
		for _, u := range b.GetUpdates() {
			_ = ledger.FeedToken(u.GetToken()) // must not panic
		}
	})
}
