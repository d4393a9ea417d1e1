package declare_test

import (
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// TestWording: an id of a wording has one place in the ledger, and its hash is that
// of the text, whatever the caller says.
func TestWording(t *testing.T) {
	good := func() *consentv1.Fact {
		return &consentv1.Fact{Source: ledger.ProgramSource, EventId: "wording-web-1", Kind: &consentv1.Fact_WordingPublished{
			WordingPublished: &consentv1.WordingPublished{Id: "web-1", Text: "Acme may text me. Call +1 202 555 0143 to end it.", Sha256: []byte("a lie")}}}
	}
	f, err := settle(t, good())
	if err != nil {
		t.Fatal(err)
	}
	want := sha256.Sum256([]byte(good().GetWordingPublished().GetText()))
	if got := f.Fact.GetWordingPublished().GetSha256(); string(got) != string(want[:]) {
		t.Errorf("the hash is %x", got)
	}
	for name, change := range map[string]func(*consentv1.Fact){
		"id":       func(f *consentv1.Fact) { f.GetWordingPublished().Id = "Web 1" },
		"event_id": func(f *consentv1.Fact) { f.EventId = "another" },
		"text":     func(f *consentv1.Fact) { f.GetWordingPublished().Text = " \n" },
		"language": func(f *consentv1.Fact) { f.GetWordingPublished().Language = "en-12025550143" },
	} {
		bad := good()
		change(bad)
		var invalid *ledger.InvalidError
		if _, err := settle(t, bad); !errors.As(err, &invalid) || invalid.Field != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	large, other := good(), good()
	large.GetWordingPublished().Text = strings.Repeat("x", 32<<10+1)
	other.Source = "crm"
	for _, bad := range []*consentv1.Fact{large, other} {
		if _, err := settle(t, proto.CloneOf(bad)); err == nil {
			t.Errorf("%s of %d bytes from %s is taken", bad.GetEventId(), len(bad.GetWordingPublished().GetText()), bad.GetSource())
		}
	}
}
