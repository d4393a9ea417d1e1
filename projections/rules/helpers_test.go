package rules_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger/zones"
	"github.com/consent-ledger/consent-ledger/projections/rules"
	"github.com/consent-ledger/consent-ledger/projections/rules/places"
	"github.com/consent-ledger/consent-ledger/projections/suppression"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

const (
	sms      = consentv1.Channel_CHANNEL_SMS
	smsATDS  = consentv1.Channel_CHANNEL_SMS_ATDS
	live     = consentv1.Channel_CHANNEL_VOICE_LIVE
	recorded = consentv1.Channel_CHANNEL_VOICE_PRERECORDED

	marketing   = consentv1.Purpose_PURPOSE_MARKETING
	informing   = consentv1.Purpose_PURPOSE_INFORMATIONAL
	emergency   = consentv1.Purpose_PURPOSE_EMERGENCY
	everyCell   = consentv1.Purpose_PURPOSE_ALL
	everyMedium = consentv1.Channel_CHANNEL_ALL
)

var now = time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)

func baseline(t testing.TB) *rules.Packs {
	t.Helper()
	packs, err := rules.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	return packs
}

// entry is a fact and what stands for the hash of its content.
type entry struct {
	content byte
	fact    *consentv1.Fact
}

// folded folds entries towards the seller acme; those without a fact are none.
func folded(entries ...entry) suppression.View {
	states := suppression.States{}
	for _, e := range entries {
		if e.fact == nil {
			continue
		}
		if len(e.fact.GetSellers()) == 0 {
			e.fact.Sellers = []string{"acme"}
		}
		states.Fold(suppression.Input{EntryID: []byte{e.content}, Content: []byte{e.content}, Fact: e.fact})
	}
	return states.View("acme")
}

// person folds facts about one number towards the seller acme.
func person(facts ...*consentv1.Fact) suppression.View {
	entries := make([]entry, len(facts))
	for i, f := range facts {
		entries[i] = entry{byte(i), f}
	}
	return folded(entries...)
}

func scope(c consentv1.Channel, p consentv1.Purpose) *consentv1.Scope {
	return &consentv1.Scope{Programmes: []string{"all"}, Channels: []consentv1.Channel{c}, Purposes: []consentv1.Purpose{p}}
}

func dated(at time.Time, f *consentv1.Fact) *consentv1.Fact {
	f.Earliest, f.Latest = timestamppb.New(at), timestamppb.New(at)
	return f
}

func grant(at time.Time, level string, c consentv1.Channel, p consentv1.Purpose) *consentv1.Fact {
	return dated(at, &consentv1.Fact{Source: "web", Kind: &consentv1.Fact_ConsentGranted{ConsentGranted: &consentv1.ConsentGranted{
		Scope: scope(c, p), Level: level, Evidence: &consentv1.Evidence{Method: "web_form"}}}})
}

func until(f *consentv1.Fact, end time.Time) *consentv1.Fact {
	f.GetConsentGranted().ExpiresAt = timestamppb.New(end)
	return f
}

// confirmed makes a confirmation of a grant.
func confirmed(g *consentv1.Fact) *consentv1.Fact {
	k := g.GetConsentGranted()
	g.Kind = &consentv1.Fact_ConsentConfirmed{ConsentConfirmed: &consentv1.ConsentConfirmed{
		Scope: k.GetScope(), Level: k.GetLevel(), Evidence: k.GetEvidence(), ExpiresAt: k.GetExpiresAt()}}
	return g
}

func erased(at time.Time) *consentv1.Fact {
	return dated(at, &consentv1.Fact{Sellers: []string{"all"}, Kind: &consentv1.Fact_PersonErased{PersonErased: &consentv1.PersonErased{}}})
}

func stop(at time.Time) *consentv1.Fact {
	return dated(at, &consentv1.Fact{Kind: &consentv1.Fact_ConsentRevoked{ConsentRevoked: &consentv1.ConsentRevoked{Scope: scope(everyMedium, everyCell)}}})
}

func dnc(at time.Time) *consentv1.Fact {
	return dated(at, &consentv1.Fact{Kind: &consentv1.Fact_DncAdded{DncAdded: &consentv1.DncAdded{Scope: scope(everyMedium, everyCell)}}})
}

// zone is one that exists.
func zone(name string) *time.Location {
	z, err := zones.Load(name)
	if err != nil {
		panic(err)
	}
	return z
}

// at puts places into a question.
func at(region string, names ...string) (out []places.Place) {
	for _, n := range names {
		out = append(out, places.Place{Region: region, Zone: zone(n)})
	}
	return out
}

// ask is a question about a person in California with a fresh list.
func ask(c consentv1.Channel, p consentv1.Purpose, facts ...*consentv1.Fact) rules.Input {
	return rules.Input{Seller: "acme", Channel: c, Purpose: p, At: now, Places: []places.Place{{Region: "US-CA", Zone: zone("America/Los_Angeles")}},
		View: person(facts...), Position: 7,
		Registries: []rules.RegistryAnswer{{Registry: "us_national_dnc", Loaded: true, VersionDate: "2026-11-10"}}}
}

func codes(d *consentv1.Decision) []string {
	var out []string
	for _, r := range d.GetReasons() {
		out = append(out, r.GetCode())
	}
	return out
}
