package recorder_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/recorder"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// TestStopsAreNeverRefusedForForm: each of these is broken somewhere; what is left
// is a stop of the number, as wide as what could not be read.
func TestStopsAreNeverRefusedForForm(t *testing.T) {
	for name, tc := range map[string]struct{ doc, want string }{
		"misspelt names": {`{"fact":{"number":"+12125550143","sellrs":["acme"],"consentRevoked":{"wrods":"STOP"}}}`,
			`{"fact":{"number":"+12125550143","consentRevoked":{}}}`},
		"unknown channel": {`{"fact":{"number":"+12125550143","sellers":["acme"],"consentRevoked":{"words":"STOP","scope":{"channels":["SMOKE"]}}}}`,
			`{"fact":{"number":"+12125550143","sellers":["acme"],"consentRevoked":{"words":"STOP"}}}`},
		"a date nobody can read": {`{"fact":{"number":"+12125550143","occurredAt":"last tuesday","dncAdded":{"words":"never"}}}`,
			`{"fact":{"number":"+12125550143","dncAdded":{"words":"never"}}}`},
		"bytes that are no UTF-8": {"{\"fact\":{\"number\":\"+12125550143\",\"consentRevoked\":{\"words\":\"\xa1no m\xe1s!\"}}}",
			`{"fact":{"number":"+12125550143","consentRevoked":{"words":"\ufffdno m\ufffds!"}}}`},
		"one channel of two is unknown": {`{"fact":{"number":"+12125550143","consentRevoked":{"scope":{"channels":["CHANNEL_SMS","SMOKE"]}}}}`,
			`{"fact":{"number":"+12125550143","consentRevoked":{}}}`},
		"numbers for texts": {`{"fact":{"number":12125550143,"eventId":17,"consentRevoked":{"words":2}}}`,
			`{"fact":{"number":"12125550143","eventId":"17","consentRevoked":{"words":"2"}}}`},
		"a kind that is no object": {`{"fact":{"number":"+12125550143","consent_revoked":true},"defaultRegion":"GB"}`,
			`{"fact":{"number":"+12125550143","consentRevoked":{}},"defaultRegion":"GB"}`},
	} {
		t.Run(name, func(t *testing.T) {
			got, want := &consentv1.RecordRequest{}, &consentv1.RecordRequest{}
			if err := recorder.UnmarshalJSON([]byte(tc.doc), got); err != nil {
				t.Fatal(err)
			}
			if got.GetFact().GetUnread() == "" {
				t.Error("what it said is not kept")
			}
			if err := protojson.Unmarshal([]byte(tc.want), want); err != nil {
				t.Fatal(err)
			}
			want.Fact.Unread = got.Fact.Unread
			if protojson.Format(got) != protojson.Format(want) {
				t.Errorf("got %s, want %s", protojson.Format(got), protojson.Format(want))
			}
		})
	}
}

// TestGrantsAreRefusedForForm, and the text says why without the number.
func TestGrantsAreRefusedForForm(t *testing.T) {
	for doc, want := range map[string]string{
		`{"fact":{"number":"+12125550143","consentGranted":{"expires":"2026-03-01"}}}`:     `unknown field "expires"`,
		`{"fact":{"number":"+12125550143","consentGranted":{"+12125550143":"x"}}}`:         "unknown field",
		"{\"fact\":{\"number\":\"+12125550143\",\"consentGranted\":{\"level\":\"\xff\"}}}": "the JSON is not UTF-8",
		`{"fact":{"number":12125550143,"consentGranted":{}}}`:                              "invalid value for",
		`STOP +12125550143`:                            "syntax error",
		`{"fact":{"number":"+12125550143","oops":{}}}`: `unknown field "oops"`,
	} {
		m := &consentv1.RecordRequest{}
		err := recorder.UnmarshalJSON([]byte(doc), m)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "5550143") {
			t.Errorf("%q: %v, want %s", doc, err, want)
		}
		if m.GetFact() != nil {
			t.Errorf("%q: a refused request is not empty", doc)
		}
	}
}

// FuzzUnmarshalJSON: whatever is sent is a request, a stop or an error.
func FuzzUnmarshalJSON(f *testing.F) {
	f.Add([]byte(`{"fact":{"number":"+12125550143","consentRevoked":{"scope":{"channels":[7]}}}}`))
	f.Add([]byte(`{"fact":{"consentRevoked":null,"dncAdded":{}}}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		m := &consentv1.RecordRequest{}
		if recorder.UnmarshalJSON(doc, m) == nil && m.GetFact().GetUnread() != "" && !ledger.IsStop(m.GetFact()) {
			_ = protojson.Format(m) // a fact may bring `unread` itself
		}
	})
}
