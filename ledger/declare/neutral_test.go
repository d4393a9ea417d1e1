package declare_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/declare"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// TestNewKinds: what can make contact easier must be whole and dated; what
// forbids is taken as widely as it could mean.
func TestNewKinds(t *testing.T) {
	dated := `"occurredAt":"2026-05-30T10:00:00Z",`
	for name, tc := range map[string]struct {
		fact  string
		field string // refused; empty: taken
	}{
		"times agreed to":            {dated + `"sellers":["acme"],"timeConsent":{"weekdays":[7]}`, ""},
		"without a date":             {`"sellers":["acme"],"timeConsent":{"weekdays":[7]}`, "occurred_at"},
		"without a seller":           {dated + `"timeConsent":{"weekdays":[7]}`, "seller"},
		"without times":              {dated + `"sellers":["acme"],"timeConsent":{}`, "time_consent"},
		"on no day there is":         {dated + `"sellers":["acme"],"timeConsent":{"weekdays":[8]}`, "weekdays"},
		"at no time there is":        {dated + `"sellers":["acme"],"timeConsent":{"windows":[{"fromMinute":600,"toMinute":1441}]}`, "windows"},
		"holidays alone":             {dated + `"sellers":["acme"],"timeConsent":{"holidays":true}`, ""},
		"a company":                  {dated + `"subscriberClass":{"subscriber":"SUBSCRIBER_KIND_CORPORATE"}`, ""},
		"a company since an odd day": {`"occurredOn":"lately","subscriberClass":{"subscriber":"SUBSCRIBER_KIND_CORPORATE"}`, "occurred_at"},
		"a person since an odd day":  {`"occurredOn":"lately","subscriberClass":{"subscriber":"SUBSCRIBER_KIND_INDIVIDUAL"}`, ""},
		"a subscriber of no class":   {dated + `"subscriberClass":{}`, "subscriber"},
		"a party's number":           {`"party":"C-17","partyNumber":{}`, ""},
		"a number of nobody's":       {`"party":"  ","partyNumber":{}`, "party"},
		"blocked at a registry": {
			`"occurredOn":"lately","preferenceSet":{"registry":"in_ncpr","blocked":true,"channels":["CHANNEL_SMS",99],"weekdays":[9]}`, ""},
		"unblocked at an odd time":     {`"occurredOn":"lately","preferenceSet":{"registry":"in_ncpr"}`, "occurred_at"},
		"unblocked for an odd channel": {dated + `"preferenceSet":{"registry":"in_ncpr","channels":[99]}`, "channels"},
		"unblocked at an odd registry": {dated + `"preferenceSet":{"registry":"Our Registry"}`, "registry"},
		"unblocked":                    {dated + `"preferenceSet":{"registry":"in_ncpr"}`, ""},
		"a person's own wish undated":  {`"occurredOn":"lately","preferenceSet":{"frequencyMax":1,"frequencyDays":7}`, ""},
		"an emergency":                 {`"emergencyDeclared":{"area":"US-NY-061","from":"2026-05-30T10:00:00Z"}`, ""},
		"an emergency nowhere":         {`"emergencyDeclared":{"area":"New York","from":"2026-05-30T10:00:00Z"}`, "area"},
		"an emergency since never":     {`"emergencyDeclared":{"area":"US-LA"}`, "from"},
		"an emergency over before":     {`"emergencyDeclared":{"area":"US-LA","from":"2026-05-30T10:00:00Z","until":"2026-05-29T10:00:00Z"}`, "until"},
		"a pack without a file":        {`"rulePackPublished":{"id":"us-zz","version":"1","layer":"state"}`, "sha256"},
		"a pack of an unknown seller": {
			`"rulePackPublished":{"id":"x","version":"1","layer":"seller","seller":"nobody","sha256":"` + strings.Repeat("AAAA", 10) + `AAA="}`, "seller"},
		"a campaign of an odd sector": {
			`"campaignRegistered":{"id":"c","seller":"acme","channel":"CHANNEL_SMS","purpose":"PURPOSE_MARKETING","sector":"claims & more"}`, "sector"},
		"a campaign of a sector": {
			`"campaignRegistered":{"id":"c","seller":"acme","channel":"CHANNEL_SMS","purpose":"PURPOSE_MARKETING","sector":"claims_management"}`, ""},
		"a soft opt-in without a date": {
			`"sellers":["acme"],"relationshipRecorded":{"relationship":"RELATIONSHIP_KIND_PURCHASE","similarProducts":true}`, "occurred_at"},
		"a number given for such calls": {dated + `"sellers":["acme"],"relationshipRecorded":{"relationship":"RELATIONSHIP_KIND_NUMBER_VOLUNTEERED"}`, ""},
	} {
		f := &consentv1.Fact{}
		if err := protojson.Unmarshal([]byte("{"+tc.fact+"}"), f); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		f.Source, f.EventId = "crm", "e1"
		if ledger.NatureOf(ledger.KindOf(f)) != ledger.System {
			f.Number = "+12125550143"
		}
		_, err := settle(t, f)
		var invalid *ledger.InvalidError
		if tc.field == "" && err != nil || tc.field != "" && (!errors.As(err, &invalid) || invalid.Field != tc.field) {
			t.Errorf("%s: got %v, want a refusal of %q", name, err, tc.field)
		}
	}
}

// TestBlockAtARegistryIsWidened: what cannot be understood of a block blocks all.
func TestBlockAtARegistryIsWidened(t *testing.T) {
	d, err := settle(t, &consentv1.Fact{Number: "+12125550143", Source: "crm", EventId: "e1",
		Kind: &consentv1.Fact_PreferenceSet{PreferenceSet: &consentv1.PreferenceSet{
			Registry: "in_ncpr", Blocked: true, Channels: []consentv1.Channel{2, 99}, Purposes: []consentv1.Purpose{2, 77}, Weekdays: []uint32{9},
			Windows: []*consentv1.TimeWindow{{FromMinute: 1, ToMinute: 2}}}}})
	if err != nil {
		t.Fatal(err)
	}
	want := &consentv1.PreferenceSet{Registry: "in_ncpr", Blocked: true}
	if !proto.Equal(want, d.Fact.GetPreferenceSet()) || len(d.Notices) != 3 {
		t.Errorf("got %v, %q", d.Fact.GetPreferenceSet(), d.Notices)
	}
}

// TestPartyKey: one key for one id, whatever the source and the blanks around it;
// the id itself is sealed, and the key is no business of the caller's.
func TestPartyKey(t *testing.T) {
	keys := keyring(t)
	key := func(source, party string) []byte {
		d, err := declare.Declare(declare.Declaration{Fact: &consentv1.Fact{Number: "+12125550143", Source: source, EventId: "e", Party: party,
			PartyKey: bytes.Repeat([]byte{7}, 16), OccurredAt: timestamppb.New(recordedAt.Add(-time.Hour)),
			Kind: &consentv1.Fact_DncAdded{DncAdded: &consentv1.DncAdded{}}}}, keys, registered{})
		if err != nil || d.Invalid != nil {
			t.Fatal(err, d.Invalid)
		}
		if clear, _ := seal.Split(d.Fact); clear.GetParty() != "" {
			t.Error("the id stands in clear")
		}
		return d.Fact.GetPartyKey()
	}
	a := key("crm", "C-17")
	if len(a) != ledger.PartyKeyBytes || !bytes.Equal(a, key("dialer", " C-17 ")) {
		t.Error("another source, another key")
	}
	if bytes.Equal(a, key("crm", "c-17")) || key("crm", "") != nil || key("crm", " ") != nil {
		t.Error("other ids share a key, or none has one")
	}
}
