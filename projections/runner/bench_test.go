package runner

import (
	"testing"

	"github.com/consent-ledger/consent-ledger/projections"
	"github.com/consent-ledger/consent-ledger/projections/internal/memsource"
	"github.com/consent-ledger/consent-ledger/projections/listing"
	"github.com/consent-ledger/consent-ledger/projections/suppression"
	"github.com/consent-ledger/consent-ledger/projections/timeline"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// BenchmarkFold folds 200,000 entries about 140,000 numbers, two grants to one
// revocation, into an empty store: a rebuild, its opening of the store included.
// The bar is 150,000 entries/s on 2 cores.
func BenchmarkFold(b *testing.B) {
	const commits, size = 200, 1000
	s := memsource.New()
	n := 0
	for range commits {
		c := make([]memsource.Declared, size)
		for i := range c {
			n++
			c[i] = memsource.Declared{Token: memsource.TokenOf(n * 7 % (commits * size * 7 / 10)), Fact: benchFact(n)}
		}
		s.Append(c...)
	}
	for b.Loop() {
		r := start(b, openDB(b, b.TempDir()), s, Options{}, nil,
			[]projections.Projection{suppression.Projection{}, timeline.Projection{}, listing.New()}...)
		r.wait(s.Tail())
		_ = r.stop()
	}
	b.ReportMetric(float64(commits*size*b.N)/b.Elapsed().Seconds(), "entries/s")
}

func benchFact(n int) *consentv1.Fact {
	scope := &consentv1.Scope{
		Programmes: []string{"all"}, Channels: []consentv1.Channel{consentv1.Channel_CHANNEL_SMS},
		Purposes: []consentv1.Purpose{consentv1.Purpose_PURPOSE_MARKETING},
	}
	f := &consentv1.Fact{Sellers: []string{"acme"}, Source: "crm"}
	if n%3 == 0 {
		f.Kind = &consentv1.Fact_ConsentRevoked{ConsentRevoked: &consentv1.ConsentRevoked{Scope: scope}}
		return f
	}
	f.Kind = &consentv1.Fact_ConsentGranted{ConsentGranted: &consentv1.ConsentGranted{Scope: scope, Level: "express_written"}}
	return f
}
