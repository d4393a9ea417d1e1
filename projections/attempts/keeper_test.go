package attempts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/memstream"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	"github.com/consent-ledger/consent-ledger/ledger/settle"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/projections/rules"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// env is a keeper that runs, and the stream it outlives.
type env struct {
	t      *testing.T
	keys   *seal.Keyring
	stream *memstream.Stream
	log    Log // nil: stream
	dir    string
	decide func(rules.Input) *consentv1.Decision
	settle settle.Policy
	// anchored is what the ledger knows of the stream; nil: nothing.
	anchored func() (uint64, time.Time)

	mu       sync.Mutex
	now      time.Time
	clockOff string

	db    *store.DB
	k     *Keeper
	stop  context.CancelFunc
	ended chan error
	seen  [][]byte // messages stored
}

func newEnv(t *testing.T) *env {
	e := &env{t: t, keys: testKeys(t), dir: filepath.Join(t.TempDir(), "db"), decide: capped, now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	e.stream = memstream.New(func(_ uint64, data []byte) { e.seen = append(e.seen, data) })
	t.Cleanup(func() { _ = e.end() })
	return e
}

func (e *env) start() *env {
	e.t.Helper()
	e.db = testDB(e.t, e.dir)
	log := e.log
	if log == nil {
		log = e.stream
	}
	var err error
	e.k, err = Open(Config{Log: log, DB: e.db, Keys: e.keys, Decide: func(in rules.Input) *consentv1.Decision { return e.decide(in) }, Now: e.clock, Settle: e.settle,
		Anchored: func(context.Context) (uint64, time.Time, error) {
			if e.anchored == nil {
				return 0, time.Time{}, nil
			}
			seq, at := e.anchored()
			return seq, at, nil
		}})
	if err != nil {
		e.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	e.stop, e.ended = cancel, make(chan error, 1)
	go func(k *Keeper, ended chan error) { ended <- k.Run(ctx) }(e.k, e.ended)
	return e
}

// end stops the keeper and gives the error of its run; it may be called twice.
func (e *env) end() error {
	if e.db == nil {
		return nil
	}
	e.stop()
	err := <-e.ended
	if cerr := e.db.Close(); cerr != nil {
		e.t.Error(cerr)
	}
	e.db = nil
	return err
}

func (e *env) restart() {
	e.t.Helper()
	if err := e.end(); err != nil {
		e.t.Fatal(err)
	}
	e.start()
}

func (e *env) clock() (time.Time, string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.now, e.clockOff
}

func (e *env) later(d time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.now = e.now.Add(d)
}

func (e *env) reserve(n int, ref string) Outcome {
	e.t.Helper()
	return e.k.Reserve(e.t.Context(), testCall(e.t, e.keys, n, ref), rules.Input{Seller: acme})
}

func (e *env) allowed(n int, ref string) bool {
	e.t.Helper()
	o := e.reserve(n, ref)
	if o.Err != nil {
		e.t.Fatalf("%s: %v", ref, o.Err)
	}
	return o.Decision.GetVerdict() == consentv1.Verdict_VERDICT_ALLOW
}

// said records an outcome; a zero at is now.
func (e *env) said(n int, ref string, outcome consentv1.AttemptOutcome, at time.Time) Outcome {
	e.t.Helper()
	in := &consentv1.Attempt{Number: number(n), Seller: acme, Channel: consentv1.Channel_CHANNEL_VOICE_LIVE, Purpose: consentv1.Purpose_PURPOSE_MARKETING, Reference: ref, Outcome: outcome}
	if !at.IsZero() {
		in.At = timestamppb.New(at)
	}
	d, err := Declare(in, "", e.keys, catalog{})
	if err != nil {
		e.t.Fatal(err)
	}
	return e.k.Record(e.t.Context(), []Declared{d})[0]
}

func (e *env) cancel(ref string) Outcome {
	e.t.Helper()
	return e.k.Cancel(e.t.Context(), Call{Reference: ref, Seller: acme})
}

// used counts what a check would see.
func (e *env) used(n int) int {
	e.t.Helper()
	whole := e.whole()
	got, known, err := e.k.Attempts(e.db, whole, e.token(n), acme, e.now, false, time.Time{})
	if err != nil || !known {
		e.t.Fatalf("known %v, %v", known, err)
	}
	return len(got)
}

// whole waits until the keeper has caught up.
func (e *env) whole() uint64 {
	for e.k.Wholeness()%2 == 0 {
		runtime.Gosched()
	}
	return e.k.Wholeness()
}

func (e *env) token(n int) ledger.Token {
	return e.keys.Token(testCall(e.t, e.keys, n, "x").Exchange)
}

// catalog knows the seller acme and the campaign spring.
type catalog struct{}

func (catalog) Seller(id string) bool      { return id == acme }
func (catalog) Programme(_, _ string) bool { return false }
func (catalog) Campaign(id string) *consentv1.CampaignRegistered {
	if id != "spring" {
		return nil
	}
	return &consentv1.CampaignRegistered{Id: id, Seller: acme, Channel: consentv1.Channel_CHANNEL_SMS, Purpose: consentv1.Purpose_PURPOSE_MARKETING, Subject: "roofs"}
}

const (
	busy       = consentv1.AttemptOutcome_ATTEMPT_OUTCOME_BUSY
	answered   = consentv1.AttemptOutcome_ATTEMPT_OUTCOME_ANSWERED
	givenUp    = consentv1.AttemptOutcome_ATTEMPT_OUTCOME_CANCELLED
	unknownEnd = consentv1.AttemptOutcome_ATTEMPT_OUTCOME_UNSPECIFIED
)

func wantField(t *testing.T, err error, field string) {
	t.Helper()
	var invalid *ledger.InvalidError
	if !errors.As(err, &invalid) || invalid.Field != field || invalid.Fix == "" {
		t.Errorf("%v: want the field %s and what helps", err, field)
	}
}

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

// TestOldCallsGo: what is dropped follows from the records, not from the clock,
// and what may have been dropped is not taken to be nothing.
func TestOldCallsGo(t *testing.T) {
	e := newEnv(t).start()
	first := e.now
	e.later(2 * time.Second)
	for i := range 3 {
		if o := e.said(1, fmt.Sprint("old", i), busy, first.Add(time.Duration(i)*time.Second)); o.Err != nil {
			t.Fatal(o.Err)
		}
	}
	e.later(keptFor)
	keys := func() (n int) {
		lo, _ := store.SpaceRange(store.SpaceAttempt)
		_, hi := store.SpaceRange(store.SpaceAttemptAge)
		if err := e.db.Each(lo, hi, func(_, _ []byte) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if keys() != 9 {
		t.Errorf("%d keys: the clock alone dropped some", keys())
	}
	if o := e.said(2, "new", busy, time.Time{}); o.Err != nil || keys() != 6 {
		t.Errorf("%d keys after a record two seconds too late for two calls, %v", keys(), o.Err)
	}
	for at, want := range map[time.Time]bool{e.now: true, first.Add(32 * 24 * time.Hour): true, first: false} {
		if _, known, err := e.k.Attempts(e.db, e.k.Wholeness(), e.token(1), acme, at, true, time.Time{}); err != nil || known != want {
			t.Errorf("known for %s: %v, %v", at, known, err)
		}
	}
	got, _, err := e.k.Attempts(e.db, e.k.Wholeness(), e.token(2), acme, e.now.Add(-time.Second), true, time.Time{})
	if err != nil || len(got) != 0 {
		t.Errorf("a question about the past saw what came later: %v, %v", got, err)
	}
	before, err := e.k.StateHash(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	whole := e.k.Wholeness()
	if err := e.k.Rebuild(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after, err := e.k.StateHash(t.Context()); err != nil || after != before {
		t.Errorf("rebuilt: %v, was %v, %v", after, before, err)
	}
	if _, known, _ := e.k.Attempts(e.db, whole, e.token(1), acme, e.now, false, time.Time{}); known {
		t.Error("an answer begun before the rebuild counts as whole")
	}
}

// noReads fails the test at any read.
type noReads struct {
	store.Reader
	t *testing.T
}

func (r noReads) Each(_, _ []byte, _ func(k, v []byte) error) error {
	r.t.Error("a read for a number nobody ever tried")
	return nil
}

func TestStrangersCostNoRead(t *testing.T) {
	e := newEnv(t).start()
	if !e.allowed(1, "c0") {
		t.Fatal("blocked")
	}
	for range 2 {
		if got, known, err := e.k.Attempts(noReads{e.db, t}, e.whole(), e.token(2), acme, e.now, false, time.Time{}); err != nil || !known || len(got) != 0 {
			t.Errorf("%v, %v, %v", got, known, err)
		}
		e.restart()
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

// deafStream stores or loses every append and never answers.
type deafStream struct {
	*memstream.Stream
	stores bool
}

func (d deafStream) Append(ctx context.Context, after uint64, data []byte) (uint64, error) {
	if d.stores {
		if _, err := d.Stream.Append(ctx, after, data); err != nil {
			return 0, ledger.ErrNoAnswer
		}
	}
	return 0, ledger.ErrNoAnswer
}

// TestNoAnswer: the caller hears UNCERTAIN, the keeper ends, and the next start
// knows; what may be reserved is never given to somebody else.
func TestNoAnswer(t *testing.T) {
	for _, stored := range []bool{false, true} {
		t.Run(fmt.Sprint("stored ", stored), func(t *testing.T) {
			e := newEnv(t)
			e.log = deafStream{e.stream, stored}
			e.settle = settle.Policy{Max: 1, Pause: 1}
			e.start()
			if o := e.reserve(1, "c0"); !errors.Is(o.Err, ledger.ErrUncertain) || strings.Contains(o.Err.Error(), "c0") {
				t.Fatalf("%+v", o)
			}
			if o := e.reserve(1, "c1"); !errors.Is(o.Err, ledger.ErrNotReady) {
				t.Errorf("after the end: %+v", o)
			}
			if e.k.Wholeness()%2 != 0 {
				t.Error("attempts count as known")
			}
			if err := e.end(); !errors.Is(err, settle.ErrUnsettled) {
				t.Fatalf("the keeper ended with %v", err)
			}
			e.log, e.settle = nil, settle.Policy{}
			e.start()
			if o := e.reserve(1, "c0"); o.Err != nil || o.Duplicate != stored || !o.Reserved {
				t.Errorf("asked again: %+v", o)
			}
			if e.used(1) != 1 {
				t.Errorf("%d count", e.used(1))
			}
		})
	}
}

// TestForgotten: messages that are too old go; a rebuild begins with the first that
// is there, and what is as old as that counts nowhere.
func TestForgotten(t *testing.T) {
	e := newEnv(t).start()
	for i := range 3 {
		if o := e.said(i, fmt.Sprint("c", i), busy, time.Time{}); o.Err != nil {
			t.Fatal(o.Err)
		}
		e.later(time.Hour)
	}
	old := e.now
	e.anchored = func() (uint64, time.Time) { return 3, old }
	e.later(attemptsAge + time.Hour)
	e.stream.Forget(3)
	if err := e.k.Rebuild(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e.used(0) != 0 || e.k.Applied() != 3 {
		t.Errorf("after a rebuild %d, applied %d", e.used(0), e.k.Applied())
	}
	e.stream.Forget(4)
	e.restart()
	if !e.known(0) {
		t.Error("a stream emptied by age is taken for damaged")
	}
	if err := e.end(); err != nil {
		t.Fatal(err)
	}
	e.forget() // the projection is gone too
	if e.start(); !e.known(0) || !e.allowed(0, "c9") || e.k.Applied() != 4 {
		t.Errorf("a stream emptied by age takes no more; applied %d", e.k.Applied())
	}
}

// TestJoin: whatever the order of what is said of a call, it ends at the same
// stage and time.
func TestJoin(t *testing.T) {
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	all := []said{
		{outcome: consentv1.AttemptOutcome_ATTEMPT_OUTCOME_RESERVED, at: at, token: ledger.Token{1}},
		{outcome: givenUp, at: at.Add(time.Minute)},
		{outcome: busy, at: at.Add(2 * time.Minute), token: ledger.Token{1}},
		{outcome: unknownEnd, at: at.Add(-time.Minute), token: ledger.Token{1}},
	}
	for mask := 1; mask < 1<<len(all); mask++ {
		var first *call
		for seed := range uint64(10) {
			rng := rand.New(rand.NewPCG(seed, 2))
			var c *call
			for _, i := range rng.Perm(2 * len(all)) { // everything twice
				if mask>>(i%len(all))&1 == 1 {
					c, _ = c.join(all[i%len(all)], 1)
				}
			}
			if first == nil {
				first = c
			}
			if stage(c.outcome) != stage(first.outcome) || !c.at.Equal(first.at) || c.token != first.token || counts(c.outcome) != counts(first.outcome) {
				t.Fatalf("mask %b, seed %d: %+v and %+v", mask, seed, c, first)
			}
			if mask>>2&1 == 1 && (c.outcome != busy || !counts(c.outcome)) {
				t.Fatalf("a call that was made became %v", c.outcome)
			}
		}
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
