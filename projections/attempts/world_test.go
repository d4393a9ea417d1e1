package attempts

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/memstream"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	"github.com/consent-ledger/consent-ledger/ledger/settle"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/projections/rules"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

const (
	capMax    = 2
	capWindow = 24 * time.Hour
	acme      = "acme"
)

// capped is a pack in one rule: at most capMax contacts in any capWindow.
func capped(in rules.Input) *consentv1.Decision {
	d := &consentv1.Decision{Verdict: consentv1.Verdict_VERDICT_ALLOW, Basis: "OK_TEST", Position: uint64(in.Position), At: timestamppb.New(in.At),
		Reasons: []*consentv1.Reason{{Code: "OK_TEST", Text: "a text", Rule: "test", Fix: "a fix"}}}
	used := uint32(0)
	for _, a := range in.Attempts {
		if in.At.Sub(a.At) < capWindow {
			used++
		}
	}
	d.Caps = []*consentv1.CapUse{{Rule: "test-cap", Used: used, Max: capMax}}
	if used >= capMax || !in.AttemptsKnown {
		d.Verdict, d.Basis, d.Reasons[0].Code = consentv1.Verdict_VERDICT_BLOCK, "", "CAP_TEST"
	}
	return d
}

// uncapped allows everything and names no cap.
func uncapped(in rules.Input) *consentv1.Decision {
	return &consentv1.Decision{Verdict: consentv1.Verdict_VERDICT_ALLOW, Basis: "OK_TEST", At: timestamppb.New(in.At)}
}

func testKeys(t testing.TB) *seal.Keyring {
	t.Helper()
	keys, err := seal.Create(filepath.Join(t.TempDir(), "keys"))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func testDB(t testing.TB, dir string) *store.DB {
	t.Helper()
	db, err := store.Open(dir, store.Options{CacheBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func number(i int) string { return fmt.Sprintf("+120255501%02d", i) }

// testCall is a call of the tests' one kind.
func testCall(t testing.TB, keys *seal.Keyring, n int, ref string) Call {
	t.Helper()
	x, err := keys.Exchange(number(n))
	if err != nil {
		t.Fatal(err)
	}
	return Call{Reference: ref, Seller: acme, Channel: consentv1.Channel_CHANNEL_VOICE_LIVE, Purpose: consentv1.Purpose_PURPOSE_MARKETING,
		Subject: "windows", CallerID: number(99), Source: "dialer", Exchange: x}
}

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
	e.k, err = Open(Config{Log: log, DB: e.db, Keys: e.keys, Decide: func(in rules.Input) *consentv1.Decision { return e.decide(in) },
		Now: e.clock, Settle: e.settle, Anchored: e.anchor})
	if err != nil {
		e.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	e.stop, e.ended = cancel, make(chan error, 1)
	go func(k *Keeper, ended chan error) { ended <- k.Run(ctx) }(e.k, e.ended)
	return e
}

func (e *env) anchor(context.Context) (uint64, time.Time, error) {
	if e.anchored == nil {
		return 0, time.Time{}, nil
	}
	seq, at := e.anchored()
	return seq, at, nil
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
	in := &consentv1.Attempt{Number: number(n), Seller: acme, Channel: consentv1.Channel_CHANNEL_VOICE_LIVE,
		Purpose: consentv1.Purpose_PURPOSE_MARKETING, Reference: ref, Outcome: outcome}
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
	got, known, err := e.k.Attempts(e.db, whole, Contact{Token: e.token(n), Seller: acme, At: e.now})
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
	return &consentv1.CampaignRegistered{Id: id, Seller: acme, Channel: consentv1.Channel_CHANNEL_SMS,
		Purpose: consentv1.Purpose_PURPOSE_MARKETING, Subject: "roofs"}
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
