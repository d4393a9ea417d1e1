package index

import (
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger/store"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Kinds of catalog keys. Numbers are never reused. The value is the registering
// fact's own message; later registrations replace earlier ones.
const (
	catalogSeller     byte = 1
	catalogProgramme  byte = 2 // id: seller, 0x00, programme
	catalogCampaign   byte = 3
	catalogSource     byte = 4
	catalogDistrusted byte = 5
)

// catalog is everything registered, kept in memory. It never changes; a
// registration makes a new one.
type catalog struct {
	sellers    map[string]*consentv1.SellerRegistered
	programmes map[string]*consentv1.ProgrammeRegistered // by seller, 0x00, programme
	campaigns  map[string]*consentv1.CampaignRegistered
	sources    map[string]*consentv1.SourceRegistered
	distrusted map[string]*consentv1.SourceDistrusted
}

func newCatalog() *catalog {
	return &catalog{
		sellers: map[string]*consentv1.SellerRegistered{}, programmes: map[string]*consentv1.ProgrammeRegistered{},
		campaigns: map[string]*consentv1.CampaignRegistered{}, sources: map[string]*consentv1.SourceRegistered{},
		distrusted: map[string]*consentv1.SourceDistrusted{},
	}
}

func programmeID(seller, programme string) string { return seller + "\x00" + programme }

// with is the catalog after some registrations; itself if there are none.
func (c *catalog) with(facts []*consentv1.Fact) *catalog {
	if len(facts) == 0 {
		return c
	}
	n := &catalog{maps.Clone(c.sellers), maps.Clone(c.programmes), maps.Clone(c.campaigns), maps.Clone(c.sources), maps.Clone(c.distrusted)}
	for _, f := range facts {
		n.put(registration(f))
	}
	return n
}

// registration gives a registering fact's place in the catalog and its message.
func registration(f *consentv1.Fact) (kind byte, id string, m proto.Message) {
	switch k := f.GetKind().(type) {
	case *consentv1.Fact_SellerRegistered:
		return catalogSeller, k.SellerRegistered.GetId(), k.SellerRegistered
	case *consentv1.Fact_ProgrammeRegistered:
		return catalogProgramme, programmeID(k.ProgrammeRegistered.GetSeller(), k.ProgrammeRegistered.GetId()), k.ProgrammeRegistered
	case *consentv1.Fact_CampaignRegistered:
		return catalogCampaign, k.CampaignRegistered.GetId(), k.CampaignRegistered
	case *consentv1.Fact_SourceRegistered:
		return catalogSource, k.SourceRegistered.GetId(), k.SourceRegistered
	case *consentv1.Fact_SourceDistrusted:
		return catalogDistrusted, k.SourceDistrusted.GetId(), k.SourceDistrusted
	}
	return 0, "", nil
}

func (c *catalog) put(kind byte, id string, m proto.Message) {
	switch m := m.(type) {
	case *consentv1.SellerRegistered:
		c.sellers[id] = m
	case *consentv1.ProgrammeRegistered:
		c.programmes[id] = m
	case *consentv1.CampaignRegistered:
		c.campaigns[id] = m
	case *consentv1.SourceRegistered:
		c.sources[id] = m
	case *consentv1.SourceDistrusted:
		c.distrusted[id] = m
	}
}

// catalogRows are the rows of some registrations, the last of each key.
func catalogRows(facts []*consentv1.Fact, err *error) map[string][]byte {
	rows := make(map[string][]byte, len(facts))
	for _, f := range facts {
		kind, id, m := registration(f)
		raw, merr := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if merr != nil && *err == nil {
			*err = fmt.Errorf("index: registration: %w", merr)
		}
		rows[string(store.CatalogKey(kind, id))] = raw
	}
	return rows
}

func (ix *Index) loadCatalog() error {
	c := newCatalog()
	lo, hi := store.SpaceRange(store.SpaceCatalog)
	err := ix.db.Each(lo, hi, func(k, v []byte) error {
		kind, id, err := store.ParseCatalogKey(k)
		if err != nil {
			return err
		}
		m := map[byte]proto.Message{catalogSeller: &consentv1.SellerRegistered{}, catalogProgramme: &consentv1.ProgrammeRegistered{},
			catalogCampaign: &consentv1.CampaignRegistered{}, catalogSource: &consentv1.SourceRegistered{}, catalogDistrusted: &consentv1.SourceDistrusted{}}[kind]
		if m == nil {
			return fmt.Errorf("index: catalog kind %d: %w", kind, store.ErrBadKey)
		}
		if err := proto.Unmarshal(v, m); err != nil {
			return fmt.Errorf("index: catalog kind %d: %w", kind, err)
		}
		c.put(kind, id, m)
		return nil
	})
	ix.catalog.Store(c)
	return err
}

// Seller tells whether a seller is registered. Like all of the catalog it answers
// for what is applied, not for what is staged, and takes no lock.
func (ix *Index) Seller(id string) bool { _, ok := ix.catalog.Load().sellers[id]; return ok }

// Programme tells whether a seller's programme is registered.
func (ix *Index) Programme(seller, id string) bool {
	_, ok := ix.catalog.Load().programmes[programmeID(seller, id)]
	return ok
}

// Campaign gives a registered campaign, nil if there is none. It must not be changed.
func (ix *Index) Campaign(id string) *consentv1.CampaignRegistered {
	return ix.catalog.Load().campaigns[id]
}

// Source tells whether a source is registered.
func (ix *Index) Source(id string) bool { _, ok := ix.catalog.Load().sources[id]; return ok }

// Distrusted tells whether a source's grants no longer count.
func (ix *Index) Distrusted(id string) bool { _, ok := ix.catalog.Load().distrusted[id]; return ok }

// Sellers lists the registered sellers, sorted.
func (ix *Index) Sellers() []string { return slices.Sorted(maps.Keys(ix.catalog.Load().sellers)) }

// Sources lists the registered sources, sorted.
func (ix *Index) Sources() []string { return slices.Sorted(maps.Keys(ix.catalog.Load().sources)) }
