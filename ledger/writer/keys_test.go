package writer_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/index"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// keyWatch holds every commit to invariant 4: the keys of an entry are durable
// before the entry is. Its keys take their time, and may never be taken.
type keyWatch struct {
	ledger.Log
	t *testing.T

	mu      sync.Mutex
	acked   map[string]bool
	commits int
	refuse  bool
}

func (k *keyWatch) AppendKeys(ctx context.Context, data []byte) (uint64, error) {
	k.mu.Lock()
	refuse := k.refuse
	k.mu.Unlock()
	if refuse {
		return 0, ledger.ErrNoAnswer
	}
	for range 200 { // let the commits before and after get on
		runtime.Gosched()
	}
	seq, err := k.Log.AppendKeys(ctx, data)
	var keys consentv1.WrappedKeys
	if uerr := proto.Unmarshal(data, &keys); uerr != nil {
		k.t.Error(uerr)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, w := range keys.GetKeys() {
		k.acked[string(w.GetKeyId())] = true
	}
	return seq, err
}

func (k *keyWatch) Append(ctx context.Context, after uint64, data []byte) (uint64, error) {
	var c consentv1.Commit
	if err := proto.Unmarshal(data, &c); err != nil {
		k.t.Error(err)
	}
	k.mu.Lock()
	for _, raw := range c.GetEntries() {
		var e consentv1.Entry
		if err := proto.Unmarshal(raw, &e); err != nil {
			k.t.Error(err)
		}
		for _, p := range e.GetPersonal() {
			if len(e.GetPerson()) > 0 && !k.acked[string(p.GetKeyId())] {
				k.t.Errorf("position %d is sent before its key of class %s is durable", e.GetPosition(), p.GetClass())
			}
		}
	}
	k.commits++
	k.mu.Unlock()
	return k.Log.Append(ctx, after, data)
}

func watchKeys(t *testing.T) (*world, *keyWatch) {
	w := newWorld(t)
	k := &keyWatch{Log: w.log.Log, t: t, acked: map[string]bool{}}
	w.log.Log = k
	return w, k
}

// TestKeysAreDurableBeforeTheirCommit, while commits overlap; and an index built
// anew from the streams is the one the writer kept.
func TestKeysAreDurableBeforeTheirCommit(t *testing.T) {
	w, k := watchKeys(t)
	l := w.start()
	l.must(sellerFact())
	var wg sync.WaitGroup
	for caller := range 16 {
		wg.Go(func() {
			for i := range 40 {
				to := fmt.Sprintf("+1212555%04d", 100+(caller*40+i)%100)
				if f := i % 4; f == 0 {
					l.must(stop(to, fmt.Sprint("s", caller, "-", i)))
				} else {
					l.must(grant(to, fmt.Sprint("g", caller, "-", i)))
				}
			}
		})
	}
	wg.Go(func() {
		var facts []*consentv1.Fact
		for i := range 3000 {
			facts = append(facts, grant(fmt.Sprintf("+1202555%04d", 100+i%100), fmt.Sprint("bulk", i)))
		}
		l.must(facts...)
	})
	wg.Wait()
	if k.commits < 3 {
		t.Errorf("%d commits: nothing overlapped", k.commits)
	}
	kept, err := l.index.Hash(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.end(); err != nil {
		t.Fatal(err)
	}
	anew, err := index.Open(filepath.Join(t.TempDir(), "index"), index.Options{Ledger: w.keys.LedgerID(), Live: w.keys.Live})
	if err != nil {
		t.Fatal(err)
	}
	defer anew.Close()
	for m, err := range w.log.FollowKeys(t.Context(), 0) {
		var keys consentv1.WrappedKeys
		if err := errors.Join(err, proto.Unmarshal(m.Data, &keys), anew.ApplyKeys(m.Seq, &keys)); err != nil {
			t.Fatal(err)
		}
	}
	tail, err := w.log.Tail(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for seq := uint64(1); seq <= tail; seq++ {
		m, err := w.log.Read(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		entries, err := ledger.DecodeCommit(m, w.keys)
		if err := errors.Join(err, anew.ApplyCommit(seq, entries)); err != nil {
			t.Fatal(err)
		}
	}
	if built, err := anew.Hash(t.Context()); err != nil || built != kept {
		t.Errorf("the index built anew is another one (%v)", err)
	}
}

// TestKeysWithoutAnAnswerEndTheWriter, with nothing stored under keys nobody has.
func TestKeysWithoutAnAnswerEndTheWriter(t *testing.T) {
	w, k := watchKeys(t)
	l := w.start()
	l.must(sellerFact())
	k.mu.Lock()
	k.refuse = true
	before := k.commits
	k.mu.Unlock()
	if o := l.record(grant(number, "e1"))[0]; !errors.Is(o.Err, ledger.ErrUncertain) {
		t.Errorf("outcome %+v", o)
	}
	if err := <-l.ended; err == nil {
		t.Error("the writer went on")
	}
	close(l.ended)
	if err := l.index.Close(); err != nil {
		t.Error(err)
	}
	if k.commits != before {
		t.Error("a commit was sent whose keys were not durable")
	}
	k.mu.Lock()
	k.refuse = false
	k.mu.Unlock()
	if r := w.start().must(grant(number, "e1"))[0]; r.Duplicate {
		t.Error("the fact was recorded although its keys were not")
	}
}

// TestErasingBesideKeysDrawnAhead: an erasure ends epochs under which keys of persons
// still to begin are wrapped; what is sealed for those persons later opens all the
// same, in this life and by an index built anew.
func TestErasingBesideKeysDrawnAhead(t *testing.T) {
	w := newWorld(t)
	l := w.start()
	l.must(sellerFact())
	numbers := func(from, n int) (out []string) {
		for i := from; i < from+n; i++ {
			out = append(out, fmt.Sprintf("+1%d555%04d", 201+i/100, 100+i%100))
		}
		return out
	}
	record := func(numbers []string) map[string]ledger.Position {
		at := map[string]ledger.Position{}
		for some := range slices.Chunk(numbers, 50) { // several commits: the reserve grows
			facts := make([]*consentv1.Fact, len(some))
			for i, n := range some {
				facts[i] = grant(n, n)
			}
			for i, r := range l.must(facts...) {
				at[some[i]] = r.Position
			}
		}
		return at
	}
	before := numbers(0, 300)
	record(before)
	for _, n := range before[:60] {
		x, err := w.keys.Exchange(n)
		if err != nil {
			t.Fatal(err)
		}
		if _, persons, err := l.writer.Erase(t.Context(), n, x, "erasure_request"); err != nil || persons != 1 {
			t.Fatalf("erase: %d persons, %v", persons, err)
		}
	}
	after := record(numbers(300, 400))
	opens := func(l *life) {
		t.Helper()
		for n, at := range after {
			e, err := l.reader.Entry(t.Context(), at)
			if err != nil {
				t.Fatal(err)
			}
			if fact, erased, err := l.reader.Open(t.Context(), e); err != nil || erased || fact.GetNumber() != n {
				t.Fatalf("position %d: erased %t, %v", at, erased, err)
			}
		}
	}
	opens(l)
	if err := l.end(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(w.dir, "index")); err != nil {
		t.Fatal(err)
	}
	opens(w.start())
}
