package suppression_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/consent-ledger/consent-ledger/projections/suppression"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Small domains, so that facts meet each other.
var (
	someSellers    = []string{"acme", "zed", "all"}
	someProgrammes = []string{"club", "news", "all"}
	someChannels   = []consentv1.Channel{sms, smsAtds, live, chAll}
	somePurposes   = []consentv1.Purpose{marketing, informational, puAll}
)

func someOf[E any](t *rapid.T, label string, from []E, least int) []E {
	return rapid.SliceOfN(rapid.SampledFrom(from), least, 2).Draw(t, label)
}

// anyFact draws a fact of any kind the fold knows but an erasure. A third of
// them are about one cell, so that they replace each other.
func anyFact(t *rapid.T) suppression.Input {
	permits := rapid.IntRange(0, 3).Draw(t, "permits") > 0
	switch rapid.IntRange(0, 5).Draw(t, "focus") {
	case 0:
		if permits {
			return anyWhen(t, anyGrant(t, smsMarketing()), "acme")
		}
		return anyWhen(t, anyProhibition(t, smsMarketing()), "acme")
	case 1, 2: // grants of one key, which differ in time, end and content alone
		f := granted()
		f.GetConsentGranted().ExpiresAt = rapid.SampledFrom([]*timestamppb.Timestamp{nil, stamp(7), stamp(12)}).Draw(t, "end")
		in := anyWhen(t, f, "acme")
		f.Historical, f.Source = false, "crm"
		return in
	}
	least := 0
	if permits {
		least = 1
	}
	s := &consentv1.Scope{
		Programmes: someOf(t, "programmes", someProgrammes, least),
		Channels:   someOf(t, "channels", someChannels, least),
		Purposes:   someOf(t, "purposes", somePurposes, least),
		Exact:      !permits && rapid.Bool().Draw(t, "exact"),
	}
	var f *consentv1.Fact
	if permits {
		f = anyPermit(t, s)
	} else {
		f = anyProhibition(t, s)
	}
	return anyWhen(t, f, someOf(t, "sellers", someSellers, least)...)
}

// anyWhen dates a fact and says who reports it.
func anyWhen(t *rapid.T, f *consentv1.Fact, sellers ...string) suppression.Input {
	in := on(0, f, forSellers(sellers...))
	from := rapid.IntRange(0, 5).Draw(t, "earliest")
	between(from, from+rapid.IntRange(0, 3).Draw(t, "span"))(f)
	f.Historical = rapid.Bool().Draw(t, "historical")
	f.Source = rapid.SampledFrom([]string{"crm", "leads"}).Draw(t, "source")
	in.Content = []byte{rapid.ByteRange(0, 3).Draw(t, "content")}
	in.EntryID = []byte{rapid.ByteRange(1, 3).Draw(t, "entry")}
	f.PartyKey = rapid.SampledFrom([][]byte{nil, nil, nil, []byte("party one 16 byt"), []byte("party two 16 byt")}).Draw(t, "party")
	return in
}

func anyPermit(t *rapid.T, s *consentv1.Scope) *consentv1.Fact {
	switch rapid.IntRange(0, 9).Draw(t, "kind") {
	case 7:
		f := related(consentv1.RelationshipKind(rapid.IntRange(1, 2).Draw(t, "relationship")), 1)
		f.GetRelationshipRecorded().OfferRelated = rapid.SampledFrom([]*bool{nil, yes(), new(bool)}).Draw(t, "offer")
		return f
	case 8:
		return timesAgreed(uint32(rapid.IntRange(1, 2).Draw(t, "weekday")))
	case 9:
		return registryPreference(false, rapid.SampledFrom([]consentv1.Channel{sms, live, chAll}).Draw(t, "channel"))
	case 0:
		return &consentv1.Fact{Kind: &consentv1.Fact_DncRemoved{DncRemoved: &consentv1.DncRemoved{Scope: s}}}
	case 1:
		return answered(rapid.IntRange(0, 8).Draw(t, "answered"), s.GetProgrammes()...)
	case 2:
		f := confirmed()
		f.GetConsentConfirmed().Scope = s
		return f
	case 3:
		return related(consentv1.RelationshipKind(rapid.IntRange(1, 2).Draw(t, "relationship")), consentv1.RelationshipPhase(rapid.IntRange(0, 2).Draw(t, "phase")))
	}
	return anyGrant(t, s)
}

func anyGrant(t *rapid.T, s *consentv1.Scope) *consentv1.Fact {
	f := granted()
	g := f.GetConsentGranted()
	g.Scope, g.Level = s, rapid.SampledFrom([]string{"implied", "express", "express_written"}).Draw(t, "level")
	if rapid.Bool().Draw(t, "ends") {
		g.ExpiresAt = stamp(rapid.IntRange(5, 15).Draw(t, "end"))
	}
	if rapid.Bool().Draw(t, "undocumented") {
		g.Evidence = nil
		if rapid.Bool().Draw(t, "and declared so") {
			g.Evidence = &consentv1.Evidence{Method: "paper", Undocumented: true}
		}
	} else if rapid.Bool().Draw(t, "ticked") {
		g.Evidence.PreTicked = yes()
	} else if rapid.Bool().Draw(t, "bought") {
		g.Evidence.ConditionOfPurchase = yes()
	}
	return f
}

func anyProhibition(t *rapid.T, s *consentv1.Scope) *consentv1.Fact {
	switch rapid.IntRange(0, 14).Draw(t, "kind") {
	case 10:
		return subscriber(consentv1.SubscriberKind(rapid.IntRange(1, 3).Draw(t, "subscriber")))
	case 11:
		return registryPreference(true, rapid.SampledFrom([]consentv1.Channel{sms, live, chAll}).Draw(t, "channel"))
	case 12:
		return line(rapid.SampledFrom([]string{"landline", "wireless"}).Draw(t, "line"))
	case 13:
		f := located(rapid.SampledFrom([]string{"US-NY", "US-NY-061", "US-LA"}).Draw(t, "region"), "")
		f.GetLocationRecorded().Basis = rapid.SampledFrom([]string{"person", "prefix"}).Draw(t, "basis")
		return f
	case 14:
		return partyNumber()
	case 0:
		f := invalidated()
		f.GetConsentInvalidated().Scope = s
		return f
	case 1:
		f := dncAdded()
		f.GetDncAdded().Scope = s
		return f
	case 2:
		f := refused()
		f.GetConsentRefused().Scope = s
		return f
	case 3:
		return reassigned(consentv1.QueryResult(rapid.IntRange(0, 3).Draw(t, "result")))
	case 4:
		return message(consentv1.MessageClass(rapid.IntRange(0, 3).Draw(t, "class")))
	case 5:
		return closed(rapid.ByteRange(1, 3).Draw(t, "item"))
	case 6:
		return located("US", rapid.SampledFrom([]string{"America/Chicago", "America/New_York"}).Draw(t, "zone"))
	case 7:
		return &consentv1.Fact{Kind: &consentv1.Fact_PreferenceSet{PreferenceSet: &consentv1.PreferenceSet{FrequencyMax: rapid.Uint32Range(1, 2).Draw(t, "max")}}}
	}
	f := revoked()
	f.GetConsentRevoked().Scope = s
	f.GetConsentRevoked().InReplyToProgramme = rapid.SampledFrom([]string{"", "", "club"}).Draw(t, "reply")
	return f
}

func anyFacts(t *rapid.T) inputs {
	return rapid.SliceOfN(rapid.Custom(anyFact), rapid.IntRange(0, 12).Draw(t, "least"), 30).Draw(t, "facts")
}

// TestOrderDoesNotMatter: permuting, repeating and splitting facts changes no byte.
func TestOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		facts := anyFacts(t)
		want := encodedIn(t, fold(facts...))
		other := rapid.Permutation(facts).Draw(t, "permuted")
		if len(facts) > 0 {
			other = append(other, rapid.SliceOfN(rapid.SampledFrom(facts), 0, 5).Draw(t, "repeated")...)
		}
		if diff := cmp.Diff(want, encodedIn(t, fold(other...))); diff != "" {
			t.Fatalf("another order, another state:\n%s", diff)
		}
		cut := rapid.IntRange(0, len(other)).Draw(t, "cut")
		a, b := fold(other[:cut]...), fold(other[cut:]...)
		joined := suppression.States{}
		for _, seller := range someSellers {
			if s := suppression.Join(a[seller], b[seller]); len(encodedIn(t, suppression.States{seller: s})[seller]) > 0 {
				joined[seller] = s
			}
		}
		if diff := cmp.Diff(want, encodedIn(t, joined)); diff != "" {
			t.Fatalf("joined halves are not the whole:\n%s", diff)
		}
	})
}

// encodedIn also tells that every state can be read again.
func encodedIn(t *rapid.T, m suppression.States) map[string]string {
	out := map[string]string{}
	for seller, s := range m {
		b, err := suppression.Encode(s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := suppression.Decode(b); err != nil {
			t.Fatalf("a state that was folded: %v: %v", err, s)
		}
		out[seller] = string(b)
	}
	return out
}

// model keeps all facts and answers from the definitions of DESIGN 5, cell by cell.
type model struct {
	facts inputs
	q     suppression.Question
	need  suppression.Need
}

// tuple is one cell of one fact, towards acme or all.
type tuple struct {
	seller, programme string
	channel           consentv1.Channel
	purpose           consentv1.Purpose
}

// tuples expands a scope; empty lists become missing.
func tuples(f *consentv1.Fact, s *consentv1.Scope, family bool, missing bool) (out []tuple) {
	or := func(list []string) []string {
		if len(list) == 0 && missing {
			return []string{"all"}
		}
		return list
	}
	ch, pu := s.GetChannels(), s.GetPurposes()
	if missing && len(ch) == 0 {
		ch = []consentv1.Channel{chAll}
	}
	if missing && len(pu) == 0 {
		pu = []consentv1.Purpose{puAll}
	}
	if family && !s.GetExact() && (slices.Contains(ch, sms) || slices.Contains(ch, smsAtds)) {
		ch = append(slices.Clone(ch), sms, smsAtds)
	}
	for _, seller := range or(f.GetSellers()) {
		for _, p := range or(s.GetProgrammes()) {
			for _, c := range ch {
				for _, u := range pu {
					out = append(out, tuple{seller, p, c, u})
				}
			}
		}
	}
	return out
}

func (m model) covers(t tuple, forbids bool) bool {
	return (t.seller == "acme" || t.seller == "all") &&
		(t.channel == m.q.Channel || t.channel == chAll) && (t.purpose == m.q.Purpose || t.purpose == puAll) &&
		(t.programme == "all" || t.programme == m.q.Programme || forbids && m.q.Programme == "")
}

// grant is one cell of a grant.
type grant struct {
	tuple
	level, source             string
	confirmed, held, denied   bool
	valid, old                bool
	bought                    bool
	earliest, latest, expires time.Time // expires is far for none
	content                   string
}

func (g grant) newer(h grant) int {
	return slices.Compare([]int64{g.earliest.Unix(), -g.expires.Unix(), g.latest.Unix()}, []int64{h.earliest.Unix(), -h.expires.Unix(), h.latest.Unix()})*2 -
		slices.Compare([]byte(g.content), []byte(h.content))
}

func (m model) grants() (out []grant) {
	for _, in := range m.facts {
		var k interface {
			GetScope() *consentv1.Scope
			GetLevel() string
			GetEvidence() *consentv1.Evidence
		}
		far := day(100000)
		switch kind := in.Fact.GetKind().(type) {
		case *consentv1.Fact_ConsentGranted:
			if k = kind.ConsentGranted; kind.ConsentGranted.GetExpiresAt() != nil {
				far = kind.ConsentGranted.GetExpiresAt().AsTime()
			}
		case *consentv1.Fact_ConsentConfirmed:
			k = kind.ConsentConfirmed
		default:
			continue
		}
		for _, t := range tuples(in.Fact, k.GetScope(), false, false) {
			out = append(out, grant{t, k.GetLevel(), in.Fact.GetSource(), in.Fact.GetConsentConfirmed() != nil,
				k.GetEvidence() != nil && !k.GetEvidence().GetUndocumented(), k.GetEvidence().GetUndocumented(),
				!k.GetEvidence().GetPreTicked(), in.Fact.GetHistorical(), k.GetEvidence().GetConditionOfPurchase(),
				in.Fact.GetEarliest().AsTime(), in.Fact.GetLatest().AsTime(), far, string(in.Content)})
		}
	}
	return out
}

// newestOf gives the newest grant of g's tuple, level and source that is wanted.
func newestOf(all []grant, g grant, want func(grant) bool) (out grant, ok bool) {
	for _, h := range all {
		if h.tuple == g.tuple && h.level == g.level && h.source == g.source && want(h) && (!ok || h.newer(out) > 0) {
			out, ok = h, true
		}
	}
	return out, ok
}

// stopping is one fact that a grant must be strictly later than.
type stopping struct {
	kind   string
	old    bool
	latest time.Time
}

// revocations are those that cover, count and are not kept.
func (m model) revocations() (out []stopping) {
	add := func(in suppression.Input, kind string, ts []tuple) {
		kept := slices.ContainsFunc(m.facts, func(k suppression.Input) bool {
			a := k.Fact.GetClarificationAnswered()
			keeps := &consentv1.Scope{Programmes: a.GetKeepProgrammes(), Channels: []consentv1.Channel{chAll}, Purposes: []consentv1.Purpose{puAll}}
			return a != nil && kind != suppression.KindInvalidated && !a.GetAnsweredLatest().AsTime().Before(in.Fact.GetLatest().AsTime()) &&
				slices.ContainsFunc(tuples(k.Fact, keeps, false, false), func(t tuple) bool { return m.covers(t, false) })
		})
		if !kept && slices.ContainsFunc(ts, func(t tuple) bool { return m.covers(t, true) }) {
			out = append(out, stopping{kind, in.Fact.GetHistorical(), in.Fact.GetLatest().AsTime()})
		}
	}
	for _, in := range m.facts {
		switch k := in.Fact.GetKind().(type) {
		case *consentv1.Fact_ConsentInvalidated:
			add(in, suppression.KindInvalidated, tuples(in.Fact, k.ConsentInvalidated.GetScope(), false, true))
		case *consentv1.Fact_InboundMessage:
			if k.InboundMessage.GetClassification() == consentv1.MessageClass_MESSAGE_CLASS_STOP {
				add(in, suppression.KindStop, tuples(in.Fact, nil, true, true))
			}
		case *consentv1.Fact_ConsentRevoked:
			ts := tuples(in.Fact, k.ConsentRevoked.GetScope(), true, true)
			if reply := k.ConsentRevoked.GetInReplyToProgramme(); reply != "" {
				named := k.ConsentRevoked.GetScope().GetProgrammes()
				for i := range ts {
					ts[i].programme = "all"
				}
				if m.need.CountReplied {
					add(in, suppression.KindReplied, ts)
				}
				var own []tuple
				if slices.Contains(named, "all") {
					named = nil
				}
				for _, p := range append(slices.Clone(named), reply) {
					for _, t := range ts {
						t.programme = p
						own = append(own, t)
					}
				}
				ts = own
			}
			add(in, suppression.KindStop, ts)
		}
	}
	return out
}

// holds tells whether one grant holds.
func (m model) holds(all []grant, against []stopping, g grant) bool {
	accepted := func(h grant) bool {
		return h.valid && (h.held || !m.need.EvidenceRequired) && !(h.denied && h.level == "express_written") && !(h.bought && m.need.NotConditionOfPurchase)
	}
	end := func(h grant) time.Time {
		if m.need.Ends != nil && h.expires.Equal(day(100000)) {
			return m.need.Ends(h.earliest)
		}
		return h.expires
	}
	same := func(h grant) bool {
		return h.confirmed == g.confirmed && h.held == g.held && h.denied == g.denied && h.valid == g.valid && h.old == g.old && h.bought == g.bought
	}
	any := func(grant) bool { return true }
	if own, _ := newestOf(all, g, same); !accepted(g) || own != g { // void, or replaced by a newer one of its key
		return false
	}
	a, _ := newestOf(all, g, any)
	b, _ := newestOf(all, g, accepted)
	if !m.covers(g.tuple, false) || m.q.At.Before(g.latest) || !m.q.At.Before(end(a)) || !m.q.At.Before(end(b)) ||
		m.need.Sufficient != nil && !m.need.Sufficient(g.level) || m.need.Distrusted != nil && m.need.Distrusted(g.source) {
		return false
	}
	for _, r := range against {
		if !g.earliest.After(r.latest) || g.old && !r.old {
			return false
		}
	}
	for _, in := range m.facts {
		n := in.Fact.GetNumberReassigned()
		void := n != nil && n.GetResult() <= consentv1.QueryResult_QUERY_RESULT_YES
		if void && !g.earliest.After(in.Fact.GetLatest().AsTime()) &&
			slices.ContainsFunc(tuples(in.Fact, nil, false, true), func(t tuple) bool { return m.covers(t, true) }) {
			return false
		}
	}
	return true
}

// answers of the model: consent, a standing revocation, an addition that counts.
func (m model) answer(overrides bool) (consent, revocation, dnc bool) {
	all, against := m.grants(), m.revocations()
	var added time.Time
	for _, in := range m.facts {
		k := in.Fact.GetDncAdded()
		if k != nil && slices.ContainsFunc(tuples(in.Fact, k.GetScope(), true, true), func(t tuple) bool { return m.covers(t, true) }) {
			if at := in.Fact.GetLatest().AsTime(); !dnc || at.After(added) {
				added, dnc = at, true
			}
		}
	}
	for _, g := range all {
		if m.holds(all, against, g) {
			consent = true
			dnc = dnc && !(overrides && !g.old && g.earliest.After(added))
		}
	}
	for _, in := range m.facts {
		k := in.Fact.GetDncRemoved()
		if k != nil && in.Fact.GetEarliest().AsTime().After(added) &&
			slices.ContainsFunc(tuples(in.Fact, k.GetScope(), false, false), func(t tuple) bool { return m.covers(t, false) }) {
			dnc = false
		}
	}
	stop := slices.ContainsFunc(against, func(r stopping) bool { return r.kind != suppression.KindInvalidated })
	return consent, stop && !consent, dnc
}

func anyQuestion(t *rapid.T) (suppression.Question, suppression.Need) {
	q := suppression.Question{
		Programme: rapid.SampledFrom([]string{"", "club", "news"}).Draw(t, "programme asked"),
		Channel:   rapid.SampledFrom([]consentv1.Channel{sms, smsAtds, live}).Draw(t, "channel asked"),
		Purpose:   rapid.SampledFrom([]consentv1.Purpose{marketing, informational}).Draw(t, "purpose asked"),
		At:        day(rapid.IntRange(4, 14).Draw(t, "at")),
	}
	n := suppression.Need{EvidenceRequired: rapid.Bool().Draw(t, "evidence required"), CountReplied: rapid.Bool().Draw(t, "count replied")}
	n.NotConditionOfPurchase = rapid.Bool().Draw(t, "not bought")
	if rapid.Bool().Draw(t, "a default term") {
		n.Ends = func(earliest time.Time) time.Time { return earliest.AddDate(0, 0, 6) }
	}
	if rapid.Bool().Draw(t, "a level is needed") {
		n.Sufficient = func(l string) bool { return l != "implied" }
	}
	if rapid.Bool().Draw(t, "somebody is distrusted") {
		n.Distrusted = func(s string) bool { return s == "leads" }
	}
	return q, n
}

// TestAgreesWithModel: the fold answers as somebody would who keeps every fact.
func TestAgreesWithModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		facts := anyFacts(t)
		q, n := anyQuestion(t)
		overrides := rapid.Bool().Draw(t, "grants override")
		// removals that have not come yet are a matter for the table
		facts = slices.DeleteFunc(facts, func(in suppression.Input) bool {
			return in.Fact.GetDncRemoved() != nil && in.Fact.GetLatest().AsTime().After(q.At)
		})
		v := fold(facts...).View("acme")
		consent, revocation, dnc := model{facts, q, n}.answer(overrides)
		if got := v.Consent(q, n); got.Held != consent {
			t.Errorf("consent: got %+v, the model says %v", got, consent)
		}
		if got, ok := v.Revocation(q, n); ok != revocation {
			t.Errorf("revocation: got %+v %v, the model says %v", got, ok, revocation)
		}
		if got, ok := v.Dnc(q, n, overrides); ok != dnc {
			t.Errorf("dnc: got %+v %v, the model says %v", got, ok, dnc)
		}
	})
}
