package declare_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/declare"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// registered is a catalog of one seller with one programme.
type registered struct{}

func (registered) Seller(id string) bool                         { return id == "acme" }
func (registered) Campaign(string) *consentv1.CampaignRegistered { return nil }
func (registered) Programme(seller, id string) bool              { return seller == "acme" && id == "offers" }

var recordedAt = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func keyring(t testing.TB) *seal.Keyring {
	t.Helper()
	k, err := seal.Create(filepath.Join(t.TempDir(), "keys"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func scope() *consentv1.Scope {
	return &consentv1.Scope{Channels: []consentv1.Channel{consentv1.Channel_CHANNEL_SMS}, Purposes: []consentv1.Purpose{consentv1.Purpose_PURPOSE_MARKETING}}
}

func grant(change func(*consentv1.Fact, *consentv1.ConsentGranted)) *consentv1.Fact {
	g := &consentv1.ConsentGranted{Level: "express_written", Scope: scope()}
	f := &consentv1.Fact{Number: "+12125550143", Sellers: []string{"acme"}, Source: "crm", EventId: "e1",
		OccurredAt: timestamppb.New(recordedAt.Add(-time.Hour)), Kind: &consentv1.Fact_ConsentGranted{ConsentGranted: g}}
	if change != nil {
		change(f, g)
	}
	return f
}

func stop(change func(*consentv1.Fact, *consentv1.ConsentRevoked)) *consentv1.Fact {
	r := &consentv1.ConsentRevoked{}
	f := &consentv1.Fact{Number: "+12125550143", Source: "crm", EventId: "e1", Kind: &consentv1.Fact_ConsentRevoked{ConsentRevoked: r}}
	if change != nil {
		change(f, r)
	}
	return f
}

// settle declares and resolves: what the writer would store, or why not.
func settle(t testing.TB, f *consentv1.Fact) (*declare.Declared, error) {
	t.Helper()
	d, err := declare.Declare(declare.Declaration{Fact: f}, keyring(t), registered{})
	if err != nil {
		return nil, err
	}
	if d.Invalid != nil {
		return d, d.Invalid
	}
	return d, d.Resolve(recordedAt)
}

func TestGrantsHaveNoGaps(t *testing.T) {
	type change = func(*consentv1.Fact, *consentv1.ConsentGranted)
	for name, tc := range map[string]struct {
		change change
		field  string // empty: it is taken
	}{
		"complete":               {nil, ""},
		"a date alone":           {func(f *consentv1.Fact, _ *consentv1.ConsentGranted) { f.OccurredAt, f.OccurredOn = nil, "2026-05-30" }, ""},
		"no seller":              {func(f *consentv1.Fact, _ *consentv1.ConsentGranted) { f.Sellers = nil }, "seller"},
		"all sellers":            {func(f *consentv1.Fact, _ *consentv1.ConsentGranted) { f.Sellers = []string{"all"} }, "seller"},
		"an unregistered seller": {func(f *consentv1.Fact, _ *consentv1.ConsentGranted) { f.Sellers = []string{"acme", "other"} }, "seller"},
		"no channels":            {func(_ *consentv1.Fact, g *consentv1.ConsentGranted) { g.Scope.Channels = nil }, "channels"},
		"an unknown channel":     {func(_ *consentv1.Fact, g *consentv1.ConsentGranted) { g.Scope.Channels = append(g.Scope.Channels, 99) }, "channels"},
		"no purposes":            {func(_ *consentv1.Fact, g *consentv1.ConsentGranted) { g.Scope.Purposes = nil }, "purposes"},
		"no scope":               {func(_ *consentv1.Fact, g *consentv1.ConsentGranted) { g.Scope = nil }, "channels"},
		"an unknown programme":   {func(_ *consentv1.Fact, g *consentv1.ConsentGranted) { g.Scope.Programmes = []string{"x"} }, "programme"},
		"no level":               {func(_ *consentv1.Fact, g *consentv1.ConsentGranted) { g.Level = "" }, "level"},
		"no date":                {func(f *consentv1.Fact, _ *consentv1.ConsentGranted) { f.OccurredAt = nil }, "occurred_at"},
		"an unreadable date":     {func(f *consentv1.Fact, _ *consentv1.ConsentGranted) { f.OccurredAt, f.OccurredOn = nil, "last week" }, "occurred_at"},
		"dated tomorrow": {func(f *consentv1.Fact, _ *consentv1.ConsentGranted) {
			f.OccurredAt = timestamppb.New(recordedAt.Add(24 * time.Hour))
		}, "occurred_at"},
		"an unreadable expiry":  {func(_ *consentv1.Fact, g *consentv1.ConsentGranted) { g.ExpiresOn = "never" }, "expires_at"},
		"no number":             {func(f *consentv1.Fact, _ *consentv1.ConsentGranted) { f.Number = "" }, "number"},
		"letters in the number": {func(f *consentv1.Fact, _ *consentv1.ConsentGranted) { f.Number = "1-800-FLOWERS" }, "number"},
		"no event id":           {func(f *consentv1.Fact, _ *consentv1.ConsentGranted) { f.EventId = "" }, "event_id"},
		"no source":             {func(f *consentv1.Fact, _ *consentv1.ConsentGranted) { f.Source = "" }, "source"},
		"a number as level":     {func(_ *consentv1.Fact, g *consentv1.ConsentGranted) { g.Level = "12125550143" }, "level"},
		"a number in clear": {func(_ *consentv1.Fact, g *consentv1.ConsentGranted) {
			g.Evidence = &consentv1.Evidence{LeadVendor: "call 212-555-0143"}
		}, "lead_vendor"},
		"dated 1970": {func(f *consentv1.Fact, _ *consentv1.ConsentGranted) { f.OccurredAt = timestamppb.New(time.Unix(0, 0)) }, "occurred_at"},
		"a field nobody knows": {func(_ *consentv1.Fact, g *consentv1.ConsentGranted) {
			g.Scope.ProtoReflect().SetUnknown([]byte{0xa0, 0x3f, 1})
		}, "fact"},
		"words of 2 MB": {func(_ *consentv1.Fact, g *consentv1.ConsentGranted) {
			g.Evidence = &consentv1.Evidence{Words: strings.Repeat("x", 2<<20)}
		}, "words"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := settle(t, grant(tc.change))
			var invalid *ledger.InvalidError
			switch {
			case tc.field == "" && err != nil:
				t.Fatal(err)
			case tc.field != "" && (!errors.As(err, &invalid) || invalid.Field != tc.field):
				t.Fatalf("got %v, want a refusal of %s", err, tc.field)
			case err != nil && strings.Contains(err.Error(), "5550143"):
				t.Errorf("the error holds the number: %v", err)
			}
		})
	}
}

func TestStopsAreNeverLostToForm(t *testing.T) {
	all := &consentv1.Scope{Programmes: []string{"all"}, Channels: []consentv1.Channel{consentv1.Channel_CHANNEL_ALL},
		Purposes: []consentv1.Purpose{consentv1.Purpose_PURPOSE_ALL}}
	for name, tc := range map[string]struct {
		change  func(*consentv1.Fact, *consentv1.ConsentRevoked)
		sellers string
		scope   *consentv1.Scope // nil: all
		unread  string
	}{
		"a number and nothing else": {nil, "all", nil, ""},
		"a registered seller":       {func(f *consentv1.Fact, _ *consentv1.ConsentRevoked) { f.Sellers = []string{"acme"} }, "acme", nil, ""},
		"an unregistered seller":    {func(f *consentv1.Fact, _ *consentv1.ConsentRevoked) { f.Sellers = []string{"acme", "nobody"} }, "all", nil, "nobody"},
		"an unknown channel": {func(_ *consentv1.Fact, r *consentv1.ConsentRevoked) {
			r.Scope = &consentv1.Scope{Channels: []consentv1.Channel{6, 99}}
		}, "all", nil, "channels"},
		"an odd programme": {func(_ *consentv1.Fact, r *consentv1.ConsentRevoked) {
			r.Scope = &consentv1.Scope{Programmes: []string{"What?"}}
		}, "all", nil, "What?"},
		"dated tomorrow": {func(f *consentv1.Fact, _ *consentv1.ConsentRevoked) {
			f.OccurredAt = timestamppb.New(recordedAt.Add(24 * time.Hour))
		}, "all", nil, ""},
		"an unreadable date":          {func(f *consentv1.Fact, _ *consentv1.ConsentRevoked) { f.OccurredOn = "yesterday-ish" }, "all", nil, ""},
		"an impossible date":          {func(f *consentv1.Fact, _ *consentv1.ConsentRevoked) { f.OccurredAt = &timestamppb.Timestamp{Nanos: -1} }, "all", nil, ""},
		"no date, as Go writes it":    {func(f *consentv1.Fact, _ *consentv1.ConsentRevoked) { f.OccurredAt = timestamppb.New(time.Time{}) }, "all", nil, ""},
		"no date, as Unix writes it":  {func(f *consentv1.Fact, _ *consentv1.ConsentRevoked) { f.OccurredAt = timestamppb.New(time.Unix(0, 0)) }, "all", nil, ""},
		"no date, as a CRM writes it": {func(f *consentv1.Fact, _ *consentv1.ConsentRevoked) { f.OccurredOn = "1900-01-01" }, "all", nil, ""},
		"a misspelt programme": {func(f *consentv1.Fact, r *consentv1.ConsentRevoked) {
			f.Sellers, r.Scope = []string{"acme"}, &consentv1.Scope{Programmes: []string{"offerz"}}
		}, "acme", nil, "offerz"},
		"a misspelt programme answered": {func(f *consentv1.Fact, r *consentv1.ConsentRevoked) {
			f.Sellers, r.InReplyToProgramme = []string{"acme"}, "offerz"
		}, "acme", nil, "offerz"},
		"a programme and no seller": {func(_ *consentv1.Fact, r *consentv1.ConsentRevoked) {
			r.Scope = &consentv1.Scope{Programmes: []string{"offers"}}
		}, "all", nil, "offers"},
		"a source that is none":  {func(f *consentv1.Fact, _ *consentv1.ConsentRevoked) { f.Source = "Our Fine CRM!" }, "all", nil, "Our Fine CRM!"},
		"a number as method":     {func(_ *consentv1.Fact, r *consentv1.ConsentRevoked) { r.Method = "+1 212 555 0143" }, "all", nil, "555 0143"},
		"two megabytes of words": {func(_ *consentv1.Fact, r *consentv1.ConsentRevoked) { r.Words = strings.Repeat("stop ", 400_000) }, "all", nil, ""},
		"a narrow scope": {func(_ *consentv1.Fact, r *consentv1.ConsentRevoked) { r.Scope = scope() }, "all",
			&consentv1.Scope{Programmes: []string{"all"}, Channels: scope().Channels, Purposes: scope().Purposes}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := settle(t, stop(tc.change))
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(d.Fact.Sellers, ";"); got != tc.sellers {
				t.Errorf("sellers %s, want %s", got, tc.sellers)
			}
			if want := tc.scope; !proto.Equal(d.Fact.GetConsentRevoked().GetScope(), orAll(want, all)) {
				t.Errorf("scope %v", d.Fact.GetConsentRevoked().GetScope())
			}
			if !strings.Contains(d.Fact.Unread, tc.unread) || (tc.unread == "") != (d.Fact.Unread == "") {
				t.Errorf("unread %q, want %q", d.Fact.Unread, tc.unread)
			}
			if strings.HasPrefix(name, "no date") && !d.Fact.Earliest.AsTime().Equal(recordedAt) {
				t.Errorf("no date was read as %s", d.Fact.Earliest.AsTime())
			}
			if l := d.Fact.Latest.AsTime(); l.After(recordedAt) || d.Fact.Earliest.AsTime().After(l) {
				t.Errorf("dates %s to %s", d.Fact.Earliest.AsTime(), l)
			}
			clear, _ := seal.Split(d.Fact)
			if raw, _ := proto.Marshal(clear); bytes.Contains(raw, []byte("0143")) {
				t.Error("a number stands in clear")
			}
		})
	}
}

func orAll(s, all *consentv1.Scope) *consentv1.Scope {
	if s == nil {
		return all
	}
	return s
}

func TestUnreadableStopGoesToAPerson(t *testing.T) {
	for _, number := range []string{"", "unknown", "+12125550143 or so", "123"} {
		_, err := settle(t, stop(func(f *consentv1.Fact, _ *consentv1.ConsentRevoked) { f.Number = number }))
		var invalid *ledger.InvalidError
		if !errors.As(err, &invalid) || !invalid.Inbox || (number != "" && strings.Contains(err.Error(), number)) {
			t.Errorf("%q: %v", number, err)
		}
	}
}

func TestMessagesAreClassified(t *testing.T) {
	for body, want := range map[string]consentv1.MessageClass{
		"STOP":                      consentv1.MessageClass_MESSAGE_CLASS_STOP,
		"pls take me off your list": consentv1.MessageClass_MESSAGE_CLASS_STOP,
		"START":                     consentv1.MessageClass_MESSAGE_CLASS_NOT_STOP,
		"who is this":               consentv1.MessageClass_MESSAGE_CLASS_UNCLEAR,
	} {
		d, err := settle(t, &consentv1.Fact{Number: "+12125550143", Source: "sms", EventId: "m1",
			Kind: &consentv1.Fact_InboundMessage{InboundMessage: &consentv1.InboundMessage{Body: body}}})
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Fact.GetInboundMessage().GetClassification(); got != want {
			t.Errorf("%q is %s, want %s", body, got, want)
		}
	}
}

// A source's own judgement counts, but for the words that leave nothing to judge.
func TestWordsThatLeaveNothingToJudge(t *testing.T) {
	const notStop = consentv1.MessageClass_MESSAGE_CLASS_NOT_STOP
	for body, want := range map[string]consentv1.MessageClass{
		"what time do you open?": notStop,
		"don't stop":             notStop,
		" Stop! ":                consentv1.MessageClass_MESSAGE_CLASS_STOP,
		"opt-out":                consentv1.MessageClass_MESSAGE_CLASS_STOP,
		"ＥＮＤ":                    consentv1.MessageClass_MESSAGE_CLASS_STOP,
	} {
		d, err := settle(t, &consentv1.Fact{Number: "+12125550143", Source: "sms", EventId: "m1",
			Kind: &consentv1.Fact_InboundMessage{InboundMessage: &consentv1.InboundMessage{Body: body, Classification: notStop}}})
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Fact.GetInboundMessage().GetClassification(); got != want || d.Stop != (want != notStop) {
			t.Errorf("%q is %s, a stop %v, want %s", body, got, d.Stop, want)
		}
	}
}

// The content hash tells a retry from a conflict: it depends on what was declared
// and on nothing else.
func TestCanonical(t *testing.T) {
	a := grant(func(f *consentv1.Fact, g *consentv1.ConsentGranted) {
		f.Sellers = []string{"b", "a", "a"}
		g.Scope.Channels = []consentv1.Channel{6, 2}
	})
	b := grant(func(f *consentv1.Fact, g *consentv1.ConsentGranted) {
		f.Sellers = []string{"a", "b"}
		g.Scope.Channels = []consentv1.Channel{2, 6, 6}
	})
	if !bytes.Equal(declare.Canonical(a), declare.Canonical(b)) {
		t.Error("order and repetition in lists change the canonical form")
	}
	rapid.Check(t, func(t *rapid.T) {
		one, two := randomFact(t, "one"), randomFact(t, "two")
		if bytes.Equal(declare.Canonical(one), declare.Canonical(two)) != proto.Equal(one, two) {
			t.Fatalf("canonical forms and facts disagree on equality:\n%v\n%v", one, two)
		}
	})
}

func randomFact(t *rapid.T, label string) *consentv1.Fact {
	word := rapid.SampledFrom([]string{"", "a", "b", "ab"})
	return &consentv1.Fact{Number: word.Draw(t, label), Source: word.Draw(t, label), EventId: word.Draw(t, label), Historical: rapid.Bool().Draw(t, label),
		Kind: &consentv1.Fact_ConsentGranted{ConsentGranted: &consentv1.ConsentGranted{Level: word.Draw(t, label),
			Evidence: &consentv1.Evidence{Method: word.Draw(t, label), Words: word.Draw(t, label)}}}}
}
