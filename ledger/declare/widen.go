package declare

import (
	"fmt"
	"slices"
	"strings"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/words"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// widen makes a fact that forbids cover everything it could mean.
func (d *Declared) widen(c Catalog) {
	f := d.Fact
	d.widenSellers(c)
	if k, ok := f.GetKind().(*consentv1.Fact_InboundMessage); ok {
		m := k.InboundMessage
		if m.GetClassification() == consentv1.MessageClass_MESSAGE_CLASS_UNSPECIFIED || consentv1.MessageClass_name[int32(m.GetClassification())] == "" {
			m.Classification = words.Classify(m.GetBody())
		}
		if words.PerSe(m.GetBody()) { // whatever its source takes it for
			m.Classification = consentv1.MessageClass_MESSAGE_CLASS_STOP
		}
		d.Stop = ledger.IsStop(f)
		m.InReplyToProgramme = d.replyProgramme(c, m.GetInReplyToProgramme())
	}
	if k, ok := f.GetKind().(*consentv1.Fact_ConsentRevoked); ok {
		k.ConsentRevoked.InReplyToProgramme = d.replyProgramme(c, k.ConsentRevoked.GetInReplyToProgramme())
	}
	s := ledger.EnsureScope(f)
	if s == nil {
		return
	}
	if slices.ContainsFunc(s.GetChannels(), unknownChannel) {
		d.widened("channels", fmt.Sprint(s.GetChannels()))
		s.Channels = nil
	}
	if slices.ContainsFunc(s.GetPurposes(), unknownPurpose) {
		d.widened("purposes", fmt.Sprint(s.GetPurposes()))
		s.Purposes = nil
	}
	if slices.ContainsFunc(s.GetProgrammes(), func(p string) bool { return p != ledger.All && !d.programme(c, p) }) || len(s.GetProgrammes()) > listMax {
		d.widened("programmes", strings.Join(s.GetProgrammes(), ";"))
		s.Programmes = nil
	}
	if len(s.GetChannels()) == 0 {
		s.Channels = []consentv1.Channel{consentv1.Channel_CHANNEL_ALL}
	}
	if len(s.GetPurposes()) == 0 {
		s.Purposes = []consentv1.Purpose{consentv1.Purpose_PURPOSE_ALL}
	}
	if len(s.GetProgrammes()) == 0 {
		s.Programmes = []string{ledger.All}
	}
	normalise(s)
}

// widenSellers: a missing or unregistered seller means all sellers.
func (d *Declared) widenSellers(c Catalog) {
	f := d.Fact
	for _, s := range f.GetSellers() {
		if s == ledger.All {
			f.Sellers = []string{ledger.All}
			return
		}
		if !c.Seller(s) {
			unread(f, "seller", s)
			d.Notices = append(d.Notices, "seller is not registered: recorded for all sellers")
			f.Sellers = []string{ledger.All}
			return
		}
	}
	if len(f.GetSellers()) == 0 || len(f.GetSellers()) > listMax {
		f.Sellers = []string{ledger.All}
		return
	}
	slices.Sort(f.Sellers)
	f.Sellers = slices.Compact(f.Sellers)
}

// keepKnownSellers: facts about the number itself count for everybody, unless
// they name registered sellers.
func (d *Declared) keepKnownSellers(c Catalog) {
	d.widenSellers(c)
}

func (d *Declared) widened(field, value string) {
	unread(d.Fact, field, value)
	d.Notices = append(d.Notices, field+" could not be understood: covers all")
}

// programme tells whether a programme exists for every seller a fact is about. A
// misspelt one would stop nothing; ids of programmes mean nothing for all sellers.
func (d *Declared) programme(c Catalog, id string) bool {
	return ValidID(id) && !slices.ContainsFunc(d.Fact.GetSellers(), func(seller string) bool { return !c.Programme(seller, id) })
}

// replyProgramme keeps the programme a stop answered if it exists; without one the
// stop is for all programmes at once.
func (d *Declared) replyProgramme(c Catalog, id string) string {
	if id == "" || d.programme(c, id) {
		return id
	}
	unread(d.Fact, "in_reply_to_programme", id)
	d.Notices = append(d.Notices, "in_reply_to_programme is not registered: the stop covers all programmes")
	return ""
}
