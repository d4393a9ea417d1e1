// Package publication knows which rule packs were published when, so that a
// decision is made by the rules in force, and one of the past by those known then.
//
// A RulePackPublished fact announces a version of a pack; its file lies in the
// object store. Apply writes only what the fact says. A Loader beside the
// projection fetches the file; until it is there, what depends on it blocks. The
// packs that come with the program are handed over at its start and need no
// fetching. A seller's own packs concern nobody else: one that is missing or does
// not fit the others blocks that seller alone.
//
//	publication.go  the projection
//	snapshot.go     the packs of an instant
//	loader.go       fetching files
package publication

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/projections"
	"github.com/consent-ledger/consent-ledger/projections/rules"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

const (
	name    = "publication"
	version = 1
)

var errBadValue = errors.New("publication: value cannot be read; the projection can be deleted and is built anew")

// Projection is the record of publications. Snapshot, Add, Watch and Problems are
// safe for concurrent use; Load, Apply and Committed belong to the one who folds.
type Projection struct {
	current atomic.Pointer[Snapshot]

	// pending is what Apply has written since the last Committed; the folder's own.
	pending []Published

	// mu guards the rest and is held while a snapshot is put together, so that a
	// pack announced and a file fetched at once both end up in it. Never across I/O.
	mu      sync.Mutex
	known   []Published // committed, in order of position
	files   map[ledger.Hash]*rules.Pack
	faults  map[ledger.Hash]string // why a file that was fetched is of no use
	late    map[ledger.Hash]bool   // could not be had when it was last tried
	changed chan struct{}          // closed and replaced with each new set of packs

	// fetching: a file is missing that may be here in a moment.
	fetching atomic.Bool
}

var _ projections.Resident = (*Projection)(nil)

// Published is one publication of a pack.
type Published struct {
	Position           ledger.Position
	RecordedAt         time.Time
	ID, Version, Layer string
	// Seller whose pack it is; empty: it binds all.
	Seller string
	SHA256 ledger.Hash
	Reason string
	// Withdrawn: a seller's pack ended here; the rest says which version held.
	Withdrawn bool
}

// New makes a record that knows of no publication yet, but has some files at hand.
func New(files ...*rules.Pack) *Projection {
	p := &Projection{files: map[ledger.Hash]*rules.Pack{}, faults: map[ledger.Hash]string{}, late: map[ledger.Hash]bool{}, changed: make(chan struct{})}
	for _, f := range files {
		p.files[f.Hash()] = f
	}
	p.publish(0)
	return p
}

// Name implements projections.Projection.
func (*Projection) Name() string { return name }

// Version implements projections.Projection.
func (*Projection) Version() uint32 { return version }

// Spaces implements projections.Projection.
func (*Projection) Spaces() []byte { return []byte{store.SpacePack} }

// Apply folds RulePackPublished; all others are not its business.
func (p *Projection) Apply(b projections.Batch, e *ledger.Entry) error {
	m := e.Fact().GetRulePackPublished()
	if m == nil {
		return nil
	}
	value, err := encode(e.RecordedAt, m)
	if err != nil {
		return err
	}
	if err := b.Set(store.PackKey(e.Position), value); err != nil {
		return err
	}
	p.pending = append(p.pending, published(e.Position, e.RecordedAt, m))
	return nil
}

// Load implements projections.Resident. Files in memory are kept: they never change.
func (p *Projection) Load(r projections.Reader, at ledger.Position) error {
	var known []Published
	lo, hi := store.SpaceRange(store.SpacePack)
	err := r.Each(lo, hi, func(k, v []byte) error {
		pos, err := store.ParsePackKey(k)
		if err != nil {
			return err
		}
		recorded, m, err := decode(v)
		if err != nil {
			return err
		}
		known = append(known, published(pos, recorded, m))
		return nil
	})
	if err != nil {
		return fmt.Errorf("publication: %w", err)
	}
	p.pending = nil
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known = known
	p.publish(at)
	return nil
}

// Committed implements projections.Resident.
func (p *Projection) Committed(at ledger.Position) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.pending) == 0 {
		next := p.current.Load().at(at)
		p.current.Store(next)
		return
	}
	p.known = append(slices.Clip(p.known), p.pending...)
	p.pending = nil
	p.publish(at)
}

// Snapshot is everything known at one position. Take one for each answer, or for
// each batch of answers.
func (p *Projection) Snapshot() *Snapshot { return p.current.Load() }

// Watch gives a channel that is closed when there is another set of packs.
func (p *Projection) Watch() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changed
}

// Add takes over a file that was fetched or built.
func (p *Projection) Add(f *rules.Pack) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.files[f.Hash()] = f
	p.publish(p.current.Load().Position)
}

// spoilt notes that a file is of no use to this version of the program.
func (p *Projection) spoilt(file ledger.Hash, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults[file] = why
	p.fetching.Store(p.expects())
}

// failed notes that a file could not be had. It may come later, and nobody waits for it.
func (p *Projection) failed(file ledger.Hash) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.late[file] = true
	p.fetching.Store(p.expects())
}

// Fetching tells whether the file of a newest publication is missing and was not yet
// tried in vain: a moment's patience may spare a block.
func (p *Projection) Fetching() bool { return p.fetching.Load() }

// expects: the caller holds mu, or is New.
func (p *Projection) expects() bool {
	return slices.ContainsFunc(newestOf(p.known), func(q Published) bool {
		return !q.Withdrawn && p.files[q.SHA256] == nil && p.faults[q.SHA256] == "" && !p.late[q.SHA256]
	})
}

func (p *Projection) isSpoilt(file ledger.Hash) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.faults[file] != ""
}

// publish puts together what readers see. The caller holds mu, or is New.
func (p *Projection) publish(at ledger.Position) {
	p.current.Store(newSnapshot(at, p.known, maps.Clone(p.files)))
	p.fetching.Store(p.expects())
	close(p.changed)
	p.changed = make(chan struct{})
}

// Problems says in a sentence each what keeps decisions from being made.
func (p *Projection) Problems() []string {
	p.mu.Lock()
	faults := maps.Clone(p.faults)
	p.mu.Unlock()
	s := p.Snapshot()
	var out []string
	if len(s.all) == 0 {
		out = append(out, "no rule pack is published yet; every check blocks until the server has done so")
	}
	for _, q := range newestOf(s.all) {
		if !q.Withdrawn && s.files[q.SHA256] == nil {
			why := "is not here yet"
			if fault := faults[q.SHA256]; fault != "" {
				why = "cannot be used: " + fault
			}
			out = append(out, fmt.Sprintf("rule pack %s, version %s (position %d): its file (%s) %s; what depends on it blocks",
				q.ID, q.Version, q.Position, q.SHA256.String()[:8], why))
		}
	}
	return append(out, s.live.problems...)
}

// encode is format byte 1, recorded_at in Unix nanoseconds (8 bytes, big-endian),
// RulePackPublished.
func encode(recorded time.Time, m *consentv1.RulePackPublished) ([]byte, error) {
	out := binary.BigEndian.AppendUint64([]byte{1}, uint64(recorded.UnixNano()))
	out, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(out, m)
	if err != nil {
		return nil, fmt.Errorf("publication: %w", err)
	}
	return out, nil
}

func decode(v []byte) (recorded time.Time, m *consentv1.RulePackPublished, err error) {
	if len(v) < 9 || v[0] != 1 {
		return time.Time{}, nil, errBadValue
	}
	m = &consentv1.RulePackPublished{}
	if err := proto.Unmarshal(bytes.Clone(v[9:]), m); err != nil {
		return time.Time{}, nil, fmt.Errorf("%w: %w", errBadValue, err)
	}
	return time.Unix(0, int64(binary.BigEndian.Uint64(v[1:9]))).UTC(), m, nil
}

// published reads a fact. A hash of another length names no file there is.
func published(at ledger.Position, recorded time.Time, m *consentv1.RulePackPublished) Published {
	p := Published{Position: at, RecordedAt: recorded, ID: m.GetId(), Version: m.GetVersion(), Layer: m.GetLayer(), Seller: m.GetSeller(),
		Reason: m.GetReason(), Withdrawn: m.GetWithdrawn() && m.GetSeller() != ""}
	if len(m.GetSha256()) == len(p.SHA256) {
		p.SHA256 = ledger.Hash(m.GetSha256())
	}
	return p
}
