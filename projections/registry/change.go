package registry

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// target is a version that a change list changes, and where.
type target struct {
	base  *linked
	cover coverage
	// done: base is what this very change list made of it before.
	done bool
}

// finishChange applies a change list to the versions it says it follows. Each must
// be the newest wherever it is changed, for all whom the list serves: otherwise
// changes are missing in between, or would be undone.
func (b *Builder) finishChange(lists *Snapshot) ([]Built, error) {
	targets, err := b.targets(lists)
	if err != nil {
		return nil, err
	}
	added, removed := b.changed.done()
	var all []Built
	for _, t := range targets {
		if t.done {
			all = append(all, b.loadedBefore(t.base.listVersion, lists))
			continue
		}
		out, err := b.change(t, added, removed, lists)
		if err != nil {
			return nil, err
		}
		all = append(all, out)
	}
	return all, nil
}

// change makes what a change list makes of one version.
func (b *Builder) change(t target, added, removed *Set, lists *Snapshot) (Built, error) {
	out, within, base := b.begin(t.cover), t.cover.codes, t.base.numbers.set
	c := changes{added: minus(added, base, within), removed: minus(removed, minus(removed, base, nil), within)}
	rows := minus(added, &Set{}, within).Len() + minus(removed, &Set{}, within).Len()
	if rows == 0 && !b.form.empty.takesAll(t.cover) {
		return out, fmt.Errorf("%w: the change list changes nothing in the version of %s that covers %s, and would make it newer all the same; "+
			"say --accept-empty %s if nothing changed there, or with --area-code what it is for", ErrEmpty, t.base.date, t.cover, t.cover.acceptWords())
	}
	out.WithoutEffect = rows - c.added.Len() - c.removed.Len()
	*out.Object = Object{Form: FormChange, Base: t.base.object, Added: c.added, Removed: c.removed}
	out.numbers = &numbers{set: base.edit(c.added, c.removed)}
	out.changes, out.follows = &c, t.base.object
	out.Loaded.BaseObjectSha256, out.Loaded.Added, out.Loaded.Removed = t.base.object[:], c.added.Len(), c.removed.Len()
	return out, b.seal(&out, lists)
}

// targets finds the versions that the change list changes. Where its files' names,
// or --area-code, say of what area codes it is, it changes what is loaded of these;
// otherwise all versions of its base day that serve its sellers.
func (b *Builder) targets(lists *Snapshot) ([]target, error) {
	if b.plan.BaseDate >= b.date {
		return nil, fmt.Errorf("%w: a change list of %s cannot follow the version of %s", ErrBase, b.date, b.plan.BaseDate)
	}
	if b.plan.WholeCountry && b.codes != (mask{}) {
		return nil, errNotWhole
	}
	f := finder{Builder: b, versions: lists.of(b.plan.Registry).all, licensees: sortedLicensees(b.plan.Licensees), sum: b.fileSum(), behind: map[string][]area{}}
	if b.form.calling == 1 {
		f.byCode()
	} else {
		f.whole()
	}
	return f.targets()
}

// finder looks for what a change list changes.
type finder struct {
	*Builder
	versions  []*linked // of the list, newest first
	licensees []string
	sum       []byte

	found []target
	// newest is the day of the newest version of all; empty: none serves the sellers.
	newest string
	// behind are areas that the list changes and whose newest version is of another
	// day; uncovered, those of which there is none.
	behind    map[string][]area
	uncovered []area
}

// at finds the version that counts where covers says, and the newest day of any
// version there that serves one of the sellers: what is built on an older one would
// stand in front of it.
func (f *finder) at(covers func(coverage) bool) (counts *linked, day string) {
	for _, w := range f.versions {
		if _, some := inCommon(f.licensees, w.licensees); !some || !w.usable() || w.washed || !covers(w.coverage) {
			continue
		}
		day = max(day, w.date)
		if w.serves(f.licensees) {
			return w, day
		}
	}
	return nil, day
}

// byCode finds a version for each area code. Those of one version are one target.
func (f *finder) byCode() {
	said := f.saidCodes()
	named := f.named || len(f.plan.AreaCodes) > 0
	codes := map[*linked]*mask{}
	for code := range said {
		a := area(code)
		wanted := f.rows[a] > 0 || named && said[code]
		if !wanted && named {
			continue
		}
		w, day := f.at(func(c coverage) bool { return c.coversArea(a) })
		if w == nil {
			if wanted {
				f.uncovered = append(f.uncovered, a)
			}
			continue
		}
		f.newest = max(f.newest, day)
		switch {
		case f.madeOf(w), f.follows(w, day):
			if codes[w] == nil {
				codes[w] = &mask{}
				f.found = append(f.found, target{base: w, done: f.madeOf(w)})
			}
			codes[w][code] = true
		case wanted:
			f.behind[day] = append(f.behind[day], a)
		}
	}
	for i := range f.found {
		t := &f.found[i]
		if t.cover = (coverage{1, codes[t.base]}); t.base.coverage.codes == nil && !slices.Contains(t.cover.codes[:], false) {
			t.cover = coverage{calling: 1}
		}
	}
	f.rowsElsewhere(coverage{calling: 1})
}

// whole finds the one version of a list that is not by area code.
func (f *finder) whole() {
	w, day := f.at(func(coverage) bool { return true })
	if w == nil {
		return
	}
	switch f.newest = day; {
	case f.madeOf(w), f.follows(w, day):
		f.found = []target{{w, w.coverage, f.madeOf(w)}}
	default:
		f.behind[day] = nil
	}
	f.rowsElsewhere(w.coverage)
}

// rowsElsewhere notes the areas of rows that are outside of what could be changed.
func (f *finder) rowsElsewhere(c coverage) {
	_, _, where := f.rows.split(c)
	f.uncovered = append(f.uncovered, where...)
}

// follows tells whether the list follows a version that counts, and nothing newer
// stands beside it.
func (f *finder) follows(w *linked, newest string) bool {
	return w.date == f.plan.BaseDate && newest == w.date
}

// madeOf tells whether a version is what this change list made before.
func (f *finder) madeOf(w *linked) bool {
	return w.date == f.date && w.baseDate == f.plan.BaseDate && slices.Equal(w.licensees, f.licensees) && bytes.Equal(w.loaded.GetFileSha256(), f.sum)
}

// targets gives what was found, or says why that cannot be changed.
func (f *finder) targets() ([]target, error) {
	follows := "the change list follows the version of " + f.plan.BaseDate
	if f.newest == "" {
		return nil, fmt.Errorf("%w: %s, and no version is loaded that covers what it changes; load the full list", ErrBase, follows)
	}
	if len(f.found)+len(f.behind)+len(f.uncovered) == 0 {
		f.behind[f.newest] = nil
	}
	if days := slices.Sorted(maps.Keys(f.behind)); len(days) > 0 {
		day := days[0]
		where := ""
		if areas := f.behind[day]; areas != nil {
			where = " (rows by area code: " + f.rows.name(areas) + ")"
		}
		return nil, fmt.Errorf("%w: %s, but the newest here is of %s%s; load the change lists in between in their order, or the full list", ErrBase, follows, day, where)
	}
	if len(f.uncovered) > 0 {
		return nil, fmt.Errorf("%w: %s, and no version is loaded of some that it changes (rows by area code: %s); load the full list of these first, or leave these rows out", ErrBase, follows, f.rows.name(f.uncovered))
	}
	for _, t := range f.found {
		if !t.done && t.base.numbers == nil {
			return nil, fmt.Errorf("%w: the numbers of the version of %s are not here yet; try again when they are", ErrBase, t.base.date)
		}
	}
	return f.found, nil
}

// String says what is covered, for an error.
func (c coverage) String() string {
	switch codes := c.codes.areaCodes(); {
	case len(codes) > areasShown:
		return fmt.Sprintf("%d area codes", len(codes))
	case len(codes) > 0:
		return "area code " + strings.Join(codes, ", ")
	case c.calling > 0:
		return fmt.Sprintf("+%d", c.calling)
	}
	return "everything"
}
