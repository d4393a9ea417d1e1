// Package registry knows the lists of those who must not be called: which versions
// were loaded, for whom, and whether a number is on them.
//
// A RegistryLoaded fact announces a version; its numbers lie in an object of the
// file store. Apply writes only what the fact says. A Loader beside the projection
// fetches the object, and until it is whole the list counts as missing, which
// blocks, for every seller and number that the version is for; an older version
// does not stand in for it. A server that has just built a version hands its
// numbers over first (Prime), so that there the list is never missing between two
// versions.
//
//	registry.go  the projection
//	version.go   what a fact announces, and what each version follows
//	snapshot.go  answers, about now and about the past
//	set.go       the numbers in memory; algebra.go what is done with whole sets
//	object.go    the numbers in the file store
//	shelf.go     the numbers on this server's disk, sealed
//	dates.go     since when a number is listed
//	loader.go    fetching, and keeping the shelf
//	build.go     a version from a registry's files
//	listfile/    the forms of those files
package registry

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/projections"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

const (
	name    = "registry"
	version = 1
)

var errBadValue = errors.New("registry: value cannot be read; the projection can be deleted and is built anew")

// Projection is the registry. Snapshot, Prime and Problems are safe for concurrent
// use; Load, Apply and Committed belong to the one who folds.
type Projection struct {
	current atomic.Pointer[Snapshot]

	// pending is what Apply has written since the last Committed; the folder's own.
	pending []*listVersion

	// mu guards the rest, and is held while a new Snapshot is put together, so
	// that a version announced and a set fetched at once both end up in it. It is
	// never held across I/O.
	mu        sync.Mutex
	position  ledger.Position
	known     []*listVersion                 // committed, in order of position
	primed    map[ledger.Hash]int            // not to be let go
	sets      map[ledger.Hash]*numbers       // whole, by the name of their object
	dates     map[ledger.Position]*firstSeen // of versions in use
	fresh     map[pair]*changes              // handed over and not on the shelf yet
	changed   chan struct{}                  // closed and replaced when the snapshot changes, or is kept
	published uint64                         // counts publish
	kept      uint64                         // everything about this one is on the shelf
	waiting   int                            // callers of WaitKept

	shelf *Shelf
}

var _ projections.Resident = (*Projection)(nil)

// New makes a registry that knows no list yet and keeps numbers on a shelf.
func New(shelf *Shelf) *Projection {
	p := &Projection{shelf: shelf, sets: map[ledger.Hash]*numbers{}, primed: map[ledger.Hash]int{}, dates: map[ledger.Position]*firstSeen{},
		fresh: map[pair]*changes{}, changed: make(chan struct{})}
	p.current.Store(&Snapshot{history: shelf})
	return p
}

// Name implements projections.Projection.
func (*Projection) Name() string { return name }

// Version implements projections.Projection.
func (*Projection) Version() uint32 { return version }

// Spaces implements projections.Projection.
func (*Projection) Spaces() []byte { return []byte{store.SpaceRegistryMeta} }

// Apply folds RegistryLoaded; all others are not its business. A version that
// cannot be used (a day that is none, an object without a name) is kept as it was
// announced, shows among the Problems and answers nothing.
func (p *Projection) Apply(b projections.Batch, e *ledger.Entry) error {
	loaded := e.Fact().GetRegistryLoaded()
	if loaded == nil {
		return nil
	}
	value, err := encodeVersion(e.RecordedAt, loaded)
	if err != nil {
		return err
	}
	if err := b.Set(versionKey(loaded.GetRegistry(), e.Position), value); err != nil {
		return err
	}
	p.pending = append(p.pending, newListVersion(e.Position, e.RecordedAt, loaded))
	return nil
}

// Load implements projections.Resident. Sets already in memory are kept: their
// objects never change.
func (p *Projection) Load(r projections.Reader, at ledger.Position) error {
	var known []*listVersion
	lo, hi := store.SpaceRange(store.SpaceRegistryMeta)
	err := r.Each(lo, hi, func(k, v []byte) error {
		_, pos, err := parseVersionKey(k)
		if err != nil {
			return err
		}
		recorded, loaded, err := decodeVersion(v)
		if err != nil {
			return err
		}
		known = append(known, newListVersion(pos, recorded, loaded))
		return nil
	})
	if err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	p.pending = nil
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known = known
	clear(p.dates)
	p.publish(at)
	return nil
}

// Committed implements projections.Resident.
func (p *Projection) Committed(at ledger.Position) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.pending) == 0 {
		p.position = at
		next := *p.current.Load()
		next.Position = at
		p.current.Store(&next)
		return
	}
	p.known = append(p.known, p.pending...)
	p.pending = nil
	p.publish(at)
}

// Snapshot is everything known at one position. Take one for each answer, or for
// each batch of answers.
func (p *Projection) Snapshot() *Snapshot { return p.current.Load() }

// Prime hands over what was built before the fact that announces it is recorded,
// so that the list answers from the very commit that holds it. Call release once
// the fact is applied, or will never be.
func (p *Projection) Prime(b Built) (release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	object := ledger.Hash(b.Loaded.GetObjectSha256())
	p.sets[object] = b.numbers
	p.primed[object]++
	key := pair{object, b.follows}
	if b.changes != nil {
		p.fresh[key] = b.changes
	}
	return sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		announced := slices.ContainsFunc(p.known, func(v *listVersion) bool { return v.object == object })
		if p.shelf == nil || !announced {
			delete(p.fresh, key)
		}
		if p.primed[object]--; p.primed[object] == 0 {
			delete(p.primed, object)
			p.publish(p.position)
		}
	})
}

// arrived takes over numbers that were fetched.
func (p *Projection) arrived(object ledger.Hash, n *numbers) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sets[object] = n
	p.publish(p.position)
}

// dated takes over since when the numbers of a version are listed.
func (p *Projection) dated(at ledger.Position, f *firstSeen) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dates[at] = f
	p.publish(p.position)
}

// takeFresh gives what was handed over with a version, nil if nothing was.
func (p *Projection) takeFresh(key pair) *changes {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fresh[key]
}

// shelved forgets what was handed over: it is on the shelf.
func (p *Projection) shelved(key pair) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.fresh, key)
}

// publish puts together what readers see. The caller holds mu.
func (p *Projection) publish(at ledger.Position) {
	p.position = at
	next := newSnapshot(at, p.known, p.sets, p.dates, p.shelf)
	p.published++
	next.published = p.published
	for object := range p.sets {
		if p.primed[object] == 0 && !next.uses(object) {
			delete(p.sets, object)
		}
	}
	for _, v := range p.known {
		if p.dates[v.position] != nil && !next.uses(v.object) {
			delete(p.dates, v.position)
		}
	}
	p.current.Store(next)
	close(p.changed)
	p.changed = make(chan struct{})
}

// watch gives a channel that is closed when there is another snapshot.
func (p *Projection) watch() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changed
}

// allKept notes that everything about a snapshot is on the shelf.
func (p *Projection) allKept(s *Snapshot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept = s.published
	if p.waiting > 0 {
		close(p.changed)
		p.changed = make(chan struct{})
	}
}

// WaitKept waits until everything about the lists is on the shelf.
func (p *Projection) WaitKept(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting++
	defer func() { p.waiting-- }()
	for p.kept != p.published {
		changed := p.changed
		p.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-changed:
		}
		p.mu.Lock()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// Problems says in a sentence each which announced versions do not answer, and why.
func (p *Projection) Problems() []string {
	var out []string
	say := func(v *linked, what string) {
		out = append(out, fmt.Sprintf("registry %s, version %s (position %d): %s", v.registry, v.date, v.position, what))
	}
	for _, v := range p.current.Load().versions() {
		switch {
		case v.problem != "":
			say(v, v.problem)
		case v.broken != "":
			say(v, v.broken)
		case v.numbers == nil:
			say(v, "its numbers (object "+hashName(v.object)+") are not here yet; until they are, the list counts as missing for whom it is for, which blocks")
		}
	}
	return out
}

// versionKey is the key of one announced version: the registry's id, a zero byte
// and the position, so that a version costs one small value however many there are.
func versionKey(registry string, at ledger.Position) []byte {
	k := append(store.RegistryMetaKey(registry), 0)
	return binary.BigEndian.AppendUint64(k, uint64(at))
}

func parseVersionKey(k []byte) (registry string, at ledger.Position, err error) {
	body, err := store.ParseRegistryMetaKey(k)
	if err != nil {
		return "", 0, err
	}
	cut := len(body) - 9
	if cut < 0 || body[cut] != 0 || strings.IndexByte(body[:cut], 0) >= 0 {
		return "", 0, fmt.Errorf("registrymeta: %w", store.ErrBadKey)
	}
	return body[:cut], ledger.Position(binary.BigEndian.Uint64([]byte(body[cut+1:]))), nil
}

// encodeVersion is format byte 1, recorded_at in Unix nanoseconds (8 bytes,
// big-endian), RegistryLoaded.
func encodeVersion(recorded time.Time, m *consentv1.RegistryLoaded) ([]byte, error) {
	out := binary.BigEndian.AppendUint64([]byte{1}, uint64(recorded.UnixNano()))
	out, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(out, m)
	if err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	return out, nil
}

func decodeVersion(v []byte) (recorded time.Time, m *consentv1.RegistryLoaded, err error) {
	if len(v) < 9 || v[0] != 1 {
		return time.Time{}, nil, errBadValue
	}
	m = &consentv1.RegistryLoaded{}
	if err := proto.Unmarshal(bytes.Clone(v[9:]), m); err != nil {
		return time.Time{}, nil, fmt.Errorf("%w: %w", errBadValue, err)
	}
	return time.Unix(0, int64(binary.BigEndian.Uint64(v[1:9]))).UTC(), m, nil
}
