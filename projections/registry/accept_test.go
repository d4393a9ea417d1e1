package registry_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/consent-ledger/consent-ledger/projections/registry"
)

// everywhere accepts what is refused otherwise in all areas.
var everywhere = []string{"all"}

// TestAcceptedInOneArea: to accept that one area shrinks accepts nothing of another,
// and the refusal names with counts, and in the words of the flag, all that is left.
func TestAcceptedInOneArea(t *testing.T) {
	w := newWorld(t)
	w.mustTake(registry.Plan{}, named(1, 303, many(303, 100)), named(1, 720, many(720, 100)), named(1, 206, many(206, 100)))
	next := []file{named(20, 303, many(303, 9)), named(20, 720, many(720, 50)), named(20, 206, many(206, 100))}
	for _, tc := range []struct {
		accept []string
		says   []string // none: it is taken
	}{
		{nil, []string{"area code 303: 100 listed now, 91 of them gone, 9 in this list", "area code 720: 100 listed now, 50 of them gone, 50 in this list", "--accept-shrunk 303,720"}},
		{[]string{"303"}, []string{"(area code 720: 100 listed now", "--accept-shrunk 720"}},
		{[]string{"206", "+441"}, []string{"--accept-shrunk 303,720"}},
		{[]string{"303", "720"}, nil},
	} {
		err := w.take(registry.Plan{AcceptShrunk: tc.accept}, next...)
		if tc.says == nil && err != nil || tc.says != nil && !errors.Is(err, registry.ErrShrunk) {
			t.Fatalf("accepting %v: %v", tc.accept, err)
		}
		for _, says := range tc.says {
			if !strings.Contains(err.Error(), says) {
				t.Errorf("accepting %v: %v does not say %q", tc.accept, err, says)
			}
		}
	}
}

// TestShrunkInSeveralVersions: what shrinks is named at once, whichever versions
// block there now.
func TestShrunkInSeveralVersions(t *testing.T) {
	w := newWorld(t)
	w.mustTake(registry.Plan{}, named(1, 303, many(303, 100)))
	w.mustTake(registry.Plan{}, named(5, 720, many(720, 100)))
	err := w.take(registry.Plan{}, named(20, 303, many(303, 9)), named(20, 720, many(720, 50)))
	for _, says := range []string{"2026-11-01, 2026-11-05", "area code 303: 100", "area code 720: 100", "--accept-shrunk 303,720"} {
		if !errors.Is(err, registry.ErrShrunk) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v does not say %q", err, says)
		}
	}
}

// TestTheListOfBeforeAgainElsewhere: a list whose place another one took, which covers
// more, is no duplicate when it comes again: it would be lost.
func TestTheListOfBeforeAgainElsewhere(t *testing.T) {
	w := newWorld(t)
	first, second := named(1, 303, many(303, 200)), named(1, 720, many(720, 10))
	w.mustTake(registry.Plan{}, first)
	w.mustTake(registry.Plan{AcceptShrunk: []string{"303"}}, named(1, 303, many(303, 1)), second)
	for range 2 {
		w.mustTake(registry.Plan{}, first)
		if w.at != 3 {
			t.Fatalf("%d facts", w.at)
		}
		if a := w.p.Snapshot().AppendAnswers(nil, 13035550150, "acme", recorded)[0]; !a.Listed {
			t.Errorf("%+v", a)
		}
	}
	w.mustTake(registry.Plan{AcceptShrunk: []string{"303"}}, named(1, 303, many(303, 1)), second)
	if a := w.p.Snapshot().AppendAnswers(nil, 13035550150, "acme", recorded)[0]; a.Listed || w.at != 4 {
		t.Errorf("%+v, %d facts", a, w.at)
	}
}

// TestAcceptedIsTold: what was opened because somebody accepted it is told with its counts.
func TestAcceptedIsTold(t *testing.T) {
	w := newWorld(t)
	w.mustTake(registry.Plan{}, named(1, 303, many(303, 100)))
	b, err := registry.NewBuilder(registry.Plan{Registry: dnc, AcceptShrunk: []string{"303"}})
	if err != nil {
		t.Fatal(err)
	}
	text := many(303, 9)
	if err := b.AddFile(registry.File{Name: "2026-11-20_303_g.txt", Content: strings.NewReader(text), Size: int64(len(text))}); err != nil {
		t.Fatal(err)
	}
	built, err := b.Finish(w.p.Snapshot())
	if err != nil {
		t.Fatal(err)
	}
	if got := built[0].Opens; len(got) != 1 || got[0] != "area code 303: 100 listed now, 91 of them gone, 9 in this list" {
		t.Errorf("%q", got)
	}
}

// TestAcceptedEmpty: an empty file of one area is accepted by its name alone.
func TestAcceptedEmpty(t *testing.T) {
	for _, tc := range []struct {
		name   string
		plan   registry.Plan
		files  []file
		accept []string
		says   string // empty: it is taken
	}{
		{"another", registry.Plan{}, []file{named(20, 303, ""), named(20, 720, "")}, []string{"303"}, "--accept-empty 720"},
		{"both", registry.Plan{}, []file{named(20, 303, ""), named(20, 720, "")}, []string{"720", "303"}, ""},
		{"one of those said", registry.Plan{VersionDate: "2026-11-20", AreaCodes: []string{"303", "720", "206"}}, []file{plain(many(303, 1))}, []string{"206"}, "(720: 0); if it is meant to have none there, say --accept-empty 720"},
		{"the whole country by one", registry.Plan{VersionDate: "2026-11-20", WholeCountry: true}, []file{plain("")}, []string{"303"}, "--accept-empty all"},
		{"a country by its code", registry.Plan{Registry: "uk_tps", VersionDate: "2026-11-20"}, []file{plain("")}, []string{"+44"}, ""},
		{"a country by a part of it", registry.Plan{Registry: "uk_tps", VersionDate: "2026-11-20"}, []file{plain("")}, []string{"+441"}, "--accept-empty +44"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			tc.plan.AcceptEmpty = tc.accept
			err := w.take(tc.plan, tc.files...)
			if tc.says == "" && err != nil || tc.says != "" && (!errors.Is(err, registry.ErrEmpty) || !strings.Contains(err.Error(), tc.says)) {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestAcceptedWords: a word that is no area is refused before anything is read.
func TestAcceptedWords(t *testing.T) {
	for _, word := range []string{"", "30", "3055", "105", "+", "+1234", "+0", "everything", "30a", "list.txt"} {
		for _, plan := range []registry.Plan{{AcceptShrunk: []string{word}}, {AcceptEmpty: []string{"305", word}}} {
			plan.Registry = dnc
			if _, err := registry.NewBuilder(plan); !errors.Is(err, registry.ErrPlan) || !strings.Contains(err.Error(), "--accept-") {
				t.Errorf("%q: %v", word, err)
			}
		}
	}
}

// TestBadShareIsAShare: of what is no number nothing is more.
func TestBadShareIsAShare(t *testing.T) {
	for _, share := range []float64{math.NaN(), math.Inf(1), -1, 100.5} {
		if _, err := registry.NewBuilder(registry.Plan{Registry: dnc, BadShareMax: &share}); !errors.Is(err, registry.ErrPlan) {
			t.Errorf("%v: %v", share, err)
		}
	}
}
