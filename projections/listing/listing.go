// Package listing knows what is registered and what holds for whole sellers or
// places: sellers, programmes, campaigns, sources, pauses and emergencies.
//
// Pauses and emergencies keep their history, and sources the moment their distrust
// became known, so that a question about the past is answered by what was known
// then. A campaign never changes its meaning, so it needs none.
//
// It is small, so all of it is also in memory. A reader takes one Snapshot per
// answer and must see that its Position is not behind the state it reads beside
// it: while the projections are rebuilt the snapshot is empty, and an empty
// one knows no pause.
package listing

import (
	"fmt"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/projections"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

const (
	name    = "listing"
	version = 3
)

// Kinds of keys: the byte after the space. Never reused.
const (
	kindSeller    byte = 1 // id
	kindProgramme byte = 2 // seller, 0x00, id
	kindCampaign  byte = 3 // id
	kindSource    byte = 4 // id
	// 5 was a pause without its history
	kindEmergency byte = 6 // area, 0x00, position (8)
	kindGate      byte = 7 // seller or `all`, 0x00, position (8)
)

// Projection is the listing. Snapshot is safe for concurrent use; the rest
// belongs to the one who folds.
type Projection struct {
	current atomic.Pointer[Snapshot]
	// next holds what Apply has changed since the last Committed; nil: nothing.
	next *Snapshot
}

var _ projections.Resident = (*Projection)(nil)

// New makes a listing that knows nothing yet.
func New() *Projection {
	p := &Projection{}
	p.current.Store(emptySnapshot())
	return p
}

// Name implements projections.Projection.
func (*Projection) Name() string { return name }

// Version implements projections.Projection.
func (*Projection) Version() uint32 { return version }

// Spaces implements projections.Projection.
func (*Projection) Spaces() []byte { return []byte{store.SpaceListing} }

// Snapshot is what is committed. It never changes.
func (p *Projection) Snapshot() *Snapshot { return p.current.Load() }

// Load implements projections.Resident.
func (p *Projection) Load(r projections.Reader, at ledger.Position) error {
	s := emptySnapshot()
	s.Position = at
	lo, hi := store.SpaceRange(store.SpaceListing)
	err := r.Each(lo, hi, func(k, v []byte) error {
		kind, id, err := store.ParseListingKey(k)
		if err != nil {
			return err
		}
		return s.put(kind, id, v)
	})
	if err != nil {
		return fmt.Errorf("listing: %w", err)
	}
	p.next = nil
	p.current.Store(s)
	return nil
}

// Committed implements projections.Resident.
func (p *Projection) Committed(at ledger.Position) {
	s := p.next
	if s == nil {
		s = p.current.Load().shallow() // same content, further on
	}
	s.Position = at
	p.next = nil
	p.current.Store(s)
}

// sourcesMax bounds how many sources are listed that nobody registered: whoever
// may report can make up names.
const sourcesMax = 10000

// Apply folds system facts; of all others it notes who reported them.
func (p *Projection) Apply(b projections.Batch, e *ledger.Entry) error {
	f := e.Fact()
	if err := p.noteSource(b, f.GetSource()); err != nil {
		return err
	}
	switch k := f.GetKind().(type) {
	case *consentv1.Fact_SellerRegistered:
		return p.applySeller(b, e, k.SellerRegistered)
	case *consentv1.Fact_ProgrammeRegistered:
		m := k.ProgrammeRegistered
		return p.write(b, kindProgramme, programmeID(m.GetSeller(), m.GetId()), appendStrings(nil, m.GetName()))
	case *consentv1.Fact_CampaignRegistered:
		return p.write(b, kindCampaign, k.CampaignRegistered.GetId(), encodeCampaign(k.CampaignRegistered))
	case *consentv1.Fact_SourceRegistered:
		return p.applySource(b, k.SourceRegistered.GetId(), func(s *Source) {
			s.Registered, s.Name = true, k.SourceRegistered.GetName()
		})
	case *consentv1.Fact_SourceDistrusted:
		return p.applySource(b, k.SourceDistrusted.GetId(), func(s *Source) { s.distrust(spanOf(e).Earliest, e.RecordedAt) })
	case *consentv1.Fact_ContactPaused:
		return p.applyGate(b, e, true)
	case *consentv1.Fact_ContactResumed:
		return p.applyGate(b, e, false)
	case *consentv1.Fact_EmergencyDeclared:
		m := k.EmergencyDeclared
		return p.write(b, kindEmergency, positionID(m.GetArea(), e.Position), encodeEmergency(e.RecordedAt, m))
	}
	return nil
}

// applySeller keeps the first position at which a seller was registered: changes
// before it never went to the seller's feed.
func (p *Projection) applySeller(b projections.Batch, e *ledger.Entry, m *consentv1.SellerRegistered) error {
	s := Seller{ID: m.GetId(), Name: m.GetName(), Since: e.Position}
	old, err := b.Get(store.ListingKey(kindSeller, s.ID))
	if err != nil {
		return err
	}
	if old != nil {
		was, err := decodeSeller(s.ID, old)
		if err != nil {
			return err
		}
		s.Since = was.Since
	}
	return p.write(b, kindSeller, s.ID, s.encode())
}

// noteSource lists a source at its first fact.
func (p *Projection) noteSource(b projections.Batch, id string) error {
	seen := p.current.Load()
	if p.next != nil {
		seen = p.next
	}
	if _, known := seen.sources[id]; known || id == "" || len(seen.sources) >= sourcesMax {
		return nil
	}
	return p.applySource(b, id, func(*Source) {})
}

func (p *Projection) applySource(b projections.Batch, id string, change func(*Source)) error {
	s := Source{ID: id}
	old, err := b.Get(store.ListingKey(kindSource, id))
	if err != nil {
		return err
	}
	if old != nil {
		if s, err = decodeSource(id, old); err != nil {
			return err
		}
	}
	change(&s)
	return p.write(b, kindSource, id, s.encode())
}

// applyGate notes a pause or resumption for each seller named; none named means all.
func (p *Projection) applyGate(b projections.Batch, e *ledger.Entry, paused bool) error {
	sellers := e.Fact().GetSellers()
	if len(sellers) == 0 {
		sellers = []string{ledger.All}
	}
	turn := Turn{Paused: paused, Span: spanOf(e), RecordedAt: e.RecordedAt}
	for _, id := range sellers {
		if err := p.write(b, kindGate, positionID(id, e.Position), turn.encode()); err != nil {
			return err
		}
	}
	return nil
}

// write puts a value into the store and, for later, into memory: by the same
// bytes and the same decoder that Load uses.
func (p *Projection) write(b projections.Batch, kind byte, id string, value []byte) error {
	if p.next == nil {
		p.next = p.current.Load().clone()
	}
	if err := p.next.put(kind, id, value); err != nil {
		return err
	}
	return b.Set(store.ListingKey(kind, id), value)
}

// spanOf is when the fact happened; where it does not say, when it was recorded.
func spanOf(e *ledger.Entry) Span {
	s := Span{Earliest: e.RecordedAt, Latest: e.RecordedAt}
	if t := e.Fact().GetEarliest(); valid(t) {
		s.Earliest = t.AsTime()
	}
	if t := e.Fact().GetLatest(); valid(t) {
		s.Latest = t.AsTime()
	}
	return s
}

func valid(t *timestamppb.Timestamp) bool { return t != nil && t.IsValid() }

// Span is when something can have happened.
type Span struct{ Earliest, Latest time.Time }
