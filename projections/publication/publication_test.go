package publication_test

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/projections"
	"github.com/consent-ledger/consent-ledger/projections/internal/memsource"
	"github.com/consent-ledger/consent-ledger/projections/publication"
	"github.com/consent-ledger/consent-ledger/projections/rules"
	"github.com/consent-ledger/consent-ledger/projections/runner"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// file is a pack with one ban.
func file(id, version, layer, seller string) []byte {
	head := fmt.Sprintf("id: %s\nversion: %q\ntitle: T\nabout: A\nlayer: %s\nknown_as_of: 2026-11-23\n", id, version, layer)
	if seller != "" {
		head += "seller: " + seller + "\n"
	}
	region := map[string]string{"state": "US-ZZ"}[layer]
	return []byte(head + `applies: {regions: [` + cmp.Or(region, "US") + `]}
ban:
  - id: none
    says: No such calls.
    citation: A statute
    confidence: secondary
    effective_from: always
    channels: [fax]
    purposes: [marketing]
`)
}

func pack(t testing.TB, raw []byte) *rules.Pack {
	t.Helper()
	id := strings.TrimPrefix(strings.SplitN(string(raw), "\n", 2)[0], "id: ")
	p, err := rules.Parse(id+".yaml", raw)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func publish(raw []byte) memsource.Declared {
	lines := strings.Split(string(raw), "\n")
	m := &consentv1.RulePackPublished{Id: lines[0][4:], Version: strings.Trim(lines[1][9:], `"`), Layer: lines[4][7:]}
	if strings.HasPrefix(lines[6], "seller: ") {
		m.Seller = lines[6][8:]
	}
	sum := sha256.Sum256(raw)
	m.Sha256 = sum[:]
	return memsource.Declared{Fact: &consentv1.Fact{Kind: &consentv1.Fact_RulePackPublished{RulePackPublished: m}}}
}

// world is a projection that follows a source.
type world struct {
	*testing.T
	source *memsource.Source
	p      *publication.Projection
	r      *runner.Runner
}

func newWorld(t *testing.T, dir string, s *memsource.Source, files ...*rules.Pack) *world {
	t.Helper()
	db, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, source: s, p: publication.New(files...)}
	if w.r, err = runner.Open(db, s, []projections.Projection{w.p}, runner.Options{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	w.applied()
	return w
}

func (w *world) applied() {
	w.Helper()
	if err := w.r.WaitApplied(w.Context(), w.source.Tail()); err != nil {
		w.Fatal(err)
	}
}

// want are the versions of the packs a seller is judged by, as of the nth second
// (0: now); empty: nothing may be allowed.
func (w *world) want(seller string, asOf int, want string) {
	w.Helper()
	packs, ok := w.p.Snapshot().Packs(seller)
	if asOf > 0 {
		packs, ok = w.p.Snapshot().PacksAsOf(seller, memsource.Start.Add(time.Duration(asOf)*time.Second))
	}
	got := ""
	if ok {
		for _, p := range packs.All() {
			got += p.ID + " " + p.Version + ";"
		}
	}
	if got != want || ok != (want != "") {
		w.Errorf("%s as of %d: got %q %v, want %q", seller, asOf, got, ok, want)
	}
}

func TestVersionsOfThen(t *testing.T) {
	base1, base2, state := file("us", "1", "country", ""), file("us", "2", "country", ""), file("us-zz", "1", "state", "")
	own1, own2 := file("acme-own", "1", "seller", "acme"), file("acme-own", "2", "seller", "acme")
	s, dir := memsource.New(), t.TempDir()+"/db"
	w := newWorld(t, dir, s, pack(t, base1), pack(t, base2), pack(t, state), pack(t, own1))
	w.want("acme", 0, "")
	if len(w.p.Problems()) != 1 {
		t.Errorf("problems %q", w.p.Problems())
	}
	s.Append(publish(base1))                                // recorded in second 1
	s.Append(publish(state))                                // 2
	s.Append(publish(own1))                                 // 3
	s.Append(publish(base2), publish(own2), publish(base2)) // 4, 5, 6: of own2 there is no file
	w.applied()
	check := func(w *world) {
		w.Helper()
		w.want("beta", 0, "us 2;us-zz 1;")
		w.want("acme", 0, "")
		w.want("acme", 4, "us 2;us-zz 1;acme-own 1;")
		w.want("acme", 3, "us 1;us-zz 1;acme-own 1;")
		w.want("beta", 3, "us 1;us-zz 1;")
		w.want("beta", 1, "us 1;")
		w.want("beta", 99, "us 2;us-zz 1;")
		if got, _ := w.p.Snapshot().PacksAsOf("beta", memsource.Start); got != nil {
			w.Error("packs before the first publication")
		}
		if p := w.p.Problems(); len(p) != 1 || !strings.Contains(p[0], "acme-own") {
			w.Errorf("problems %q", p)
		}
	}
	check(w)
	w.p.Add(pack(t, own2))
	w.want("acme", 0, "us 2;us-zz 1;acme-own 2;")
	if p := w.p.Problems(); len(p) != 0 {
		t.Errorf("problems %q", p)
	}
	check(newWorld(t, t.TempDir()+"/db", s, pack(t, base1), pack(t, base2), pack(t, state), pack(t, own1)))
}

// TestReadAgain: what a store holds is what was folded.
func TestReadAgain(t *testing.T) {
	base := file("us", "1", "country", "")
	s, dir := memsource.New(), t.TempDir()+"/db"
	s.Append(publish(base))
	t.Run("folded", func(t *testing.T) { newWorld(t, dir, s, pack(t, base)).want("acme", 0, "us 1;") })
	t.Run("read again", func(t *testing.T) {
		w := newWorld(t, dir, s)
		w.want("acme", 0, "") // the file is not at hand
		w.p.Add(pack(t, base))
		w.want("acme", 0, "us 1;")
	})
}

// TestSellersThatDoNotFit: a pack that cannot stand beside the others blocks its
// seller and nobody else.
func TestSellersThatDoNotFit(t *testing.T) {
	base, own := file("us", "1", "country", ""), file("own", "1", "seller", "acme")
	s := memsource.New()
	s.Append(publish(base), publish(own))
	w := newWorld(t, t.TempDir()+"/db", s, pack(t, base), pack(t, own))
	w.want("acme", 0, "us 1;own 1;")
	// The same file under another id says nothing about that one.
	again := publish(own)
	again.Fact.GetRulePackPublished().Id = "other"
	s.Append(again)
	w.applied()
	w.want("acme", 0, "")
	w.want("beta", 0, "us 1;")
	if p := w.p.Problems(); len(p) != 1 || !strings.Contains(p[0], "that of another pack") {
		t.Errorf("problems %q", p)
	}
}

// TestWithdrawn: a seller's pack ends with its entry and is known as of before; it may
// begin again, another seller's stays, and no fact ends the law.
func TestWithdrawn(t *testing.T) {
	base, own, other := file("us", "1", "country", ""), file("own", "1", "seller", "acme"), file("zz-own", "1", "seller", "beta")
	ends := func(raw []byte) memsource.Declared {
		d := publish(raw)
		d.Fact.GetRulePackPublished().Withdrawn = true
		return d
	}
	s := memsource.New()
	s.Append(publish(base), publish(own), publish(other))
	w := newWorld(t, t.TempDir()+"/db", s, pack(t, base), pack(t, own), pack(t, other))
	w.want("acme", 0, "us 1;own 1;")
	s.Append(ends(own))
	w.applied()
	w.want("acme", 0, "us 1;")
	w.want("acme", 3, "us 1;own 1;")
	w.want("beta", 0, "us 1;zz-own 1;")
	if n, _ := w.p.Snapshot().Newest("own"); !n.Withdrawn {
		t.Error("the newest publication is not the end")
	}
	s.Append(publish(own))
	w.applied()
	w.want("acme", 0, "us 1;own 1;")
	s.Append(ends(base))
	w.applied()
	w.want("beta", 0, "us 1;zz-own 1;")
	if p := w.p.Problems(); len(p) != 0 || w.p.Fetching() {
		t.Errorf("problems %q", p)
	}
}

// TestWithdrawnUnfetched: the file of a pack that ended is waited for by nobody.
func TestWithdrawnUnfetched(t *testing.T) {
	base, own := file("us", "1", "country", ""), file("own", "1", "seller", "acme")
	d := publish(own)
	d.Fact.GetRulePackPublished().Withdrawn = true
	s := memsource.New()
	s.Append(publish(base), publish(own), d)
	w := newWorld(t, t.TempDir()+"/db", s, pack(t, base))
	w.want("acme", 0, "us 1;")
	if p := w.p.Problems(); len(p) != 0 || w.p.Fetching() {
		t.Errorf("problems %q", p)
	}
}

// objects is a file store.
type objects struct {
	mu    sync.Mutex
	files map[ledger.Hash][]byte
	asked int
}

func (o *objects) Get(_ context.Context, file ledger.Hash) ([]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked++
	if raw, ok := o.files[file]; ok {
		return raw, nil
	}
	return nil, ledger.ErrNotFound
}

func (o *objects) put(name ledger.Hash, raw []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.files[name] = raw
}

// TestLoader: it fetches what there is, what comes late, and nothing that is not
// what it says it is.
func TestLoader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := file("us", "1", "country", ""), file("us", "2", "country", "")
		spoilt := []byte(strings.Replace(string(file("us-yy", "1", "state", "")), "says:", "sais:", 1))
		p := publication.New()
		o := &objects{files: map[ledger.Hash][]byte{}}
		var mu sync.Mutex
		var failures []string
		l := &publication.Loader{Projection: p, Files: o, Failed: func(_ ledger.Hash, err error) {
			mu.Lock()
			defer mu.Unlock()
			failures = append(failures, err.Error())
		}}
		at := ledger.Position(0)
		batch := &batch{m: map[string][]byte{}}
		record := func(raw []byte) {
			at++
			if err := p.Apply(batch, memsource.NewEntry(at, publish(raw))); err != nil {
				t.Fatal(err)
			}
			p.Committed(at)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- l.Run(ctx) }()

		o.put(sha256.Sum256(one), two) // not what its name says
		record(one)
		synctest.Wait()
		if _, ok := p.Snapshot().Packs("acme"); ok || len(failures) != 1 {
			t.Errorf("a file with other bytes is used; %q", failures)
		}
		o.put(sha256.Sum256(one), one)
		<-time.After(2 * time.Second) // the bubble's clock
		synctest.Wait()
		if packs, ok := p.Snapshot().Packs("acme"); !ok || packs.All()[0].Version != "1" {
			t.Error("what came late is not used")
		}
		o.put(sha256.Sum256(two), two)
		record(two)
		synctest.Wait()
		if packs, ok := p.Snapshot().Packs("acme"); !ok || packs.All()[0].Version != "2" {
			t.Error("the new version is not used")
		}

		o.put(sha256.Sum256(spoilt), spoilt)
		record(spoilt)
		synctest.Wait()
		asked := o.asked
		<-time.After(10 * time.Minute)
		synctest.Wait()
		if _, ok := p.Snapshot().Packs("acme"); ok || o.asked != asked {
			t.Errorf("a file that cannot be used: used %v, asked for %d times more", ok, o.asked-asked)
		}
		if got := strings.Join(p.Problems(), "\n"); !strings.Contains(got, "us-yy") || !strings.Contains(got, "cannot be used") {
			t.Errorf("problems %q", got)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	})
}

// batch takes writes; the loader's test needs no more.
type batch struct {
	projections.Batch
	m map[string][]byte
}

func (b *batch) Set(k, v []byte) error { b.m[string(k)] = v; return nil }
