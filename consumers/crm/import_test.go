package crm

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ledger is a Sender that keeps facts by source and event id, and is stricter
// than a real one: a Send with too many facts or without an id fails the test.
type ledger struct {
	t *testing.T

	mu      sync.Mutex
	facts   map[string]bool
	calls   int
	running int
	most    int
	// fail, if set, is asked before a call takes effect.
	fail func(call int) error
	// lose, if set, is asked after it took effect: the answer is lost.
	lose func(call int) error
	// refuse, if set, gives a refusal.
	refuse func(call int, f *consentv1.Fact) *consentv1.Refusal
	hold   time.Duration
}

func newLedger(t *testing.T) *ledger { return &ledger{t: t, facts: map[string]bool{}} }

func (l *ledger) Send(ctx context.Context, facts []*consentv1.Fact) ([]*consentv1.Outcome, error) {
	l.mu.Lock()
	l.calls++
	call := l.calls
	l.running++
	l.most = max(l.most, l.running)
	l.mu.Unlock()
	if l.hold > 0 {
		time.Sleep(l.hold) // in a synctest bubble
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running--
	if len(facts) == 0 || len(facts) > chunkRowsMax {
		l.t.Errorf("Send of %d facts", len(facts))
	}
	if l.fail != nil {
		if err := l.fail(call); err != nil {
			return nil, err
		}
	}
	out := make([]*consentv1.Outcome, len(facts))
	for i, f := range facts {
		out[i] = l.record(call, f)
	}
	if l.lose != nil {
		if err := l.lose(call); err != nil {
			return nil, err
		}
	}
	return out, ctx.Err()
}

func (l *ledger) record(call int, f *consentv1.Fact) *consentv1.Outcome {
	if l.refuse != nil {
		if r := l.refuse(call, f); r != nil {
			return &consentv1.Outcome{Result: &consentv1.Outcome_Refusal{Refusal: r}}
		}
	}
	key := f.GetSource() + "\x00" + f.GetEventId()
	if f.GetEventId() == "" {
		l.t.Error("a fact without an event id")
	}
	duplicate := l.facts[key]
	l.facts[key] = true
	return &consentv1.Outcome{Result: &consentv1.Outcome_Receipt{Receipt: &consentv1.Receipt{Position: uint64(len(l.facts)), Duplicate: duplicate}}}
}

func stops(n int) string {
	var b strings.Builder
	b.WriteString("kind,number,words\n")
	for i := range n {
		fmt.Fprintf(&b, "consent_revoked,+1212555%04d,row %d\n", 100+i%100, i)
	}
	return b.String()
}

func TestImportTwice(t *testing.T) {
	l := newLedger(t)
	file := stops(2500) + "consent_granted,+12125550143\n"
	for _, want := range []Summary{
		{Rows: 2501, Added: 2500, Rejected: 1},
		{Rows: 2501, Duplicates: 2500, Rejected: 1},
	} {
		got, err := Import(t.Context(), open(t, file, Options{}), l, ImportOptions{})
		if err != nil || got != want {
			t.Errorf("%+v, %v; want %+v", got, err, want)
		}
	}
}

// TestRejectsInOrder: local and server errors stand in the order of the file,
// and the corrected rejects file can be imported as it is.
func TestRejectsInOrder(t *testing.T) {
	l := newLedger(t)
	l.refuse = func(_ int, f *consentv1.Fact) *consentv1.Refusal {
		switch f.GetEventId() {
		case "e2":
			return &consentv1.Refusal{Code: "INVALID", Field: "seller", Message: "seller: is not registered"}
		case "e4":
			return &consentv1.Refusal{Code: "INBOX", Field: "number", Message: "number: has letters in it"}
		case "e5":
			return &consentv1.Refusal{Code: "EVENT_ID_CONFLICT", Message: "used for another fact"}
		}
		return nil
	}
	const file = "event_id,kind,number,words\n" +
		"e1,consent_grant,+12125550143,=cmd|' /C calc'!A0\n" +
		"e2,consent_granted,+12125550143,yes\n" +
		"e3,consent_revoked,+12125550143,stop\n" +
		"e4,consent_revoked,Jane,stop\n" +
		"e5,consent_revoked,+12125550143,stop\n" +
		"e6,consent_granted\n"
	var out bytes.Buffer
	r := open(t, file, Options{})
	rejects, err := NewRejects(&out, r.Header())
	if err != nil {
		t.Fatal(err)
	}
	got, err := Import(t.Context(), r, l, ImportOptions{Rejects: rejects, ChunkRows: 2})
	if want := (Summary{Rows: 6, Added: 1, Rejected: 4, Inbox: 1}); err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	want := [][]string{
		{"event_id", "kind", "number", "words", "rejected_line", "rejected_reason"},
		{"e1", "consent_grant", "'+12125550143", "'=cmd|' /C calc'!A0", "2", `kind: "consent_grant" is unknown; did you mean consent_granted?`},
		{"e2", "consent_granted", "'+12125550143", "yes", "3", "seller: is not registered"},
		{"e5", "consent_revoked", "'+12125550143", "stop", "6", "EVENT_ID_CONFLICT: used for another fact"},
		{"e6", "consent_granted", "", "", "7", "has 2 fields, the header has 4; put fields with commas in quotes"},
	}
	rows, err := csv.NewReader(bytes.NewReader(out.Bytes())).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Error(diff)
	}
	again := readAll(t, open(t, strings.Replace(out.String(), "consent_grant,", "consent_granted,", 1), Options{}))
	if again[0].Err != nil || again[0].Fact.GetNumber() != "+12125550143" || again[0].Fact.GetConsentGranted().GetEvidence().GetWords() != "=cmd|' /C calc'!A0" {
		t.Errorf("the corrected row: %v %v", again[0].Fact, again[0].Err)
	}
}

var errDown = errors.New("connection refused")

// TestRetries: failures come in pairs, not done and done but unheard; either way
// every fact is recorded once and the ids never change.
func TestRetries(t *testing.T) {
	first := func(n int) func(int) error {
		return func(call int) error {
			if call <= n {
				return errDown
			}
			return nil
		}
	}
	uncertain := func(call int, f *consentv1.Fact) *consentv1.Refusal {
		if call == 1 && strings.HasSuffix(f.GetConsentRevoked().GetWords(), "7") {
			return &consentv1.Refusal{Code: "UNCERTAIN", Message: "the fact may be in the ledger"}
		}
		return nil
	}
	for _, tt := range []struct {
		name   string
		set    func(*ledger)
		want   Summary
		is     error
		stored int
	}{
		{"call lost", func(l *ledger) { l.fail = first(3) }, Summary{Rows: 50, Added: 50}, nil, 50},
		{"answer lost", func(l *ledger) { l.lose = first(3) }, Summary{Rows: 50, Duplicates: 50}, nil, 50},
		{"some uncertain", func(l *ledger) { l.refuse = uncertain }, Summary{Rows: 50, Added: 50}, nil, 50},
		{"never answered", func(l *ledger) { l.fail = first(1 << 30) }, Summary{Rows: 50, Unknown: 50}, ErrUnknown, 0},
		{"refused for good", func(l *ledger) {
			l.fail = func(int) error { return fmt.Errorf("wrong key: %w", ErrPermanent) }
		}, Summary{Rows: 50, Unknown: 50}, ErrPermanent, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLedger(t)
				tt.set(l)
				got, err := Import(t.Context(), open(t, stops(50), Options{}), l, ImportOptions{})
				if got != tt.want || !errors.Is(err, tt.is) || len(l.facts) != tt.stored {
					t.Errorf("%+v, %v, %d stored; want %+v, %v, %d", got, err, len(l.facts), tt.want, tt.is, tt.stored)
				}
			})
		})
	}
}

// TestInFlight: the bound is reached and never passed; progress comes in order.
func TestInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(t)
		l.hold = time.Second
		var rows []int
		sum, err := Import(t.Context(), open(t, stops(300), Options{}), l, ImportOptions{ChunkRows: 10, InFlight: 3,
			Progress: func(p Progress) { rows = append(rows, p.Rows) }})
		if err != nil || sum.Added != 300 || l.most != 3 {
			t.Errorf("%+v, %v; %d in flight, want 3", sum, err, l.most)
		}
		for i, n := range rows {
			if n != 10*(i+1) {
				t.Fatalf("progress %d says %d rows", i, n)
			}
		}
	})
}

// TestCancel: everything ends, and what is known still counts.
func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		l := newLedger(t)
		l.hold = time.Second
		sum, err := Import(ctx, open(t, stops(5000), Options{}), l, ImportOptions{ChunkRows: 100, InFlight: 2,
			Progress: func(p Progress) {
				if p.Rows == 500 {
					cancel()
				}
			}})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error: %v", err)
		}
		if sum.Added < 500 || sum.Added+sum.Unknown != sum.Rows || sum.Rows > 1000 {
			t.Errorf("%+v", sum)
		}
	})
}
