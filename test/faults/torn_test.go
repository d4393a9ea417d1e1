package faults

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// tornFacts is how many facts are folded while the server is killed.
const tornFacts = 50_000

// TestTornProjection kills the server while it folds, first as facts arrive, then
// as it folds them anew. The state after that is the state of a fresh rebuild.
func TestTornProjection(t *testing.T) {
	t.Parallel()
	r, b := random(t), newBook(t)
	dir := filepath.Join(t.TempDir(), "ledger")
	initLedger(t, dir)
	s := serve(t, dir)
	b.must(s, seller())

	var done sync.WaitGroup
	done.Go(func() { importFacts(t.Context(), s, b) })
	foldedPast(t, s, uint64(tornFacts/10+r.IntN(tornFacts/2)))
	s.kill()
	done.Wait()
	if n := b.count(); n >= tornFacts {
		t.Fatalf("the server was killed after all %d facts were answered", n)
	}
	s = serve(t, dir)
	b.verify(s, sampleOf(r, b, 2000))
	hash := s.stateHash()
	if diff := cmp.Diff(hash, s.rebuild()); diff != "" {
		t.Errorf("state after a kill among commits (-state +rebuilt):\n%s", diff)
	}
	b.sendAgain(s, b.sent)
	s.stop()

	want := foldKilled(t, dir, uint64(1+r.IntN(tornFacts/2)))
	s = serve(t, dir)
	if diff := cmp.Diff(want, s.stateHash()); diff != "" {
		t.Errorf("state after a kill among commits folded anew (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(want, s.rebuild()); diff != "" {
		t.Errorf("state after a rebuild (-before +after):\n%s", diff)
	}
	s.stop()
	removeAll(t, dir, "index")
	s = serve(t, dir)
	b.verify(s, sampleOf(r, b, 3000))
	s.stop()
}

// foldKilled deletes the projections of a ledger and kills the server that folds
// them anew once it has passed a position. It gives the state there was before.
func foldKilled(t *testing.T, dir string, at uint64) map[string]string {
	t.Helper()
	s := serve(t, dir)
	want := s.stateHash()
	s.stop()
	removeAll(t, dir, "projections")
	s = launch(t, dir)
	foldedPast(t, s, at)
	s.kill()
	return want
}

// importFacts sends tornFacts in one stream until the server is gone.
func importFacts(ctx context.Context, s *server, b *book) {
	sender := s.client.NewSender(ctx, client.SenderOptions{})
	defer sender.Close()
	var open sync.WaitGroup
	defer open.Wait()
	room := make(chan struct{}, 4)
	for n := 0; n < tornFacts; n += 1000 {
		batch := make([]*consentv1.Fact, 1000)
		for i := range batch {
			id := fmt.Sprintf("t-%d", n+i)
			if batch[i] = grant(id, number((n+i)*7), i%97); (n+i)%11 == 0 {
				batch[i] = stopped(id, number((n+i)*7))
			}
		}
		b.send(batch...)
		room <- struct{}{}
		open.Go(func() {
			defer func() { <-room }()
			if outcomes, err := sender.Send(ctx, batch); err == nil {
				b.keepOutcomes(batch, outcomes)
			}
		})
	}
}

var appliedLine = regexp.MustCompile(`(?m)^consent_projections_applied_position (\S+)$`)

// foldedPast waits until the projections have passed a position.
func foldedPast(t *testing.T, s *server, at uint64) {
	t.Helper()
	until(t, startLimit, "folding", func(ctx context.Context) bool {
		if s.url == "" && !s.find() {
			return false
		}
		m := appliedLine.FindStringSubmatch(s.metrics(ctx))
		if m == nil {
			return false
		}
		applied, err := strconv.ParseFloat(m[1], 64)
		return err == nil && uint64(applied) >= at
	})
}

// metrics gives what /metrics says; nothing if it does not answer.
func (s *server) metrics(ctx context.Context) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/metrics", nil)
	if err != nil {
		return ""
	}
	res, err := (&http.Client{Timeout: 5 * time.Second}).Do(req)
	if err != nil {
		return ""
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body) // what is cut off is asked for again
	return string(text)
}
