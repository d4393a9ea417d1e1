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

// TestARegionInDoubt: without its region a national number is some other person's.
func TestARegionInDoubt(t *testing.T) {
	for name, tc := range map[string]struct{ head, number, want, region string }{
		"snake case":                {`"default_region":"GB"`, "07700 900123", "07700 900123", "GB"},
		"camel case":                {`"defaultRegion":"GB"`, "07700 900123", "07700 900123", "GB"},
		"none":                      {`"oops":1`, "212 555 0143", "212 555 0143", ""},
		"null":                      {`"defaultRegion":null`, "212 555 0143", "212 555 0143", ""},
		"no text":                   {`"defaultRegion":["GB"]`, "07700 900123", "", ""},
		"no text, in snake case":    {`"default_region":{"is":"GB"}`, "07700 900123", "", ""},
		"said twice":                {`"default_region":"GB","defaultRegion":"FR"`, "07700 900123", "", ""},
		"with the country code too": {`"defaultRegion":["GB"]`, "+447700900123", "+447700900123", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := &consentv1.RecordRequest{}
			if err := recorder.UnmarshalJSON([]byte(`{`+tc.head+`,"fact":{"number":"`+tc.number+`","consentRevoked":{"oops":1}}}`), got); err != nil {
				t.Fatal(err)
			}
			if got.GetFact().GetNumber() != tc.want || got.GetDefaultRegion() != tc.region {
				t.Errorf("number %q in %q, want %q in %q", got.GetFact().GetNumber(), got.GetDefaultRegion(), tc.want, tc.region)
			}
		})
	}
}

// TestAStreamIsReadRowByRow: a row that cannot be read costs itself alone.
func TestAStreamIsReadRowByRow(t *testing.T) {
	const stop, grant = `{"number":"212 555 0143","consentRevoked":{"oops":1}}`, `{"number":"+12125550144","consentGranted":{}}`
	for name, tc := range map[string]struct {
		doc   string
		kinds []ledger.Kind // none: refused whole
		dry   bool
	}{
		"an odd stop":          {`{"facts":[` + stop + `,` + grant + `]}`, []ledger.Kind{"consent_revoked", "consent_granted"}, false},
		"an odd grant":         {`{"facts":[{"consentGranted":{"expires":1}},` + stop + `]}`, []ledger.Kind{"", "consent_revoked"}, false},
		"no object and null":   {`{"facts":["STOP",null,` + grant + `]}`, []ledger.Kind{"", "", "consent_granted"}, false},
		"a dry run":            {`{"facts":[` + stop + `],"dryRun":true}`, []ledger.Kind{"consent_revoked"}, true},
		"a dry run in doubt":   {`{"facts":[` + stop + `],"dry_run":"yes"}`, nil, false},
		"an unknown name":      {`{"facts":[` + stop + `,` + grant + `],"dryRum":true}`, []ledger.Kind{"consent_revoked", ""}, false},
		"a region":             {`{"facts":[` + stop + `],"default_region":"US"}`, []ledger.Kind{"consent_revoked"}, false},
		"facts that are none":  {`{"facts":7}`, nil, false},
		"a document that ends": {`{"facts":[` + stop, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			got := &consentv1.RecordStreamRequest{}
			err := recorder.UnmarshalJSON([]byte(tc.doc), got)
			if (err == nil) != (tc.kinds != nil) || len(got.GetFacts()) != len(tc.kinds) || got.GetDryRun() != tc.dry {
				t.Fatalf("%d facts, dry %t, %v", len(got.GetFacts()), got.GetDryRun(), err)
			}
			for i, f := range got.GetFacts() {
				if k := ledger.KindOf(f); k != tc.kinds[i] || k == "" && f.GetUnread() == "" {
					t.Errorf("row %d is %q, want %q; unread %q", i, k, tc.kinds[i], f.GetUnread())
				}
			}
		})
	}
	for name, head := range map[string]string{"unread": `"defaultRegion":["GB"]`, "large": `"oops":"` + strings.Repeat("x", 1<<20) + `"`} {
		got := &consentv1.RecordStreamRequest{}
		err := recorder.UnmarshalJSON([]byte(`{"facts":[`+stop+`],`+head+`}`), got)
		if err != nil || got.GetFacts()[0].GetNumber() != "" || len(got.GetFacts()[0].GetUnread()) > 2000 {
			t.Errorf("%s: a number in a region in doubt was read: %v", name, err)
		}
	}
}
