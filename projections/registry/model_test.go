package registry_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/projections/registry"
	"github.com/consent-ledger/consent-ledger/projections/rules"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// naive is one version as a model knows it: its numbers, written out.
type naive struct {
	date      string
	day       time.Time
	position  ledger.Position
	licensees []string
	codes     []string
	numbers   map[uint64]bool
	base      *naive // of a change list
}

func (v *naive) licensed(seller string) bool {
	return len(v.licensees) == 0 || slices.Contains(v.licensees, seller)
}

func (v *naive) covers(n uint64) bool { return slices.Contains(v.codes, fmt.Sprint(n/1e7%1000)) }

// within tells whether w serves and covers all that v does.
func (v *naive) within(w *naive) bool {
	for _, c := range v.codes {
		if !slices.Contains(w.codes, c) {
			return false
		}
	}
	if len(w.licensees) == 0 {
		return true
	}
	for _, s := range v.licensees {
		if !slices.Contains(w.licensees, s) {
			return false
		}
	}
	return len(v.licensees) > 0
}

func newer(a, b *naive) bool {
	return a.day.After(b.day) || a.day.Equal(b.day) && a.position > b.position
}

// town is a registry with its shelf beside the versions a model knows.
type town struct {
	t        *rapid.T
	db       memory
	files    *objects
	shelfDB  *store.DB
	keys     *seal.Keyring
	p        *registry.Projection
	at       ledger.Position
	versions []*naive
	stop     func()
}

// begin starts a registry over what was stored, as a restart does.
func (w *town) begin() {
	shelf, err := registry.OpenShelf(w.shelfDB, w.keys)
	if err != nil {
		w.t.Fatal(err)
	}
	w.p = registry.New(shelf)
	if err := w.p.Load(w.db, w.at); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l := &registry.Loader{Projection: w.p, Objects: w.files, Failed: func(_ ledger.Hash, err error) { w.t.Error(err) }}
		_ = l.Run(ctx)
	}()
	w.stop = func() { cancel(); <-ended }
	w.settle()
}

func (w *town) settle() {
	if err := w.p.WaitKept(context.Background()); err != nil {
		w.t.Fatal(err)
	}
}

// load builds versions as a server does, and tells whether they were taken. like is
// what is known of each by the area codes it covers.
func (w *town) load(plan registry.Plan, text string, like ...*naive) bool {
	plan.Registry, plan.AcceptShrunk, plan.AcceptEmpty = dnc, everywhere, everywhere
	b, err := registry.NewBuilder(plan)
	if err != nil {
		w.t.Fatal(err)
	}
	err = b.AddFile(registry.File{Name: "list.txt", Content: strings.NewReader(text), Size: int64(len(text))})
	var all []registry.Built
	if err == nil {
		all, err = b.Finish(w.p.Snapshot())
	}
	if err != nil {
		if plan.BaseDate == "" {
			w.t.Fatal(err)
		}
		return false
	}
	taken := false
	for _, built := range all {
		i := slices.IndexFunc(like, func(v *naive) bool { return slices.Equal(v.codes, built.Loaded.GetAreaCodes()) })
		if built.Before != 0 {
			continue
		}
		if i < 0 {
			w.t.Fatalf("a version of %v was made", built.Loaded.GetAreaCodes())
		}
		w.record(built)
		like[i].position, taken = w.at, true
		w.versions = append(w.versions, like[i])
	}
	slices.SortFunc(w.versions, func(a, b *naive) int {
		if newer(a, b) {
			return -1
		}
		return 1
	})
	w.settle()
	return taken
}

func (w *town) record(built registry.Built) {
	var object bytes.Buffer
	if _, err := built.Object.Encode(&object); err != nil {
		w.t.Fatal(err)
	}
	w.files.put(ledger.Hash(built.Loaded.GetObjectSha256()), object.Bytes())
	release := w.p.Prime(built)
	w.at++
	e := &ledger.Entry{Position: w.at, RecordedAt: recorded, Msg: &consentv1.Entry{Fact: &consentv1.Fact{Kind: &consentv1.Fact_RegistryLoaded{RegistryLoaded: built.Loaded}}}}
	if err := w.p.Apply(w.db, e); err != nil {
		w.t.Fatal(err)
	}
	w.p.Committed(w.at)
	release()
	if got := w.p.Problems(); len(got) > 0 {
		w.t.Fatalf("problems %q", got)
	}
}

var (
	modelSellers  = []string{"acme", "beta", "gamma"}
	modelLicences = [][]string{nil, {"acme"}, {"acme", "beta"}}
	modelCodes    = [][]string{{"205"}, {"818"}, {"205", "818"}}
)

// modelNumbers are the numbers any list of the model may hold.
func modelNumbers() (out []uint64) {
	for _, code := range []uint64{205, 818} {
		for i := range uint64(6) {
			out = append(out, 1e10+code*1e7+5_550_100+i)
		}
	}
	return out
}

func day(n int) time.Time { return time.Date(2026, 10, n, 0, 0, 0, 0, time.UTC) }

// full loads a list of any day: late ones too.
func (w *town) full(t *rapid.T, uniform bool) {
	v := &naive{day: day(rapid.IntRange(1, 40).Draw(t, "day")), codes: modelCodes[2], numbers: map[uint64]bool{}}
	if !uniform {
		v.codes = rapid.SampledFrom(modelCodes).Draw(t, "codes")
		v.licensees = rapid.SampledFrom(modelLicences).Draw(t, "licensees")
	}
	v.date = v.day.Format(time.DateOnly)
	var text strings.Builder
	for _, n := range modelNumbers() {
		if v.covers(n) && rapid.Bool().Draw(t, "listed") {
			v.numbers[n] = true
			fmt.Fprintf(&text, "%d\n", n-1e10)
		}
	}
	w.load(registry.Plan{VersionDate: v.date, Licensees: v.licensees, AreaCodes: v.codes}, text.String(), v)
}

// change loads a change list on a day that some version is of. It must be taken
// exactly if every area code it is for is covered, and what counts there for all its
// sellers is of that day, and nothing newer is there for any of them; and if it
// changes nothing elsewhere.
func (w *town) change(t *rapid.T) {
	if len(w.versions) == 0 {
		return
	}
	like := rapid.SampledFrom(w.versions).Draw(t, "base")
	if like.day.After(day(45)) {
		return // the next could be of tomorrow
	}
	codes := rapid.SampledFrom([][]string{like.codes, modelCodes[0], modelCodes[2]}).Draw(t, "of")
	made, want := map[*naive]*naive{}, true
	on := like.day.AddDate(0, 0, rapid.IntRange(1, 9).Draw(t, "after"))
	for _, code := range codes {
		base, newest := w.counts(code, like.licensees)
		if base == nil || base.date != like.date || newest != like.date {
			want = false
			break
		}
		if made[base] == nil {
			made[base] = &naive{day: on, date: on.Format(time.DateOnly), licensees: like.licensees, base: base, numbers: maps.Clone(base.numbers)}
		}
		made[base].codes = append(made[base].codes, code)
	}
	var text strings.Builder
	for i := range rapid.IntRange(0, 6).Draw(t, "rows") {
		n := rapid.SampledFrom(modelNumbers()).Draw(t, "number")
		if !slices.Contains(codes, fmt.Sprint(n/1e7%1000)) {
			if !rapid.Bool().Draw(t, "elsewhere") {
				continue
			}
			want = false
		}
		removed := rapid.Bool().Draw(t, "removed")
		for _, v := range made {
			if v.covers(n) {
				v.numbers[n] = !removed
			}
		}
		fmt.Fprintf(&text, "%d,2026-10-01T00:00:%02d,%s\n", n-1e10, i, map[bool]string{true: "D", false: "A"}[removed])
	}
	date := on.Format(time.DateOnly)
	repeated := slices.ContainsFunc(w.versions, func(u *naive) bool { return u.date == date && u.base != nil && u.base.date == like.date })
	taken := w.load(registry.Plan{VersionDate: date, BaseDate: like.date, Licensees: like.licensees, AreaCodes: codes}, text.String(), slices.Collect(maps.Values(made))...)
	if taken != want && !repeated {
		t.Fatalf("a change list of %s on %s for %v taken: %v", date, like.date, codes, taken)
	}
}

// counts is the version that counts for an area code and all of some sellers, and
// the newest day of any that counts for one of them.
func (w *town) counts(code string, sellers []string) (v *naive, newest string) {
	asked := &naive{licensees: sellers}
	for _, u := range w.versions {
		common := len(u.licensees) == 0 || len(sellers) == 0 || slices.ContainsFunc(u.licensees, asked.licensed)
		if !common || !slices.Contains(u.codes, code) {
			continue
		}
		newest = max(newest, u.date)
		if asked.within(u) {
			return u, newest
		}
	}
	return nil, newest
}

// answer is what the model says.
func (w *town) answer(n uint64, seller string, at time.Time) (a rules.RegistryAnswer, from *naive) {
	a.Registry = dnc
	for _, v := range w.versions {
		if v.licensed(seller) && v.covers(n) && !v.day.After(at.Add(24*time.Hour)) {
			a.Loaded, a.VersionDate, a.Listed = true, v.date, v.numbers[n]
			if a.Listed {
				a.Since = w.since(v, n)
			}
			return a, v
		}
	}
	return a, nil
}

// before is the version that v follows; nil: none.
func (w *town) before(v *naive) *naive {
	if v.base != nil {
		return v.base
	}
	for _, u := range w.versions {
		if newer(v, u) && v.within(u) {
			return u
		}
	}
	return nil
}

func (w *town) since(v *naive, n uint64) string {
	for {
		before := w.before(v)
		if before == nil {
			return ""
		}
		if !before.numbers[n] {
			return before.day.AddDate(0, 0, 1).Format(time.DateOnly)
		}
		v = before
	}
}

// reachable tells whether a version in use that covers the number follows, step
// by step, another version.
func (w *town) reachable(wanted *naive, n uint64) bool {
	for _, u := range w.versions {
		superseded := slices.ContainsFunc(w.versions, func(x *naive) bool { return newer(x, u) && u.within(x) })
		for v := u; v != nil && !superseded && u.covers(n); v = w.before(v) {
			if v == wanted {
				return true
			}
		}
	}
	return false
}

// check compares every answer, about now and about every day before. A version
// that no later one follows, because a change list passed over it, cannot be
// asked about any more: then the answer is none, which blocks.
func (w *town) check(t *rapid.T) {
	s := w.p.Snapshot()
	for _, seller := range modelSellers {
		for d := range 52 {
			at := day(d)
			if d == 51 {
				at = recorded.AddDate(1, 0, 0)
			}
			lists, first := s.AppendLists(nil, modelNumbers(), seller, at), map[uint64][]rules.RegistryAnswer{}
			for i, number := range modelNumbers() {
				want, from := w.answer(number, seller, at)
				got := s.AppendAnswers(nil, number, seller, at)
				if same, there := first[lists[i]]; lists[i] != rules.ListsOwn && there && !slices.Equal(same, got) {
					t.Fatalf("lists %b: %+v and %+v", lists[i], same, got)
				}
				first[lists[i]] = got
				switch {
				case len(w.versions) == 0 && len(got) == 0, got[0] == want:
				case !got[0].Loaded && d < 51 && !w.reachable(from, number):
				default:
					t.Fatalf("%s, day %d: got %+v, want %+v", seller, d, got, want)
				}
			}
		}
	}
}

// TestEqualsANaiveModel: lists and change lists of any days, sellers and area
// codes, restarts, and a shelf that is lost.
func TestEqualsANaiveModel(t *testing.T) {
	keys, err := seal.Create(filepath.Join(t.TempDir(), "keys"))
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(filepath.Join(t.TempDir(), "lists"), store.Options{CacheBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rapid.Check(t, func(t *rapid.T) {
		wipe(t, db)
		w := &town{t: t, db: memory{map[string][]byte{}}, files: &objects{m: map[ledger.Hash][]byte{}}, shelfDB: db, keys: keys}
		w.begin()
		defer func() { w.stop() }()
		uniform := rapid.Bool().Draw(t, "uniform")
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"full", "full", "change", "change", "change", "restart", "lose"}).Draw(t, "step") {
			case "full":
				w.full(t, uniform)
			case "change":
				w.change(t)
			case "restart":
				w.stop()
				w.begin()
			case "lose":
				w.stop()
				wipe(t, db)
				w.begin()
			}
		}
		w.check(t)
	})
}

func wipe(t *rapid.T, db *store.DB) {
	b := db.NewBatch()
	if err := b.DeleteRange([]byte{0}, []byte{0xff}); err != nil {
		t.Fatal(err)
	}
	if err := b.Commit(false); err != nil {
		t.Fatal(err)
	}
}

// TestShelf: a copy that was damaged or only begun is not used; the object is.
func TestShelf(t *testing.T) {
	keys, err := seal.Create(filepath.Join(t.TempDir(), "keys"))
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(k, v []byte, b *store.Batch) error{
		"untouched": func(_, _ []byte, _ *store.Batch) error { return nil },
		"a bit flipped": func(k, v []byte, b *store.Batch) error {
			if k[0] != store.SpaceShelfPage {
				return nil
			}
			v = bytes.Clone(v)
			v[len(v)/2] ^= 1
			return b.Set(k, v)
		},
		"killed before the end": func(k, _ []byte, b *store.Batch) error {
			if k[0] != store.SpaceShelfBook {
				return nil
			}
			return b.Delete(k)
		},
	} {
		t.Run(name, func(t *testing.T) {
			db, err := store.Open(filepath.Join(t.TempDir(), "lists"), store.Options{CacheBytes: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			w := newWorld(t)
			run := func() (stop func()) {
				shelf, err := registry.OpenShelf(db, keys)
				if err != nil {
					t.Fatal(err)
				}
				w.p = registry.New(shelf)
				if err := w.p.Load(w.db, w.at); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- w.loader().Run(ctx) }()
				if err := w.p.WaitKept(ctx); err != nil {
					t.Fatal(err)
				}
				return func() { cancel(); <-ended }
			}
			w.record(w.version("2026-11-01", "818,5550101\n", true))
			run()()
			fetched := len(w.files.got)
			b := db.NewBatch()
			if err := db.Each([]byte{0}, []byte{0xff}, func(k, v []byte) error { return spoil(k, v, b) }); err != nil {
				t.Fatal(err)
			}
			if err := b.Commit(false); err != nil {
				t.Fatal(err)
			}
			defer run()()
			w.want(number818, "acme", rules.RegistryAnswer{Loaded: true, VersionDate: "2026-11-01", Listed: true})
			w.want(other818, "acme", rules.RegistryAnswer{Loaded: true, VersionDate: "2026-11-01"})
			if again := len(w.files.got) > fetched; again != (name != "untouched") {
				t.Errorf("object read again: %v", again)
			}
			found := false
			err = db.Each([]byte{0}, []byte{0xff}, func(_, v []byte) error {
				found = found || bytes.Contains(v, []byte("8185550101"))
				return nil
			})
			if err != nil || found {
				t.Errorf("a number in clear: %v", err)
			}
		})
	}
}
