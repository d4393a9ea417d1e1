package attempts

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

func TestDeclareRefuses(t *testing.T) {
	e := newEnv(t)
	good := func() *consentv1.Attempt {
		return &consentv1.Attempt{Number: number(1), Campaign: "spring", Reference: "c0"}
	}
	for field, spoil := range map[string]func(*consentv1.Attempt){
		"number":    func(a *consentv1.Attempt) { a.Number = "12" },
		"campaign":  func(a *consentv1.Attempt) { a.Campaign = "summer" },
		"seller":    func(a *consentv1.Attempt) { a.Campaign = "" },
		"channel":   func(a *consentv1.Attempt) { a.Campaign, a.Seller = "", acme },
		"purpose":   func(a *consentv1.Attempt) { a.Campaign, a.Seller, a.Channel = "", acme, consentv1.Channel_CHANNEL_SMS },
		"reference": func(a *consentv1.Attempt) { a.Reference = strings.Repeat("x", 257) },
		"outcome":   func(a *consentv1.Attempt) { a.Outcome = consentv1.AttemptOutcome_ATTEMPT_OUTCOME_RESERVED },
		"at":        func(a *consentv1.Attempt) { a.At = &timestamppb.Timestamp{Seconds: -1} },
		"caller_id": func(a *consentv1.Attempt) { a.CallerId = strings.Repeat("1", 65) },
		"source":    func(a *consentv1.Attempt) { a.Source = number(3)[1:] },
		"subject": func(a *consentv1.Attempt) {
			a.Campaign, a.Seller, a.Channel, a.Purpose, a.Subject = "", acme, 2, 2, number(3)[1:]
		},
	} {
		a := good()
		spoil(a)
		_, err := Declare(a, "", e.keys, catalog{})
		wantField(t, err, field)
	}
	a := good()
	a.Channel = consentv1.Channel_CHANNEL_FAX
	_, err := Declare(a, "", e.keys, catalog{})
	wantField(t, err, "campaign")
	e.start()
	wantField(t, e.said(1, "c0", busy, e.now.Add(time.Hour)).Err, "at")
}
