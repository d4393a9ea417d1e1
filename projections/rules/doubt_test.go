package rules_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/consent-ledger/consent-ledger/projections/rules"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// forbidding is one fact that may only close doors, of any time before the question
// or, as a late one may say, long before all others.
func forbidding(t *rapid.T, at time.Time) *consentv1.Fact {
	at = at.Add(-time.Duration(rapid.IntRange(0, 300*24).Draw(t, "hours ago")) * time.Hour)
	f := dated(at, &consentv1.Fact{})
	if rapid.Bool().Draw(t, "on some day") {
		f.Latest = timestamppb.New(at.Add(24 * time.Hour))
	}
	channel := rapid.SampledFrom([]consentv1.Channel{everyMedium, live, sms, smsATDS, recorded}).Draw(t, "of channel")
	purpose := rapid.SampledFrom([]consentv1.Purpose{everyCell, marketing, informing}).Draw(t, "of purpose")
	switch rapid.IntRange(0, 7).Draw(t, "forbids") {
	case 0:
		f.Kind = &consentv1.Fact_ConsentRevoked{ConsentRevoked: &consentv1.ConsentRevoked{Scope: scope(channel, purpose)}}
	case 1:
		f.Kind = &consentv1.Fact_DncAdded{DncAdded: &consentv1.DncAdded{Scope: scope(channel, purpose)}}
	case 2:
		f.Kind = &consentv1.Fact_ConsentRefused{ConsentRefused: &consentv1.ConsentRefused{Scope: scope(channel, purpose)}}
	case 3:
		f.Kind = &consentv1.Fact_ConsentInvalidated{ConsentInvalidated: &consentv1.ConsentInvalidated{Scope: scope(channel, purpose)}}
	case 4:
		f.Kind = &consentv1.Fact_WrongPartyReported{WrongPartyReported: &consentv1.WrongPartyReported{}}
	case 5:
		f.Kind = &consentv1.Fact_Disconnected{Disconnected: &consentv1.Disconnected{}}
	case 6:
		f.Kind = &consentv1.Fact_NumberReassigned{NumberReassigned: &consentv1.NumberReassigned{Result: consentv1.QueryResult_QUERY_RESULT_YES}}
	case 7:
		f.Kind = &consentv1.Fact_InboundMessage{InboundMessage: &consentv1.InboundMessage{Channel: sms,
			Classification: rapid.SampledFrom([]consentv1.MessageClass{consentv1.MessageClass_MESSAGE_CLASS_STOP,
				consentv1.MessageClass_MESSAGE_CLASS_UNCLEAR}).Draw(t, "read as")}}
	}
	return f
}

// TestAFactThatForbidsNeverAllows: whenever it happened, it turns no BLOCK into
// ALLOW, and no block by it is over sooner than it was without.
func TestAFactThatForbidsNeverAllows(t *testing.T) {
	packs := baseline(t)
	rapid.Check(t, func(t *rapid.T) {
		in, facts := scene(t)
		before := rules.Decide(in, packs)
		more := in
		f := forbidding(t, in.At)
		more.View = person(append(slices.Clone(facts), f)...)
		after := rules.Decide(more, packs)
		wellFormed(t, after)
		if before.GetVerdict() == consentv1.Verdict_VERDICT_BLOCK && after.GetVerdict() == consentv1.Verdict_VERDICT_ALLOW {
			t.Fatalf("%T turned BLOCK %v into ALLOW %v", f.GetKind(), codes(before), codes(after))
		}
		if next := after.GetNextAllowedAt(); next != nil && !allows(in, packs, next.AsTime()) {
			t.Fatalf("%T opens %v, where it was %v without it", f.GetKind(), next.AsTime(), codes(before))
		}
	})
}

// TestOrderWithinAnInstant: facts of one instant have no order, and twice is once. An
// erasure has a place: it is a barrier in the ledger.
func TestOrderWithinAnInstant(t *testing.T) {
	packs := baseline(t)
	rapid.Check(t, func(t *rapid.T) {
		in, facts := scene(t)
		facts = slices.DeleteFunc(facts, func(f *consentv1.Fact) bool { return f.GetPersonErased() != nil })
		at := timestamppb.New(in.At.Add(-time.Duration(rapid.IntRange(0, 40).Draw(t, "days ago")) * 24 * time.Hour))
		for _, f := range facts {
			if f.GetConsentGranted() == nil && f.GetConsentConfirmed() == nil || rapid.Bool().Draw(t, "of that instant") {
				f.Earliest, f.Latest = at, at
			}
		}
		// The last tie-break is a hash of the content, which does not move with the order.
		entries := make([]entry, len(facts))
		for i, f := range facts {
			entries[i] = entry{byte(i), f}
		}
		in.View = folded(entries...)
		want := rules.Decide(in, packs)
		other := rapid.Permutation(entries).Draw(t, "order")
		in.View = folded(append(other, rapid.SliceOfN(rapid.SampledFrom(append(other, entry{})), 0, 3).Draw(t, "again")...)...)
		if diff := cmp.Diff(want, rules.Decide(in, packs), protocmp.Transform()); diff != "" {
			t.Fatalf("in another order:\n%s", diff)
		}
	})
}

// demand draws one rule, for whatever channels and purposes, that only asks for more.
func demand(t *rapid.T, i int) string {
	head := fmt.Sprintf(`{id: rule-%d, says: More., citation: None, confidence: secondary, effective_from: %s, channels: [%s], purposes: [%s], `, i,
		rapid.SampledFrom([]string{"always", "2026-08-10", "2026-11-21"}).Draw(t, "from"),
		rapid.SampledFrom([]string{"all", "voice", "text", "sms"}).Draw(t, "channels"),
		rapid.SampledFrom([]string{"all", "marketing", "informational"}).Draw(t, "purposes"))
	lift := rapid.SampledFrom([]string{"", ", lifted_by: [{consent: [express, express_written]}]",
		", lifted_by: [{relationship: purchase, within_months: 3}, {relationship: contract, active: true}]"}).Draw(t, "lifted by")
	switch rapid.IntRange(0, 5).Draw(t, "kind of rule") {
	case 0:
		return "window:\n  - " + head + `hours: [{days: mon-sat, from: "09:00", to: "12:00"}, {days: fri, from: "15:00", to: "16:30"}]` + lift + "}\n"
	case 1:
		return "cap:\n  - " + head + "max: 2, within_hours: 30, per: subject" + lift + "}\n"
	case 2:
		return "consent:\n  - " + head + "levels: [express_written], evidence_required: true, not_condition_of_purchase: true" + lift + "}\n"
	case 3:
		return "ban:\n  - " + head + "sectors: [energy_renovation]" + lift + "}\n"
	case 4:
		return "cooling_off:\n  - " + head + "days: 20" + lift + "}\n"
	}
	return "emergency:\n  - " + head + "while_reporting_only: false" + lift + "}\n"
}

// TestAStricterPackNeverAllows: whatever a narrower layer demands, it turns no BLOCK
// into ALLOW, takes no reason of a block away, and brings no next instant forward.
func TestAStricterPackNeverAllows(t *testing.T) {
	packs := baseline(t)
	rapid.Check(t, func(t *rapid.T) {
		in, _ := scene(t)
		rule := demand(t, 0)
		layer := rapid.SampledFrom([]string{"layer: seller\nseller: acme", "layer: carrier", "layer: sector",
			"layer: state\napplies: {regions: [US-CA, US-FL, US-PA, CA-ON]}"}).Draw(t, "layer")
		p, err := rules.Parse("zz-more.yaml", []byte("id: zz-more\nversion: \"1\"\ntitle: More\nabout: For the test.\n"+layer+"\nknown_as_of: 2026-11-23\n"+rule))
		if err != nil {
			t.Fatal(err)
		}
		with, err := rules.New(append(slices.Clone(packs.All()), p)...)
		if err != nil {
			t.Fatal(err)
		}
		before, after := rules.Decide(in, packs), rules.Decide(in, with)
		if before.GetVerdict() == consentv1.Verdict_VERDICT_ALLOW {
			return
		}
		for _, code := range codes(before) {
			if !slices.Contains(codes(after), code) {
				t.Fatalf("%s took %s away: %v, then %v", strings.TrimSpace(rule), code, codes(before), codes(after))
			}
		}
		if next := after.GetNextAllowedAt(); next != nil && !allows(in, packs, next.AsTime()) {
			t.Fatalf("%s opens %v", strings.TrimSpace(rule), next.AsTime())
		}
	})
}
