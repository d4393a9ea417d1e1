package attempts

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/memstream"
	"github.com/consent-ledger/consent-ledger/ledger/settle"
	"github.com/consent-ledger/consent-ledger/ledger/store"
)

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
		if _, known, err := e.k.Attempts(e.db, e.k.Wholeness(), Contact{Token: e.token(1), Seller: acme, At: at, Past: true}); err != nil || known != want {
			t.Errorf("known for %s: %v, %v", at, known, err)
		}
	}
	got, _, err := e.k.Attempts(e.db, e.k.Wholeness(), Contact{Token: e.token(2), Seller: acme, At: e.now.Add(-time.Second), Past: true})
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
	if _, known, _ := e.k.Attempts(e.db, whole, Contact{Token: e.token(1), Seller: acme, At: e.now}); known {
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
		if got, known, err := e.k.Attempts(noReads{e.db, t}, e.whole(), Contact{Token: e.token(2), Seller: acme, At: e.now}); err != nil || !known || len(got) != 0 {
			t.Errorf("%v, %v, %v", got, known, err)
		}
		e.restart()
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
