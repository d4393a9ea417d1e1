package parties_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/projections"
	"github.com/consent-ledger/consent-ledger/projections/internal/memsource"
	"github.com/consent-ledger/consent-ledger/projections/parties"
	"github.com/consent-ledger/consent-ledger/projections/runner"
	"github.com/consent-ledger/consent-ledger/projections/suppression"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	one, two, three = memsource.TokenOf(1), memsource.TokenOf(2), memsource.TokenOf(3)
	ann, bob        = []byte("ann's sixteen by"), []byte("bob's sixteen by")
	asked           = suppression.Question{Channel: consentv1.Channel_CHANNEL_VOICE_LIVE, Purpose: consentv1.Purpose_PURPOSE_MARKETING,
		At: memsource.Start.AddDate(1, 0, 0)}
)

func about(t ledger.Token, party []byte, f *consentv1.Fact) memsource.Declared {
	f.PartyKey = party
	return memsource.Declared{Token: t, Fact: f}
}

func tie(t ledger.Token, party []byte) memsource.Declared {
	return about(t, party, &consentv1.Fact{Kind: &consentv1.Fact_PartyNumber{PartyNumber: &consentv1.PartyNumber{}}})
}

func dnc(t ledger.Token, party []byte) memsource.Declared {
	return about(t, party, &consentv1.Fact{Sellers: []string{"acme"}, Kind: &consentv1.Fact_DncAdded{DncAdded: &consentv1.DncAdded{}}})
}

func erase(t ledger.Token) memsource.Declared {
	return about(t, nil, &consentv1.Fact{Kind: &consentv1.Fact_PersonErased{PersonErased: &consentv1.PersonErased{}}})
}

// folded runs f on what a source folds to, and gives the hash of the parties.
func folded(t *testing.T, s *memsource.Source, f func(projections.Reader)) ledger.Hash {
	t.Helper()
	db, err := store.Open(t.TempDir()+"/db", store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := runner.Open(db, s, []projections.Projection{suppression.Projection{}, parties.Projection{}}, runner.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	err = r.Read(ctx, s.Tail(), func(v runner.View) error { f(v); return nil })
	if err != nil {
		t.Fatal(err)
	}
	hashes, err := r.StateHash(ctx)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return hashes["parties"]
}

// stopped tells whether a party's request covers a number.
func stopped(t *testing.T, r projections.Reader, number ledger.Token) bool {
	t.Helper()
	v, err := suppression.Load(r.Get, number, "acme")
	if err != nil {
		t.Fatal(err)
	}
	if v, err = parties.Load(r, v, number, "acme"); err != nil {
		t.Fatal(err)
	}
	_, found := v.PartyDnc(asked, suppression.Need{}, false)
	return found
}

func TestARequestCoversEveryNumber(t *testing.T) {
	for _, c := range []struct {
		name             string
		facts            []memsource.Declared
		one, two, three_ bool
	}{
		{"nothing asked", []memsource.Declared{tie(one, ann), tie(two, ann)}, false, false, false},
		{"asked in the party's name", []memsource.Declared{dnc(one, ann), tie(two, ann), tie(three, bob)}, true, true, false},
		{"the tie comes later", []memsource.Declared{tie(two, ann), dnc(one, nil), tie(one, ann)}, false, true, false},
		{"a number of two persons", []memsource.Declared{dnc(one, ann), tie(two, ann), tie(two, bob), dnc(three, bob)}, true, true, true},
		{"an erased number leaves its party", []memsource.Declared{tie(one, ann), tie(two, ann), dnc(one, ann), erase(two)}, true, false, false},
		{"and what it asked for stays", []memsource.Declared{tie(one, ann), tie(two, ann), dnc(one, ann), erase(one)}, false, true, false},
		{"what an erased number asked for alone does not", []memsource.Declared{tie(one, ann), tie(two, ann), dnc(one, nil), erase(one)}, false, false, false},
		{"it may join again", []memsource.Declared{dnc(one, ann), tie(two, ann), erase(two), tie(two, ann)}, true, true, false},
	} {
		s := memsource.New()
		s.Append(c.facts...)
		folded(t, s, func(r projections.Reader) {
			for i, want := range map[ledger.Token]bool{one: c.one, two: c.two, three: c.three_} {
				if got := stopped(t, r, i); got != want {
					t.Errorf("%s: %v, want %v", c.name, got, want)
				}
			}
		})
	}
}

// TestOrderDoesNotMatter: one entry a position, in any order, folds to the same
// requests and numbers; only the positions differ, so they are left out.
func TestOrderDoesNotMatter(t *testing.T) {
	facts := []memsource.Declared{tie(one, ann), tie(two, ann), tie(two, bob), dnc(one, ann), dnc(three, bob), tie(three, bob),
		about(two, ann, &consentv1.Fact{Sellers: []string{"acme"}, Kind: &consentv1.Fact_DncRemoved{DncRemoved: &consentv1.DncRemoved{Scope: &consentv1.Scope{
			Programmes: []string{"all"}, Channels: []consentv1.Channel{1}, Purposes: []consentv1.Purpose{1}}}}})}
	for i, f := range facts {
		f.Fact.Earliest = timestamppb.New(memsource.Start.Add(time.Duration(i) * time.Hour))
	}
	content := func(facts []memsource.Declared) map[string]string {
		s, out := memsource.New(), map[string]string{}
		s.Append(facts...)
		folded(t, s, func(r projections.Reader) {
			lo, _ := store.SpaceRange(store.SpaceParty)
			_, hi := store.SpaceRange(store.SpaceNumberParty)
			if err := r.Each(lo, hi, func(k, v []byte) error { out[string(k)] = string(v); return nil }); err != nil {
				t.Fatal(err)
			}
		})
		return out
	}
	want := content(facts)
	for range 10 {
		rand.Shuffle(len(facts), func(i, j int) { facts[i], facts[j] = facts[j], facts[i] })
		if diff := cmp.Diff(want, content(append(facts, facts[0]))); diff != "" {
			t.Fatalf("another order, another state:\n%s", diff)
		}
	}
}

func TestRebuildFoldsToTheSame(t *testing.T) {
	s := memsource.New()
	s.Append(dnc(one, ann), tie(two, ann), erase(one), tie(one, bob), dnc(two, bob))
	if a, b := folded(t, s, func(projections.Reader) {}), folded(t, s, func(projections.Reader) {}); a != b {
		t.Errorf("%s and %s", a, b)
	}
}

// TestThePast: what was asked for later, or recorded later, does not count.
func TestThePast(t *testing.T) {
	s := memsource.New()
	s.Append(tie(one, ann), tie(two, ann), dnc(one, ann)) // at positions 1, 2, 3, one second each
	entries := map[ledger.Position]*ledger.Entry{}
	for batch, err := range s.Entries(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range batch {
			entries[e.Position] = e
		}
		if len(entries) == 3 {
			break
		}
	}
	folded(t, s, func(r projections.Reader) {
		v, err := suppression.Load(r.Get, two, "acme")
		if err != nil {
			t.Fatal(err)
		}
		second := func(n int) time.Time { return memsource.Start.Add(time.Duration(n) * time.Second) }
		for _, c := range []struct {
			at, asOf time.Time
			want     bool
		}{{second(3), time.Time{}, true}, {second(2), time.Time{}, false}, {second(9), second(2), false}, {second(9), second(3), true}} {
			got, err := parties.LoadAt(r, v, two, "acme", parties.History{At: c.at, AsOf: c.asOf,
				Entry:  func(at ledger.Position) (*ledger.Entry, error) { return entries[at], nil },
				Number: func(ledger.Token) (suppression.View, error) { return suppression.View{}, nil }})
			if err != nil {
				t.Fatal(err)
			}
			if _, found := got.PartyDnc(asked, suppression.Need{}, false); found != c.want {
				t.Errorf("at %s as of %s: %v, want %v", c.at, c.asOf, found, c.want)
			}
		}
	})
}
