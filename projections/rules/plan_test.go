package rules_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/consent-ledger/consent-ledger/projections/rules"
	"github.com/consent-ledger/consent-ledger/projections/rules/places"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// TestNoPackIsPassedOver: the short look at where packs may hold never leaves out
// one that does, whatever is written for a region.
func TestNoPackIsPassedOver(t *testing.T) {
	packs := baseline(t)
	regions := []string{"", "U", "US", "us", "USA", "US-", "US-N", "US-NY", "US-NY-", "US-NY-061", "US-NYC", "US-NYCX", "US-FL-086", "U-S-NY", "-US", "CA", "CA-ON", "GB",
		"GB-ENG", "AU-NSW", "AU-NS", "IN", "IN-MH", "FR-75", "JP", "DE-BY", "NL", "001", "ZZ"}
	for _, p := range packs.All() {
		regions = append(regions, p.Applies.Regions...)
	}
	region := rapid.OneOf(rapid.SampledFrom(regions), rapid.StringMatching(`(US|CA|GB|AU|U|A)?-?[A-Z]{0,4}(-[A-Z0-9]{0,3})?`))
	rapid.Check(t, func(t *rapid.T) {
		in := ask(rapid.SampledFrom([]consentv1.Channel{live, sms}).Draw(t, "channel"), marketing)
		in.Places = nil
		for range rapid.IntRange(0, 7).Draw(t, "places") {
			in.Places = append(in.Places, places.Place{Region: region.Draw(t, "region")})
		}
		var want, got []string
		for _, p := range packs.For(&in) {
			want = append(want, p.ID)
		}
		for _, u := range rules.Decide(in, packs).GetPacks() {
			got = append(got, u.GetId())
		}
		if !slices.Equal(want, got) {
			t.Fatalf("at %v: judged by %v, but %v hold", in.Places, got, want)
		}
		if spelled := spelledOut(packs, in.Places); !slices.Equal(spelled, got) {
			t.Fatalf("at %v: judged by %v, but by their letters %v hold", in.Places, got, spelled)
		}
	})
}

// spelledOut lists the packs that hold at places, read letter by letter.
func spelledOut(packs *rules.Packs, at []places.Place) (ids []string) {
	lies := func(region, in string) bool {
		return in != "" && (region == in || strings.HasPrefix(region, in+"-"))
	}
	touches := func(regions []string, place string) bool {
		return slices.ContainsFunc(regions, func(r string) bool { return lies(place, r) || lies(r, place) })
	}
	var countries []string
	for _, p := range packs.All() {
		if p.Layer == rules.LayerCountry {
			countries = append(countries, p.Applies.Regions...)
		}
	}
	for _, p := range packs.All() {
		holds := len(at) == 0 && (p.Applies.WithoutPack || len(p.Applies.Regions) == 0)
		for _, h := range at {
			if p.Applies.WithoutPack {
				holds = holds || !touches(countries, h.Region)
			} else {
				holds = holds || len(p.Applies.Regions) == 0 || touches(p.Applies.Regions, h.Region)
			}
		}
		if holds {
			ids = append(ids, p.ID)
		}
	}
	return ids
}

// TestAnswersAreNobodyElses: what a decision holds is not used again for the next,
// on any number of goroutines.
func TestAnswersAreNobodyElses(t *testing.T) {
	packs := baseline(t)
	questions := []rules.Input{ask(live, marketing), ask(sms, marketing, stop(now)), ask(live, marketing, stop(now), dnc(now))}
	for i, home := range homes[:9] {
		in := ask(live, marketing)
		in.Places, in.At = home, now.Add(time.Duration(i)*3*time.Hour)
		questions = append(questions, in)
	}
	want := make([]string, len(questions))
	kept := make([]*consentv1.Decision, len(questions))
	for i, in := range questions {
		kept[i] = rules.Decide(in, packs)
		want[i] = text(t, kept[i])
	}
	t.Run("crowd", func(t *testing.T) {
		for range 4 {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				for n := range 50 * len(questions) {
					i := n % len(questions)
					if got := text(t, rules.Decide(questions[i], packs)); got != want[i] {
						t.Fatalf("question %d: another answer:\n%s\n%s", i, got, want[i])
					}
				}
			})
		}
	})
	for i, d := range kept {
		if got := text(t, d); got != want[i] {
			t.Errorf("answer %d changed after it was given:\n%s\n%s", i, got, want[i])
		}
	}
}

// text is a decision as bytes that are equal if the decisions are.
func text(t *testing.T, d *consentv1.Decision) string {
	t.Helper()
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// TestNothingRememberedChangesAnAnswer: packs that have answered much answer as packs
// do that have just been read. What they remember are places, openings and closings.
func TestNothingRememberedChangesAnAnswer(t *testing.T) {
	packs := baseline(t)
	rapid.Check(t, func(t *rapid.T) {
		in, _ := scene(t)
		if rapid.IntRange(0, 4).Draw(t, "toll-free") == 0 {
			in.Places = places.OfNumber("+18005550123").Places
		}
		if rapid.IntRange(0, 2).Draw(t, "only asked") > 0 { // reading all packs takes long
			rules.DecideOn(&in, packs)
			return
		}
		fresh, err := rules.Embedded()
		if err != nil {
			t.Fatal(err)
		}
		before := in
		want, got := rules.Decide(in, fresh), rules.DecideOn(&in, packs)
		if !proto.Equal(want, got) {
			t.Fatalf("packs that have answered before say\n%v\nand fresh ones\n%v", got, want)
		}
		if !in.At.Equal(before.At) {
			t.Fatalf("the question was about %v and is about %v now", before.At, in.At)
		}
		if again := rules.DecideOn(&in, packs); !proto.Equal(got, again) {
			t.Fatalf("asked again\n%v\nthen\n%v", got, again)
		}
	})
}

// TestAChangedListOfPlaces: whoever owns a list of places may change it between two
// questions.
func TestAChangedListOfPlaces(t *testing.T) {
	packs := baseline(t)
	in := ask(live, marketing)
	mine := at("US-CA", "America/Los_Angeles")
	in.Places = mine
	first := rules.Decide(in, packs)
	mine[0] = places.Place{Region: "FR", Zone: zone("Europe/Paris")}
	second := rules.Decide(in, packs)
	if a, b := first.GetPacks()[0].GetId(), second.GetPacks()[0].GetId(); a != "us" || b != "fr" {
		t.Errorf("judged by %s and, after the place changed, by %s", a, b)
	}
	if !slices.Equal(second.GetZones(), []string{"Europe/Paris"}) {
		t.Errorf("zones are %v", second.GetZones())
	}
}
