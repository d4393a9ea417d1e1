package writer_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// A stop waits for no bulk: it never shares its commit with any.
func TestStopGoesFirst(t *testing.T) {
	l := newWorld(t).start()
	l.must(sellerFact())
	var wg sync.WaitGroup
	wg.Go(func() {
		var facts []*consentv1.Fact
		for i := range 3000 {
			facts = append(facts, grant(fmt.Sprintf("+1212555%04d", 100+i%100), fmt.Sprint("bulk", i)))
		}
		l.must(facts...)
	})
	for i := range 20 {
		wg.Go(func() {
			r := l.must(stop(number, fmt.Sprint("stop", i)))[0]
			seq, err := l.index.SeqOf(r.Position)
			if err != nil {
				t.Error(err)
				return
			}
			m, err := l.w.log.Read(t.Context(), seq)
			if err != nil {
				t.Error(err)
				return
			}
			entries, err := ledger.DecodeCommit(m, l.w.keys)
			if err != nil {
				t.Error(err)
				return
			}
			for _, e := range entries {
				if e.Fact().GetConsentGranted() != nil {
					t.Error("a commit with a stop holds bulk")
				}
			}
		})
	}
	wg.Wait()
}
