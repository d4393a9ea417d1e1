package attempts

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// knownAsOf counts what was known at an instant of contacts up to then.
func (e *env) knownAsOf(n int, asOf time.Time) int {
	e.t.Helper()
	got, known, err := e.k.Attempts(e.db, e.whole(), Contact{Token: e.token(n), Seller: acme, At: e.now, Past: true, AsOf: asOf})
	if err != nil || !known {
		e.t.Fatalf("known %v, %v", known, err)
	}
	for _, a := range got {
		if a.At.After(asOf) {
			e.t.Errorf("an attempt of %s is known as of %s", a.At, asOf)
		}
	}
	return len(got)
}

// TestAsOf: a question about what was known counts what was recorded by then, in the
// stage it had then, whatever came later.
func TestAsOf(t *testing.T) {
	e := newEnv(t).start()
	start := e.now
	if o := e.said(1, "early", busy, time.Time{}); o.Err != nil {
		t.Fatal(o.Err)
	}
	e.later(time.Hour)
	if !e.allowed(1, "held") {
		t.Fatal("the second of two was not reserved")
	}
	reserved := e.now
	e.later(time.Hour)
	if o := e.cancel("held"); o.Err != nil {
		t.Fatal(o.Err)
	}
	cancelled := e.now
	e.later(time.Hour)
	// Made before all that, and told only now.
	if o := e.said(1, "late", busy, start.Add(time.Minute)); o.Err != nil {
		t.Fatal(o.Err)
	}
	told := e.now
	e.later(time.Hour)
	check := func(when string) {
		t.Helper()
		for _, tc := range []struct {
			name string
			asOf time.Time
			want int
		}{
			{"before anything", start.Add(-time.Second), 0},
			{"the first", start, 1},
			{"before the reservation", reserved.Add(-time.Second), 1},
			{"while it was held", cancelled.Add(-time.Second), 2},
			{"given up", cancelled, 1},
			{"before the late one was told", told.Add(-time.Second), 1},
			{"told", told, 2},
			{"now", e.now, 2},
		} {
			if got := e.knownAsOf(1, tc.asOf); got != tc.want {
				t.Errorf("%s, %s: %d, want %d", when, tc.name, got, tc.want)
			}
		}
	}
	check("as it was written")
	before, err := e.k.StateHash(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := e.k.Rebuild(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after, err := e.k.StateHash(t.Context()); err != nil || after != before {
		t.Errorf("a rebuild gives another state, %v", err)
	}
	check("rebuilt")
}

// TestMovedReservation: one asked for again is moved to now; as of the time before
// that it still counts.
func TestMovedReservation(t *testing.T) {
	e := newEnv(t).start()
	if !e.allowed(1, "a") {
		t.Fatal("not reserved")
	}
	first := e.now
	e.later(time.Hour)
	if !e.allowed(1, "a") {
		t.Fatal("not reserved again")
	}
	for _, asOf := range []time.Time{first, first.Add(time.Minute), e.now} {
		if got := e.knownAsOf(1, asOf); got != 1 {
			t.Errorf("as of %s: %d", asOf, got)
		}
	}
	if got := e.knownAsOf(1, first.Add(-time.Nanosecond)); got != 0 {
		t.Errorf("before it: %d", got)
	}
}

// TestAsOfIsWhatACheckSawThen: over random stories, what an answer counted at an
// instant is what one as of that instant counts later.
func TestAsOfIsWhatACheckSawThen(t *testing.T) {
	e := newEnv(t).start()
	rng := rand.New(rand.NewPCG(7, 3))
	refs := []string{"a", "b", "c", "d", "e", "f"}
	type seen struct {
		at   time.Time
		used int
	}
	var all []seen
	for range 200 {
		e.later(time.Duration(1+rng.IntN(20)) * time.Minute)
		ref := refs[rng.IntN(len(refs))]
		switch rng.IntN(4) {
		case 0:
			e.reserve(1, ref)
		case 1:
			e.cancel(ref)
		case 2:
			e.said(1, ref+"-"+string('a'+rune(rng.IntN(26))), busy, e.now.Add(-time.Duration(rng.IntN(600))*time.Minute))
		default:
			e.said(1, ref, consentv1.AttemptOutcome_ATTEMPT_OUTCOME_NO_ANSWER, time.Time{})
		}
		all = append(all, seen{e.now, e.used(1)})
	}
	for _, s := range slices.Backward(all) {
		got, known, err := e.k.Attempts(e.db, e.whole(), Contact{Token: e.token(1), Seller: acme, At: s.at, Past: true, AsOf: s.at})
		if err != nil || !known || len(got) != s.used {
			t.Fatalf("as of %s: %d known %v, %v; then %d", s.at, len(got), known, err, s.used)
		}
	}
}
