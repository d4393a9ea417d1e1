package registry_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/consent-ledger/consent-ledger/projections/registry"
)

// take loads files as a server does.
func (w *world) take(p registry.Plan, files ...file) error {
	w.t.Helper()
	if p.Registry == "" {
		p.Registry = dnc
	}
	b, err := registry.NewBuilder(p)
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := b.AddFile(registry.File{Name: f.name, Content: strings.NewReader(f.text), Size: int64(len(f.text)), Submitted: f.submitted}); err != nil {
			return err
		}
	}
	all, err := b.Finish(w.p.Snapshot())
	if err != nil {
		return err
	}
	for _, built := range all {
		if built.Before != 0 {
			continue
		}
		release := w.p.Prime(built)
		w.record(built.Loaded)
		release()
	}
	return nil
}

func (w *world) mustTake(p registry.Plan, files ...file) {
	w.t.Helper()
	if err := w.take(p, files...); err != nil {
		w.t.Fatal(err)
	}
}

// many is lines of one area code.
func many(code, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%d,%07d\n", code, 5_550_000+i)
	}
	return b.String()
}

func named(day, code int, text string) file {
	return file{name: fmt.Sprintf("2026-11-%d_%d_g.txt", day, code), text: text}
}

func plain(text string) file { return file{name: "list.txt", text: text} }

// TestSilenceIsNoList: what has nothing, or something else than it says, opens
// nothing on its silence.
func TestSilenceIsNoList(t *testing.T) {
	of := func(date string) registry.Plan { return registry.Plan{VersionDate: date} }
	licensed := of("2026-11-20")
	licensed.Licensees, licensed.AreaCodes = []string{"acme"}, []string{"541"}
	codes := of("2026-11-20")
	codes.AreaCodes = []string{"541", "470"}
	whole := of("2026-11-20")
	whole.WholeCountry = true
	var twelve, broken []file
	for code := 201; code < 213; code++ {
		twelve = append(twelve, named(1, code, many(code, 100)))
		broken = append(broken, named(20, code, strings.Repeat(many(code, 100), 1)))
	}
	broken[1].text = ""
	one := []file{named(1, 541, many(541, 2000))}
	for name, tc := range map[string]struct {
		before []file
		plan   registry.Plan
		files  []file
		want   error
		says   string
	}{
		"zero bytes":               {nil, of(""), []file{named(20, 305, "")}, registry.ErrEmpty, "area code 305"},
		"the whole country":        {nil, whole, []file{plain("")}, registry.ErrEmpty, "--accept-empty"},
		"tps":                      {nil, registry.Plan{Registry: "uk_tps", VersionDate: "2026-11-20"}, []file{plain("")}, registry.ErrEmpty, "--accept-empty"},
		"a header":                 {nil, registry.Plan{Registry: "au_dncr", VersionDate: "2026-11-20"}, []file{plain("phone\n")}, registry.ErrEmpty, "--accept-empty"},
		"an unknown list's header": {nil, registry.Plan{Registry: "x", Format: "csv", VersionDate: "2026-11-20"}, []file{plain("phone\n")}, registry.ErrEmpty, "--accept-empty"},
		"an empty answer": {nil, registry.Plan{Registry: "au_dncr", VersionDate: "2026-11-20", Wash: registry.WashListed},
			[]file{plain("phone\n"), {name: "sent.csv", text: "phone\n+61491570156\n", submitted: true}}, registry.ErrEmpty, "--accept-empty"},
		"a part":                       {one, codes, []file{plain("541,5550100\n470,5550100\n")}, registry.ErrShrunk, "area code 541: 2000 listed now, 1999 of them gone, 1 in this list"},
		"a licensee's part":            {one, licensed, []file{plain(many(541, 1001))}, registry.ErrShrunk, "--accept-shrunk"},
		"one file of twelve":           {twelve, of(""), broken, registry.ErrEmpty, "202"},
		"a small one of twelve":        {twelve, of(""), []file{named(20, 202, many(202, 1))}, registry.ErrShrunk, "area code 202: 100 listed now"},
		"swapped":                      {one, of(""), []file{named(20, 541, strings.ReplaceAll(many(541, 2000), "541,5", "541,6"))}, registry.ErrShrunk, "2000 of them gone"},
		"another area code's":          {nil, of(""), []file{named(20, 415, many(212, 9))}, registry.ErrCover, "212"},
		"no name":                      {nil, of("2026-11-20"), []file{plain(many(541, 500) + "404,5550100\n")}, registry.ErrCover, "404: 1, 541: 500"},
		"an area code without numbers": {nil, codes, []file{plain(many(541, 500))}, registry.ErrEmpty, "470"},
		"a file's name, all over":      {nil, whole, []file{named(20, 541, many(541, 5))}, registry.ErrCover, "--whole-country"},
		"another country's": {nil, registry.Plan{Registry: "ca_x", Region: "GB", WholeCountry: true, VersionDate: "2026-11-20"},
			[]file{plain("phone\n+441632960123\n")}, registry.ErrCover, "+441: 1"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if tc.before != nil {
				w.mustTake(of(""), tc.before...)
			}
			if err := w.take(tc.plan, tc.files...); !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error %v, want %v with %q", err, tc.want, tc.says)
			}
			tc.plan.AcceptEmpty, tc.plan.AcceptShrunk = everywhere, everywhere
			if err := w.take(tc.plan, tc.files...); tc.want != registry.ErrCover && err != nil {
				t.Errorf("by name: %v", err)
			}
		})
	}
}

// TestOrdinaryListsLoad: what happens every day is not in anybody's way.
func TestOrdinaryListsLoad(t *testing.T) {
	w := newWorld(t)
	w.mustTake(registry.Plan{}, named(1, 303, many(303, 100)))
	w.mustTake(registry.Plan{}, named(5, 206, many(206, 50)))                                                    // a new area code, on another day
	w.mustTake(registry.Plan{}, named(9, 303, many(303, 91)))                                                    // fewer, not by a tenth
	w.mustTake(registry.Plan{}, named(10, 303, many(303, 95)), named(10, 206, many(206, 50)))                    // both
	w.mustTake(registry.Plan{VersionDate: "2026-11-11", WholeCountry: true}, plain(many(303, 95)+many(206, 50))) // and all others
}

// TestTheListOfBeforeAgain: after a wrong file of the same day the right one counts.
func TestTheListOfBeforeAgain(t *testing.T) {
	w := newWorld(t)
	w.mustTake(registry.Plan{}, named(1, 303, many(303, 100)))
	w.mustTake(registry.Plan{AcceptShrunk: everywhere}, named(1, 303, many(303, 1)))
	w.mustTake(registry.Plan{}, named(1, 303, many(303, 100)))
	if v := w.p.Snapshot().Versions(); len(v) != 1 || v[0].Numbers != 100 {
		t.Errorf("%+v", v)
	}
}

// TestChangesOfSeveralVersions: a change list without an area code goes to every
// version of its base day, and loses no row.
func TestChangesOfSeveralVersions(t *testing.T) {
	w := newWorld(t)
	w.mustTake(registry.Plan{}, named(5, 303, many(303, 100)))
	w.mustTake(registry.Plan{}, named(20, 206, many(206, 100)))
	change := registry.Plan{VersionDate: "2026-11-21", BaseDate: "2026-11-20"}
	rows := plain("303,5550150,2026-11-21,A\n206,5550150,2026-11-21,A\n")
	if err := w.take(change, rows); !errors.Is(err, registry.ErrBase) || !strings.Contains(err.Error(), "303: 1") {
		t.Errorf("a row of a version of another day: %v", err)
	}
	if err := w.take(change, named(21, 303, "720,5550150,2026-11-21,A\n")); !errors.Is(err, registry.ErrCover) {
		t.Errorf("a row of another area code than the name's: %v", err)
	}
	w.mustTake(registry.Plan{}, named(20, 303, many(303, 100)))
	if err := w.take(change, plain("303,5550150,2026-11-21,A\n")); !errors.Is(err, registry.ErrEmpty) || !strings.Contains(err.Error(), "206") {
		t.Errorf("nothing for one of two: %v", err)
	}
	w.mustTake(change, rows)
	w.mustTake(change, rows) // twice is once
	for _, n := range []uint64{13035550150, 12065550150} {
		if a := w.p.Snapshot().AppendAnswers(nil, n, "acme", recorded)[0]; !a.Listed || a.VersionDate != "2026-11-21" {
			t.Errorf("%+v", a)
		}
	}
	if got := w.p.Snapshot().Versions(); len(got) != 2 || w.at != 5 {
		t.Errorf("%d versions, position %d", len(got), w.at)
	}
}

// TestChangesUnknown: a version that is recorded late changes what a newer one
// follows, and nobody has compared them.
func TestChangesUnknown(t *testing.T) {
	w := newWorld(t)
	w.mustTake(registry.Plan{}, named(20, 303, many(303, 100)))
	w.mustTake(registry.Plan{}, named(9, 303, strings.ReplaceAll(many(303, 100), "303,5", "303,6")))
	if v := w.p.Snapshot().Versions(); len(v) != 1 || !v[0].ChangesUnknown || v[0].FollowsDate != "2026-11-09" {
		t.Errorf("%+v", v)
	}
}
