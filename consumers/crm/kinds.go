package crm

import (
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// One method a kind: which columns it reads. The contract's comments say what
// they mean.

func (b *builder) requested() {
	b.fact.Kind = &consentv1.Fact_ConsentRequested{ConsentRequested: &consentv1.ConsentRequested{
		Scope: b.scope(), Method: b.text(fMethod),
	}}
}

func (b *builder) granted() {
	g := &consentv1.ConsentGranted{Scope: b.scope(), Level: plain(b.take(fLevel)), Evidence: b.evidence()}
	end := b.end()
	g.ExpiresAt, g.ExpiresOn = end.at, end.on
	b.fact.Kind = &consentv1.Fact_ConsentGranted{ConsentGranted: g}
}

func (b *builder) confirmed() {
	c := &consentv1.ConsentConfirmed{Scope: b.scope(), Level: plain(b.take(fLevel)), Evidence: b.evidence()}
	end := b.end()
	c.ExpiresAt, c.ExpiresOn = end.at, end.on
	b.fact.Kind = &consentv1.Fact_ConsentConfirmed{ConsentConfirmed: c}
}

func (b *builder) end() moment {
	end := readMoment(b.take(fExpiresAt), b.layouts, b.zone)
	if end.left != "" {
		b.unread(fExpiresAt, end.left)
	}
	return end
}

// evidence is nil if the row holds none.
func (b *builder) evidence() *consentv1.Evidence {
	e := &consentv1.Evidence{
		Method: b.text(fMethod), SignatureKind: b.text(fSignatureKind), Signature: b.take(fSignature),
		Words: b.take(fWords), Recording: b.text(fRecording), Name: b.text(fName), Email: b.text(fEmail),
		Page: b.text(fPage), Ip: b.text(fIP), UserAgent: b.text(fUserAgent), Certificate: b.text(fCertificate),
		ConditionOfPurchase: b.flag(fCondition), PreTicked: b.flag(fPreTicked), ClearAndConspicuous: b.flag(fClear),
		LeadVendor: b.text(fLeadVendor), LawfulBasis: b.text(fLawfulBasis), Jurisdiction: b.text(fJurisdiction),
	}
	if u := b.flag(fUndocumented); u != nil {
		e.Undocumented = *u
	}
	if isEmpty(e) {
		return nil
	}
	return e
}

func (b *builder) refused() {
	b.fact.Kind = &consentv1.Fact_ConsentRefused{ConsentRefused: &consentv1.ConsentRefused{
		Scope: b.scope(), During: b.text(fDuring), Words: b.take(fWords),
	}}
}

func (b *builder) revoked() {
	b.fact.Kind = &consentv1.Fact_ConsentRevoked{ConsentRevoked: &consentv1.ConsentRevoked{
		Scope: b.scope(), Method: b.text(fMethod), Words: b.take(fWords), Recording: b.text(fRecording),
		Name: b.text(fName), InReplyToProgramme: b.text(fInReplyTo),
	}}
}

func (b *builder) invalidated() {
	b.fact.Kind = &consentv1.Fact_ConsentInvalidated{ConsentInvalidated: &consentv1.ConsentInvalidated{
		Scope: b.scope(), GrantPosition: b.count(fGrantPosition, 64), Reason: b.take(fReason),
	}}
}

func (b *builder) dncAdded() {
	b.fact.Kind = &consentv1.Fact_DncAdded{DncAdded: &consentv1.DncAdded{
		Scope: b.scope(), Method: b.text(fMethod), Words: b.take(fWords), Recording: b.text(fRecording), Name: b.text(fName),
	}}
}

func (b *builder) dncRemoved() {
	b.fact.Kind = &consentv1.Fact_DncRemoved{DncRemoved: &consentv1.DncRemoved{Scope: b.scope(), Reason: b.take(fReason)}}
}

// preference reads a person's own wish, or one a registry keeps. The latter blocks
// unless the row says that it does not; what does not block may end a block, so
// that doubts about it are errors.
func (b *builder) preference() {
	p := &consentv1.PreferenceSet{Registry: b.text(fRegistry)}
	b.fact.Kind = &consentv1.Fact_PreferenceSet{PreferenceSet: p}
	if p.Registry != "" {
		blocked := b.flag(fBlocked)
		p.Blocked = blocked == nil || *blocked
		b.strict = !p.Blocked
		p.Channels, p.Purposes = b.channels(), b.purposes()
		p.Weekdays, p.Windows = b.weekdays(), b.windows()
		return
	}
	p.FrequencyMax, p.FrequencyDays, p.Language = uint32(b.count(fFrequencyMax, 32)), uint32(b.count(fFrequencyDays, 32)), b.text(fLanguage)
	b.strict = true // times left out would allow all times
	p.Windows = onDays(b.weekdays(), b.windows())
}

func (b *builder) relationship() {
	b.fact.Kind = &consentv1.Fact_RelationshipRecorded{RelationshipRecorded: &consentv1.RelationshipRecorded{
		Relationship: consentv1.RelationshipKind(b.word(fRelationship, relationshipWords)),
		Phase:        consentv1.RelationshipPhase(b.word(fPhase, phaseWords)),
		Reference:    b.text(fReference), OfferRelated: b.flag(fOfferRelated), SimilarProducts: b.flag(fSimilarProducts),
		DetailsCollectedInSale: b.flag(fCollectedInSale), OptOutOffered: b.flag(fOptOutOffered),
		OptOutInEveryMessage: b.flag(fOptOutInMessages), Customer: b.flag(fCustomer),
	}}
}

func (b *builder) inbound() {
	m := &consentv1.InboundMessage{
		Body: b.take(fBody), InReplyToProgramme: b.text(fInReplyTo),
		Classification: consentv1.MessageClass(b.word(fClassification, classWords)),
	}
	switch channels := b.channels(); {
	case len(channels) == 1:
		m.Channel = channels[0]
	case len(channels) > 1:
		b.unread(fChannels, b.values[fChannels])
	}
	b.fact.Kind = &consentv1.Fact_InboundMessage{InboundMessage: m}
}

func (b *builder) clarificationSent() {
	b.fact.Kind = &consentv1.Fact_ClarificationSent{ClarificationSent: &consentv1.ClarificationSent{
		RevocationPosition: b.count(fRevocationPosition, 64),
	}}
}

func (b *builder) clarificationAnswered() {
	b.fact.Kind = &consentv1.Fact_ClarificationAnswered{ClarificationAnswered: &consentv1.ClarificationAnswered{
		KeepProgrammes: b.list(fKeepProgrammes), RevocationPosition: b.count(fRevocationPosition, 64), Words: b.take(fWords),
	}}
}

func (b *builder) reassigned() {
	r := &consentv1.NumberReassigned{Basis: b.text(fBasis), Result: consentv1.QueryResult(b.word(fResult, resultWords))}
	asked := readMoment(b.take(fAsOf), b.layouts, b.zone)
	switch r.AsOf = asked.at; {
	case asked.on != "":
		r.AsOf = midnight(asked.on)
		if r.AsOf == nil || asked.left != "" {
			b.unread(fAsOf, b.values[fAsOf])
		}
	}
	b.fact.Kind = &consentv1.Fact_NumberReassigned{NumberReassigned: r}
}

func (b *builder) disconnected() {
	b.fact.Kind = &consentv1.Fact_Disconnected{Disconnected: &consentv1.Disconnected{Basis: b.text(fBasis)}}
}

func (b *builder) ported() {
	b.fact.Kind = &consentv1.Fact_Ported{Ported: &consentv1.Ported{Line: plain(b.take(fLine))}}
}

func (b *builder) lineType() {
	b.fact.Kind = &consentv1.Fact_LineTypeChecked{LineTypeChecked: &consentv1.LineTypeChecked{
		Line: plain(b.take(fLine)), Basis: b.text(fBasis),
	}}
}

func (b *builder) wrongParty() {
	b.fact.Kind = &consentv1.Fact_WrongPartyReported{WrongPartyReported: &consentv1.WrongPartyReported{Method: b.text(fMethod)}}
}

func (b *builder) location() {
	b.fact.Kind = &consentv1.Fact_LocationRecorded{LocationRecorded: &consentv1.LocationRecorded{
		Region: b.text(fRegion), TimeZone: b.text(fTimeZone), Basis: b.text(fBasis), Address: b.text(fAddress), Area: b.text(fArea),
	}}
}

func (b *builder) partyNumber() {
	if b.fact.Party == "" {
		b.fail(fParty, "is missing", "say whose number it is, by the same id for all numbers of that person")
	}
	b.fact.Kind = &consentv1.Fact_PartyNumber{PartyNumber: &consentv1.PartyNumber{Basis: b.text(fBasis)}}
}

func (b *builder) subscriber() {
	b.strict = true // one unknown word is neither of the classes
	b.fact.Kind = &consentv1.Fact_SubscriberClass{SubscriberClass: &consentv1.SubscriberClass{
		Subscriber: consentv1.SubscriberKind(b.word(fSubscriber, subscriberWords)), Basis: b.text(fBasis),
	}}
}

func (b *builder) timeConsent() {
	m := &consentv1.TimeConsent{Weekdays: b.weekdays(), Windows: b.windows()}
	if h := b.flag(fHolidays); h != nil {
		m.Holidays = *h
	}
	b.fact.Kind = &consentv1.Fact_TimeConsent{TimeConsent: m}
}
