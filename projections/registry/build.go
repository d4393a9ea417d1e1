package registry

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/RoaringBitmap/roaring/v2/roaring64"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// ErrVersionDate: the day of the list is unknown, impossible or contradictory.
// Nothing is loaded: the age that counts is the list's.
var ErrVersionDate = errors.New("registry: version date")

// FileName is what the name of a file of the FTC says: `YYYY-M-D_NPA_GUID.txt`,
// where month and day need no leading zero, perhaps with `.zip` behind it.
type FileName struct {
	// VersionDate is the day of the list, YYYY-MM-DD; empty: the name has none.
	VersionDate string
	// AreaCode is the one area code the file covers, three digits; empty: the
	// name does not say.
	AreaCode string
}

// ParseFileName reads what it can of a file's name; a path before it is ignored.
func ParseFileName(name string) FileName {
	base := path.Base(strings.ReplaceAll(name, `\`, "/"))
	base = strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(base), ".zip"), ".txt")
	date, rest, _ := strings.Cut(base, "_")
	area, _, _ := strings.Cut(rest, "_")
	var f FileName
	if t, err := time.Parse("2006-1-2", date); err == nil {
		f.VersionDate = t.Format(time.DateOnly)
		if isAreaCode(area) {
			f.AreaCode = area
		}
	}
	return f
}

func isAreaCode(s string) bool {
	n, ok := digits([]byte(s))
	return ok && len(s) == 3 && n >= 200
}

// CheckVersionDate tells whether a list of that day can exist now. A day ahead is
// allowed, because days begin earlier elsewhere; more would make a slip of the
// pen keep a list fresh for years.
func CheckVersionDate(date string, now time.Time) error {
	day, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return fmt.Errorf("%w: it must be a day, YYYY-MM-DD", ErrVersionDate)
	}
	if day.After(now.Add(24 * time.Hour)) {
		return fmt.Errorf("%w: %s is in the future", ErrVersionDate, date)
	}
	return nil
}

// Builder gathers the files of one version of a list. It belongs to one goroutine.
type Builder struct {
	registry string
	date     string
	numbers  *roaring64.Bitmap
	pending  []uint64
	codes    [1000]bool
	lines    Lines
	files    hash.Hash
}

// NewBuilder begins one version of a list. An empty versionDate is taken from the
// first file's name. This version reads flat lists of ten-digit numbers, so that
// registry must be one of the United States (`us_…`).
func NewBuilder(registry, versionDate string) (*Builder, error) {
	if !strings.HasPrefix(registry, "us_") {
		if strings.ContainsAny(registry, "0123456789") { // it may be a phone number
			registry = "…"
		}
		return nil, fmt.Errorf("registry: %q: this version reads the flat lists of US registries (us_national_dnc, us_…)", registry)
	}
	if versionDate != "" {
		if _, err := time.Parse(time.DateOnly, versionDate); err != nil {
			return nil, fmt.Errorf("%w: it must be a day, YYYY-MM-DD", ErrVersionDate)
		}
	}
	return &Builder{registry: registry, date: versionDate, numbers: roaring64.New(), files: sha256.New()}, nil
}

// VersionDate is the day of the list as far as it is known: given, or from the
// names of the files added.
func (b *Builder) VersionDate() string { return b.date }

// AddFile reads one file, a flat list or a zip of such lists. All files of one
// version carry the same day. An error leaves the builder useless.
func (b *Builder) AddFile(name string, r io.ReaderAt, size int64) error {
	if _, err := io.Copy(b.files, io.NewSectionReader(r, 0, size)); err != nil {
		return fmt.Errorf("registry: read file: %w", err)
	}
	if !strings.EqualFold(path.Ext(name), ".zip") {
		return b.add(ParseFileName(name), io.NewSectionReader(r, 0, size))
	}
	z, err := zip.NewReader(r, size)
	if err != nil {
		return fmt.Errorf("registry: zip: %w", err)
	}
	outer, lists := ParseFileName(name), 0
	for _, f := range z.File {
		if !strings.EqualFold(path.Ext(f.Name), ".txt") {
			continue // directories, and what archive tools add
		}
		lists++
		if err := b.addZipped(outer, f); err != nil {
			return err
		}
	}
	if lists == 0 {
		return errors.New("registry: zip: it holds no .txt file")
	}
	return nil
}

func (b *Builder) addZipped(outer FileName, f *zip.File) error {
	r, err := f.Open()
	if err != nil {
		return fmt.Errorf("registry: zip: %w", err)
	}
	defer r.Close()
	name := ParseFileName(f.Name)
	if name == (FileName{}) {
		name = outer
	}
	return b.add(name, r)
}

// add reads one flat list.
//
// What it covers decides what its silence means. A name that says one area code
// covers that one, whatever else stands in it: a stray line must not make all its
// neighbours look unlisted. Without such a name the codes that occur are covered.
func (b *Builder) add(name FileName, r io.Reader) error {
	if err := b.dated(name); err != nil {
		return err
	}
	lines, err := ParseFlat(r, func(n uint64) error {
		if name.AreaCode == "" {
			b.codes[areaCode(n)] = true
		}
		return b.number(n)
	})
	b.lines.Read += lines.Read
	b.lines.Malformed += lines.Malformed
	for _, n := range lines.MalformedLines {
		if len(b.lines.MalformedLines) < malformedLinesMax {
			b.lines.MalformedLines = append(b.lines.MalformedLines, n)
		}
	}
	if code, ok := digits([]byte(name.AreaCode)); ok && name.AreaCode != "" {
		b.codes[code] = true
	}
	return err
}

func (b *Builder) dated(name FileName) error {
	switch {
	case name.VersionDate == "" || name.VersionDate == b.date:
		return nil
	case b.date == "":
		b.date = name.VersionDate
		return nil
	}
	return fmt.Errorf("%w: a file's name says %s, the version being loaded is of %s; load one version at a time",
		ErrVersionDate, name.VersionDate, b.date)
}

func (b *Builder) number(n uint64) error {
	if b.pending = append(b.pending, n); len(b.pending) == pendingMax {
		b.flush()
		if b.numbers.GetCardinality() > numbersMax {
			return ErrTooLarge
		}
	}
	return nil
}

func (b *Builder) flush() {
	b.numbers.AddMany(b.pending)
	b.pending = b.pending[:0]
}

// areaCode is the area code of an eleven-digit number of the North American plan.
func areaCode(n uint64) int { return int(n / 1e7 % 1000) }

// Built is one version of a list, ready to be recorded.
type Built struct {
	// Loaded is the fact's content, complete but for licensees, publisher and
	// fetched_at.
	Loaded *consentv1.RegistryLoaded
	// Set is the numbers; give it to Projection.Prime before recording the fact.
	Set *Set
	// Lines is what was found besides; Lines.MalformedLines are per file.
	Lines Lines
}

// Finish writes the object of the numbers to w and describes the version.
func (b *Builder) Finish(w io.Writer) (Built, error) {
	if b.date == "" {
		return Built{}, fmt.Errorf("%w: the file's name has none; give --version-date", ErrVersionDate)
	}
	b.flush()
	set := newSet(b.numbers)
	name, err := set.Encode(w)
	if err != nil {
		return Built{}, err
	}
	codes := b.areaCodes()
	if len(codes) == 0 {
		// No area codes would mean the whole country.
		return Built{}, errors.New("registry: the list is empty and its name says no area code; nothing is loaded")
	}
	return Built{
		Loaded: &consentv1.RegistryLoaded{
			Registry:     b.registry,
			VersionDate:  b.date,
			ObjectSha256: name[:],
			FileSha256:   b.files.Sum(nil),
			Rows:         set.Len(),
			Malformed:    b.lines.Malformed,
			AreaCodes:    codes,
		},
		Set:   set,
		Lines: b.lines,
	}, nil
}

func (b *Builder) areaCodes() []string {
	var out []string
	for code, covered := range b.codes {
		if covered {
			out = append(out, strconv.Itoa(code))
		}
	}
	return out
}

// hashName shows a hash in an error.
func hashName(h ledger.Hash) string { return hex.EncodeToString(h[:4]) }
