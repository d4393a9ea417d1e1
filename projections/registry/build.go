package registry

import (
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

	// ErrEmpty: there is no number where the list's silence would mean something.
	// Nothing is loaded.
	ErrEmpty = errors.New("without numbers")

	// ErrCover: what the list covers is not said, or its rows say something else.
	// Nothing is loaded.
	ErrCover = errors.New("coverage")

	// ErrShrunk: the list would open numbers that are blocked now. Nothing is
	// loaded.
	ErrShrunk = errors.New("shrunk")
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
	// named: every file so far says its area code; codes are those they say.
	named bool
	codes mask
	rows  tally // of all files, without those that were submitted
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
	var rows tally
	lines, err := listfile.Read(r, b.form.lines(b.plan), b.plan.badShareMax(), b.receiver(&rows, f.Submitted))
	b.lines.Join(lines)
	if err != nil || f.Submitted {
		return err
	}
	return b.said(name, &rows)
}

// receiver takes the rows of one file, and counts them.
func (b *Builder) receiver(rows *tally, submitted bool) func(listfile.Row) error {
	switch {
	case b.plan.BaseDate != "":
		return func(r listfile.Row) error { rows.count(r.Number); return b.changed.add(r) }
	case submitted:
		return func(r listfile.Row) error { return b.asked.add(r.Number) }
	}
	return func(r listfile.Row) error { rows.count(r.Number); return b.numbers.add(r.Number) }
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
	// Opens is where it opens more than a tenth of what is blocked now, as was
	// accepted, with the counts.
	Opens []string
	// Replaces is the version of the same day that this one takes the place of,
	// because its files hold something else; 0: none.
	Replaces ledger.Position

	// Before is the fact if this very version was loaded before, and counts; Loaded
	// is then what was recorded.
	Before ledger.Position
	// Again is the fact of an earlier load of this very version, of which another
	// one of its day has taken the place since, at least for some; 0: none.
	Again ledger.Position

	numbers *numbers
	changes *changes    // nil: it follows nothing that is here
	follows ledger.Hash // the object it follows
}

// Finish puts the version together, among the versions of the snapshot. A change
// list makes one new version of each that it changes; everything else makes one.
// What would open numbers that are blocked now is refused.
func (b *Builder) Finish(lists *Snapshot) ([]Built, error) {
	if b.date == "" {
		return nil, fmt.Errorf("%w: the file's name has none; give --version-date", ErrVersionDate)
	}
	if n := b.plan.ExpectRows; n != 0 && b.lines.Read-b.lines.Malformed != n {
		return nil, fmt.Errorf("%w: it holds %d rows where %d were expected", listfile.ErrTruncated, b.lines.Read-b.lines.Malformed, n)
	}
	if b.plan.BaseDate != "" {
		return b.finishChange(lists)
	}
	cover, err := b.cover()
	if err != nil {
		return nil, err
	}
	out := b.begin(cover)
	if b.plan.Wash != "" {
		err = b.finishWash(&out)
	} else {
		err = b.finishFull(&out, lists)
	}
	if err == nil {
		err = b.seal(&out, lists)
	}
	return []Built{out}, err
}

// begin is what is known of a version before its numbers are.
func (b *Builder) begin(cover coverage) Built {
	m := &consentv1.RegistryLoaded{
		Registry: b.plan.Registry, Publisher: b.plan.Publisher, Subscription: b.plan.Subscription, Licensees: sortedLicensees(b.plan.Licensees),
		VersionDate: b.date, FileSha256: b.fileSum(), Lines: b.lines.Read, Malformed: b.lines.Malformed,
		CallingCode: uint32(cover.calling), AreaCodes: cover.codes.areaCodes(), BaseVersionDate: b.plan.BaseDate, Washed: b.plan.Wash != "",
	}
	if !b.plan.FetchedAt.IsZero() {
		m.FetchedAt = timestamppb.New(b.plan.FetchedAt)
	}
	return Built{Loaded: m, Lines: b.lines, Object: &Object{}}
}

// seal names a version's numbers, finds it among those loaded before, and refuses
// it if it would open numbers.
func (b *Builder) seal(out *Built, lists *Snapshot) error {
	name, err := out.Object.Encode(io.Discard)
	if err != nil {
		return err
	}
	m := out.Loaded
	m.ObjectSha256, m.Rows = name[:], out.numbers.set.Len()
	now, same, front := lists.sameDay(m)
	if len(same) > 0 && same[0] == now && front == nil {
		*out = b.loadedBefore(now, lists)
		return nil
	}
	if now != nil {
		out.Replaces = now.position
	}
	if len(same) > 0 {
		out.Again = same[0].position
		if front != nil {
			out.Replaces = front.position
		}
	}
	out.Opens, err = lists.opens(newListVersion(0, time.Time{}, m), out.numbers, b.form.shrunk)
	return err
}

// loadedBefore is what there is to say of a version that is here already.
func (b *Builder) loadedBefore(w *listVersion, lists *Snapshot) Built {
	out := Built{Loaded: w.loaded, Lines: b.lines, Before: w.position}
	_, same, _ := lists.sameDay(w.loaded)
	if i := slices.Index(same, w); i >= 0 && i+1 < len(same) {
		out.Again = same[i+1].position
	}
	return out
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

func (b *Builder) finishFull(out *Built, lists *Snapshot) error {
	set, err := b.numbers.done()
	if err != nil {
		return err
	}
	*out.Object = Object{Form: FormFull, Numbers: set}
	out.numbers = &numbers{set: set}
	v := newListVersion(0, time.Time{}, out.Loaded)
	previous := lists.before(v)
	if previous == nil || previous.numbers == nil {
		return nil
	}
	c := &changes{}
	c.added, c.removed = compare(previous.numbers.set, set, v.coverage.codes)
	out.Loaded.Added, out.Loaded.Removed = c.added.Len(), c.removed.Len()
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

// shown keeps what could be a phone number out of errors.
func shown(id string) string {
	if strings.ContainsAny(id, "0123456789") {
		return "…"
	}
	return id
}
