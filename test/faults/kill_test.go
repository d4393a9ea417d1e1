package faults

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// killRounds is how often TestKill9 kills the server.
const killRounds = 50

// load is what callers do to a server until it is killed.
type load struct {
	s     *server
	b     *book
	round int
	n     int // numbers differ from round to round
	wg    sync.WaitGroup
}

// begin starts the callers. They end when the server does.
func (l *load) begin(ctx context.Context) {
	for caller := range 3 {
		l.wg.Go(func() {
			for i := 0; ; i++ {
				if l.b.record(ctx, l.s.client, grant(fmt.Sprintf("g-%d-%d-%d", l.round, caller, i), number(l.n+i), l.round)) != nil {
					return
				}
			}
		})
	}
	l.wg.Go(func() {
		for i := 0; ; i++ {
			if l.b.record(ctx, l.s.client, stopped(fmt.Sprintf("s-%d-%d", l.round, i), number(l.n+2*i))) != nil {
				return
			}
		}
	})
	for caller := range 2 {
		l.wg.Go(func() { l.stream(ctx, caller) })
	}
	l.wg.Go(func() { l.erase(ctx) })
}

// stream sends batches, two of them open at a time.
func (l *load) stream(ctx context.Context, caller int) {
	sender := l.s.client.NewSender(ctx, client.SenderOptions{})
	defer sender.Close()
	for k := range 6 {
		var batch []*consentv1.Fact
		for i := range 25 {
			id := fmt.Sprintf("b-%d-%d-%d-%d", l.round, caller, k, i)
			if i%5 == 0 {
				batch = append(batch, stopped(id, number(l.n+i*7+k)))
				continue
			}
			batch = append(batch, grant(id, number(l.n+i*7+k), i))
		}
		l.b.send(batch...)
		outcomes, err := sender.Send(ctx, batch)
		if err != nil {
			return
		}
		l.b.keepOutcomes(batch, outcomes)
	}
}

// erase erases a few numbers while facts about them keep coming.
func (l *load) erase(ctx context.Context) {
	for i := range 3 {
		res, err := l.s.client.Ledger.Erase(ctx, connect.NewRequest(&consentv1.EraseRequest{Number: number(l.n + 3*i), Reason: "erasure_request"}))
		if err != nil {
			return
		}
		l.b.mu.Lock()
		l.b.erasures = append(l.b.erasures, res.Msg.GetReceipt())
		l.b.mu.Unlock()
	}
}

// killAfter kills the server a moment after so many receipts.
func (l *load) killAfter(receipts int, moment time.Duration) {
	until(l.s.t, 30*time.Second, "receipts", func(context.Context) bool { return l.b.count() >= receipts })
	<-time.After(moment) // where in a commit the kill falls is left to chance
	l.s.kill()
	l.wg.Wait()
}

// sample gives some keys of older rounds.
func sample(r *rand.Rand, ids []string, n int) []string {
	var out []string
	for range min(n, len(ids)) {
		out = append(out, ids[r.IntN(len(ids))])
	}
	return out
}

// sampleOf gives some events that have receipts.
func sampleOf(r *rand.Rand, b *book, n int) []string {
	return sample(r, slices.Sorted(maps.Keys(b.receipts)), n)
}

// TestKill9 kills the server under load, again and again. After each restart every
// receipt of the round is found again, and some of those before; at the end all
// are, and the ledger is read from its first entry to its last.
func TestKill9(t *testing.T) {
	t.Parallel()
	r, b := random(t), newBook(t)
	dir := filepath.Join(t.TempDir(), "ledger")
	initLedger(t, dir)
	s := serve(t, dir)
	b.must(s, seller())
	for round := range killRounds {
		before := slices.Collect(maps.Keys(b.receipts))
		l := &load{s: s, b: b, round: round, n: r.IntN(5400)}
		l.begin(t.Context())
		l.killAfter(len(before)+r.IntN(200), time.Duration(r.IntN(5000))*time.Microsecond)
		s = serve(t, dir)
		var ids []string
		for id := range b.receipts {
			if strings.HasPrefix(id[1:], fmt.Sprintf("-%d-", round)) {
				ids = append(ids, id)
			}
		}
		b.verify(s, append(ids, sample(r, before, 100)...))
	}
	t.Logf("%d receipts and %d erasures were handed out in %d lives", len(b.receipts), len(b.erasures), killRounds)
	if len(b.erasures) == 0 {
		t.Error("no erasure was ever acknowledged: the test proves less than it says")
	}
	b.verify(s, nil)
	b.retry(s)
	b.readAll(s)
	folded(t, s, b)
}

// folded deletes what follows from the streams and demands that it comes back.
func folded(t *testing.T, s *server, b *book) {
	t.Helper()
	want := s.stateHash()
	s.stop()
	removeAll(t, s.dir, "projections")
	s = serve(t, s.dir)
	if diff := cmp.Diff(want, s.stateHash()); diff != "" {
		t.Errorf("state after the projections were deleted (-before +after):\n%s", diff)
	}
	s.stop()
	removeAll(t, s.dir, "index")
	s = serve(t, s.dir)
	if diff := cmp.Diff(want, s.stateHash()); diff != "" {
		t.Errorf("state after the index was deleted (-before +after):\n%s", diff)
	}
	b.verify(s, nil)
	s.stop()
}
