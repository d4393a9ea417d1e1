package attempts

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/stream"
	"github.com/consent-ledger/consent-ledger/projections/internal/jstest"
	"github.com/consent-ledger/consent-ledger/projections/rules"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// TestTwoNodesOnJetStream: two keepers that both grant, on one real stream, with
// dialers at both asking for the same few numbers at once.
func TestTwoNodesOnJetStream(t *testing.T) {
	const numbers, dialers, rounds = 6, 8, 5
	_, js := jstest.Start(t)
	keys := testKeys(t)
	m := newModel(keys, t.Errorf)
	at := time.Now().UTC()
	var nodes [2]*Keeper
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for i := range nodes {
		log, err := stream.OpenAttempts(t.Context(), js, nil)
		if err != nil {
			t.Fatal(err)
		}
		db := testDB(t, filepath.Join(t.TempDir(), "db"))
		t.Cleanup(func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
		nodes[i], err = Open(Config{Log: log, DB: db, Keys: keys, Decide: capped, Now: func() (time.Time, string) { return at, "" }})
		if err != nil {
			t.Fatal(err)
		}
		running.Go(func() {
			if err := nodes[i].Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	var mu sync.Mutex
	allowed := map[string]bool{}
	var asking sync.WaitGroup
	for d := range dialers {
		asking.Go(func() {
			for i := range rounds * numbers {
				ref := fmt.Sprintf("d%d-%d", d, i)
				o := nodes[(d+i)%2].Reserve(t.Context(), testCall(t, keys, i%numbers, ref), rules.Input{Seller: acme})
				if o.Err != nil {
					t.Error(o.Err)
				}
				if o.Decision.GetVerdict() == consentv1.Verdict_VERDICT_ALLOW {
					mu.Lock()
					allowed[ref] = true
					mu.Unlock()
				}
			}
		})
	}
	asking.Wait()
	stop()
	running.Wait()
	if len(allowed) != numbers*capMax {
		t.Errorf("%d granted, want %d", len(allowed), numbers*capMax)
	}
	log, err := stream.OpenAttempts(t.Context(), js, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, last, err := log.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for msg, err := range log.Follow(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if m.check(msg.Seq, msg.Data); msg.Seq == last {
			break
		}
	}
	for ref := range allowed {
		if c := m.call(keys, ref); c == nil || !c.reserved {
			t.Errorf("%s was allowed and is not in the stream", ref)
		}
	}
	if len(m.calls) != len(allowed) {
		t.Errorf("%d calls in the stream, %d were allowed", len(m.calls), len(allowed))
	}
}

// TestServerGone: with nobody to answer, nothing is granted.
func TestServerGone(t *testing.T) {
	e := newEnv(t)
	server, js := jstest.Start(t)
	var err error
	if e.log, err = stream.OpenAttempts(t.Context(), js, nil); err != nil {
		t.Fatal(err)
	}
	e.settle.Max = time.Millisecond
	e.start()
	if !e.allowed(1, "c0") {
		t.Fatal("blocked")
	}
	server.Close(t.Context())
	if o := e.reserve(1, "c1"); !errors.Is(o.Err, ledger.ErrUncertain) {
		t.Errorf("%+v", o)
	}
	if err := e.end(); err == nil {
		t.Error("the keeper went on")
	}
}
