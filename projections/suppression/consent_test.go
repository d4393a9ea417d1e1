package suppression_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/consent-ledger/consent-ledger/projections/suppression"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

type inputs = []suppression.Input

const held = suppression.Failure(-1) // for tables: a grant holds

func failure(c suppression.Consent) suppression.Failure {
	if c.Held {
		return held
	}
	return c.Failure
}

// Each row is a sentence of the register table of DESIGN 5, or of sections 4 and 14.
func TestConsent(t *testing.T) {
	written := suppression.Need{Sufficient: func(l string) bool { return l == "express_written" }}
	proven := suppression.Need{EvidenceRequired: true}
	replied := suppression.Need{CountReplied: true}
	trusted := suppression.Need{Distrusted: func(s string) bool { return s == "leads" }}
	const (
		yesAnswer, noAnswer, noData, noAnswerGiven = consentv1.QueryResult_QUERY_RESULT_YES, consentv1.QueryResult_QUERY_RESULT_NO,
			consentv1.QueryResult_QUERY_RESULT_NO_DATA, consentv1.QueryResult_QUERY_RESULT_UNSPECIFIED
		stop = consentv1.MessageClass_MESSAGE_CLASS_STOP
	)
	for _, c := range []struct {
		name  string
		facts inputs
		q     suppression.Question
		need  suppression.Need
		want  suppression.Failure
	}{
		{"nothing is known", nil, asked(), written, suppression.FailMissing},
		{"a grant", inputs{on(1, granted())}, asked(), written, held},
		{"a grant to all sellers", inputs{on(1, granted(), forSellers("all"))}, asked(), written, held},
		{"a grant to another seller", inputs{on(1, granted(), forSellers("zed"))}, asked(), written, suppression.FailMissing},
		{"a grant to nobody", inputs{on(1, granted(), forNobody)}, asked(), written, suppression.FailMissing},
		{"a grant covers just what it names", inputs{on(1, granted())}, asked(channel(smsAtds)), written, suppression.FailScope},
		{"a grant without channels covers nothing", inputs{on(1, granted(), channels())}, asked(), written, suppression.FailMissing},
		{"a grant for all channels and purposes", inputs{on(1, granted(), channels(chAll), purposes(puAll))}, asked(channel(ai), purpose(survey)), written, held},
		{"a grant for a programme covers a question naming it", inputs{on(1, granted(), programmes("club"))}, asked(programme("club")), written, held},
		{"but no question that names none", inputs{on(1, granted(), programmes("club"))}, asked(), written, suppression.FailScope},
		{"a question for all channels needs a grant for all", inputs{on(1, granted())}, asked(channel(chAll)), written, suppression.FailScope},
		{"level", inputs{on(1, granted(), level("express"))}, asked(), written, suppression.FailLevel},
		{"a pre-ticked box", inputs{on(1, granted(), evidence(&consentv1.Evidence{Method: "web_form", PreTicked: yes()}))},
			asked(), written, suppression.FailWording},
		{"a distrusted source", inputs{on(1, granted(), from("leads"))}, asked(), trusted, suppression.FailDistrusted},
		{"a trusted one", inputs{on(1, granted())}, asked(), trusted, held},
		{"no evidence", inputs{on(1, granted(), evidence(nil))}, asked(), proven, suppression.FailEvidence},
		{"claims are no evidence", inputs{on(1, granted(), evidence(&consentv1.Evidence{LeadVendor: "x", LawfulBasis: "consent"}))},
			asked(), proven, suppression.FailEvidence},
		{"written, and declared undocumented", inputs{on(1, granted(), evidence(&consentv1.Evidence{Method: "paper", Undocumented: true}))},
			asked(), suppression.Need{}, suppression.FailEvidence},
		{"written, and nothing said of evidence", inputs{on(1, granted(), evidence(nil))}, asked(), suppression.Need{}, held},
		{"oral, and declared undocumented", inputs{on(1, granted(), level("express_oral"), evidence(&consentv1.Evidence{Undocumented: true}))},
			asked(), suppression.Need{}, held},
		{"undocumented", inputs{on(1, granted(), evidence(&consentv1.Evidence{Method: "paper", Undocumented: true}))}, asked(), proven, suppression.FailEvidence},
		{"evidence held", inputs{on(1, granted())}, asked(), proven, held},
		{"what permits counts from its last instant", inputs{on(0, granted(), between(1, 50))}, asked(at(49)), written, suppression.FailNotYet},
		{"from then on", inputs{on(0, granted(), between(1, 50))}, asked(at(50)), written, held},
		{"before its end", inputs{on(1, granted(), ending(100))}, asked(at(99)), written, held},
		{"at its end", inputs{on(1, granted(), ending(100))}, asked(), written, suppression.FailExpired},
		{"a newer grant replaces an older one of its key", inputs{on(1, granted()), on(2, granted(), ending(50))}, asked(), written, suppression.FailExpired},
		{"and may prolong it", inputs{on(1, granted(), ending(50)), on(2, granted())}, asked(), written, held},
		{"of one time the earliest end wins", inputs{on(1, granted()), on(1, granted(), ending(50))}, asked(), written, suppression.FailExpired},
		{"expiry is that of the newest, whatever the grade", inputs{on(1, granted()), on(2, granted(), evidence(nil), ending(50))},
			asked(), proven, suppression.FailExpired},
		{"a confirmation prolongs its grant", inputs{on(1, granted(), ending(50)), on(2, confirmed())}, asked(), proven, held},
		{"a claim without evidence prolongs nothing where evidence counts", inputs{on(1, granted(), ending(50)), on(2, granted(), evidence(nil))},
			asked(), proven, suppression.FailExpired},
		{"another source has an end of its own", inputs{on(1, granted()), on(2, granted(), from("web"), ending(50))}, asked(), written, held},

		{"a revocation without a scope covers all", inputs{on(1, granted()), on(2, revoked())}, asked(), written, suppression.FailRevoked},
		{"of one time the revocation wins", inputs{on(1, granted()), on(1, revoked())}, asked(), written, suppression.FailRevoked},
		{"a later grant stands", inputs{on(1, revoked()), on(2, granted())}, asked(), written, held},
		{"a grant ranks by its first instant", inputs{on(2, revoked()), on(0, granted(), between(2, 5))}, asked(), written, suppression.FailRevoked},
		{"a revocation ranks by its last", inputs{on(0, revoked(), between(1, 5)), on(4, granted())}, asked(), written, suppression.FailRevoked},
		{"a revocation for all sellers", inputs{on(1, granted()), on(2, revoked(), forSellers("all"))}, asked(), written, suppression.FailRevoked},
		{"a revocation that names no seller", inputs{on(1, granted()), on(2, revoked(), forNobody)}, asked(), written, suppression.FailRevoked},
		{"of another seller", inputs{on(1, granted()), on(2, revoked(), forSellers("zed"))}, asked(), written, held},
		{"a stop for sms_atds covers its family", inputs{on(1, granted()), on(2, revoked(), channels(smsAtds))}, asked(), written, suppression.FailRevoked},
		{"unless exact", inputs{on(1, granted()), on(2, revoked(), channels(smsAtds), exact)}, asked(), written, held},
		{"a stop for a voice channel covers all of them", inputs{on(1, granted(), channels(live)), on(2, revoked(), channels(ai))},
			asked(channel(live)), written, suppression.FailRevoked},
		{"and no texts", inputs{on(1, granted()), on(2, revoked(), channels(ai))}, asked(), written, held},
		{"a channel of another version may mean any", inputs{on(1, granted()), on(2, revoked(), channels(77))}, asked(), written, suppression.FailRevoked},
		{"another purpose", inputs{on(1, granted()), on(2, revoked(), purposes(survey))}, asked(), written, held},
		{"a question that names no programme is covered by a revocation of any", inputs{on(1, granted()), on(2, revoked(), programmes("club"))},
			asked(), written, suppression.FailRevoked},
		{"one that names another is not", inputs{on(1, granted()), on(2, revoked(), programmes("club"))}, asked(programme("news")), written, held},
		{"a revocation without dates is of any time", inputs{on(9, granted()), on(2, revoked(), func(f *consentv1.Fact) { f.Latest = nil })},
			asked(), written, suppression.FailRevoked},
		{"a grant without dates is none", inputs{on(9, granted(), func(f *consentv1.Fact) { f.Earliest = nil })}, asked(), written, suppression.FailMissing},

		{"a reply stops its programme", inputs{on(1, granted()), on(2, revoked(), inReplyTo("club"))}, asked(programme("club")), written, suppression.FailRevoked},
		{"and not another", inputs{on(1, granted()), on(2, revoked(), inReplyTo("club"))}, asked(programme("news")), written, held},
		{"unless the pack counts replies", inputs{on(1, granted()), on(2, revoked(), inReplyTo("club"))}, asked(programme("news")), replied, suppression.FailRevoked},
		{"a reply also stops what it names", inputs{on(1, granted()), on(2, revoked(), programmes("news"), inReplyTo("club"))},
			asked(programme("news")), written, suppression.FailRevoked},
		{"a message that is a stop", inputs{on(1, granted()), on(2, message(stop))}, asked(), written, suppression.FailRevoked},
		{"a message that is none", inputs{on(1, granted()), on(2, message(consentv1.MessageClass_MESSAGE_CLASS_NOT_STOP))}, asked(), written, held},

		{"invalidated at its own time", inputs{on(1, granted()), on(1, invalidated())}, asked(), written, suppression.FailRevoked},
		{"invalidated elsewhere", inputs{on(1, granted()), on(2, invalidated(), channels(fax))}, asked(), written, held},
		{"an invalidation covers no family", inputs{on(1, granted()), on(2, invalidated(), channels(smsAtds))}, asked(), written, held},

		{"an answer voids the stop for what is kept", inputs{on(1, granted()), on(2, revoked()), on(3, answered(2, "news"))},
			asked(programme("news")), replied, held},
		{"and for nothing else", inputs{on(1, granted()), on(2, revoked()), on(3, answered(2, "news"))}, asked(programme("club")), replied, suppression.FailRevoked},
		{"nor for a question that names no programme", inputs{on(1, granted()), on(2, revoked()), on(3, answered(2, "news"))},
			asked(), replied, suppression.FailRevoked},
		{"nor a later stop", inputs{on(1, granted()), on(4, revoked()), on(5, answered(2, "news"))}, asked(programme("news")), replied, suppression.FailRevoked},
		{"nor that the grant was none", inputs{on(1, granted()), on(2, invalidated()), on(3, answered(2, "news"))},
			asked(programme("news")), replied, suppression.FailRevoked},

		{"a historical grant", inputs{on(5, granted(), historical)}, asked(), written, held},
		{"is beaten by any revocation of today", inputs{on(5, granted(), historical), on(1, revoked())}, asked(), written, suppression.FailRevoked},
		{"and by a historical one only if that is later", inputs{on(5, granted(), historical), on(1, revoked(), historical)}, asked(), written, held},
		{"a grant of today against a historical revocation", inputs{on(5, granted()), on(6, revoked(), historical)}, asked(), written, suppression.FailRevoked},

		{"a reassignment voids what is not later", inputs{on(2, granted()), on(2, reassigned(yesAnswer))}, asked(), written, suppression.FailVoid},
		{"an answer without a result is a yes", inputs{on(1, granted()), on(2, reassigned(noAnswerGiven))}, asked(), written, suppression.FailVoid},
		{"a no voids nothing", inputs{on(1, granted()), on(2, reassigned(noAnswer)), on(3, reassigned(noData))}, asked(), written, held},
		{"consent of the new holder", inputs{on(1, reassigned(yesAnswer)), on(2, granted())}, asked(), written, held},
		{"a wrong party", inputs{on(1, granted()), on(2, wrongParty())}, asked(), written, suppression.FailVoid},
		{"a refusal is no revocation", inputs{on(1, granted()), on(2, refused())}, asked(), written, held},
		{"nor is an addition to the list", inputs{on(1, granted()), on(2, dncAdded())}, asked(), written, held},

		{"an erasure is a barrier", inputs{on(1, granted()), on(2, erased())}, asked(), written, suppression.FailMissing},
		{"and a revocation for all sellers", inputs{on(2, erased()), on(1, granted())}, asked(), written, suppression.FailErased},
		{"nothing unconfirmed lifts it", inputs{on(2, erased()), on(3, granted())}, asked(), written, suppression.FailErased},
		{"a confirmed grant from before does not", inputs{on(2, erased()), on(1, confirmed())}, asked(), written, suppression.FailErased},
		{"a confirmed grant lifts it", inputs{on(2, erased()), on(3, confirmed())}, asked(), written, held},
		{"where it covers", inputs{on(2, erased()), on(3, confirmed()), on(3, granted(), channels(fax))}, asked(channel(fax)), written, suppression.FailErased},
		{"not when it is revoked", inputs{on(2, erased()), on(3, confirmed()), on(4, revoked())}, asked(), written, suppression.FailErased},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := view(c.facts...).Consent(c.q, c.need)
			if failure(got) != c.want {
				t.Errorf("got %+v, want %v", got, c.want)
			}
			if (got.Grant == nil) != (!got.Held && got.Failure <= suppression.FailScope) {
				t.Errorf("grant is %v with failure %v", got.Grant, got.Failure)
			}
		})
	}
}

func TestConsentTellsMost(t *testing.T) {
	// Of several grants the one that came furthest decides; of several that hold, the one that ends last.
	v := view(on(1, granted(), level("implied")), on(2, granted(), ending(50)), on(3, granted(), from("web")), on(4, revoked()))
	got := v.Consent(asked(), suppression.Need{Sufficient: func(l string) bool { return l == "express_written" }})
	want := suppression.Prohibition{Kind: suppression.KindStop, Programme: "all", Time: suppression.Span{Earliest: day(4), Latest: day(4)}}
	if got.Failure != suppression.FailRevoked || got.Grant.GetSource() != "web" || got.Against != want {
		t.Errorf("got %+v", got)
	}
	v = view(on(1, granted(), ending(300)), on(2, granted(), ending(200), from("web")))
	if got := v.Consent(asked(), suppression.Need{}); !got.Held || !got.Until.Equal(day(300)) {
		t.Errorf("until %v, want %v", got.Until, day(300))
	}
	v = view(on(1, granted(), ending(300)), on(2, granted(), from("web"), forSellers("all")))
	if got := v.Consent(asked(), suppression.Need{}); !got.Held || !got.Until.IsZero() || !got.AllSellers {
		t.Errorf("got %+v, want one without end for all sellers", got)
	}
}

func TestRevocation(t *testing.T) {
	for _, c := range []struct {
		name  string
		facts inputs
		q     suppression.Question
		need  suppression.Need
		want  string // kind; empty: none stands
		on    int
	}{
		{"none", inputs{on(1, granted())}, asked(), suppression.Need{}, "", 0},
		{"without any grant", inputs{on(1, revoked())}, asked(), suppression.Need{}, "stop", 1},
		{"the newest", inputs{on(1, revoked()), on(3, revoked(), forSellers("all")), on(2, revoked(), channels(sms))}, asked(), suppression.Need{}, "stop", 3},
		{"a later grant ends it", inputs{on(1, revoked()), on(2, granted())}, asked(), suppression.Need{}, "", 0},
		{"one of the same time does not", inputs{on(1, revoked()), on(1, granted())}, asked(), suppression.Need{}, "stop", 1},
		{"nor one for something else", inputs{on(1, revoked()), on(2, granted())}, asked(channel(fax)), suppression.Need{}, "stop", 1},
		{"nor a historical one", inputs{on(1, revoked()), on(2, granted(), historical)}, asked(), suppression.Need{}, "stop", 1},
		{"nor one that was none", inputs{on(1, revoked()), on(2, granted()), on(2, invalidated())}, asked(), suppression.Need{}, "stop", 1},
		{"nor one that ended", inputs{on(1, revoked()), on(2, granted(), ending(50))}, asked(), suppression.Need{}, "stop", 1},
		{"nor one of a source not trusted", inputs{on(1, revoked()), on(2, granted())},
			asked(), suppression.Need{Distrusted: func(string) bool { return true }}, "stop", 1},
		{"an invalidation is no request", inputs{on(1, granted()), on(2, invalidated())}, asked(), suppression.Need{}, "", 0},
		{"a reply", inputs{on(1, revoked(), inReplyTo("club"))}, asked(programme("news")), suppression.Need{}, "", 0},
		{"a reply that counts", inputs{on(1, revoked(), inReplyTo("club"))}, asked(programme("news")), suppression.Need{CountReplied: true}, "replied", 1},
		{"kept", inputs{on(1, revoked()), on(2, answered(1, "news"))}, asked(programme("news")), suppression.Need{}, "", 0},
		{"a question about any channel", inputs{on(1, revoked(), channels(fax))}, asked(channel(chAll)), suppression.Need{}, "stop", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := view(c.facts...).Revocation(c.q, c.need)
			if ok != (c.want != "") || ok && (got.Kind != c.want || !got.Time.Latest.Equal(day(c.on))) {
				t.Errorf("got %+v, %v", got, ok)
			}
		})
	}
}

func TestDnc(t *testing.T) {
	for _, c := range []struct {
		name      string
		facts     inputs
		q         suppression.Question
		overrides bool
		want      bool
	}{
		{"none", nil, asked(), true, false},
		{"an addition without a scope", inputs{on(1, dncAdded())}, asked(), true, true},
		{"a removal of the same time", inputs{on(1, dncAdded()), on(1, dncRemoved())}, asked(), true, true},
		{"a later removal", inputs{on(1, dncAdded()), on(2, dncRemoved())}, asked(), false, false},
		{"added again", inputs{on(1, dncAdded()), on(2, dncRemoved()), on(3, dncAdded())}, asked(), false, true},
		{"a removal counts where it covers", inputs{on(1, dncAdded()), on(2, dncRemoved(), channels(fax))}, asked(), false, true},
		{"a removal without a scope removes nothing", inputs{on(1, dncAdded()), on(2, dncRemoved(), channels())}, asked(), false, true},
		{"a removal counts from its last instant", inputs{on(1, dncAdded()), on(0, dncRemoved(), between(2, 200))}, asked(), false, true},
		{"of two removals the newest ranks by its first instant",
			inputs{on(2, dncAdded()), on(0, dncRemoved(), between(2, 9)), on(0, dncRemoved(), between(3, 4))}, asked(), false, false},
		{"a removal for all sellers", inputs{on(1, dncAdded()), on(2, dncRemoved(), forSellers("all"))}, asked(), false, false},
		{"an addition for sms_atds covers its family", inputs{on(1, dncAdded(), channels(smsAtds))}, asked(), false, true},
		{"unless exact", inputs{on(1, dncAdded(), channels(smsAtds), exact)}, asked(), false, false},
		{"a later grant, where the pack says so", inputs{on(1, dncAdded()), on(2, granted())}, asked(), true, false},
		{"and where it does not", inputs{on(1, dncAdded()), on(2, granted())}, asked(), false, true},
		{"an earlier grant", inputs{on(1, granted()), on(2, dncAdded())}, asked(), true, true},
		{"a historical grant", inputs{on(1, dncAdded()), on(2, granted(), historical)}, asked(), true, true},
		{"a later grant that ends sooner", inputs{on(0, granted()), on(1, dncAdded()), on(2, granted(), ending(150), from("web"))}, asked(), true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := view(c.facts...).Dnc(c.q, suppression.Need{}, c.overrides)
			if ok != c.want || ok && got.Kind != suppression.KindDnc {
				t.Errorf("got %+v, %v", got, ok)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	v := view(on(1, refused()), on(3, refused(), channels(fax)))
	if p, ok := v.Refused(asked()); !ok || p.Kind != suppression.KindRefused || !p.Time.Latest.Equal(day(1)) {
		t.Errorf("got %+v, %v", p, ok)
	}
	if _, ok := v.Refused(asked(channel(live))); ok {
		t.Error("a refusal covers what it does not name")
	}
}

func TestErased(t *testing.T) {
	express := func(f *consentv1.Fact) { f.GetConsentConfirmed().Level = "express" }
	implied := func(f *consentv1.Fact) { f.GetConsentConfirmed().Level = "implied" }
	for _, c := range []struct {
		name  string
		facts inputs
		need  suppression.Need
		want  bool
	}{
		{"no erasure", inputs{on(1, granted())}, suppression.Need{}, false},
		{"stays blocked", inputs{on(1, erased())}, suppression.Need{}, true},
		{"of everything else nothing is left", inputs{on(1, confirmed()), on(1, erased())}, suppression.Need{}, true},
		{"a grant", inputs{on(1, erased()), on(2, granted())}, suppression.Need{}, true},
		{"a confirmed grant", inputs{on(1, erased()), on(2, confirmed())}, suppression.Need{}, false},
		{"of level express", inputs{on(1, erased()), on(2, confirmed(), express)}, suppression.Need{}, false},
		{"of a lower level", inputs{on(1, erased()), on(2, confirmed(), implied)}, suppression.Need{}, true},
		{"of a level a pack adds", inputs{on(1, erased()), on(2, confirmed(), implied)},
			suppression.Need{LiftsErasure: func(l string) bool { return l == "implied" }}, false},
		{"of the same time", inputs{on(1, erased()), on(1, confirmed())}, suppression.Need{}, true},
		{"then a second erasure", inputs{on(1, erased()), on(2, confirmed()), on(3, erased())}, suppression.Need{}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, ok := view(c.facts...).Erased(asked(), c.need); ok != c.want || ok && !got.AllSellers {
				t.Errorf("got %+v, %v", got, ok)
			}
		})
	}
	// Towards every seller nothing else is left.
	m := fold(on(1, granted(), forSellers("acme", "zed", "all")), on(2, erased()))
	if len(m) != 1 || len(m["all"].GetGrants()) != 0 {
		t.Errorf("states left: %v", m)
	}
}

func TestUnclear(t *testing.T) {
	unclear := func() *consentv1.Fact { return message(consentv1.MessageClass_MESSAGE_CLASS_UNCLEAR) }
	for _, c := range []struct {
		name  string
		facts inputs
		want  int
	}{
		{"open", inputs{on(1, unclear()), on(2, unclear())}, 2},
		{"not classified is not understood", inputs{on(1, message(0))}, 1},
		{"closed", inputs{on(1, unclear()), on(2, unclear()), on(9, closed(1))}, 1},
		{"closed before it is opened", inputs{on(9, closed(1)), on(1, unclear())}, 0},
		{"closed for all sellers", inputs{on(1, unclear()), on(9, closed(1), forNobody)}, 0},
		{"to all sellers, closed for this one", inputs{on(1, unclear(), forNobody), on(9, closed(1))}, 0},
		{"something else is closed", inputs{on(1, unclear()), on(9, closed(7))}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := view(c.facts...).Unclear(); len(got) != c.want {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestMarks(t *testing.T) {
	span := func(n int) suppression.Span { return suppression.Span{Earliest: day(n), Latest: day(n)} }
	v := view(on(1, located("US-TX", "America/Chicago")), on(2, located("US-FL", "America/New_York")), on(2, located("US-FL", "America/Chicago"), forNobody),
		on(3, reassigned(consentv1.QueryResult_QUERY_RESULT_NO)))
	want := []suppression.Mark{
		{Kind: "location", Value: "US-FL America/New_York", Time: span(2)},
		{Kind: "location", Value: "US-FL America/Chicago", AllSellers: true, Time: span(2)},
	}
	if diff := cmp.Diff(want, v.Marks(suppression.MarkLocation)); diff != "" {
		t.Errorf("the newest stay, equal times keep both:\n%s", diff)
	}
	if region, zone := want[0].Place(); region != "US-FL" || zone != "America/New_York" {
		t.Errorf("place is %q, %q", region, zone)
	}
	if diff := cmp.Diff([]suppression.Mark{{Kind: "rnd_result", Value: "no", AsOf: day(0), Time: span(3)}}, v.Marks(suppression.MarkRndResult)); diff != "" {
		t.Error(diff)
	}
	if got := v.Marks(suppression.MarkReassigned); got != nil {
		t.Errorf("a no makes a reassignment: %v", got)
	}
	other := view(
		on(1, &consentv1.Fact{Kind: &consentv1.Fact_Disconnected{Disconnected: &consentv1.Disconnected{Basis: "carrier"}}}),
		on(1, &consentv1.Fact{Kind: &consentv1.Fact_Ported{Ported: &consentv1.Ported{Line: "wireless"}}}),
		on(1, &consentv1.Fact{Kind: &consentv1.Fact_LineTypeChecked{LineTypeChecked: &consentv1.LineTypeChecked{Line: "landline"}}}))
	for kind, value := range map[string]string{suppression.MarkDisconnected: "carrier", suppression.MarkPorted: "wireless", suppression.MarkLineType: "landline"} {
		if got := other.Marks(kind); len(got) != 1 || got[0].Value != value {
			t.Errorf("%s: got %v", kind, got)
		}
	}
}

func TestRelationships(t *testing.T) {
	const (
		inquiry, purchase = consentv1.RelationshipKind_RELATIONSHIP_KIND_INQUIRY, consentv1.RelationshipKind_RELATIONSHIP_KIND_PURCHASE
		start, end        = consentv1.RelationshipPhase_RELATIONSHIP_PHASE_START, consentv1.RelationshipPhase_RELATIONSHIP_PHASE_END
	)
	for _, c := range []struct {
		name  string
		facts inputs
		want  int
	}{
		{"begun", inputs{on(1, related(inquiry, start))}, 1},
		{"two", inputs{on(1, related(inquiry, start)), on(1, related(purchase, 0))}, 2},
		{"ended", inputs{on(1, related(inquiry, start)), on(2, related(inquiry, end))}, 0},
		{"ended at its beginning", inputs{on(1, related(inquiry, start)), on(1, related(inquiry, end))}, 0},
		{"begun again", inputs{on(3, related(inquiry, start)), on(2, related(inquiry, end))}, 1},
		{"ended towards all", inputs{on(1, related(inquiry, start)), on(2, related(inquiry, end), forNobody), on(3, related(purchase, start), forNobody)}, 0},
		{"with another holder", inputs{on(1, related(inquiry, start)), on(2, wrongParty())}, 0},
		{"not yet", inputs{on(0, related(inquiry, start), between(1, 101))}, 0},
		{"of no kind", inputs{on(1, related(0, start))}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := view(c.facts...).Relationships(day(100)); len(got) != c.want {
				t.Errorf("got %+v", got)
			}
		})
	}
	f := related(inquiry, start)
	f.GetRelationshipRecorded().OfferRelated = yes()
	if got := view(on(1, f)).Relationships(day(2)); len(got) != 1 || got[0].Kind != inquiry || !*got[0].OfferRelated || !got[0].Since.Earliest.Equal(day(1)) {
		t.Errorf("got %+v", got)
	}
}

func TestPreferences(t *testing.T) {
	wish := func(p *consentv1.PreferenceSet) *consentv1.Fact {
		return &consentv1.Fact{Kind: &consentv1.Fact_PreferenceSet{PreferenceSet: p}}
	}
	window := func(from, to uint32) []*consentv1.TimeWindow {
		return []*consentv1.TimeWindow{{Weekdays: []uint32{2, 1, 2}, FromMinute: from, ToMinute: to}}
	}
	v := view(
		on(1, wish(&consentv1.PreferenceSet{Windows: window(60, 120), FrequencyMax: 5, FrequencyDays: 7, Language: "es"})),
		on(2, wish(&consentv1.PreferenceSet{Windows: window(540, 600)})),
		on(2, wish(&consentv1.PreferenceSet{Windows: window(570, 700)})),
		on(2, wish(&consentv1.PreferenceSet{FrequencyMax: 1, FrequencyDays: 30}), forNobody))
	got := v.Preferences()
	if len(got.Windows) != 2 || got.Windows[0][0].GetFromMinute()+got.Windows[1][0].GetFromMinute() != 540+570 || len(got.Windows[0][0].GetWeekdays()) != 2 {
		t.Errorf("a newer wish replaces its dimension, equal times keep both: %v", got.Windows)
	}
	if diff := cmp.Diff([]suppression.Frequency{{Max: 5, Days: 7}, {Max: 1, Days: 30}}, got.Frequencies); diff != "" {
		t.Errorf("towards this seller and all, both bind:\n%s", diff)
	}
	if len(got.Languages) != 1 || got.Languages[0] != "es" {
		t.Errorf("languages %v", got.Languages)
	}
}

func TestFoldAt(t *testing.T) {
	facts := inputs{on(0, granted(), between(1, 5)), on(0, revoked(), between(10, 20)), on(30, granted())}
	for _, c := range []struct {
		at   int
		want suppression.Failure
	}{
		{4, suppression.FailMissing}, // what permits counts from its last instant
		{5, held},
		{9, held},
		{10, suppression.FailRevoked}, // what forbids from its first
		{29, suppression.FailRevoked},
		{30, held},
	} {
		q := asked(at(c.at))
		got := suppression.FoldAt(q.At, func(yield func(suppression.Input) bool) {
			for _, in := range facts {
				if !yield(in) {
					return
				}
			}
		}).View("acme").Consent(q, suppression.Need{})
		if failure(got) != c.want {
			t.Errorf("day %d: got %+v, want %v", c.at, got, c.want)
		}
	}
	one := func(yield func(suppression.Input) bool) { yield(on(50, erased())) }
	if _, ok := suppression.FoldAt(day(1), one).View("acme").Erased(asked(), suppression.Need{}); !ok {
		t.Error("an erasure counts at every instant")
	}
}

func TestInstantsBeyondNanoseconds(t *testing.T) {
	far := on(1, granted(), func(f *consentv1.Fact) {
		f.GetConsentGranted().ExpiresAt = stamp(0)
		f.GetConsentGranted().ExpiresAt.Seconds = 253402300799 // the year 9999
	})
	if got := view(far).Consent(asked(), suppression.Need{}); !got.Held || got.Until.Year() != 2262 {
		t.Errorf("got %+v", got)
	}
	if got := view(far).Consent(suppression.Question{Channel: sms, Purpose: marketing, At: time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC)},
		suppression.Need{}); got.Failure != suppression.FailExpired {
		t.Errorf("got %+v", got)
	}
}

// TestFoldAtBeyondNanoseconds: instants that do not fit into nanoseconds are the
// last or the first that do, and never wrap around to the other end.
func TestFoldAtBeyondNanoseconds(t *testing.T) {
	undated := suppression.Input{Fact: &consentv1.Fact{Sellers: []string{"acme"}, Kind: revoked().Kind}}
	for _, c := range []struct {
		year                      int
		granted, revoked, undated bool
	}{
		{1600, false, false, true}, {2025, false, false, true}, {2027, true, true, true}, {2300, true, true, true}, {9999, true, true, true},
	} {
		at := time.Date(c.year, 6, 1, 0, 0, 0, 0, time.UTC)
		q := asked()
		q.At = at
		fold := func(in suppression.Input) suppression.View {
			return suppression.FoldAt(at, slices.Values([]suppression.Input{in})).View("acme")
		}
		if got := fold(on(1, granted())).Consent(q, suppression.Need{}).Held; got != c.granted {
			t.Errorf("%d: consent %v", c.year, got)
		}
		if _, got := fold(on(1, revoked())).Revocation(q, suppression.Need{}); got != c.revoked {
			t.Errorf("%d: revocation %v", c.year, got)
		}
		if _, got := fold(undated).Revocation(q, suppression.Need{}); got != c.undated {
			t.Errorf("%d: revocation of any time %v", c.year, got)
		}
	}
}
