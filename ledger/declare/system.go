package declare

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// checkSystem validates facts about no number. What only the program itself may
// record (erasures, exports, writers) is checked where it is made.
func checkSystem(f *consentv1.Fact, c Catalog) error {
	if err := validTime("occurred_at", f.GetOccurredAt()); err != nil {
		return err
	}
	for _, s := range f.GetSellers() {
		if s != ledger.All && !c.Seller(s) {
			return &ledger.InvalidError{Field: "seller", Problem: "is not registered", Fix: "register it first: consent seller add ID"}
		}
	}
	switch k := f.GetKind().(type) {
	case *consentv1.Fact_SellerRegistered:
		return checkID("id", k.SellerRegistered.GetId())
	case *consentv1.Fact_SourceRegistered:
		return checkID("id", k.SourceRegistered.GetId())
	case *consentv1.Fact_SourceDistrusted:
		return checkID("id", k.SourceDistrusted.GetId())
	case *consentv1.Fact_ProgrammeRegistered:
		if !c.Seller(k.ProgrammeRegistered.GetSeller()) {
			return &ledger.InvalidError{Field: "seller", Problem: "is not registered", Fix: "register it first: consent seller add ID"}
		}
		return checkID("id", k.ProgrammeRegistered.GetId())
	case *consentv1.Fact_CampaignRegistered:
		return checkCampaign(k.CampaignRegistered, c)
	case *consentv1.Fact_RegistryLoaded:
		return checkRegistry(k.RegistryLoaded)
	case *consentv1.Fact_WordingPublished:
		return checkWording(f, k.WordingPublished)
	case *consentv1.Fact_RulePackPublished:
		return checkPack(k.RulePackPublished, c)
	case *consentv1.Fact_EmergencyDeclared:
		return checkEmergency(k.EmergencyDeclared)
	case *consentv1.Fact_ContactPaused, *consentv1.Fact_ContactResumed:
		if len(f.GetSellers()) == 0 {
			f.Sellers = []string{ledger.All}
		}
	}
	return nil
}

func checkID(field, id string) error {
	if !ValidID(id) {
		return badID(field)
	}
	return nil
}

func checkCampaign(m *consentv1.CampaignRegistered, c Catalog) error {
	if !c.Seller(m.GetSeller()) {
		return &ledger.InvalidError{Field: "seller", Problem: "is not registered", Fix: "register it first: consent seller add ID"}
	}
	if unknownChannel(m.GetChannel()) || m.GetChannel() == consentv1.Channel_CHANNEL_ALL {
		return &ledger.InvalidError{Field: "channel", Problem: "is missing or not known", Fix: "a campaign has one: " + wordsOf(consentv1.Channel_name, "CHANNEL_")}
	}
	if unknownPurpose(m.GetPurpose()) || m.GetPurpose() == consentv1.Purpose_PURPOSE_ALL {
		return &ledger.InvalidError{Field: "purpose", Problem: "is missing or not known", Fix: "a campaign has one: " + wordsOf(consentv1.Purpose_name, "PURPOSE_")}
	}
	if p := m.GetProgramme(); p != "" && !c.Programme(m.GetSeller(), p) {
		return &ledger.InvalidError{Field: "programme", Problem: "is not registered for the seller", Fix: "register it first: consent programme add ID --seller S"}
	}
	if known := c.Campaign(m.GetId()); known != nil && !proto.Equal(known, m) {
		return &ledger.InvalidError{Field: "id", Problem: "is a campaign already, with another meaning",
			Fix: "give the new campaign an id of its own; dialers know the old one"}
	}
	if m.GetSector() != "" && !ValidID(m.GetSector()) {
		return badID("sector")
	}
	return checkID("id", m.GetId())
}

// wordingBytesMax bounds a wording: it must fit in an entry.
const wordingBytesMax = 32 << 10

// checkWording sees to it that an id has one text for ever: the idempotency key
// follows from it, so that another text is a conflict.
func checkWording(f *consentv1.Fact, m *consentv1.WordingPublished) error {
	switch {
	case !ValidID(m.GetId()):
		return badID("id")
	case f.GetSource() != ledger.ProgramSource || f.GetEventId() != ledger.WordingEventID(m.GetId()):
		return &ledger.InvalidError{Field: "event_id", Problem: "is not that of the wording's id, so the id could get a second text",
			Fix: "publish wordings with: consent wording add"}
	case strings.TrimSpace(m.GetText()) == "" || len(m.GetText()) > wordingBytesMax:
		return &ledger.InvalidError{Field: "text", Problem: fmt.Sprintf("is missing or longer than %d bytes", wordingBytesMax),
			Fix: "give the whole text as people see it"}
	}
	sum := sha256.Sum256([]byte(m.GetText()))
	m.Sha256 = sum[:]
	return nil
}

// checkPack looks at what is said of a pack; the pack itself is checked where it
// is published, by package rules.
func checkPack(m *consentv1.RulePackPublished, c Catalog) error {
	switch {
	case len(m.GetSha256()) != len(ledger.Hash{}):
		return &ledger.InvalidError{Field: "sha256", Problem: "is no SHA-256", Fix: "publish packs with: consent rules publish"}
	case m.GetVersion() == "" || len(m.GetVersion()) > idBytesMax || m.GetLayer() == "":
		return &ledger.InvalidError{Field: "version", Problem: "or layer is missing or too long", Fix: "publish packs with: consent rules publish"}
	case m.GetSeller() != "" && !c.Seller(m.GetSeller()):
		return &ledger.InvalidError{Field: "seller", Problem: "is not registered", Fix: "register it first: consent seller add ID"}
	case m.GetWithdrawn() && (m.GetSeller() == "" || m.GetReason() == ""):
		return &ledger.InvalidError{Field: "withdrawn", Problem: "without a seller and a reason", Fix: "withdraw a seller's own pack with: consent rules withdraw"}
	}
	return checkID("id", m.GetId())
}

func checkEmergency(m *consentv1.EmergencyDeclared) error {
	if !areaCode(m.GetArea()) {
		return &ledger.InvalidError{Field: "area", Problem: "is missing or no area",
			Fix: "write an ISO 3166 code, with the county behind it if it is one: US-LA, US-NY-061"}
	}
	if m.GetFrom() == nil {
		return &ledger.InvalidError{Field: "from", Problem: "is missing", Fix: "say when the emergency begins (RFC 3339)"}
	}
	if err := validTime("from", m.GetFrom()); err != nil {
		return err
	}
	if err := validTime("until", m.GetUntil()); err != nil {
		return err
	}
	if m.GetUntil() != nil && m.GetUntil().AsTime().Before(m.GetFrom().AsTime()) {
		return &ledger.InvalidError{Field: "until", Problem: "lies before its beginning", Fix: "leave it out if the end is not known"}
	}
	return nil
}

// areaCode tells whether a word is a country, a state or an area in one.
func areaCode(s string) bool {
	parts := strings.Split(s, "-")
	if len(parts) > 3 || len(parts[0]) != 2 || len(s) > 16 {
		return false
	}
	for _, p := range parts {
		if p == "" || strings.Trim(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != "" {
			return false
		}
	}
	return true
}

func checkRegistry(m *consentv1.RegistryLoaded) error {
	if _, err := time.Parse(time.DateOnly, m.GetVersionDate()); err != nil {
		return &ledger.InvalidError{Field: "version_date", Problem: "is no date", Fix: "write the day of the list as YYYY-MM-DD"}
	}
	if len(m.GetObjectSha256()) != len(ledger.Hash{}) {
		return &ledger.InvalidError{Field: "object_sha256", Problem: "is no SHA-256", Fix: "load lists with: consent import registry"}
	}
	return checkID("registry", m.GetRegistry())
}
