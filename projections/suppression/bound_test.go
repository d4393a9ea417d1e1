package suppression

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// TestNewestGrantsJoin: the newest cells of two halves hold the newest of the whole.
func TestNewestGrantsJoin(t *testing.T) {
	const limit = 5
	anyGrant := rapid.Custom(func(t *rapid.T) *consentv1.GrantRegister {
		earliest := rapid.Int64Range(0, 6).Draw(t, "earliest")
		return &consentv1.GrantRegister{
			Programme: "all", Source: rapid.SampledFrom([]string{"crm", "web"}).Draw(t, "source"),
			Cells:   cells(rapid.Uint32Range(1, 7).Draw(t, "channels"), rapid.Uint32Range(1, 7).Draw(t, "purposes")),
			Time:    &consentv1.TimeSpan{Earliest: earliest, Latest: earliest + rapid.Int64Range(0, 1).Draw(t, "span")},
			Expires: rapid.Int64Range(0, 2).Draw(t, "expires"), Content: []byte{rapid.ByteRange(0, 2).Draw(t, "content")},
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		grants := rapid.SliceOfN(anyGrant, 0, 12).Draw(t, "grants")
		newest := func(cut bool, lists ...[]*consentv1.GrantRegister) []*consentv1.GrantRegister {
			var out []*consentv1.GrantRegister
			for _, l := range lists {
				for _, g := range l {
					insert(&out, Join(&State{Grants: []*consentv1.GrantRegister{g}}, nil).Grants[0], grantKey, newerGrant)
					if cut {
						out = newestGrants(out, limit)
					}
				}
			}
			return newestGrants(out, limit)
		}
		want := newest(false, grants)
		at := rapid.IntRange(0, len(grants)).Draw(t, "cut")
		halves := newest(true, newest(true, grants[at:]), newest(true, grants[:at]))
		if diff := cmp.Diff(want, halves, protocmp.Transform()); diff != "" {
			t.Fatalf("joined halves are not the whole:\n%s", diff)
		}
	})
}

// TestBoundOfGrants: beyond it a state keeps its newest grants and every prohibition.
func TestBoundOfGrants(t *testing.T) {
	var facts []Input
	scope := &consentv1.Scope{Programmes: []string{all}}
	for c := consentv1.Channel(2); c <= 8; c++ {
		scope.Channels = append(scope.Channels, c)
	}
	for p := consentv1.Purpose(2); p <= 9; p++ {
		scope.Purposes = append(scope.Purposes, p)
	}
	each := len(scope.Channels) * len(scope.Purposes)
	sources := grantCellsMax/each + 10
	for i := range sources {
		when := &timestamppb.Timestamp{Seconds: int64(i + 1)}
		facts = append(facts, Input{Content: []byte{1}, Fact: &consentv1.Fact{Sellers: []string{"acme"}, Source: fmt.Sprintf("s%d", i), Earliest: when, Latest: when,
			Kind: &consentv1.Fact_ConsentGranted{ConsentGranted: &consentv1.ConsentGranted{Scope: scope, Level: "express"}}}},
			Input{Fact: &consentv1.Fact{Sellers: []string{"acme"}, Earliest: when, Latest: when,
				Kind: &consentv1.Fact_ConsentRevoked{ConsentRevoked: &consentv1.ConsentRevoked{Scope: &consentv1.Scope{Programmes: []string{fmt.Sprintf("p%d", i)}}}}}})
	}
	forth := Fold(slices.Values(facts))["acme"]
	slices.Reverse(facts)
	back := Fold(slices.Values(facts))["acme"]
	if diff := cmp.Diff(forth, back, protocmp.Transform()); diff != "" {
		t.Fatalf("another order, another state:\n%s", diff)
	}
	total := 0
	for _, g := range forth.GetGrants() {
		total += count(g.GetCells())
		if g.GetSource() == "s0" {
			t.Error("the oldest grant is kept")
		}
	}
	if total != grantCellsMax || len(forth.GetRevoked()) != sources {
		t.Errorf("%d cells and %d revocations, want %d and %d", total, len(forth.GetRevoked()), grantCellsMax, sources)
	}
}
