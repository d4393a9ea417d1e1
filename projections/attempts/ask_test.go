package attempts

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/projections/rules"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

func TestReserveUpToTheCap(t *testing.T) {
	e := newEnv(t).start()
	for i := range capMax {
		o := e.reserve(1, fmt.Sprint("c", i))
		if o.Err != nil || !o.Reserved || o.Duplicate || o.Sequence != uint64(i)+1 || o.Decision.GetCaps()[0].GetUsed() != uint32(i) {
			t.Fatalf("reservation %d: %+v", i, o)
		}
	}
	if o := e.reserve(1, "c9"); o.Err != nil || o.Reserved || o.Decision.GetVerdict() != consentv1.Verdict_VERDICT_BLOCK {
		t.Fatalf("one too many: %+v", o)
	}
	if !e.allowed(2, "d0") {
		t.Error("another number has its own cap")
	}
	// The same call again has the same answer, though the cap is used up, and
	// after a restart too.
	for range 2 {
		if o := e.reserve(1, "c0"); o.Err != nil || !o.Reserved || !o.Duplicate || o.Decision.GetVerdict() != consentv1.Verdict_VERDICT_ALLOW {
			t.Fatalf("again: %+v", o)
		}
		e.restart()
	}
	if e.used(1) != capMax || e.allowed(1, "c10") {
		t.Errorf("%d count after all that", e.used(1))
	}
	e.later(capWindow)
	if !e.allowed(1, "c11") {
		t.Error("the window is over and the contact still blocked")
	}
}

// A stop that came after the reservation is heard when the dialer asks again.
func TestReservedIsNoPass(t *testing.T) {
	e := newEnv(t).start()
	if !e.allowed(1, "c0") {
		t.Fatal("blocked")
	}
	e.decide = func(in rules.Input) *consentv1.Decision {
		return &consentv1.Decision{Verdict: consentv1.Verdict_VERDICT_BLOCK, Reasons: []*consentv1.Reason{{Code: "CONSENT_REVOKED"}}}
	}
	if o := e.reserve(1, "c0"); o.Err != nil || o.Decision.GetVerdict() != consentv1.Verdict_VERDICT_BLOCK || !o.Reserved {
		t.Errorf("asked again after a stop: %+v", o)
	}
}

func TestWithoutACapNothingIsWritten(t *testing.T) {
	e := newEnv(t).start()
	e.decide = uncapped
	if o := e.reserve(1, "c0"); o.Err != nil || o.Reserved || o.Sequence != 0 || len(e.seen) != 0 {
		t.Errorf("%+v, %d messages", o, len(e.seen))
	}
}

func TestLifeOfACall(t *testing.T) {
	e := newEnv(t).start()
	reservedAt := e.now
	for _, ref := range []string{"c0", "c1"} {
		if !e.allowed(1, ref) {
			t.Fatal("blocked")
		}
	}
	e.later(time.Minute)
	if o := e.said(1, "c0", answered, time.Time{}); o.Err != nil || o.Duplicate || o.Counts != answered {
		t.Fatalf("the reservation becomes the attempt: %+v", o)
	}
	messages := len(e.seen)
	e.later(time.Minute)
	for range 2 {
		if o := e.said(1, "c0", answered, time.Time{}); o.Err != nil || !o.Duplicate || o.Counts != answered {
			t.Fatalf("the same again: %+v", o)
		}
		e.restart()
	}
	if o := e.said(1, "c0", answered, reservedAt); !o.Duplicate || len(e.seen) != messages {
		t.Errorf("an earlier instant of the same call adds nothing: %+v", o)
	}
	wantField(t, e.reserve(1, "c0").Err, "reference")
	wantField(t, e.cancel("c0").Err, "outcome")
	if e.used(1) != 2 {
		t.Errorf("%d count, want 2", e.used(1))
	}
	// Giving a reservation up frees its place, once.
	for i := range 2 {
		if o := e.cancel("c1"); o.Err != nil || o.Duplicate != (i == 1) || o.Counts != givenUp {
			t.Fatalf("cancel: %+v", o)
		}
	}
	wantField(t, e.reserve(1, "c1").Err, "reference")
	if e.used(1) != 1 || !e.allowed(1, "c2") || e.allowed(1, "c3") {
		t.Errorf("%d count after one was given up", e.used(1))
	}
	// Who calls after giving up has called.
	if o := e.said(1, "c1", unknownEnd, time.Time{}); o.Err != nil || o.Counts != unknownEnd || e.used(1) != 3 {
		t.Errorf("%+v, %d count", o, e.used(1))
	}
	if o := e.said(1, "c1", busy, time.Time{}); o.Err != nil || o.Duplicate || o.Counts != busy {
		t.Errorf("what came of it is learnt later: %+v", o)
	}
}

// A cancellation that overtakes its reservation holds.
func TestCancelFirst(t *testing.T) {
	e := newEnv(t).start()
	if o := e.cancel("c0"); o.Err != nil || o.Duplicate {
		t.Fatalf("%+v", o)
	}
	wantField(t, e.reserve(1, "c0").Err, "reference")
	e.restart()
	wantField(t, e.reserve(1, "c0").Err, "reference")
	if o := e.said(1, "c0", busy, time.Time{}); o.Err != nil || e.used(1) != 1 {
		t.Errorf("made after all: %+v, %d count", o, e.used(1))
	}
	wantField(t, e.said(2, "c0", busy, time.Time{}).Err, "reference")
	wantField(t, e.reserve(2, "c0").Err, "reference")
}

// Nothing in a message tells a number or a reference without the keys.
func TestNothingInClear(t *testing.T) {
	e := newEnv(t).start()
	ref := "call-" + number(1)
	if !e.allowed(1, ref) {
		t.Fatal("blocked")
	}
	if o := e.said(1, ref, busy, time.Time{}); o.Err != nil {
		t.Fatal(o.Err)
	}
	for _, m := range e.seen {
		for _, n := range []int{1, 99} {
			if bytes.Contains(m, []byte(number(n)[2:])) {
				t.Errorf("a message holds a number in clear: %q", m)
			}
		}
	}
	var b consentv1.AttemptBatch
	if err := proto.Unmarshal(e.seen[0], &b); err != nil {
		t.Fatal(err)
	}
	if id, err := OpenCallerID(e.keys, b.Records[0]); err != nil || id != number(99) {
		t.Errorf("caller id %q, %v", id, err)
	}
	if d := b.Records[0].GetDecision(); d.GetCaps()[0].GetRule() != "test-cap" || d.GetReasons()[0].GetCode() != "OK_TEST" {
		t.Errorf("the decision kept is %v", d)
	}
}

func TestClock(t *testing.T) {
	e := newEnv(t).start()
	if !e.allowed(1, "c0") {
		t.Fatal("blocked")
	}
	e.later(-time.Hour) // behind what is recorded
	if o := e.reserve(1, "c1"); !errors.Is(o.Err, ledger.ErrNotReady) || !strings.Contains(o.Err.Error(), "CLOCK") {
		t.Errorf("a reservation by a clock that is behind: %+v", o)
	}
	if o := e.said(1, "c2", busy, time.Time{}); o.Err != nil || o.RecordedAt.Before(e.now.Add(time.Hour)) {
		t.Errorf("an attempt is kept, and its time does not go back: %+v", o)
	}
	e.later(2 * time.Hour)
	e.clockOff = "CLOCK: it jumped"
	if o := e.reserve(2, "d0"); !errors.Is(o.Err, ledger.ErrNotReady) {
		t.Errorf("a reservation by a suspect clock: %+v", o)
	}
	if o := e.said(1, "c3", busy, e.now.Add(time.Hour)); o.Err != nil || o.RecordedAt.After(e.now) {
		t.Errorf("an attempt by a suspect clock: %+v", o)
	}
}

func TestKeepDecisions(t *testing.T) {
	e := newEnv(t).start()
	d := capped(rules.Input{At: e.now})
	d.Number = number(1)
	c := testCall(t, e.keys, 1, "")
	var keep []Decided
	for range 2 {
		id, err := NewRecordID()
		if err != nil {
			t.Fatal(err)
		}
		keep = append(keep, Decided{ID: id, About: c, Decision: d})
	}
	if _, err := e.k.Keep(t.Context(), keep); err != nil {
		t.Fatal(err)
	}
	if e.used(1) != 0 || d.GetNumber() == "" {
		t.Error("a decision that is kept counts, or was changed")
	}
	n := 0
	for _, m := range e.seen {
		var b consentv1.AttemptBatch
		if err := proto.Unmarshal(m, &b); err != nil {
			t.Fatal(err)
		}
		n += len(b.Records)
	}
	if n != 2 || bytes.Contains(slices.Concat(e.seen...), []byte(number(1)[2:])) {
		t.Errorf("%d records, or a number in clear", n)
	}
}

// TestManyAtOnce: bulk beside reservations; every one of them is answered, packed,
// and counted.
func TestManyAtOnce(t *testing.T) {
	e := newEnv(t).start()
	var wg sync.WaitGroup
	var mu sync.Mutex
	granted := 0
	for w := range 8 {
		wg.Go(func() {
			for i := range 20 {
				if o := e.reserve(1, fmt.Sprint("r", w, "-", i)); o.Err == nil && o.Decision.GetVerdict() == consentv1.Verdict_VERDICT_ALLOW {
					mu.Lock()
					granted++
					mu.Unlock()
				}
			}
		})
	}
	wg.Go(func() {
		var ds []Declared
		for i := range 5000 {
			d, err := declared(testCall(t, e.keys, 2+i%50, fmt.Sprint("b", i)), busy, e.keys)
			if err != nil {
				t.Error(err)
			}
			ds = append(ds, d)
		}
		for _, o := range e.k.Record(t.Context(), ds) {
			if o.Err != nil || o.Duplicate {
				t.Errorf("%+v", o)
			}
		}
	})
	wg.Wait()
	if granted != capMax || e.used(1) != capMax || e.used(2) != 100 {
		t.Errorf("%d granted, %d count; bulk %d of 100", granted, e.used(1), e.used(2))
	}
}
