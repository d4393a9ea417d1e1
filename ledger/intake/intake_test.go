package intake_test

import (
	"testing"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/intake"
)

// TestParse: what can be read is read; what cannot is kept whole beside it.
func TestParse(t *testing.T) {
	for name, tc := range map[string]struct {
		doc   string
		kinds []ledger.Kind // empty: kept unread
	}{
		"one record":             {`{"fact":{"consentRevoked":{}}}`, []ledger.Kind{"consent_revoked"}},
		"a batch":                {`{"records":[{"fact":{"consentRevoked":{}}},{"fact":{"dncAdded":{}}}]}`, []ledger.Kind{"consent_revoked", "dnc_added"}},
		"a broken record":        {`{"records":[{"fact":{"consentGranted":{"expires":1}}},{"fact":{"dncAdded":{}}}]}`, []ledger.Kind{"", "dnc_added"}},
		"a record of no object":  {`{"records":["STOP",{"fact":{"dncAdded":{}}}]}`, []ledger.Kind{"", "dnc_added"}},
		"an odd stop in a batch": {"{\"records\":[{\"fact\":{\"consentRevoked\":{\"words\":\"\xff\"}}}]}", []ledger.Kind{"consent_revoked"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := intake.Parse([]byte(tc.doc))
			if err != nil || len(got) != len(tc.kinds) {
				t.Fatalf("%d records, %v", len(got), err)
			}
			for i, r := range got {
				if k := ledger.KindOf(r.GetFact()); k != tc.kinds[i] {
					t.Errorf("record %d is %q, not %q", i, k, tc.kinds[i])
				}
				if tc.kinds[i] == "" && r.GetFact().GetUnread() == "" {
					t.Errorf("record %d is lost", i)
				}
			}
		})
	}
	for _, doc := range []string{"", "STOP", "{}STOP", "{", `{"records":7}`} {
		if got, err := intake.Parse([]byte(doc)); err == nil {
			t.Errorf("%q was read as %d records", doc, len(got))
		}
	}
}

// FuzzParse: a message is records or an error, and no record is nil.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"records":[{"fact":{"dncAdded":{}}},null]}`))
	f.Add([]byte{0x0a, 0x02, 0x0a, 0x00})
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := intake.Parse(data)
		if (err == nil) != (len(got) > 0) {
			t.Fatalf("%d records, %v", len(got), err)
		}
		for _, r := range got {
			if r == nil {
				t.Fatal("a record is nil")
			}
		}
	})
}
