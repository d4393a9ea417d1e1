package attempts

import (
	"context"
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger/memstream"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// tried is a keeper that made some calls, one a message, and was stopped.
func tried(t *testing.T, calls int) *env {
	e := newEnv(t).start()
	for i := range calls {
		if o := e.said(i, fmt.Sprint("c", i), busy, time.Time{}); o.Err != nil {
			t.Fatal(o.Err)
		}
		e.later(time.Minute)
	}
	if err := e.end(); err != nil {
		t.Fatal(err)
	}
	return e
}

// forget deletes the projection, as a rebuild or a lost disk does.
func (e *env) forget() {
	e.t.Helper()
	e.db = testDB(e.t, e.dir)
	k, err := Open(Config{Log: e.stream, DB: e.db, Keys: e.keys, Now: e.clock})
	if err == nil {
		err = k.wipe()
	}
	if err != nil {
		e.t.Fatal(err)
	}
	if err := e.db.Close(); err != nil {
		e.t.Fatal(err)
	}
	e.db = nil
}

// known tells whether a check would take what it finds for all there is.
func (e *env) known(n int) bool {
	e.t.Helper()
	whole := e.whole()
	_, known, err := e.k.Attempts(e.db, whole, Contact{Token: e.token(n), Seller: acme, At: e.now})
	if err != nil {
		e.t.Fatal(err)
	}
	if all := e.k.KnowsAll(whole, e.now); all != known {
		e.t.Errorf("a scrub knows all: %t, a check: %t", all, known)
	}
	return known
}

// TestLostAttempts: whatever the stream loses, no contact is permitted that would be one
// too many, nobody's sequence comes twice, and the caps open again when what is lost is
// too old to count. What was read before is known all the same.
func TestLostAttempts(t *testing.T) {
	const calls = 5
	for name, lose := range map[string]func(s *memstream.Stream){
		"the first":                        func(s *memstream.Stream) { s.Lose(1, 1) },
		"the first two, by a deleted file": func(s *memstream.Stream) { s.Forget(3) },
		"one in the middle":                func(s *memstream.Stream) { s.Lose(3, 3) },
		"all but the last":                 func(s *memstream.Stream) { s.Lose(1, 4) },
		"the last":                         func(s *memstream.Stream) { s.Lose(5, 5) },
		"the last two":                     func(s *memstream.Stream) { s.Lose(4, 5) },
		"all":                              func(s *memstream.Stream) { s.Lose(1, 5) },
		"all, by deleted files":            func(s *memstream.Stream) { s.Forget(6) },
		"the end, cut off":                 func(s *memstream.Stream) { s.Cut(3) },
		"everything, cut off":              func(s *memstream.Stream) { s.Cut(0) },
		"one spoilt":                       func(s *memstream.Stream) { s.Spoil(2, []byte("noise")) },
		"one emptied":                      func(s *memstream.Stream) { s.Spoil(2, nil) },
		"the last spoilt":                  func(s *memstream.Stream) { s.Spoil(5, []byte{0xff}) },
	} {
		t.Run(name+", read before", func(t *testing.T) {
			e := tried(t, calls)
			lose(e.stream)
			e.start()
			for n := range calls {
				if e.used(n) != 1 {
					t.Errorf("call %d is forgotten, though it was read", n)
				}
			}
			if !e.allowed(0, "next") || e.allowed(0, "one too many") {
				t.Error("what was read before is not counted as before")
			}
			if r := e.reserve(0, "next"); r.Sequence != calls+1 {
				t.Errorf("it is message %d: a sequence was used again", r.Sequence)
			}
			e.restart()
			if e.allowed(0, "one too many, after a restart") {
				t.Error("after a restart it is permitted")
			}
		})
		t.Run(name+", read anew", func(t *testing.T) {
			e := tried(t, calls)
			e.anchored = func() (uint64, time.Time) { return calls, e.now }
			lose(e.stream)
			e.forget()
			e.start()
			for n := range calls {
				if e.known(n) || e.allowed(n, fmt.Sprint("too early ", n)) {
					t.Errorf("number %d is called although calls may be lost", n)
				}
			}
			if at := e.k.LostUntil(); at.IsZero() || at.After(e.now.Add(time.Millisecond)) {
				t.Errorf("lost until %s", at)
			}
			if o := e.said(9, "made", busy, time.Time{}); o.Err != nil || o.Sequence <= calls {
				t.Errorf("a call made meanwhile: message %d, %v", o.Sequence, o.Err)
			}
			e.restart()
			if e.known(0) {
				t.Error("a restart forgot the loss")
			}
			if err := e.k.Rebuild(t.Context()); err != nil || e.known(0) {
				t.Errorf("a rebuild forgot the loss: %v", err)
			}
			e.later(CapsBlocked + time.Hour)
			if !e.known(0) || !e.allowed(0, "later") {
				t.Error("it stays blocked for ever")
			}
		})
	}
}

// TestLostToTheLedger: what only the ledger knows of is missed too: the stream lost its
// end, and the projection did not get so far.
func TestLostToTheLedger(t *testing.T) {
	e := tried(t, 2)
	e.anchored = func() (uint64, time.Time) { return 4, e.now }
	e.start()
	if e.known(0) || e.allowed(0, "c") {
		t.Error("two messages that the ledger vouches for are not missed")
	}
	if _, last, _ := e.stream.Bounds(t.Context()); last < 4 {
		t.Errorf("the stream ends at %d", last)
	}
}

// TestOtherAttempts: a stream that holds other messages than were read is read anew, and
// no cap is trusted.
func TestOtherAttempts(t *testing.T) {
	e := tried(t, 3)
	other := tried(t, 3)
	var b consentv1.AttemptBatch
	if err := proto.Unmarshal(e.seen[2], &b); err != nil {
		t.Fatal(err)
	}
	b.Records = b.Records[:1]
	b.RecordedAt.Nanos++
	data, err := proto.Marshal(&b)
	if err != nil {
		t.Fatal(err)
	}
	e.stream.Spoil(3, data)
	e.start()
	if e.known(1) || e.allowed(1, "c") {
		t.Error("a stream with another message is trusted")
	}
	// Another ledger's are sealed under other keys.
	foreign := tried(t, 1)
	for i, raw := range other.seen {
		if i > 0 {
			if _, err := foreign.stream.Append(context.Background(), uint64(i), raw); err != nil {
				t.Fatal(err)
			}
		}
	}
	foreign.start()
	if foreign.known(0) {
		t.Error("another ledger's messages are trusted")
	}
}
