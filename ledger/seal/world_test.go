package seal

import (
	"path/filepath"
	"testing"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func testRing(t testing.TB) *Keyring {
	t.Helper()
	r, err := Create(filepath.Join(t.TempDir(), "keys"))
	must(t, err)
	return r
}

func fullGrant() *consentv1.Fact {
	return &consentv1.Fact{
		Number: "+12025550143", Source: "crm", EventId: "e-1", OccurredOn: "2026-01-02", Sellers: []string{"acme"},
		Kind: &consentv1.Fact_ConsentGranted{ConsentGranted: &consentv1.ConsentGranted{
			Level: "express_written", ExpiresOn: "2027-01-02",
			Evidence: &consentv1.Evidence{Name: "A. Person", Ip: "192.0.2.1", Signature: "A. P.", Words: "yes", Method: "web_form"},
		}},
	}
}

const words = consentv1.PersonalClass_PERSONAL_CLASS_WORDS
