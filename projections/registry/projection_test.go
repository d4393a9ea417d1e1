package registry_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/projections/registry"
	"github.com/consent-ledger/consent-ledger/projections/rules"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// memory is a store that is a map.
type memory struct{ m map[string][]byte }

func (m memory) Get(k []byte) ([]byte, error) { return m.m[string(k)], nil }
func (m memory) Set(k, v []byte) error        { m.m[string(k)] = v; return nil }
func (m memory) Delete(k []byte) error        { delete(m.m, string(k)); return nil }
func (m memory) DeleteRange(lo, hi []byte) error {
	maps.DeleteFunc(m.m, func(k string, _ []byte) bool { return k >= string(lo) && k < string(hi) })
	return nil
}
func (m memory) Scan(lo, hi []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		for _, k := range slices.Sorted(maps.Keys(m.m)) {
			if k >= string(lo) && k < string(hi) && !yield([]byte(k), m.m[k]) {
				return
			}
		}
	}
}
func (m memory) Each(lo, hi []byte, visit func(k, v []byte) error) error {
	for k, v := range m.Scan(lo, hi) {
		if err := visit(k, v); err != nil {
			return err
		}
	}
	return nil
}

// objects is a file store that can lack things.
type objects struct {
	mu  sync.Mutex
	m   map[ledger.Hash][]byte
	got []ledger.Hash
}

func (o *objects) Get(_ context.Context, h ledger.Hash) (io.ReadCloser, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.got = append(o.got, h)
	b, ok := o.m[h]
	if !ok {
		return nil, ledger.ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

func (o *objects) put(h ledger.Hash, b []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.m[h] = b
}

var recorded = time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)

// world is a registry with its store and its files.
type world struct {
	t     *testing.T
	p     *registry.Projection
	db    memory
	files *objects
	at    ledger.Position
}

func newWorld(t *testing.T) *world {
	return &world{t: t, p: registry.New(nil), db: memory{map[string][]byte{}}, files: &objects{m: map[ledger.Hash][]byte{}}}
}

func (w *world) loader() *registry.Loader { return &registry.Loader{Projection: w.p, Objects: w.files} }

// version builds a list and, if asked to, stores its object.
func (w *world) version(date, text string, stored bool, licensees ...string) *consentv1.RegistryLoaded {
	w.t.Helper()
	built, object, err := build(date, file{name: "list.txt", text: text})
	if err != nil {
		w.t.Fatal(err)
	}
	built.Loaded.Licensees = licensees
	if stored {
		w.files.put(ledger.Hash(built.Loaded.GetObjectSha256()), object)
	}
	return built.Loaded
}

// record folds a fact, and commits.
func (w *world) record(m *consentv1.RegistryLoaded) {
	w.t.Helper()
	w.at++
	e := &ledger.Entry{Position: w.at, RecordedAt: recorded, Msg: &consentv1.Entry{Fact: &consentv1.Fact{Kind: &consentv1.Fact_RegistryLoaded{RegistryLoaded: m}}}}
	before := w.p.Snapshot()
	if err := w.p.Apply(w.db, e); err != nil {
		w.t.Fatal(err)
	}
	if w.p.Snapshot() != before {
		w.t.Error("what is not committed shows")
	}
	w.p.Committed(w.at)
	if got := w.p.Snapshot().Position; got != w.at {
		w.t.Errorf("position %d, want %d", got, w.at)
	}
}

func (w *world) fetch() {
	w.t.Helper()
	if err := w.loader().Fetch(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) want(number uint64, seller string, want rules.RegistryAnswer) {
	w.t.Helper()
	got := w.p.Snapshot().AppendAnswers(nil, number, seller, recorded)
	want.Registry = dnc
	if diff := cmp.Diff([]rules.RegistryAnswer{want}, got); diff != "" {
		w.t.Errorf("answers (-want +got):\n%s", diff)
	}
}

const (
	number818, other818 = 18185550101, 18185550102
	number205           = 12055550101
)

func TestAnswers(t *testing.T) {
	w := newWorld(t)
	if got := w.p.Snapshot().AppendAnswers(nil, number818, "acme", recorded); len(got) != 0 {
		t.Fatalf("answers before any list: %v", got)
	}
	w.record(w.version("2026-11-01", "818,5550101\n", true))
	w.want(number818, "acme", rules.RegistryAnswer{}) // announced, not here
	if len(w.p.Problems()) != 1 || !strings.Contains(w.p.Problems()[0], "not here yet") {
		t.Errorf("problems %q", w.p.Problems())
	}
	w.fetch()
	w.want(number818, "acme", rules.RegistryAnswer{Loaded: true, VersionDate: "2026-11-01", Listed: true})
	w.want(other818, "acme", rules.RegistryAnswer{Loaded: true, VersionDate: "2026-11-01"})
	w.want(number205, "acme", rules.RegistryAnswer{})    // an area code the list does not cover
	w.want(447700900123, "acme", rules.RegistryAnswer{}) // nor another country

	// While the numbers of a newer version are not here, no older one stands in.
	newer := w.version("2026-11-20", "818,5550102\n", false)
	w.record(newer)
	w.want(number818, "acme", rules.RegistryAnswer{})
	w.want(other818, "acme", rules.RegistryAnswer{})
	if err := w.loader().Fetch(t.Context()); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("fetch: %v", err)
	}
	w.version("2026-11-20", "818,5550102\n", true)
	w.fetch()
	w.want(number818, "acme", rules.RegistryAnswer{Loaded: true, VersionDate: "2026-11-20"})
	w.want(other818, "acme", rules.RegistryAnswer{Loaded: true, VersionDate: "2026-11-20", Listed: true})
	if got := w.p.Snapshot().Versions(); len(got) != 1 || !got[0].Whole || got[0].Numbers != 1 {
		t.Errorf("versions in use %+v, want the newer one alone", got)
	}

	// An older version that comes late changes nothing; another area code joins.
	w.record(w.version("2026-11-10", "818,5550101\n", true))
	w.record(w.version("2026-11-05", "205,5550101\n", true))
	w.fetch()
	w.want(number818, "acme", rules.RegistryAnswer{Loaded: true, VersionDate: "2026-11-20"})
	w.want(number205, "acme", rules.RegistryAnswer{Loaded: true, VersionDate: "2026-11-05", Listed: true})
	if p := w.p.Problems(); len(p) != 0 {
		t.Errorf("problems %q", p)
	}
	// Asked about an instant before it, a list answers nothing.
	if got := w.p.Snapshot().AppendAnswers(nil, number205, "acme", recorded.AddDate(-1, 0, 0)); got[0].Loaded {
		t.Errorf("a year ago: %+v", got)
	}
}

func TestLicensees(t *testing.T) {
	w := newWorld(t)
	w.record(w.version("2026-11-01", "818,5550101\n", true, "beta", "acme"))
	w.record(w.version("2026-11-10", "818,5550102\n", true, "beta"))
	w.fetch()
	w.want(number818, "acme", rules.RegistryAnswer{Loaded: true, VersionDate: "2026-11-01", Listed: true})
	w.want(number818, "beta", rules.RegistryAnswer{Loaded: true, VersionDate: "2026-11-10"})
	w.want(number818, "gamma", rules.RegistryAnswer{})
	w.record(w.version("2026-11-12", "818,5550101\n", true, "all"))
	w.fetch()
	for _, seller := range []string{"acme", "beta", "gamma"} {
		w.want(number818, seller, rules.RegistryAnswer{Loaded: true, VersionDate: "2026-11-12", Listed: true})
	}
	if got := len(w.p.Snapshot().Versions()); got != 1 {
		t.Errorf("%d versions in use, want 1", got)
	}
}

func TestUnusableVersionsAnswerNothing(t *testing.T) {
	for name, spoil := range map[string]func(*consentv1.RegistryLoaded){
		"no day":         func(m *consentv1.RegistryLoaded) { m.VersionDate = "lately" },
		"the future":     func(m *consentv1.RegistryLoaded) { m.VersionDate = "2027-11-01" },
		"object unnamed": func(m *consentv1.RegistryLoaded) { m.ObjectSha256 = m.ObjectSha256[:4] },
		"change list":    func(m *consentv1.RegistryLoaded) { m.BaseVersionDate = "2026-10-01" },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			m := w.version("2026-11-01", "818,5550101\n", true)
			spoil(m)
			w.record(m)
			w.fetch()
			w.want(number818, "acme", rules.RegistryAnswer{})
			if len(w.p.Problems()) != 1 {
				t.Errorf("problems %q", w.p.Problems())
			}
		})
	}
}

func TestLoadIsWhatWasFolded(t *testing.T) {
	w := newWorld(t)
	w.record(w.version("2026-11-01", "818,5550101\n", true, "beta", "acme"))
	w.record(w.version("2026-11-10", "205,5550101\n", true))
	again := &world{t: t, p: registry.New(nil), db: w.db, files: w.files, at: w.at}
	if err := again.p.Load(w.db, w.at); err != nil {
		t.Fatal(err)
	}
	w.fetch()
	again.fetch()
	if diff := cmp.Diff(w.p.Snapshot().Versions(), again.p.Snapshot().Versions()); diff != "" {
		t.Errorf("loaded (-folded +loaded):\n%s", diff)
	}
	again.want(number818, "acme", rules.RegistryAnswer{Loaded: true, VersionDate: "2026-11-01", Listed: true})
	lo, hi := []byte{again.p.Spaces()[0]}, []byte{again.p.Spaces()[0] + 1}
	if err := w.db.DeleteRange(lo, hi); err != nil || len(w.db.m) != 0 {
		t.Fatalf("%d keys outside its space", len(w.db.m))
	}
	if err := again.p.Load(w.db, 0); err != nil {
		t.Fatal(err)
	}
	if got := again.p.Snapshot().AppendAnswers(nil, number818, "acme", recorded); len(got) != 0 {
		t.Errorf("answers from nothing: %v", got)
	}
}

func TestPrimedNumbersAnswerFromTheirCommit(t *testing.T) {
	w := newWorld(t)
	built, _, err := build("2026-11-01", file{name: "list.txt", text: "818,5550101\n"})
	if err != nil {
		t.Fatal(err)
	}
	release := w.p.Prime(built)
	w.record(w.version("2026-11-02", "205,5550101\n", true)) // something else in between
	w.record(built.Loaded)
	release()
	release() // harmless
	w.want(number818, "acme", rules.RegistryAnswer{Loaded: true, VersionDate: "2026-11-01", Listed: true})
	w.fetch()
	if len(w.files.got) != 1 {
		t.Errorf("%d objects were fetched, want the other list's alone", len(w.files.got))
	}

	// Numbers that were never announced are let go.
	other := built
	other.Loaded = proto.CloneOf(built.Loaded)
	other.Loaded.ObjectSha256 = append([]byte{1}, make([]byte, 31)...)
	nobody := w.p.Prime(other)
	nobody()
	m := w.version("2026-11-20", "818,5550101\n", false)
	m.ObjectSha256 = append([]byte{1}, make([]byte, 31)...)
	w.record(m)
	w.want(number818, "acme", rules.RegistryAnswer{})
}

// TestAwaitedVersionBlocksWhatDependsOnIt: the older list is not asked for those
// whom the newer one is for, and is for all others.
func TestAwaitedVersionBlocksWhatDependsOnIt(t *testing.T) {
	w := newWorld(t)
	w.record(w.version("2026-11-01", "818,5550101\n205,5550101\n", true))
	w.fetch()
	old := rules.RegistryAnswer{Loaded: true, VersionDate: "2026-11-01", Listed: true}
	w.record(w.version("2026-10-20", "818,5550102\n", false)) // of an earlier day: nobody waits for it
	w.want(number818, "acme", old)
	w.record(w.version("2026-11-20", "818,5550102\n", false, "acme"))
	w.want(number818, "acme", rules.RegistryAnswer{})
	w.want(number818, "beta", old) // not licensed for the newer one
	w.want(number205, "acme", old) // not covered by it
	for _, c := range []struct {
		at     time.Time
		loaded bool
	}{
		{time.Date(2026, 11, 18, 23, 59, 0, 0, time.UTC), true}, // more than a day before it
		{time.Date(2026, 11, 19, 0, 0, 0, 0, time.UTC), false},
	} {
		if got := w.p.Snapshot().AppendAnswers(nil, number818, "acme", c.at)[0]; got.Loaded != c.loaded {
			t.Errorf("at %v: %+v", c.at, got)
		}
	}
	// One that can never be used is waited for by nobody, before or behind.
	spoilt := w.version("2026-11-21", "205,5550101\n", false)
	spoilt.BaseVersionDate = "2026-11-01"
	w.record(spoilt)
	w.want(number205, "acme", old)
	// A still newer one that is whole ends the waiting.
	w.record(w.version("2026-11-22", "818,5550101\n", true))
	w.fetch()
	w.want(number818, "acme", rules.RegistryAnswer{Loaded: true, VersionDate: "2026-11-22", Listed: true})
}

func TestDamagedObjectIsNotUsed(t *testing.T) {
	w := newWorld(t)
	m := w.version("2026-11-01", "818,5550101\n", true)
	other := w.version("2026-11-02", "818,5550102\n", true)
	w.files.put(ledger.Hash(m.GetObjectSha256()), w.files.m[ledger.Hash(other.GetObjectSha256())])
	w.record(m)
	if err := w.loader().Fetch(t.Context()); !errors.Is(err, registry.ErrBadObject) {
		t.Errorf("fetch: %v", err)
	}
	w.want(number818, "acme", rules.RegistryAnswer{})
}

// TestNewestIsFetchedFirst: of a year of lists a restart reads one.
func TestNewestIsFetchedFirst(t *testing.T) {
	w := newWorld(t)
	var last *consentv1.RegistryLoaded
	for day := range 20 {
		last = w.version(time.Date(2026, 11, 1+day, 0, 0, 0, 0, time.UTC).Format(time.DateOnly), "818,5550101\n", true)
		last.ObjectSha256 = bytes.Clone(last.ObjectSha256)
		if day < 19 {
			last.ObjectSha256[0] ^= byte(day + 1) // other objects, which are not here
		}
		w.record(last)
	}
	w.fetch()
	if diff := cmp.Diff([]ledger.Hash{ledger.Hash(last.GetObjectSha256())}, w.files.got); diff != "" {
		t.Errorf("fetched (-want +got):\n%s", diff)
	}
}

// TestReadersSeeWholeVersions: while primed versions come, there is always an
// answer, and it is one version's, never a mixture.
func TestReadersSeeWholeVersions(t *testing.T) {
	w := newWorld(t)
	w.record(w.version("2026-11-01", "818,5550101\n", true)) // odd days list the first number, even days the second
	w.fetch()
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				s := w.p.Snapshot()
				a := s.AppendAnswers(nil, number818, "acme", recorded)[0]
				b := s.AppendAnswers(nil, other818, "acme", recorded)[0]
				if !a.Loaded || a.VersionDate != b.VersionDate || a.Listed == b.Listed || a.Listed != ((a.VersionDate[9]-'0')%2 == 1) {
					t.Errorf("a mixture: %+v %+v", a, b)
					return
				}
			}
		})
	}
	for day := 2; day <= 20; day++ {
		text := "818,5550101\n"
		if day%2 == 0 {
			text = "818,5550102\n"
		}
		built, _, err := build(time.Date(2026, 11, day, 0, 0, 0, 0, time.UTC).Format(time.DateOnly), file{name: "list.txt", text: text})
		if err != nil {
			t.Fatal(err)
		}
		release := w.p.Prime(built)
		w.record(built.Loaded)
		release()
	}
	close(done)
	readers.Wait()
}

// TestRun: the loader fetches what was there, what comes, and what comes late.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var mu sync.Mutex
		failures := 0
		l := w.loader()
		l.Failed = func(_ ledger.Hash, err error) {
			mu.Lock()
			defer mu.Unlock()
			if failures++; !errors.Is(err, ledger.ErrNotFound) {
				t.Error(err)
			}
		}
		w.record(w.version("2026-11-01", "818,5550101\n", true))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- l.Run(ctx) }()
		synctest.Wait()
		w.want(number818, "acme", rules.RegistryAnswer{Loaded: true, VersionDate: "2026-11-01", Listed: true})

		w.record(w.version("2026-11-02", "818,5550101\n", true))
		synctest.Wait()
		w.want(number818, "acme", rules.RegistryAnswer{Loaded: true, VersionDate: "2026-11-02", Listed: true})

		w.record(w.version("2026-11-03", "818,5550101\n818,5550102\n", false))
		time.Sleep(10 * time.Second) // the bubble's clock: at 0, 1, 3 and 7 s
		synctest.Wait()
		mu.Lock()
		if failures != 4 {
			t.Errorf("tried %d times in 10 s, want 4", failures)
		}
		mu.Unlock()
		w.want(number818, "acme", rules.RegistryAnswer{})
		w.version("2026-11-03", "818,5550101\n818,5550102\n", true)
		time.Sleep(time.Minute)
		synctest.Wait()
		w.want(number818, "acme", rules.RegistryAnswer{Loaded: true, VersionDate: "2026-11-03", Listed: true})

		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	})
}

func TestParseNumber(t *testing.T) {
	for in, want := range map[string]uint64{"+18185550101": number818, "+441632960123": 441632960123, "18185550101": 0, "+": 0, "": 0, "+1 818": 0, "+12345678901234567": 0} {
		if got, ok := registry.ParseNumber(in); got != want || ok != (want != 0) {
			t.Errorf("got %d %v", got, ok)
		}
	}
}

func BenchmarkAnswer(b *testing.B) {
	var text strings.Builder
	for n := uint64(2_125_550_000); n < 2_125_550_000+4_000_000; n += 8 {
		if n/1e6%10 >= 2 {
			text.WriteString(formatNumber(n))
		}
	}
	built, _, err := build("2026-11-01", file{name: "list.txt", text: text.String()})
	if err != nil {
		b.Fatal(err)
	}
	p := registry.New(nil)
	p.Prime(built)
	e := &ledger.Entry{Position: 1, RecordedAt: recorded, Msg: &consentv1.Entry{Fact: &consentv1.Fact{Kind: &consentv1.Fact_RegistryLoaded{RegistryLoaded: built.Loaded}}}}
	if err := p.Apply(memory{map[string][]byte{}}, e); err != nil {
		b.Fatal(err)
	}
	p.Committed(1)
	s := p.Snapshot()
	dst := make([]rules.RegistryAnswer, 0, 1)
	b.ReportAllocs()
	var n uint64
	for b.Loop() {
		n = (n*6364136223846793005 + 1442695040888963407)
		dst = s.AppendAnswers(dst[:0], 12_125_550_000+n>>32%4_000_000, "acme", recorded)
	}
}

func formatNumber(n uint64) string {
	var b [11]byte
	b[10] = '\n'
	for i := 9; i >= 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
	return string(b[:])
}
