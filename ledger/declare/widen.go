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
	if f.GetOccurredAt() != nil && f.GetOccurredAt().CheckValid() != nil {
		f.OccurredAt = nil
		d.Notices = append(d.Notices, "occurred_at could not be read: taken as now")
	}
	if k, ok := f.GetKind().(*consentv1.Fact_InboundMessage); ok {
		m := k.InboundMessage
		if m.GetClassification() == consentv1.MessageClass_MESSAGE_CLASS_UNSPECIFIED || consentv1.MessageClass_name[int32(m.GetClassification())] == "" {
			m.Classification = words.Classify(m.GetBody())
		}
		d.Stop = ledger.IsStop(f)
		m.InReplyToProgramme = d.widenID("in_reply_to_programme", m.GetInReplyToProgramme())
	}
	if k, ok := f.GetKind().(*consentv1.Fact_ConsentRevoked); ok {
		k.ConsentRevoked.InReplyToProgramme = d.widenID("in_reply_to_programme", k.ConsentRevoked.GetInReplyToProgramme())
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
	if bad := slices.IndexFunc(s.GetProgrammes(), func(p string) bool { return p != ledger.All && !ValidID(p) }); bad >= 0 || len(s.GetProgrammes()) > listMax {
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
	if d.Fact.GetOccurredAt() != nil && d.Fact.GetOccurredAt().CheckValid() != nil {
		d.Fact.OccurredAt = nil
		d.Notices = append(d.Notices, "occurred_at could not be read: taken as now")
	}
	d.widenSellers(c)
}

func (d *Declared) widened(field, value string) {
	unread(d.Fact, field, value)
	d.Notices = append(d.Notices, field+" could not be understood: covers all")
}

// widenID drops an id that cannot be one, so that it never stands in clear.
func (d *Declared) widenID(field, id string) string {
	if id == "" || ValidID(id) {
		return id
	}
	unread(d.Fact, field, id)
	d.Notices = append(d.Notices, field+" is no id: left out")
	return ""
}
