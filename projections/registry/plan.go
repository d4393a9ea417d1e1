package registry

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/consent-ledger/consent-ledger/projections/registry/listfile"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Plan is what is said about a version before its files are read. Registry is all
// it needs where the registry is known.
type Plan struct {
	// Registry is the list's id: us_national_dnc, uk_tps …
	Registry string
	// VersionDate is the day of the list; empty: from the files' names.
	VersionDate string
	// BaseDate makes it a change list: the day of the version it changes.
	BaseDate string
	// Wash makes it the answer of a washing service.
	Wash Wash
	// Licensees are the sellers it is for; empty: all.
	Licensees []string
	// Publisher and Subscription: who publishes it, under which account it was got,
	// by names: what could be a phone number is refused.
	Publisher, Subscription string
	// FetchedAt is when it was got; zero: unknown.
	FetchedAt time.Time
	// Format is how the files are written: flat, tps or csv; empty: as the
	// registry writes them.
	Format string
	// Column and ChangeColumn name columns of a CSV list; Comma separates them.
	Column, ChangeColumn string
	Comma                byte
	// Region is that of numbers without a country code; empty: the registry's.
	Region string
	// AreaCodes are covered beside those that the files' names say; WholeCountry
	// covers all. One of the three is needed for a list of +1.
	AreaCodes    []string
	WholeCountry bool
	// BadShareMax is the share of lines, in percent, that may be unreadable; nil: 1.
	BadShareMax *float64
	// ExpectRows is how many numbers the files hold, if that is known; 0: it is not.
	ExpectRows uint64
	// AcceptShrunk names areas, as the refusal does: of what is blocked there now the
	// list may open more than a tenth. "all" means everywhere.
	AcceptShrunk []string
	// AcceptEmpty names areas likewise: the list may cover them and have no number.
	AcceptEmpty []string
}

// File is one file of a version.
type File struct {
	Name    string
	Content io.ReaderAt
	Size    int64
	// Sum is the SHA-256 of the content; zero: worked out here.
	Sum [sha256.Size]byte
	// Submitted: it is the list that was sent to a washing service.
	Submitted bool
}

// Wash is what the answer of a washing service holds.
type Wash string

// What an answer may hold.
const (
	WashListed   Wash = "listed"   // the numbers that are listed
	WashUnlisted Wash = "unlisted" // the numbers that are not
	WashRemoved  Wash = "removed"  // the list that was sent, without those that are listed
)

// form is how a plan's files are read.
type form struct {
	format  string
	region  string
	calling uint64

	shrunk, empty accepted
}

// homes are what the beginning of a registry's id says of its country.
var homes = map[string]form{
	"us": {format: "flat", region: "US", calling: 1}, "ca": {format: "csv", region: "CA", calling: 1}, "au": {format: "csv", region: "AU", calling: 61},
	"uk": {format: "tps", region: "GB", calling: 44}, "gb": {format: "tps", region: "GB", calling: 44},
}

// check refuses what does not go together.
func (p *Plan) check() (form, error) {
	country, _, _ := strings.Cut(p.Registry, "_")
	f := homes[country]
	f.format, f.region = firstOf(p.Format, f.format), firstOf(p.Region, f.region)
	bad := func(format string, args ...any) (form, error) {
		return form{}, fmt.Errorf("%w: "+format, append([]any{ErrPlan}, args...)...)
	}
	for _, date := range []string{p.VersionDate, p.BaseDate} {
		if _, err := time.Parse(time.DateOnly, date); date != "" && err != nil {
			return form{}, fmt.Errorf("%w: it must be a day, YYYY-MM-DD", ErrVersionDate)
		}
	}
	var errs [2]error
	f.shrunk, errs[0] = parseAccepted("--accept-shrunk", p.AcceptShrunk)
	f.empty, errs[1] = parseAccepted("--accept-empty", p.AcceptEmpty)
	if err := errors.Join(errs[:]...); err != nil {
		return form{}, err
	}
	for _, code := range p.AreaCodes {
		if !listfile.IsAreaCode(code) {
			return bad("an area code has three digits, the first of them 2 to 9")
		}
	}
	switch {
	case !(p.badShareMax() >= 0 && p.badShareMax() <= 100): // no number is neither
		return bad("the share of lines that may be unreadable is one in percent, from 0 to 100; give --max-bad such a number")
	case numberLike(p.Subscription) || numberLike(p.Publisher):
		return bad("an account or a publisher of nine digits or more could be a phone number, and nothing that could be one is stored in clear; give it a name of yours")
	case f.format == "":
		return bad("%q: how the files of this registry are written is not known; say --format flat, tps or csv", shown(p.Registry))
	case !slices.Contains([]string{"flat", "tps", "csv"}, f.format):
		return bad("the format %q is not known; there are flat, tps and csv", shown(f.format))
	case f.format == "csv" && p.VersionDate == "":
		return form{}, fmt.Errorf("%w: a CSV file has none; give --version-date", ErrVersionDate)
	case f.format != "csv" && (p.Column != "" || p.ChangeColumn != "" || p.Comma != 0):
		return bad("columns belong to the format csv")
	case f.format == "tps" && p.BaseDate != "":
		return bad("the form of a TPS change file is not known to this version; load the full list")
	case f.format == "csv" && (p.BaseDate != "") != (p.ChangeColumn != ""):
		return bad("a change list in CSV needs both --base-date and --change-column")
	case !slices.Contains([]Wash{"", WashListed, WashUnlisted, WashRemoved}, p.Wash):
		return bad("an answer holds listed, unlisted or removed")
	case p.Wash != "" && p.BaseDate != "":
		return bad("a washed list has no base")
	case p.BaseDate != "" && p.VersionDate != "" && p.BaseDate >= p.VersionDate:
		return form{}, fmt.Errorf("%w: a change list of %s cannot follow the version of %s", ErrBase, p.VersionDate, p.BaseDate)
	}
	switch f.format {
	case "flat":
		f.calling = 1
	case "tps":
		f.calling = 44
	}
	if len(p.AreaCodes) > 0 {
		if f.calling > 1 {
			return bad("area codes are those of +1; a list of +%d covers its whole country", f.calling)
		}
		f.calling = 1
	}
	if p.WholeCountry && len(p.AreaCodes) > 0 {
		return bad("a list covers the whole country or some area codes; say one of --whole-country and --area-code")
	}
	return f, nil
}

// numberLike tells whether a text holds nine digits or more.
func numberLike(text string) bool {
	n := 0
	for _, c := range text {
		if c >= '0' && c <= '9' {
			n++
		}
	}
	return n >= 9
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func (p *Plan) badShareMax() float64 {
	if p.BadShareMax == nil {
		return listfile.BadShareDefault
	}
	return *p.BadShareMax
}

// lines begins the reading of one file.
func (f form) lines(p Plan) listfile.Form {
	switch {
	case f.format == "tps":
		return listfile.TPS{}
	case f.format == "csv":
		return &listfile.CSV{Column: p.Column, ChangeColumn: p.ChangeColumn, Comma: p.Comma, Region: f.region}
	case p.BaseDate != "":
		return listfile.Changes{}
	}
	return listfile.Flat{}
}

// of finds a list.
func (s *Snapshot) of(registry string) *list {
	for i := range s.lists {
		if s.lists[i].registry == registry {
			return &s.lists[i]
		}
	}
	return &list{}
}

// before is the version that v will follow: the newest of no later day.
func (s *Snapshot) before(v *listVersion) *linked {
	for _, w := range s.of(v.registry).all {
		if w.usable() && v.follows(w.listVersion) && !w.day.After(v.day) {
			return w
		}
	}
	return nil
}

// sameDay gives the version that counts of m's day, sellers and coverage, nil if
// there is none, and all of them that are m, the newest first. front is one of that day
// that came later and answers in its place for some seller and area; nil: none does.
func (s *Snapshot) sameDay(m *consentv1.RegistryLoaded) (now *listVersion, same []*listVersion, front *listVersion) {
	v := newListVersion(0, time.Time{}, m)
	for _, w := range s.of(v.registry).all {
		if w.date != v.date || w.washed != v.washed {
			continue
		}
		if !slices.Equal(w.licensees, v.licensees) || !v.coverage.includes(w.coverage) || !w.coverage.includes(v.coverage) {
			if _, some := inCommon(v.licensees, w.licensees); now == nil && front == nil && some && w.usable() && v.coverage.meets(w.coverage) {
				front = w.listVersion
			}
			continue
		}
		if now == nil {
			now = w.listVersion
		}
		if w.object == v.object && w.baseDate == v.baseDate {
			same = append(same, w.listVersion)
		}
	}
	return now, same, front
}
