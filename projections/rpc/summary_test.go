package rpc

import (
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

func TestSummary(t *testing.T) {
	for fact, want := range map[string]string{
		`{"relationshipRecorded":{"relationship":"RELATIONSHIP_KIND_PURCHASE","similarProducts":true,"customer":false}}`: "relationship recorded: purchase, similar products, not customer",
		`{"relationshipRecorded":{"relationship":"RELATIONSHIP_KIND_NUMBER_VOLUNTEERED","phase":2}}`:                     "relationship recorded: number volunteered, ended",
		`{"timeConsent":{"weekdays":[7],"windows":[{"fromMinute":540,"toMinute":720,"weekdays":[1]}],"holidays":true}}`:  "time consent: sunday, 09:00-12:00 on monday, holidays",
		`{"preferenceSet":{"registry":"in_ncpr","blocked":true,"weekdays":[7],"channels":["CHANNEL_VOICE_LIVE"]}}`:       "preference set: by in_ncpr, blocked for channels voice_live, purposes all on sunday",
		`{"preferenceSet":{"frequencyMax":2,"frequencyDays":7,"windows":[{"toMinute":600}]}}`:                            "preference set: 00:00-10:00, at most 2 in 7 days",
		`{"subscriberClass":{"subscriber":"SUBSCRIBER_KIND_SOLE_TRADER"}}`:                                               "subscriber class: sole_trader",
		`{"partyNumber":{},"partyKey":"QUJDREVGR0hJSktMTU5PUA=="}`:                                                       "party number, of a party with several numbers",
		`{"locationRecorded":{"region":"US-NY","area":"US-NY-061","timeZone":"America/New_York"}}`:                       "location recorded: US-NY US-NY-061 America/New_York",
		`{"ported":{"line":"wireless"}}`: "ported to wireless",
	} {
		f := &consentv1.Fact{}
		if err := protojson.Unmarshal([]byte(fact), f); err != nil {
			t.Fatal(err)
		}
		if got := summary(f); got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
}
