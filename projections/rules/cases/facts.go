package cases

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/words"
	"github.com/consent-ledger/consent-ledger/projections/rules"
	"github.com/consent-ledger/consent-ledger/projections/suppression"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// jsonFact is any fact of a case; which keys a type may have says factTypes.
type jsonFact struct {
	Type string `json:"type"`
	At   string `json:"at"`

	Seller              string          `json:"seller"`
	Sellers             []string        `json:"sellers"`
	Number              string          `json:"number"`
	Party               string          `json:"party"`
	Program             string          `json:"program"`
	Channels            []string        `json:"channels"`
	Purposes            []string        `json:"purposes"`
	Level               string          `json:"level"`
	Evidence            json.RawMessage `json:"evidence"`
	ExpiresAt           string          `json:"expires_at"`
	ConditionOfPurchase *bool           `json:"condition_of_purchase"`

	Method         string   `json:"method"`
	Body           string   `json:"body"`
	Classified     string   `json:"classified"`
	InReplyTo      string   `json:"in_reply_to_program"`
	Keep           []string `json:"keep"`
	During         string   `json:"during"`
	DesignatedOnly string   `json:"seller_designated_only"`

	Registry       string          `json:"registry"`
	VersionAt      string          `json:"version_at"`
	Listed         bool            `json:"listed"`
	ListedSince    json.RawMessage `json:"listed_since"`
	FirstPublished string          `json:"first_published"`
	AgainstVersion string          `json:"against_version"`

	Region      string          `json:"region"`
	TZ          json.RawMessage `json:"tz"`
	Basis       string          `json:"basis"`
	Line        string          `json:"line"`
	Result      string          `json:"result"`
	AsOf        string          `json:"as_of"`
	Source      string          `json:"source"`
	With        string          `json:"with"`
	ThisContact string          `json:"this_contact"`

	Active       *bool  `json:"active"`
	Ended        string `json:"ended"`
	OfferRelated *bool  `json:"offer_related"`

	Customer       *bool `json:"customer"`
	DetailsInSale  *bool `json:"details_collected_in_sale"`
	OptOutOffered  *bool `json:"opt_out_offered_at_collection"`
	OptOutEvery    *bool `json:"opt_out_in_every_message"`
	SimilarProduct *bool `json:"similar_products"`

	Area         string   `json:"area"`
	Until        string   `json:"until"`
	PSCReporting bool     `json:"psc_reporting"`
	Allows       []string `json:"allows"`
	Blocked      bool     `json:"blocked"`
	Category     string   `json:"category"`
	Mode         string   `json:"mode"`
	Days         []string `json:"days"`
	Bands        []string `json:"bands"`
	Channel      string   `json:"channel"`
	Purpose      string   `json:"purpose"`
	Subject      string   `json:"subject"`
	CallerID     string   `json:"caller_id"`
	Marketing    bool     `json:"marketing"`
	OptOutNotice bool     `json:"opt_out_notice"`
}

// factType is how one type of fact is taken over.
type factType struct {
	keys string // besides type and at
	add  func(*known, *jsonFact, time.Time) error
}

// factTypes lists the types that mean something to the rules of this version.
func factTypes() map[string]factType {
	return map[string]factType{
		"grant":       {"seller sellers number party program channels purposes level evidence expires_at condition_of_purchase", addGrant},
		"revoke":      {"seller method seller_designated_only", addRevoke},
		"dnc_request": {"seller method number party", addDnc},
		"refusal":     {"seller during", addRefusal},

		"inbound_sms":         {"seller body classified in_reply_to_program", addInbound},
		"clarification_sent":  {"", nothing}, // asking changes nothing: silence means stop
		"clarification_reply": {"keep", addClarification},

		"registry_snapshot": {"registry version_at listed listed_since first_published", addSnapshot},
		"registry_check":    {"registry against_version", nothing}, // the age that counts is the list's

		"purchase": {"seller customer details_collected_in_sale opt_out_in_every_message opt_out_offered_at_collection similar_products",
			relationship(consentv1.RelationshipKind_RELATIONSHIP_KIND_PURCHASE)},
		"inquiry": {"seller details_collected_in_sale opt_out_in_every_message opt_out_offered_at_collection",
			relationship(consentv1.RelationshipKind_RELATIONSHIP_KIND_INQUIRY)},
		"contract":               {"seller active ended offer_related", addContract},
		"callback_requested":     {"seller", relationship(consentv1.RelationshipKind_RELATIONSHIP_KIND_CALLBACK_REQUESTED)},
		"personal_relationship":  {"seller with", addPersonal},
		"fax_number_volunteered": {"seller", relationship(consentv1.RelationshipKind_RELATIONSHIP_KIND_NUMBER_VOLUNTEERED)},

		"rnd_result":         {"as_of result", addRnd},
		"disconnected":       {"source", addDisconnected},
		"wrong_party_report": {"", addWrongParty},
		"ported_to_wireless": {"", addPorted},
		"line_type_check":    {"line", addLineType},
		"address":            {"region tz", addAddress},
		"address_area":       {"area", addArea},
		"candidate_zones":    {"tz basis", addZones},
		"party_number":       {"number party", addPartyNumber},

		"attempt":            {"caller_id channel purpose subject", addAttempt},
		"preference":         {"registry mode category blocked days bands", addPreference},
		"time_consent":       {"seller allows", addTimeConsent},
		"emergency_declared": {"area until psc_reporting", addEmergency},

		"program": {"this_contact", func(k *known, f *jsonFact, _ time.Time) error { k.programme = f.ThisContact; return nil }},
		"subject": {"this_contact", func(k *known, f *jsonFact, _ time.Time) error { k.subject = f.ThisContact; return nil }},
		"sector":  {"this_contact", func(k *known, f *jsonFact, _ time.Time) error { k.sector = f.ThisContact; return nil }},
		"content_flag": {"marketing opt_out_notice", func(k *known, f *jsonFact, _ time.Time) error {
			k.marketing, k.optOutNotice = f.Marketing, f.OptOutNotice
			return nil
		}},
	}
}

func nothing(*known, *jsonFact, time.Time) error { return nil }

// known is what a case knows at the time of its call.
type known struct {
	number        string // as the row writes it
	inputs, party []suppression.Input
	stops         []time.Time
	registries    []rules.RegistryAnswer
	emergencies   []rules.Emergency
	attempts      []rules.Attempt // newest first
	zones         []string

	programme, subject, sector string
	marketing, optOutNotice    bool
}

// read takes over the facts of a row, oldest first, as far as they are known at
// the time of the call.
func read(raw, number, class string, call time.Time) (known, error) {
	k := known{number: number}
	if err := k.addClass(class); err != nil {
		return k, err
	}
	var facts []json.RawMessage
	if err := json.Unmarshal([]byte(raw), &facts); err != nil {
		return k, fmt.Errorf("facts: %w", err)
	}
	type dated struct {
		fact *jsonFact
		add  func(*known, *jsonFact, time.Time) error
		at   time.Time
	}
	var all []dated
	types := factTypes()
	for _, one := range facts {
		f, t, err := readFact(one, types)
		if err != nil {
			return k, err
		}
		at, err := f.at()
		if err != nil {
			return k, fmt.Errorf("fact %s: %w", f.Type, err)
		}
		if !at.After(call) {
			all = append(all, dated{f, t.add, at})
		}
	}
	slices.SortStableFunc(all, func(a, b dated) int { return a.at.Compare(b.at) })
	for _, d := range all {
		if err := d.add(&k, d.fact, d.at); err != nil {
			return k, fmt.Errorf("fact %s: %w", d.fact.Type, err)
		}
	}
	return k, nil
}

// programmeOf is the programme of a contact of which none is told: that of the
// grants for such contacts, if they all name one. A company that asks for consent by
// programme sends each message within one.
func (k *known) programmeOf(c consentv1.Channel, p consentv1.Purpose) string {
	if k.programme != "" {
		return k.programme
	}
	var found []string
	for _, in := range k.inputs {
		s := in.Fact.GetConsentGranted().GetScope()
		if slices.Contains(s.GetChannels(), c) && slices.Contains(s.GetPurposes(), p) && slices.Contains(in.Fact.GetSellers(), seller) {
			found = append(found, s.GetProgrammes()...)
		}
	}
	slices.Sort(found)
	if found = slices.Compact(found); len(found) == 1 && found[0] != ledger.All {
		return found[0]
	}
	return ""
}

func readFact(raw json.RawMessage, types map[string]factType) (*jsonFact, factType, error) {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(raw, &keys); err != nil {
		return nil, factType{}, fmt.Errorf("facts: %w", err)
	}
	f := &jsonFact{}
	if err := json.Unmarshal(keys["type"], &f.Type); err != nil {
		return nil, factType{}, fmt.Errorf("facts: one has no type")
	}
	t, ok := types[f.Type]
	if !ok {
		return nil, t, fmt.Errorf("fact type %q is unknown to this version", f.Type)
	}
	allowed := append(strings.Fields(t.keys), "type", "at")
	for key := range keys {
		if !slices.Contains(allowed, key) {
			return nil, t, fmt.Errorf("fact %s: key %q is unknown to this version", f.Type, key)
		}
	}
	if err := json.Unmarshal(raw, f); err != nil {
		return nil, t, fmt.Errorf("fact %s: %w", f.Type, err)
	}
	return f, t, nil
}

// at is when the fact was known; one without a date always was.
func (f *jsonFact) at() (time.Time, error) {
	switch {
	case f.At != "":
		return parseTime(f.At)
	case f.VersionAt != "":
		return parseTime(f.VersionAt)
	}
	return time.Time{}, nil
}

func parseTime(s string) (time.Time, error) {
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t, nil
	}
	return time.Parse(time.RFC3339, s)
}

// add folds in what the writer would have stored.
func (k *known) add(f *jsonFact, at time.Time, fact *consentv1.Fact) error {
	fact.Source = "cases"
	for _, of := range f.Sellers {
		fact.Sellers = append(fact.Sellers, strings.ToLower(of))
	}
	if len(fact.Sellers) == 0 {
		fact.Sellers = []string{cmp.Or(strings.ToLower(f.Seller), seller)}
	}
	if f.Party != "" {
		key := sha256.Sum256([]byte(f.Party))
		fact.PartyKey = key[:16]
	}
	fact.Earliest, fact.Latest = timestamppb.New(at), timestamppb.New(at)
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(fact)
	if err != nil {
		return err
	}
	content := sha256.Sum256(raw)
	in := suppression.Input{EntryID: content[:16], Content: content[:], Fact: fact}
	if f.Party != "" {
		k.party = append(k.party, in)
	}
	if !k.elsewhere(f) {
		k.inputs = append(k.inputs, in)
	}
	return nil
}

func everything() *consentv1.Scope {
	return &consentv1.Scope{Programmes: []string{ledger.All}, Channels: []consentv1.Channel{consentv1.Channel_CHANNEL_ALL},
		Purposes: []consentv1.Purpose{consentv1.Purpose_PURPOSE_ALL}}
}

// elsewhere tells whether a fact is about another number.
func (k *known) elsewhere(f *jsonFact) bool { return f.Number != "" && f.Number != k.number }

func addGrant(k *known, f *jsonFact, at time.Time) error {
	if k.elsewhere(f) {
		return nil
	}
	g := &consentv1.ConsentGranted{Level: f.Level, Scope: &consentv1.Scope{Programmes: []string{ledger.All}}}
	if f.Program != "" {
		g.Scope.Programmes = []string{f.Program}
	}
	for _, w := range f.Channels {
		c, err := channelOf(w)
		if err != nil {
			return err
		}
		g.Scope.Channels = append(g.Scope.Channels, c)
	}
	for _, w := range f.Purposes {
		p, err := purposeOf(w)
		if err != nil {
			return err
		}
		g.Scope.Purposes = append(g.Scope.Purposes, p)
	}
	// `evidence: null` is claimed but undocumented; without the key it is evidenced.
	g.Evidence = &consentv1.Evidence{Method: "case", ConditionOfPurchase: f.ConditionOfPurchase, Undocumented: string(f.Evidence) == "null"}
	if f.ExpiresAt != "" {
		end, err := parseTime(f.ExpiresAt)
		if err != nil {
			return err
		}
		g.ExpiresAt = timestamppb.New(end)
	}
	return k.add(f, at, &consentv1.Fact{Kind: &consentv1.Fact_ConsentGranted{ConsentGranted: g}})
}

func addRevoke(k *known, f *jsonFact, at time.Time) error {
	k.stops = append(k.stops, at)
	return k.add(f, at, &consentv1.Fact{Kind: &consentv1.Fact_ConsentRevoked{
		ConsentRevoked: &consentv1.ConsentRevoked{Scope: everything(), Method: f.Method}}})
}

// addDnc takes a request; one made on another number is the party's, P1 unless told.
func addDnc(k *known, f *jsonFact, at time.Time) error {
	if k.elsewhere(f) {
		f.Party = cmp.Or(f.Party, party)
	}
	return k.add(f, at, &consentv1.Fact{Kind: &consentv1.Fact_DncAdded{DncAdded: &consentv1.DncAdded{Scope: everything(), Method: f.Method}}})
}

func addRefusal(k *known, f *jsonFact, at time.Time) error {
	return k.add(f, at, &consentv1.Fact{Kind: &consentv1.Fact_ConsentRefused{
		ConsentRefused: &consentv1.ConsentRefused{Scope: everything(), During: f.During}}})
}

func addInbound(k *known, f *jsonFact, at time.Time) error {
	m := &consentv1.InboundMessage{Channel: consentv1.Channel_CHANNEL_SMS, InReplyToProgramme: f.InReplyTo}
	switch f.Classified {
	case "":
		m.Classification = words.Classify(f.Body)
	case "revocation":
		m.Classification = consentv1.MessageClass_MESSAGE_CLASS_STOP
	case "not_revocation":
		m.Classification = consentv1.MessageClass_MESSAGE_CLASS_NOT_STOP
	default:
		return fmt.Errorf("classified: %q is unknown", f.Classified)
	}
	if words.PerSe(f.Body) { // as the writer does
		m.Classification = consentv1.MessageClass_MESSAGE_CLASS_STOP
	}
	if m.Classification == consentv1.MessageClass_MESSAGE_CLASS_STOP {
		k.stops = append(k.stops, at)
	}
	return k.add(f, at, &consentv1.Fact{Kind: &consentv1.Fact_InboundMessage{InboundMessage: m}})
}

// addClarification voids the stops before it for the programmes that are kept; the
// newest of them is the one answered.
func addClarification(k *known, f *jsonFact, at time.Time) error {
	if len(k.stops) == 0 {
		return nil // it answers nothing, and keeps nothing
	}
	return k.add(f, at, &consentv1.Fact{Kind: &consentv1.Fact_ClarificationAnswered{ClarificationAnswered: &consentv1.ClarificationAnswered{
		KeepProgrammes: f.Keep, AnsweredLatest: timestamppb.New(k.stops[len(k.stops)-1])}}})
}

// addSnapshot keeps the newest version of each list; facts come oldest first.
func addSnapshot(k *known, f *jsonFact, at time.Time) error {
	k.registries = slices.DeleteFunc(k.registries, func(a rules.RegistryAnswer) bool { return a.Registry == f.Registry })
	a := rules.RegistryAnswer{Registry: f.Registry, Loaded: true, VersionDate: at.Format(time.DateOnly), Listed: f.Listed, Since: f.FirstPublished}
	if a.Since == "" && len(f.ListedSince) > 0 {
		if err := json.Unmarshal(f.ListedSince, &a.Since); err != nil {
			return fmt.Errorf("listed_since: %w", err)
		}
	}
	a.Since, _, _ = strings.Cut(a.Since, "T") // days as they are written
	k.registries = append(k.registries, a)
	return nil
}

func relationship(kind consentv1.RelationshipKind) func(*known, *jsonFact, time.Time) error {
	return func(k *known, f *jsonFact, at time.Time) error {
		return k.add(f, at, &consentv1.Fact{Kind: &consentv1.Fact_RelationshipRecorded{RelationshipRecorded: &consentv1.RelationshipRecorded{
			Relationship: kind, Phase: consentv1.RelationshipPhase_RELATIONSHIP_PHASE_START, OfferRelated: f.OfferRelated, Customer: f.Customer,
			DetailsCollectedInSale: f.DetailsInSale, OptOutOffered: f.OptOutOffered, OptOutInEveryMessage: f.OptOutEvery, SimilarProducts: f.SimilarProduct}}})
	}
}

// addContract takes a contract that does not run, and of which no end is told, as
// ended the day it was made.
func addContract(k *known, f *jsonFact, at time.Time) error {
	const kind = consentv1.RelationshipKind_RELATIONSHIP_KIND_CONTRACT
	if err := relationship(kind)(k, f, at); err != nil || f.Ended == "" && (f.Active == nil || *f.Active) {
		return err
	}
	end := at
	if f.Ended != "" {
		var err error
		if end, err = parseTime(f.Ended); err != nil {
			return err
		}
		if len(f.Ended) == len(time.DateOnly) {
			end = end.Add(12 * time.Hour) // noon in Greenwich is on that day nearly everywhere
		}
	}
	return k.add(f, end, &consentv1.Fact{Kind: &consentv1.Fact_RelationshipRecorded{RelationshipRecorded: &consentv1.RelationshipRecorded{
		Relationship: kind, Phase: consentv1.RelationshipPhase_RELATIONSHIP_PHASE_END}}})
}

func addRnd(k *known, f *jsonFact, at time.Time) error {
	result, ok := consentv1.QueryResult_value["QUERY_RESULT_"+strings.ToUpper(f.Result)]
	if !ok {
		return fmt.Errorf("result: %q is unknown", f.Result)
	}
	m := &consentv1.NumberReassigned{Basis: "rnd", Result: consentv1.QueryResult(result)}
	if f.AsOf != "" {
		asOf, err := parseTime(f.AsOf)
		if err != nil {
			return err
		}
		m.AsOf = timestamppb.New(asOf)
	}
	return k.add(f, at, &consentv1.Fact{Kind: &consentv1.Fact_NumberReassigned{NumberReassigned: m}})
}

func addDisconnected(k *known, f *jsonFact, at time.Time) error {
	return k.add(f, at, &consentv1.Fact{Kind: &consentv1.Fact_Disconnected{Disconnected: &consentv1.Disconnected{Basis: f.Source}}})
}

func addWrongParty(k *known, f *jsonFact, at time.Time) error {
	return k.add(f, at, &consentv1.Fact{Kind: &consentv1.Fact_WrongPartyReported{WrongPartyReported: &consentv1.WrongPartyReported{}}})
}

func addPorted(k *known, f *jsonFact, at time.Time) error {
	return k.add(f, at, &consentv1.Fact{Kind: &consentv1.Fact_Ported{Ported: &consentv1.Ported{Line: "wireless"}}})
}

func addLineType(k *known, f *jsonFact, at time.Time) error {
	return k.add(f, at, &consentv1.Fact{Kind: &consentv1.Fact_LineTypeChecked{LineTypeChecked: &consentv1.LineTypeChecked{Line: f.Line}}})
}

// addAddress takes a verified address: its zone replaces those of the number.
func addAddress(k *known, f *jsonFact, at time.Time) error {
	var zone string
	if err := json.Unmarshal(f.TZ, &zone); err != nil {
		return fmt.Errorf("tz: %w", err)
	}
	return k.add(f, at, &consentv1.Fact{Kind: &consentv1.Fact_LocationRecorded{LocationRecorded: &consentv1.LocationRecorded{
		Region: f.Region, TimeZone: zone, Basis: "address"}}})
}

func addZones(k *known, f *jsonFact, _ time.Time) error {
	if err := json.Unmarshal(f.TZ, &k.zones); err != nil {
		return fmt.Errorf("tz: %w", err)
	}
	return nil
}

func channelOf(w string) (consentv1.Channel, error) {
	n, ok := consentv1.Channel_value["CHANNEL_"+strings.ToUpper(w)]
	if !ok || n < 2 {
		return 0, fmt.Errorf("channel: %q is unknown", w)
	}
	return consentv1.Channel(n), nil
}

func purposeOf(w string) (consentv1.Purpose, error) {
	n, ok := consentv1.Purpose_value["PURPOSE_"+strings.ToUpper(w)]
	if !ok || n < 2 {
		return 0, fmt.Errorf("purpose: %q is unknown", w)
	}
	return consentv1.Purpose(n), nil
}
