package rules_test

import (
	"bytes"
	"math"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/google/go-cmp/cmp"

	"github.com/consent-ledger/consent-ledger/projections/rules"
	"github.com/consent-ledger/consent-ledger/projections/rules/places"
	"github.com/consent-ledger/consent-ledger/projections/suppression"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// more is a fact of the kinds that something does not draw.
func more(t *rapid.T, before func(string, int) time.Time, c consentv1.Channel, p consentv1.Purpose) *consentv1.Fact {
	at := before("when", 700)
	switch rapid.IntRange(0, 11).Draw(t, "kind") {
	case 0:
		return stop(at)
	case 1:
		return dated(at, &consentv1.Fact{Sellers: []string{"all"}, Kind: &consentv1.Fact_NumberReassigned{NumberReassigned: &consentv1.NumberReassigned{}}})
	case 2:
		return dated(before("lately", 20), &consentv1.Fact{Sellers: []string{"all"}, Kind: &consentv1.Fact_Ported{Ported: &consentv1.Ported{Line: "wireless"}}})
	case 3:
		return dated(at, &consentv1.Fact{Sellers: []string{"all"}, Kind: &consentv1.Fact_LineTypeChecked{LineTypeChecked: &consentv1.LineTypeChecked{Line: "landline"}}})
	case 4:
		return dated(at, &consentv1.Fact{Kind: &consentv1.Fact_WrongPartyReported{WrongPartyReported: &consentv1.WrongPartyReported{}}})
	case 5:
		return dated(at, &consentv1.Fact{Kind: &consentv1.Fact_DncRemoved{DncRemoved: &consentv1.DncRemoved{Scope: scope(everyMedium, everyCell)}}})
	case 6:
		return dated(at, &consentv1.Fact{Kind: &consentv1.Fact_PersonErased{PersonErased: &consentv1.PersonErased{}}})
	case 7:
		return dated(at, &consentv1.Fact{Kind: &consentv1.Fact_ClarificationAnswered{ClarificationAnswered: &consentv1.ClarificationAnswered{KeepProgrammes: []string{"all"}, AnsweredLatest: timestamppb.New(at)}}})
	case 8:
		g := grant(at, "express", c, p)
		g.Historical = true
		return g
	case 9:
		if rapid.Bool().Draw(t, "a term ago") {
			return grant(before("about", 4).AddDate(0, -rapid.SampledFrom([]int{3, 24}).Draw(t, "months"), 2), "express_written", c, p)
		}
		return dated(at, &consentv1.Fact{Kind: &consentv1.Fact_ConsentConfirmed{ConsentConfirmed: &consentv1.ConsentConfirmed{Scope: scope(c, p), Level: "express_written"}}})
	case 10:
		return dated(at, &consentv1.Fact{Sellers: []string{"all"}, Kind: &consentv1.Fact_SubscriberClass{SubscriberClass: &consentv1.SubscriberClass{Subscriber: consentv1.SubscriberKind_SUBSCRIBER_KIND_INDIVIDUAL}}})
	default:
		days := rapid.SampledFrom([]int{365, 1096 + 31, 1096 + 14, 3652}).Draw(t, "a term ago")
		return dated(before("about", 4).AddDate(0, 0, 2-days), dnc(at))
	}
}

// sameAnswer compares what DecideSpan promises.
func sameAnswer(a, b *consentv1.Decision) string {
	short := func(d *consentv1.Decision) []any {
		var reasons, packs []string
		for _, r := range d.GetReasons() {
			reasons = append(reasons, r.GetRule()+" "+r.GetCode())
		}
		for _, p := range d.GetPacks() {
			packs = append(packs, p.GetId())
		}
		return []any{d.GetVerdict().String(), d.GetBasis(), reasons, packs, d.GetNextAllowedAt().AsTime().String(), len(d.GetLists())}
	}
	return cmp.Diff(short(a), short(b))
}

// moved gives a state with every instant put elsewhere.
func moved(s *consentv1.SuppressionState, to map[int64]int64) *consentv1.SuppressionState {
	if s == nil {
		return nil
	}
	s = proto.CloneOf(s)
	span := func(t *consentv1.TimeSpan) {
		if t != nil {
			t.Earliest, t.Latest = to[t.Earliest], to[t.Latest]
		}
	}
	for _, g := range s.Grants {
		if span(g.Time); g.Expires != 0 {
			g.Expires = to[g.Expires]
		}
	}
	for _, list := range [][]*consentv1.ProhibitionRegister{s.Revoked, s.Kept, s.DncAdded, s.DncRemoved, s.Refused} {
		for _, r := range list {
			span(r.Time)
		}
	}
	for _, r := range slices.Concat(s.Relationships, s.Marks) {
		span(r.Time)
	}
	for _, r := range slices.Concat(s.Preferences, s.TimeConsents) {
		span(r.Time)
	}
	span(s.Erased)
	return s
}

// elsewhere draws other instants within a span, in the same order. The edges are the likeliest.
func elsewhere(t *rapid.T, span *rules.Span, instants []int64, at int64) map[int64]int64 {
	to, last := map[int64]int64{}, int64(math.MinInt64)
	for i, ns := range instants {
		from, until := span.Bounds(i)
		from = max(from, last+1, 1)
		if i+1 < len(instants) { // leave room for the next one, which may stay
			until = min(until, instants[i+1]-1)
		}
		if ns == at || ns == 0 || from > ns || until < ns {
			to[ns], last = ns, ns
			continue
		}
		until = min(until, ns+int64(2000*24*time.Hour))
		from = max(from, ns-int64(2000*24*time.Hour))
		switch rapid.IntRange(0, 4).Draw(t, "where") {
		case 0:
			to[ns] = from
		case 1:
			to[ns] = until
		case 2:
			to[ns] = ns
		default:
			to[ns] = rapid.Int64Range(from, until).Draw(t, "elsewhere")
		}
		last = to[ns]
	}
	return to
}

func encode(t interface{ Fatal(...any) }, s *consentv1.SuppressionState) []byte {
	if s == nil {
		return nil
	}
	raw, err := suppression.Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestSpansHold: whoever has a state of the same shape, with all instants within the span, has the
// same answer; with every rule there is, at every hour, most often at the very edges of the span.
func TestSpansHold(t *testing.T) {
	packs := baseline(t)
	shared, own, wide := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		in, facts := scene(t)
		in.Attempts = nil
		if rapid.Bool().Draw(t, "where terms end") {
			in.Places = rapid.SampledFrom([][]places.Place{at("CA", "America/St_Johns", "America/Vancouver"), at("US-WA", "America/Los_Angeles"), at("US-VA", "America/New_York"),
				at("ES", "Europe/Madrid", "Atlantic/Canary"), at("AU", "Australia/Perth", "Australia/Sydney"), at("FR", "Europe/Paris")}).Draw(t, "there")
		}
		if rapid.IntRange(0, 9).Draw(t, "confirmation") == 0 {
			in.Purpose = consentv1.Purpose_PURPOSE_OPT_OUT_CONFIRMATION
		}
		before := func(name string, days int) time.Time {
			return in.At.Add(-time.Duration(rapid.Int64Range(0, int64(days)*24*int64(time.Hour)).Draw(t, name)))
		}
		for range rapid.IntRange(0, 3).Draw(t, "more") {
			facts = append(facts, more(t, before, in.Channel, in.Purpose))
		}
		in.View = person(facts...)
		var first, second suppression.Shaper
		shape, ok := first.Of(encode(t, in.View.Seller), encode(t, in.View.All), in.At)
		if !ok {
			t.Fatal("no shape")
		}
		d, span, ok := rules.DecideSpan(&in, packs, shape.Instants)
		if diff := sameAnswer(rules.Decide(in, packs), d); diff != "" {
			t.Fatalf("noting changes the answer:\n%s", diff)
		}
		if !ok {
			own++
			return
		}
		if !span.Holds(shape.Instants) {
			t.Fatal("the span does not hold the state it is of")
		}
		for range 6 {
			to := elsewhere(t, &span, shape.Instants, in.At.UnixNano())
			other := in
			other.View.Seller, other.View.All = moved(in.View.Seller, to), moved(in.View.All, to)
			same, ok := second.Of(encode(t, other.View.Seller), encode(t, other.View.All), in.At)
			if !ok || !bytes.Equal(same.Key, shape.Key) || !span.Holds(same.Instants) {
				t.Fatalf("moved within the span and the order, and of another shape: %v", to)
			}
			if diff := sameAnswer(rules.Decide(other, packs), d); diff != "" {
				t.Fatalf("%v moved to %v:\n%v\n%v\n%s", shape.Instants, same.Instants, in.View, other.View, diff)
			}
			shared++
			for i := range same.Instants {
				if a := same.Instants[i] - shape.Instants[i]; a > int64(24*time.Hour) || -a > int64(24*time.Hour) {
					wide++
					break
				}
			}
		}
	})
	t.Logf("%d answers shared, %d of them by states days apart; %d states stood for themselves", shared, wide, own)
	if wide < shared/3 {
		t.Errorf("of %d shared answers %d were of states days apart: this test proves little", shared, wide)
	}
}
