package attempts

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger/stream"
	"github.com/consent-ledger/consent-ledger/projections/internal/jstest"
	"github.com/consent-ledger/consent-ledger/projections/rules"
)

// BenchmarkReserve: reservations of 256 dialers on a real stream, each durable, of
// ten thousand numbers that nothing limits any more.
func BenchmarkReserve(b *testing.B) {
	_, js := jstest.Start(b)
	keys := testKeys(b)
	log, err := stream.OpenAttempts(b.Context(), js, nil)
	if err != nil {
		b.Fatal(err)
	}
	db := testDB(b, filepath.Join(b.TempDir(), "db"))
	k, err := Open(Config{Log: log, DB: db, Keys: keys, Decide: capped, Now: func() (time.Time, string) { return time.Now(), "" }})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	var n atomic.Int64
	b.SetParallelism(128)
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			i := int(n.Add(1))
			x, err := keys.Exchange(fmt.Sprintf("+1202%07d", 5550100+i%100)) // fiction, and its seller spreads it
			if err != nil {
				b.Error(err)
			}
			c := Call{Reference: fmt.Sprint(i), Seller: fmt.Sprint("s", i/100), Channel: 2, Purpose: 2, Exchange: x}
			if o := k.Reserve(ctx, c, rules.Input{Seller: c.Seller}); o.Err != nil || !o.Reserved {
				b.Errorf("%+v", o)
			}
		}
	})
	b.StopTimer()
	b.ReportMetric(float64(k.Applied())/float64(b.N), "messages/op")
	stop()
	if err := <-done; err != nil {
		b.Error(err)
	}
	if err := db.Close(); err != nil {
		b.Error(err)
	}
}

// BenchmarkStranger: what attempts cost a check of a number nobody ever tried.
func BenchmarkStranger(b *testing.B) {
	keys := testKeys(b)
	db := testDB(b, filepath.Join(b.TempDir(), "db"))
	k, err := Open(Config{DB: db, Keys: keys, Decide: capped})
	if err != nil {
		b.Fatal(err)
	}
	k.setWhole(true)
	token, now := keys.Token(testCall(b, keys, 1, "").Exchange), time.Now()
	for b.Loop() {
		if _, known, err := k.Attempts(db, k.Wholeness(), Contact{Token: token, Seller: acme, At: now}); err != nil || !known {
			b.Fatal(known, err)
		}
	}
	if err := db.Close(); err != nil {
		b.Error(err)
	}
}
