package attempts

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// model is the truth by other means: it keeps every record of the stream, and
// after each message counts every window anew.
type model struct {
	keys  *seal.Keyring
	fail  func(format string, args ...any)
	calls map[string]*modelCall // by reference hash
	last  time.Time
	seq   uint64
}

type modelCall struct {
	number                   string
	reserved, cancelled, did bool
	at                       time.Time
}

func (c *modelCall) counts() bool { return c.did || c.reserved && !c.cancelled }

func newModel(keys *seal.Keyring, fail func(string, ...any)) *model {
	return &model{keys: keys, fail: fail, calls: map[string]*modelCall{}}
}

// check sees each message before it is stored.
func (m *model) check(seq uint64, data []byte) {
	var b consentv1.AttemptBatch
	if err := proto.Unmarshal(data, &b); err != nil || (len(b.Records) == 0) != b.Lost {
		m.fail("message %d is no batch: %v", seq, err)
		return
	}
	at := b.GetRecordedAt().AsTime()
	if seq != m.seq+1 || at.Before(m.last) {
		m.fail("message %d follows %d, its instant %s follows %s", seq, m.seq, at, m.last)
	}
	m.seq, m.last = seq, at
	for _, r := range b.Records {
		m.record(r, at)
	}
	m.count()
}

func (m *model) record(r *consentv1.AttemptRecord, at time.Time) {
	if r.GetAt().AsTime().After(at) {
		m.fail("a record of %s in a batch of %s", r.GetAt().AsTime(), at)
	}
	if d := r.GetDecision(); d.GetNumber() != "" || len(d.GetReasons()) > 0 && d.GetReasons()[0].GetText() != "" {
		m.fail("a stored decision with a number or a text: %v", d)
	}
	c := m.calls[string(r.Reference)]
	if c == nil {
		c = &modelCall{}
		m.calls[string(r.Reference)] = c
	}
	if len(r.Token) > 0 {
		x, _, err := m.keys.OpenToken(&consentv1.Entry{EntryId: r.Id, Token: r.Token})
		if err != nil {
			m.fail("token: %v", err)
		}
		n, err := m.keys.Number(x)
		if err != nil || c.number != "" && c.number != n {
			m.fail("one reference for two numbers, or none: %v", err)
		}
		c.number = n
	}
	switch r.Outcome {
	case consentv1.AttemptOutcome_ATTEMPT_OUTCOME_RESERVED:
		if r.GetDecision().GetVerdict() != consentv1.Verdict_VERDICT_ALLOW {
			m.fail("a reservation without the decision it rests on: %v", r)
		}
		c.reserved = true
	case consentv1.AttemptOutcome_ATTEMPT_OUTCOME_CANCELLED:
		c.cancelled = true
	default:
		c.did = true
	}
	if t := r.GetAt().AsTime(); t.After(c.at) {
		c.at = t
	}
}

// count looks at the window before each call that counts.
func (m *model) count() {
	for _, end := range m.calls {
		if n := m.used(end.number, end.at); end.counts() && n > capMax {
			m.fail("%d contacts in the %s up to %s, at most %d are permitted", n, capWindow, end.at, capMax)
		}
	}
}

// used counts the contacts to a number in the window up to an instant.
func (m *model) used(number string, until time.Time) (n int) {
	for _, c := range m.calls {
		if c.counts() && c.number == number && !c.at.After(until) && until.Sub(c.at) < capWindow {
			n++
		}
	}
	return n
}

func (m *model) call(keys *seal.Keyring, ref string) *modelCall {
	h := ReferenceKey(keys, acme, ref)
	return m.calls[string(h[:])]
}

// TestModelFindsOneTooMany: the model itself is worth something.
func TestModelFindsOneTooMany(t *testing.T) {
	keys := testKeys(t)
	var found []string
	m := newModel(keys, func(f string, a ...any) { found = append(found, fmt.Sprintf(f, a...)) })
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for i := range capMax + 1 {
		d, err := declared(testCall(t, keys, 1, fmt.Sprint("c", i)), consentv1.AttemptOutcome_ATTEMPT_OUTCOME_BUSY, keys)
		if err != nil {
			t.Fatal(err)
		}
		d.record.At = timestamppb.New(at)
		data, err := proto.Marshal(&consentv1.AttemptBatch{RecordedAt: timestamppb.New(at), Records: []*consentv1.AttemptRecord{d.record}})
		if err != nil {
			t.Fatal(err)
		}
		if m.check(uint64(i)+1, data); (len(found) > 0) != (i == capMax) {
			t.Fatalf("after %d contacts: %q", i+1, found)
		}
	}
	if slices.ContainsFunc(found, func(s string) bool { return len(s) == 0 }) ||
		ledger.Hash(ReferenceKey(keys, acme, "x")) == ledger.Hash(ReferenceKey(keys, "other", "x")) {
		t.Error("two sellers share a reference")
	}
}
