package listing

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Seller is in whose name contact is made.
type Seller struct {
	ID, Name string
	// Since is the position of its first registration.
	Since ledger.Position
}

// Programme is a registered sub-scope of a seller.
type Programme struct{ Seller, ID, Name string }

// Campaign is what a dialer names in a check.
type Campaign struct {
	ID, Seller string
	Channel    consentv1.Channel
	Purpose    consentv1.Purpose
	// Programme, Subject and Sector are empty if it has none.
	Programme, Subject, Sector string
}

// Source is a reporting system.
type Source struct {
	ID, Name   string
	Registered bool
	// Distrusted is the first instant from which its grants may not have
	// counted; zero: it is trusted.
	Distrusted time.Time
	// DistrustKnown is when that was first recorded.
	DistrustKnown time.Time
}

func (s *Source) distrust(at, recorded time.Time) {
	if s.Distrusted.IsZero() || at.Before(s.Distrusted) {
		s.Distrusted = at
	}
	if s.DistrustKnown.IsZero() { // recorded_at never goes backwards
		s.DistrustKnown = recorded
	}
}

// Snapshot is everything listed at one position. It must not be changed.
type Snapshot struct {
	// Position is what it is true at.
	Position ledger.Position

	sellers    map[string]Seller
	programmes map[string]Programme // by programmeID
	campaigns  map[string]Campaign
	sources    map[string]Source
	distrusts  bool              // some source is or was distrusted
	turns      map[string][]Turn // by seller or `all`, in no order that matters
	gates      map[string]Gate   // what all turns come to
	declared   []Emergency       // in the order of recording
	// emergencies are those, each as it was last declared.
	emergencies []Emergency
}

func emptySnapshot() *Snapshot {
	return &Snapshot{
		sellers: map[string]Seller{}, programmes: map[string]Programme{}, campaigns: map[string]Campaign{},
		sources: map[string]Source{}, turns: map[string][]Turn{}, gates: map[string]Gate{},
	}
}

func (s *Snapshot) shallow() *Snapshot { c := *s; return &c }

func (s *Snapshot) clone() *Snapshot {
	return &Snapshot{
		Position: s.Position, sellers: maps.Clone(s.sellers), programmes: maps.Clone(s.programmes),
		campaigns: maps.Clone(s.campaigns), sources: maps.Clone(s.sources), distrusts: s.distrusts, turns: maps.Clone(s.turns), gates: maps.Clone(s.gates),
		declared: s.declared, emergencies: s.emergencies,
	}
}

// put takes over one stored value.
func (s *Snapshot) put(kind byte, id string, v []byte) (err error) {
	switch kind {
	case kindSeller:
		s.sellers[id], err = decodeSeller(id, v)
	case kindProgramme:
		s.programmes[id], err = decodeProgramme(id, v)
	case kindCampaign:
		s.campaigns[id], err = decodeCampaign(id, v)
	case kindSource:
		source, fault := decodeSource(id, v)
		s.sources[id], err = source, fault
		s.distrusts = s.distrusts || !source.Distrusted.IsZero()
	case kindGate:
		err = s.putTurn(id, v)
	case kindEmergency:
		err = s.putEmergency(id, v)
	default:
		err = fmt.Errorf("%w: kind %d", errBadValue, kind)
	}
	return err
}

// putTurn never writes into a slice that an older snapshot shares.
func (s *Snapshot) putTurn(key string, v []byte) error {
	id, _, err := splitPositionID(key)
	if err != nil {
		return err
	}
	t, err := decodeTurn(v)
	if err != nil {
		return err
	}
	s.turns[id] = append(slices.Clip(s.turns[id]), t)
	g := s.gates[id]
	g.turn(t)
	s.gates[id] = g
	return nil
}

func (s *Snapshot) putEmergency(key string, v []byte) error {
	area, _, err := splitPositionID(key)
	if err != nil {
		return err
	}
	e, err := decodeEmergency(area, v)
	if err != nil {
		return err
	}
	s.declared = append(slices.Clip(s.declared), e)
	slices.SortStableFunc(s.declared, func(a, b Emergency) int { return a.RecordedAt.Compare(b.RecordedAt) })
	s.emergencies = lastDeclared(s.declared)
	return nil
}

// Seller looks a seller up.
func (s *Snapshot) Seller(id string) (Seller, bool) {
	v, ok := s.sellers[id]
	return v, ok
}

// Sellers lists all sellers by id.
func (s *Snapshot) Sellers() []Seller {
	return sorted(s.sellers, func(v Seller) string { return v.ID })
}

// Programme looks a seller's programme up.
func (s *Snapshot) Programme(seller, id string) (Programme, bool) {
	v, ok := s.programmes[programmeID(seller, id)]
	return v, ok
}

// Programmes lists a seller's programmes by id.
func (s *Snapshot) Programmes(seller string) []Programme {
	all := sorted(s.programmes, func(v Programme) string { return v.ID })
	return slices.DeleteFunc(all, func(v Programme) bool { return v.Seller != seller })
}

// Campaign looks a campaign up.
func (s *Snapshot) Campaign(id string) (Campaign, bool) {
	v, ok := s.campaigns[id]
	return v, ok
}

// Campaigns lists all campaigns by id.
func (s *Snapshot) Campaigns() []Campaign {
	return sorted(s.campaigns, func(v Campaign) string { return v.ID })
}

// Source looks a source up: one that is registered or distrusted, or has reported.
func (s *Snapshot) Source(id string) (Source, bool) {
	v, ok := s.sources[id]
	return v, ok
}

// Sources lists all sources by id.
func (s *Snapshot) Sources() []Source {
	return sorted(s.sources, func(v Source) string { return v.ID })
}

// Distrusted tells whether a source's grants no longer count.
func (s *Snapshot) Distrusted(source string) bool { return !s.sources[source].Distrusted.IsZero() }

// Distrust gives Distrusted; nil: every source is trusted.
func (s *Snapshot) Distrust() func(source string) bool {
	if !s.distrusts {
		return nil
	}
	return s.Distrusted
}

// DistrustedAsOf tells it by what was recorded by an instant.
func (s *Snapshot) DistrustedAsOf(asOf time.Time) func(source string) bool {
	return func(source string) bool {
		known := s.sources[source].DistrustKnown
		return !known.IsZero() && !known.After(asOf)
	}
}

func sorted[V any](m map[string]V, id func(V) string) []V {
	return slices.SortedFunc(maps.Values(m), func(a, b V) int { return strings.Compare(id(a), id(b)) })
}

const programmeSeparator = "\x00" // no id contains it

func programmeID(seller, id string) string { return seller + programmeSeparator + id }
