package listing_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/projections"
	"github.com/consent-ledger/consent-ledger/projections/internal/memsource"
	"github.com/consent-ledger/consent-ledger/projections/listing"
	"github.com/consent-ledger/consent-ledger/projections/runner"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running folds a source into a fresh listing over dir until stop is called.
func running(t *testing.T, dir string, s *memsource.Source) (l *listing.Projection, r *runner.Runner, stop func()) {
	t.Helper()
	db, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l = listing.New()
	if r, err = runner.Open(db, s, []projections.Projection{l}, runner.Options{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	return l, r, func() {
		t.Helper()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// follow folds all of a source into a fresh listing over dir and stops again.
func follow(t *testing.T, dir string, s *memsource.Source) *listing.Snapshot {
	t.Helper()
	l, r, stop := running(t, dir, s)
	if err := r.WaitApplied(t.Context(), s.Tail()); err != nil {
		t.Fatal(err)
	}
	stop()
	return l.Snapshot()
}

func system(f *consentv1.Fact) memsource.Declared { return memsource.Declared{Fact: f} }

func seller(id, name string) memsource.Declared {
	return system(&consentv1.Fact{Kind: &consentv1.Fact_SellerRegistered{SellerRegistered: &consentv1.SellerRegistered{Id: id, Name: name}}})
}

func pause(at time.Time, sellers ...string) *consentv1.Fact {
	return &consentv1.Fact{Sellers: sellers, Earliest: timestamppb.New(at), Kind: &consentv1.Fact_ContactPaused{ContactPaused: &consentv1.ContactPaused{}}}
}

func resume(at time.Time, sellers ...string) *consentv1.Fact {
	return &consentv1.Fact{Sellers: sellers, Earliest: timestamppb.New(at), Kind: &consentv1.Fact_ContactResumed{ContactResumed: &consentv1.ContactResumed{}}}
}

func TestRegistrationsSurviveARestart(t *testing.T) {
	s := memsource.New()
	s.Append(
		seller("beta", "Beta"), seller("acme", "Acme"),
		system(&consentv1.Fact{Kind: &consentv1.Fact_ProgrammeRegistered{ProgrammeRegistered: &consentv1.ProgrammeRegistered{
			Id: "spring", Seller: "acme", Name: "Spring"}}}),
		system(&consentv1.Fact{Kind: &consentv1.Fact_CampaignRegistered{CampaignRegistered: &consentv1.CampaignRegistered{
			Id: "c1", Seller: "acme", Channel: consentv1.Channel_CHANNEL_SMS, Purpose: consentv1.Purpose_PURPOSE_MARKETING,
			Programme: "spring", Subject: "boots", Sector: "shoes"}}}),
		system(&consentv1.Fact{Kind: &consentv1.Fact_SourceRegistered{SourceRegistered: &consentv1.SourceRegistered{Id: "crm", Name: "CRM"}}}),
	)
	s.Append(
		seller("acme", "Acme Inc"), // another name, the same seller
		system(&consentv1.Fact{Kind: &consentv1.Fact_SourceDistrusted{SourceDistrusted: &consentv1.SourceDistrusted{Id: "crm"}}}),
	)
	dir := t.TempDir() + "/db"
	for _, when := range []string{"folded", "read again"} {
		t.Run(when, func(t *testing.T) {
			got := follow(t, dir, s)
			if d := cmp.Diff([]listing.Seller{{ID: "acme", Name: "Acme Inc", Since: 2}, {ID: "beta", Name: "Beta", Since: 1}}, got.Sellers()); d != "" {
				t.Error(d)
			}
			c, ok := got.Campaign("c1")
			want := listing.Campaign{ID: "c1", Seller: "acme", Channel: consentv1.Channel_CHANNEL_SMS, Purpose: consentv1.Purpose_PURPOSE_MARKETING,
				Programme: "spring", Subject: "boots", Sector: "shoes"}
			if d := cmp.Diff(want, c); d != "" || !ok {
				t.Error(ok, d)
			}
			if p, ok := got.Programme("acme", "spring"); !ok || p.Name != "Spring" {
				t.Error(p, ok)
			}
			if len(got.Programmes("beta")) != 0 || len(got.Programmes("acme")) != 1 {
				t.Error(got.Programmes("acme"), got.Programmes("beta"))
			}
			src, _ := got.Source("crm")
			if d := cmp.Diff(listing.Source{ID: "crm", Name: "CRM", Registered: true, Distrusted: memsource.Start.Add(7 * time.Second),
				DistrustKnown: memsource.Start.Add(7 * time.Second)}, src); d != "" {
				t.Error(d)
			}
			if !got.Distrusted("crm") || got.Distrusted("web") {
				t.Error("distrusted")
			}
			if _, ok := got.Seller("nobody"); ok || got.Position != s.Tail() {
				t.Error(ok, got.Position)
			}
		})
	}
}

func TestPause(t *testing.T) {
	at := func(s int) time.Time { return memsource.Start.Add(time.Duration(s) * time.Second) }
	day := func(f *consentv1.Fact, from, to int) *consentv1.Fact {
		f.Earliest, f.Latest = timestamppb.New(at(from)), timestamppb.New(at(to))
		return f
	}
	for _, c := range []struct {
		name       string
		facts      []*consentv1.Fact
		acme, beta bool
	}{
		{"never", nil, false, false},
		{"one", []*consentv1.Fact{pause(at(1), "acme")}, true, false},
		{"one of two", []*consentv1.Fact{pause(at(1), "acme", "beta"), resume(at(2), "beta")}, true, false},
		{"none named is all", []*consentv1.Fact{pause(at(1))}, true, true},
		{"all", []*consentv1.Fact{pause(at(1), ledger.All)}, true, true},
		{"resumed", []*consentv1.Fact{pause(at(1)), resume(at(2))}, false, false},
		{"resumed before", []*consentv1.Fact{pause(at(3)), resume(at(2))}, true, true},
		{"at the same time the pause holds", []*consentv1.Fact{resume(at(2)), pause(at(2))}, true, true},
		{"paused again", []*consentv1.Fact{pause(at(1)), resume(at(2)), pause(at(3))}, true, true},
		{"all is not lifted for one", []*consentv1.Fact{pause(at(1)), resume(at(2), "acme")}, true, true},
		{"one is not lifted for all", []*consentv1.Fact{pause(at(1), "acme"), resume(at(2))}, true, false},
		{"a pause of that day may have come after", []*consentv1.Fact{day(pause(at(0), "acme"), 0, 10), resume(at(5), "acme")}, true, false},
		{"a resumption of that day may have come before", []*consentv1.Fact{pause(at(5), "acme"), day(resume(at(0), "acme"), 0, 10)}, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, order := range []string{"as told", "backwards"} {
				s := memsource.New()
				s.Append(seller("acme", ""), seller("beta", ""))
				for i := range c.facts {
					f := c.facts[i]
					if order == "backwards" {
						f = c.facts[len(c.facts)-1-i]
					}
					s.Append(system(f))
				}
				got := follow(t, t.TempDir()+"/db", s)
				if _, p := got.Paused("acme"); p != c.acme {
					t.Errorf("%s: acme paused: %t", order, p)
				}
				if _, p := got.Paused("beta"); p != c.beta {
					t.Errorf("%s: beta paused: %t", order, p)
				}
			}
		})
	}
}

// TestSourcesThatReport: a source is listed once it reports, and stays what it was
// registered as.
func TestSourcesThatReport(t *testing.T) {
	s := memsource.New()
	from := func(source string) memsource.Declared {
		return system(&consentv1.Fact{Source: source, Kind: &consentv1.Fact_SellerRegistered{SellerRegistered: &consentv1.SellerRegistered{Id: "acme"}}})
	}
	s.Append(from("web"), from("web"), from("crm"),
		system(&consentv1.Fact{Kind: &consentv1.Fact_SourceRegistered{SourceRegistered: &consentv1.SourceRegistered{Id: "crm", Name: "CRM"}}}), from("crm"))
	dir := t.TempDir() + "/db"
	for _, when := range []string{"folded", "read again"} {
		want := []listing.Source{{ID: "crm", Name: "CRM", Registered: true}, {ID: "web"}}
		if d := cmp.Diff(want, follow(t, dir, s).Sources()); d != "" {
			t.Error(when, d)
		}
	}
}

// TestThePast: what held at an instant, and what was known of it at another.
func TestThePast(t *testing.T) {
	at := func(s int) time.Time { return memsource.Start.Add(time.Duration(s) * time.Second) }
	emergency := func(from, until int, reporting bool) memsource.Declared {
		m := &consentv1.EmergencyDeclared{Area: "US-LA", From: timestamppb.New(at(from)), Reporting: reporting}
		if until > 0 {
			m.Until = timestamppb.New(at(until))
		}
		return system(&consentv1.Fact{Kind: &consentv1.Fact_EmergencyDeclared{EmergencyDeclared: m}})
	}
	s := memsource.New()
	s.Append(seller("acme", ""), system(pause(at(10), "acme")), system(resume(at(20), "acme")), system(pause(at(30))), // recorded in seconds 1 to 4
		system(&consentv1.Fact{Source: "crm", Kind: &consentv1.Fact_SourceDistrusted{SourceDistrusted: &consentv1.SourceDistrusted{Id: "leads"}}}),
		emergency(5, 0, true), emergency(5, 50, true), emergency(60, 70, false))
	dir := t.TempDir() + "/db"
	for _, when := range []string{"folded", "read again"} {
		got := follow(t, dir, s)
		for _, c := range []struct {
			at, asOf int // 0: everything recorded
			paused   bool
		}{
			{9, 0, false}, {10, 0, true}, {19, 0, true}, {20, 0, false}, {29, 0, false}, {30, 0, true},
			{25, 2, true}, {25, 3, false}, {35, 3, false}, {35, 4, true}, {10, 1, false},
		} {
			var asOf time.Time
			if c.asOf > 0 {
				asOf = at(c.asOf)
			}
			if _, paused := got.PausedAt("acme", at(c.at), asOf); paused != c.paused {
				t.Errorf("%s: at %d as of %d: paused %v", when, c.at, c.asOf, paused)
			}
		}
		if got.DistrustedAsOf(at(4))("leads") || !got.DistrustedAsOf(at(5))("leads") || got.DistrustedAsOf(at(9))("crm") {
			t.Errorf("%s: distrust is known from another moment", when)
		}
		first := listing.Emergency{Area: "US-LA", From: at(5), Reporting: true, RecordedAt: at(6)}
		again, second := listing.Emergency{Area: "US-LA", From: at(5), Until: at(50), Reporting: true, RecordedAt: at(7)},
			listing.Emergency{Area: "US-LA", From: at(60), Until: at(70), RecordedAt: at(8)}
		if d := cmp.Diff([]listing.Emergency{again, second}, got.Emergencies()); d != "" {
			t.Errorf("%s:\n%s", when, d)
		}
		if d := cmp.Diff([]listing.Emergency{first}, got.EmergenciesAsOf(at(6))); d != "" {
			t.Errorf("%s, as of the first:\n%s", when, d)
		}
	}
}

// TestSnapshotsDoNotChange: what a reader holds stays as it was.
func TestSnapshotsDoNotChange(t *testing.T) {
	at := func(s int) time.Time { return memsource.Start.Add(time.Duration(s) * time.Second) }
	s := memsource.New()
	s.Append(seller("acme", ""), system(pause(at(10), "acme")), system(pause(at(11), "acme")))
	l, r, stop := running(t, t.TempDir()+"/db", s)
	var held []*listing.Snapshot
	for i := range 5 {
		if err := r.WaitApplied(t.Context(), s.Tail()); err != nil {
			t.Fatal(err)
		}
		held = append(held, l.Snapshot())
		f := resume(at(12+i), "acme")
		if i%2 == 1 {
			f = pause(at(12+i), "acme")
		}
		s.Append(system(f))
	}
	for i, h := range held {
		if _, paused := h.PausedAt("acme", at(99), time.Time{}); paused != (i%2 == 0) {
			t.Errorf("snapshot %d changed", i)
		}
	}
	stop()
}
