package registry

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/projections/registry/listfile"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

var (
	// ErrVersionDate: the day of the list is unknown, impossible or contradictory.
	// Nothing is loaded: the age that counts is the list's.
	ErrVersionDate = errors.New("version date")

	// ErrBase: a change list does not follow the version that is loaded. Nothing
	// is loaded.
	ErrBase = errors.New("base")

	// ErrPlan: what was asked for does not go together.
	ErrPlan = errors.New("plan")
)

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
	plan Plan
	date string
	form form
	// named: every file so far says its area code.
	named bool
	codes mask
	lines listfile.Lines
	sums  [][sha256.Size]byte // of the files, in order

	numbers collector // of a full list, or of the answer to a wash
	asked   collector // what was sent to a wash
	changed changer
}

// NewBuilder begins one version of a list. An empty version date is taken from
// the first file's name.
func NewBuilder(plan Plan) (*Builder, error) {
	f, err := plan.check()
	if err != nil {
		return nil, err
	}
	return &Builder{plan: plan, date: plan.VersionDate, form: f, named: true}, nil
}

// VersionDate is the day of the list as far as it is known: given, or from the
// names of the files added.
func (b *Builder) VersionDate() string { return b.date }

// AddFile reads one file: a list, or a zip that holds one. All files of one
// version carry the same day. An error leaves the builder useless.
func (b *Builder) AddFile(f File) error {
	if f.Sum == ([sha256.Size]byte{}) {
		sum := sha256.New()
		if _, err := io.Copy(sum, io.NewSectionReader(f.Content, 0, f.Size)); err != nil {
			return fmt.Errorf("read file: %w", err)
		}
		f.Sum = [sha256.Size]byte(sum.Sum(nil))
	}
	b.sums = append(b.sums, f.Sum)
	member, err := listfile.Unpack(f.Name, f.Content, f.Size)
	if err != nil {
		return err
	}
	name := listfile.ParseFileName(member.Name)
	if name == (listfile.FileName{}) {
		name = listfile.ParseFileName(f.Name)
	}
	if err := b.dated(name); err != nil {
		return err
	}
	r, err := member.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	lines, err := listfile.Read(r, b.form.lines(b.plan), b.plan.badShareMax(), b.receiver(name, f.Submitted))
	b.lines.Join(lines)
	if n, ok := listfile.Digits([]byte(name.AreaCode)); ok && b.form.calling == 1 {
		b.codes[n] = true
	} else {
		b.named = false
	}
	return err
}

// receiver takes the rows of one file.
//
// What a list covers decides what its silence means. A name that says one area
// code covers that one, whatever else stands in it: a stray line must not make all
// its neighbours look unlisted. Without such a name the codes that occur are
// covered, in a full list; a change list covers what it changes.
func (b *Builder) receiver(name listfile.FileName, submitted bool) func(listfile.Row) error {
	switch {
	case b.plan.BaseDate != "":
		return b.changed.add
	case submitted:
		return func(r listfile.Row) error { return b.asked.add(r.Number) }
	case name.AreaCode == "" && b.form.calling == 1:
		return func(r listfile.Row) error {
			if r.Number/1e10 == 1 {
				b.codes[areaCode(r.Number)] = true
			}
			return b.numbers.add(r.Number)
		}
	}
	return func(r listfile.Row) error { return b.numbers.add(r.Number) }
}

func (b *Builder) dated(name listfile.FileName) error {
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

// Built is one version of a list, ready to be recorded.
type Built struct {
	// Loaded is the fact's content.
	Loaded *consentv1.RegistryLoaded
	// Object is what to store under the name in Loaded.
	Object *Object
	// Lines is what was found in the files besides numbers.
	Lines listfile.Lines
	// WithoutEffect counts the rows of a change list that change nothing.
	WithoutEffect uint64
	// Replaces is the version of the same day that this one takes the place of,
	// because its files hold something else; 0: none.
	Replaces ledger.Position

	// Before is the fact if this very version was loaded before; Loaded is then
	// what was recorded.
	Before ledger.Position

	numbers *numbers
	changes *changes    // nil: it follows nothing that is here
	follows ledger.Hash // the object it follows
}

// Finish puts the version together, among the versions of the snapshot.
func (b *Builder) Finish(lists *Snapshot) (Built, error) {
	if b.date == "" {
		return Built{}, fmt.Errorf("%w: the file's name has none; give --version-date", ErrVersionDate)
	}
	if n := b.plan.ExpectRows; n != 0 && b.lines.Read-b.lines.Malformed != n {
		return Built{}, fmt.Errorf("%w: it holds %d rows where %d were expected", listfile.ErrTruncated, b.lines.Read-b.lines.Malformed, n)
	}
	out := Built{Lines: b.lines, Object: &Object{}}
	out.Loaded = &consentv1.RegistryLoaded{
		Registry: b.plan.Registry, Publisher: b.plan.Publisher, Subscription: b.plan.Subscription, Licensees: sortedLicensees(b.plan.Licensees),
		VersionDate: b.date, FileSha256: b.fileSum(), Lines: b.lines.Read, Malformed: b.lines.Malformed,
		CallingCode: uint32(b.form.calling), AreaCodes: b.areaCodes(), BaseVersionDate: b.plan.BaseDate, Washed: b.plan.Wash != "",
	}
	if !b.plan.FetchedAt.IsZero() {
		out.Loaded.FetchedAt = timestamppb.New(b.plan.FetchedAt)
	}
	if w := lists.loadedBefore(out.Loaded); w != nil {
		return Built{Loaded: w.loaded, Lines: b.lines, Before: w.position}, nil
	}
	var err error
	switch {
	case b.plan.BaseDate != "":
		err = b.finishChange(&out, lists)
	case b.plan.Wash != "":
		err = b.finishWash(&out)
	default:
		err = b.finishFull(&out, lists)
	}
	if err != nil {
		return Built{}, err
	}
	name, err := out.Object.Encode(io.Discard)
	if err != nil {
		return Built{}, err
	}
	out.Loaded.ObjectSha256, out.Loaded.Rows = name[:], out.numbers.set.Len()
	if w := lists.loadedBefore(out.Loaded); w != nil {
		return Built{Loaded: w.loaded, Lines: b.lines, Before: w.position}, nil
	}
	out.Replaces = lists.replaced(out.Loaded)
	return out, nil
}

// fileSum names what the version was made of.
func (b *Builder) fileSum() []byte {
	if len(b.sums) == 1 {
		return b.sums[0][:]
	}
	all := sha256.New()
	for _, s := range b.sums {
		all.Write(s[:])
	}
	return all.Sum(nil)
}

func (b *Builder) areaCodes() []string {
	if b.plan.WholeCountry {
		return nil
	}
	for _, code := range b.plan.AreaCodes {
		n, _ := listfile.Digits([]byte(code))
		b.codes[n] = true
	}
	return b.codes.areaCodes()
}

// shrinkMin and shrinkShare: a full list that has lost a tenth of a thousand
// numbers or more since the version before is probably half a file.
const (
	shrinkMin   = 1000
	shrinkShare = 10
)

func (b *Builder) finishFull(out *Built, lists *Snapshot) error {
	set, err := b.numbers.done()
	if err != nil {
		return err
	}
	m := out.Loaded
	if b.form.calling == 1 && len(m.GetAreaCodes()) == 0 && !b.plan.WholeCountry {
		// No area codes would mean the whole country.
		return errors.New("the list is empty and its name says no area code; nothing is loaded")
	}
	*out.Object = Object{Form: FormFull, Numbers: set}
	out.numbers = &numbers{set: set}
	v := newListVersion(0, time.Time{}, m)
	previous := lists.before(v)
	if previous == nil || previous.numbers == nil {
		return nil
	}
	c := &changes{}
	c.added, c.removed = compare(previous.numbers.set, set, v.coverage.codes)
	m.Added, m.Removed = c.added.Len(), c.removed.Len()
	before := set.Len() + m.GetRemoved() - min(m.GetAdded(), set.Len()+m.GetRemoved())
	if before >= shrinkMin && m.GetRemoved() > m.GetAdded() && (m.GetRemoved()-m.GetAdded())*shrinkShare > before && !b.plan.AcceptShrunk {
		return fmt.Errorf("%w: of %d numbers of %s it has %d fewer; if the list is whole, say --accept-shrunk", listfile.ErrTruncated,
			before, previous.date, m.GetRemoved()-m.GetAdded())
	}
	out.changes, out.follows = c, previous.object
	return nil
}

// finishWash makes a list of an answer to numbers sent to a washing service. What
// was not sent is not known.
func (b *Builder) finishWash(out *Built) error {
	answer, err := b.numbers.done()
	if err != nil {
		return err
	}
	asked, err := b.asked.done()
	if err != nil {
		return err
	}
	if asked.Len() == 0 {
		return fmt.Errorf("%w: a washed list needs the list that was sent: --submitted FILE", ErrPlan)
	}
	if !contains(asked, answer) {
		return fmt.Errorf("%w: the answer holds numbers that the submitted list does not; it answers another list", ErrPlan)
	}
	listed := answer
	if b.plan.Wash != WashListed {
		listed = asked.edit(nil, answer)
	}
	*out.Object = Object{Form: FormWash, Numbers: listed, Asked: asked}
	out.numbers = &numbers{listed, asked}
	return nil
}

// finishChange applies a change list to the version it says it follows, which
// must be the newest for all whom it serves and all it covers: otherwise changes
// are missing in between, or would be undone.
func (b *Builder) finishChange(out *Built, lists *Snapshot) error {
	m := out.Loaded
	v := newListVersion(0, time.Time{}, m)
	named := b.named || len(b.plan.AreaCodes) > 0
	base, err := lists.base(v, named)
	if err != nil {
		return err
	}
	if !named { // it covers what it changes
		v.coverage = base.coverage
		m.AreaCodes, m.CallingCode = base.coverage.codes.areaCodes(), uint32(base.coverage.calling)
	}
	added, removed := b.changed.done()
	var c changes
	c.added = minus(added, base.numbers.set, v.coverage.codes)
	c.removed = minus(removed, minus(removed, base.numbers.set, nil), v.coverage.codes)
	out.WithoutEffect = added.Len() + removed.Len() - c.added.Len() - c.removed.Len()
	*out.Object = Object{Form: FormChange, Base: base.object, Added: c.added, Removed: c.removed}
	out.numbers = &numbers{set: base.numbers.set.edit(c.added, c.removed)}
	out.changes, out.follows = &c, base.object
	m.BaseObjectSha256, m.Added, m.Removed = base.object[:], c.added.Len(), c.removed.Len()
	return nil
}

// collector gathers numbers in any order.
type collector struct {
	set     *Set
	pending []uint64
}

// pendingMax is how many numbers are gathered before they are sorted into the set.
const pendingMax = 4 << 20

func (c *collector) add(n uint64) error {
	if c.pending = append(c.pending, n); len(c.pending) < pendingMax {
		return nil
	}
	_, err := c.done()
	return err
}

func (c *collector) done() (*Set, error) {
	if !slices.IsSorted(c.pending) {
		slices.Sort(c.pending)
	}
	if c.set == nil {
		c.set = &Set{}
	}
	c.set = c.set.edit(setOf(c.pending), nil)
	c.pending = c.pending[:0]
	if c.set.Len() > numbersMax {
		return nil, listfile.ErrTooLarge
	}
	return c.set, nil
}

// changer gathers the rows of a change list, of which the last about a number
// counts.
type changer struct {
	added, removed Set
	pending        []listfile.Row
}

func (c *changer) add(r listfile.Row) error {
	if c.pending = append(c.pending, r); len(c.pending) == pendingMax {
		c.flush()
	}
	return nil
}

func (c *changer) flush() {
	slices.SortStableFunc(c.pending, func(a, b listfile.Row) int { return cmp.Compare(a.Number, b.Number) })
	var plus, minus []uint64
	for i, r := range c.pending {
		switch {
		case i+1 < len(c.pending) && c.pending[i+1].Number == r.Number:
		case r.Removed:
			minus = append(minus, r.Number)
		default:
			plus = append(plus, r.Number)
		}
	}
	a, r := setOf(plus), setOf(minus)
	c.added, c.removed = *c.added.edit(a, r), *c.removed.edit(r, a)
	c.pending = c.pending[:0]
}

func (c *changer) done() (added, removed *Set) {
	c.flush()
	return &c.added, &c.removed
}

// shown keeps what could be a phone number out of errors.
func shown(id string) string {
	if strings.ContainsAny(id, "0123456789") {
		return "…"
	}
	return id
}
