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

func (b *builder) preference() {
	b.fact.Kind = &consentv1.Fact_PreferenceSet{PreferenceSet: &consentv1.PreferenceSet{
		FrequencyMax: uint32(b.count(fFrequencyMax, 32)), FrequencyDays: uint32(b.count(fFrequencyDays, 32)), Language: b.text(fLanguage),
	}}
}

func (b *builder) relationship() {
	b.fact.Kind = &consentv1.Fact_RelationshipRecorded{RelationshipRecorded: &consentv1.RelationshipRecorded{
		Relationship: consentv1.RelationshipKind(b.word(fRelationship, relationshipWords)),
		Phase:        consentv1.RelationshipPhase(b.word(fPhase, phaseWords)),
		Reference:    b.text(fReference), OfferRelated: b.flag(fOfferRelated),
	}}
}

func (b *builder) inbound() {
	m := &consentv1.InboundMessage{
		Body: b.take(fBody), InReplyToProgramme: b.text(fInReplyTo),
		Classification: consentv1.MessageClass(b.word(fClassification, classWords)),
	}
	switch channels := b.scope().GetChannels(); {
	case len(channels) == 1:
		m.Channel = channels[0]
	case len(channels) > 1:
		b.unread(fChannels, b.values[fChannels])
	}
	// A message has no scope of its own: what the row says about one is kept.
	b.used &^= 1<<fProgramme | 1<<fPurposes | 1<<fExact
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
		Region: b.text(fRegion), TimeZone: b.text(fTimeZone), Basis: b.text(fBasis), Address: b.text(fAddress),
	}}
}
