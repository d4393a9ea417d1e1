package registry

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/projections/rules"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// listVersion is one announced version of a list. It never changes.
type listVersion struct {
	registry  string
	date      string // YYYY-MM-DD
	day       time.Time
	object    ledger.Hash
	licensees []string    // sorted; empty: all sellers
	codes     *[1000]bool // area codes covered; nil: all
	position  ledger.Position
	problem   string // why it answers nothing; empty: it may
}

func newListVersion(at ledger.Position, recorded time.Time, m *consentv1.RegistryLoaded) *listVersion {
	v := &listVersion{
		registry: m.GetRegistry(), date: m.GetVersionDate(), position: at,
		licensees: slices.Sorted(slices.Values(m.GetLicensees())),
	}
	if slices.Contains(v.licensees, ledger.All) {
		v.licensees = nil
	}
	if len(m.GetAreaCodes()) > 0 {
		v.codes = new([1000]bool)
		for _, c := range m.GetAreaCodes() {
			if isAreaCode(c) {
				n, _ := digits([]byte(c))
				v.codes[n] = true
			}
		}
	}
	var err error
	switch v.day, err = time.Parse(time.DateOnly, v.date); {
	case err != nil:
		v.problem = "its version date is no day, so its age is unknown"
	case CheckVersionDate(v.date, recorded) != nil:
		v.problem = "its version date was in the future when it was recorded, so its age is unknown"
	case len(m.GetObjectSha256()) != len(v.object):
		v.problem = "its object has no name"
	case m.GetBaseVersionDate() != "":
		v.problem = "it is a change list, which this version cannot apply; load the full list"
	}
	copy(v.object[:], m.GetObjectSha256())
	return v
}

func (v *listVersion) licensed(seller string) bool {
	if len(v.licensees) == 0 {
		return true
	}
	_, ok := slices.BinarySearch(v.licensees, seller)
	return ok
}

// covers tells whether the list's silence about a number means anything.
func (v *listVersion) covers(number uint64) bool {
	return v.codes == nil || number/1e10 == 1 && v.codes[areaCode(number)]
}

// supersedes tells whether nobody can need w beside v, which is newer: v serves
// every seller and covers every number that w does.
func (v *listVersion) supersedes(w *listVersion) bool {
	if v.registry != w.registry {
		return false
	}
	if len(v.licensees) > 0 && (len(w.licensees) == 0 || slices.ContainsFunc(w.licensees, func(s string) bool { return !v.licensed(s) })) {
		return false
	}
	if v.codes == nil {
		return true
	}
	if w.codes == nil {
		return false
	}
	for c, covered := range w.codes {
		if covered && !v.codes[c] {
			return false
		}
	}
	return true
}

// held is a version and its numbers, nil while they are not here.
type held struct {
	*listVersion
	set *Set
}

// list is the versions of one registry that are in use or awaited, newest first.
type list struct {
	registry string
	versions []held
}

// Snapshot is everything known at one position. It never changes.
type Snapshot struct {
	// Position is what it is true at.
	Position ledger.Position

	lists []list // sorted by registry
}

// newSnapshot keeps of all known versions those that answer something, and those
// whose numbers are awaited. A version is let go only for a newer one that is
// whole: until then it answers those whom the newer one is not for, and about
// instants before it.
func newSnapshot(at ledger.Position, known []*listVersion, sets map[ledger.Hash]*Set) *Snapshot {
	byRegistry := map[string][]held{}
	for _, v := range known {
		h := held{listVersion: v}
		if v.problem == "" {
			h.set = sets[v.object]
		}
		byRegistry[v.registry] = append(byRegistry[v.registry], h)
	}
	s := &Snapshot{Position: at}
	for _, id := range slices.Sorted(maps.Keys(byRegistry)) {
		s.lists = append(s.lists, list{id, inUse(byRegistry[id])})
	}
	return s
}

func inUse(versions []held) []held {
	slices.SortFunc(versions, func(a, b held) int {
		return cmp.Or(b.day.Compare(a.day), cmp.Compare(b.position, a.position))
	})
	var out []held
	for _, v := range versions {
		if !slices.ContainsFunc(out, func(newer held) bool { return newer.set != nil && newer.supersedes(v.listVersion) }) {
			out = append(out, v)
		}
	}
	return out
}

func (s *Snapshot) versions() []held {
	var out []held
	for _, l := range s.lists {
		out = append(out, l.versions...)
	}
	return out
}

func (s *Snapshot) uses(object ledger.Hash) bool {
	return slices.ContainsFunc(s.versions(), func(v held) bool { return v.set != nil && v.object == object })
}

// missing are the objects that are announced and not here.
func (s *Snapshot) missing() []ledger.Hash {
	var out []ledger.Hash
	for _, v := range s.versions() {
		if v.problem == "" && v.set == nil && !slices.Contains(out, v.object) {
			out = append(out, v.object)
		}
	}
	return out
}

// AppendAnswers appends what each registry says about a number, given as E.164
// digits without the plus, to a seller, at an instant: the newest usable version
// that the seller is licensed for, that covers the number, and that is not of a
// later day than the instant (one day of grace, because days begin earlier
// elsewhere). Without such a version, and while the numbers of that version are
// not here, the registry's answer is that none is loaded: an older version does
// not know who has joined the list since. Registries that were never announced
// give no answer, which means the same.
func (s *Snapshot) AppendAnswers(dst []rules.RegistryAnswer, number uint64, seller string, at time.Time) []rules.RegistryAnswer {
	latest := at.Add(24 * time.Hour)
	for _, l := range s.lists {
		a := rules.RegistryAnswer{Registry: l.registry}
		for _, v := range l.versions {
			if v.problem != "" || !v.licensed(seller) || !v.covers(number) || v.day.After(latest) {
				continue
			}
			if v.set != nil {
				a.Loaded, a.VersionDate, a.Listed = true, v.date, v.set.Contains(number)
			}
			break
		}
		dst = append(dst, a)
	}
	return dst
}

// ListedVersion describes one version in use, for pages and `doctor`.
type ListedVersion struct {
	Registry, VersionDate string
	Position              ledger.Position
	Licensees             []string // empty: all sellers
	Numbers               uint64
	// Whole tells whether the numbers are here.
	Whole bool
}

// Versions lists the versions in use or awaited, by registry, newest first.
func (s *Snapshot) Versions() []ListedVersion {
	var out []ListedVersion
	for _, v := range s.versions() {
		d := ListedVersion{Registry: v.registry, VersionDate: v.date, Position: v.position, Licensees: v.licensees}
		if v.set != nil {
			d.Whole, d.Numbers = true, v.set.Len()
		}
		out = append(out, d)
	}
	return out
}

// ParseNumber reads E.164 with its plus into the digits this package works with.
func ParseNumber(e164 string) (uint64, bool) {
	if len(e164) < 2 || len(e164) > 16 || e164[0] != '+' {
		return 0, false
	}
	return digits([]byte(e164[1:]))
}
