package attempts

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// call is what is known of one call: the join of all records with its reference.
type call struct {
	ref     store.Reference
	token   ledger.Token // zero: it was given up before anybody named a number
	seller  string
	channel consentv1.Channel
	purpose consentv1.Purpose
	subject string
	outcome consentv1.AttemptOutcome
	// at is the latest instant any record gives: a doubt about the time keeps it
	// longer in every window to come.
	at time.Time
	// first is the earliest instant any record gives.
	first time.Time
	// heard says when the first record of each stage was recorded, in ns since 1970;
	// 0: of that stage nothing was, before a later one. For what was known at another time.
	heard [made]int64
	// seq is the last message that added something.
	seq uint64
}

// stage orders outcomes: a later stage stands, whatever arrives after it. So a
// call that was made cannot be given up, and one that was given up and made after
// all counts.
func stage(o consentv1.AttemptOutcome) int {
	switch o {
	case consentv1.AttemptOutcome_ATTEMPT_OUTCOME_RESERVED:
		return reserved
	case consentv1.AttemptOutcome_ATTEMPT_OUTCOME_CANCELLED:
		return cancelled
	}
	return made
}

const (
	reserved = iota + 1
	cancelled
	made
)

// join adds a record to what is known; a nil call is one nobody knows. It says
// whether the record added anything.
func (c *call) join(r said, seq uint64) (joined *call, added bool) {
	if c == nil {
		c = &call{ref: r.ref, token: r.token, seller: r.seller, channel: r.channel, purpose: r.purpose, subject: r.subject,
			outcome: r.outcome, at: r.at, first: r.at, seq: seq}
		c.heard[stage(r.outcome)-1] = r.heard.UnixNano()
		return c, true
	}
	j := *c
	if j.token.IsZero() && !r.token.IsZero() {
		j.token, j.channel, j.purpose, j.subject = r.token, r.channel, r.purpose, r.subject
	}
	if r.at.After(j.at) {
		j.at = r.at
	}
	newer := stage(r.outcome) - stage(j.outcome)
	if newer > 0 || newer == 0 && r.outcome != consentv1.AttemptOutcome_ATTEMPT_OUTCOME_UNSPECIFIED {
		j.outcome = r.outcome
	}
	if j == *c {
		return c, false
	}
	j.seq = seq
	if r.at.Before(j.first) {
		j.first = r.at
	}
	if h := &j.heard[stage(r.outcome)-1]; *h == 0 {
		*h = r.heard.UnixNano()
	}
	return &j, true
}

// countedAt tells whether what was recorded by an instant made the call count.
func (c *call) countedAt(asOf time.Time) bool {
	by := func(stage int) bool { h := c.heard[stage-1]; return h != 0 && h <= asOf.UnixNano() }
	return by(made) || by(reserved) && !by(cancelled)
}

// said is a record with its token opened.
type said struct {
	ref     store.Reference
	token   ledger.Token
	seller  string
	channel consentv1.Channel
	purpose consentv1.Purpose
	subject string
	outcome consentv1.AttemptOutcome
	at      time.Time
	heard   time.Time // when it was recorded
}

// saidBy reads a record of a batch recorded at an instant; ok is false for a decision
// that was only kept.
func saidBy(r *consentv1.AttemptRecord, t ledger.Token, recordedAt time.Time) (s said, ok bool, err error) {
	if len(r.GetReference()) == 0 {
		return said{}, false, nil
	}
	if len(r.GetReference()) != len(ledger.Hash{}) || !plausible(r.GetAt()) {
		return said{}, false, errors.New("a record without a whole reference or instant")
	}
	return said{ref: store.Reference(r.GetReference()[:len(store.Reference{})]), token: t, seller: r.GetSeller(), channel: r.GetChannel(),
		purpose: r.GetPurpose(), subject: r.GetSubject(), outcome: r.GetOutcome(), at: r.GetAt().AsTime(), heard: recordedAt}, true, nil
}

// plausible tells whether an instant fits the keys: nanoseconds since 1970 in 64 bits.
func plausible(t *timestamppb.Timestamp) bool {
	return t != nil && t.CheckValid() == nil && t.AsTime().Year() >= 1970 && t.AsTime().Year() < 2262
}

const callBytes = 8 + 1 + 1 + 1 + 8 + 8 + 8*made // and the subject

// encode gives instant (8), outcome, channel, purpose, sequence (8), first instant
// (8), when each stage was heard (8 each), subject.
func (c *call) encode() []byte {
	b := make([]byte, 0, callBytes+len(c.subject))
	b = binary.BigEndian.AppendUint64(b, uint64(c.at.UnixNano()))
	b = append(b, byte(c.outcome), byte(c.channel), byte(c.purpose))
	b = binary.BigEndian.AppendUint64(b, c.seq)
	b = binary.BigEndian.AppendUint64(b, uint64(c.first.UnixNano()))
	for _, h := range c.heard {
		b = binary.BigEndian.AppendUint64(b, uint64(h))
	}
	return append(b, c.subject...)
}

func decodeCall(key, v []byte) (*call, error) {
	t, seller, ref, err := store.ParseAttemptKey(key)
	if err != nil {
		return nil, err
	}
	if len(v) < callBytes {
		return nil, fmt.Errorf("attempts: a call of %d bytes: %w", len(v), store.ErrBadKey)
	}
	c := &call{ref: ref, token: t, seller: seller, at: instant(v), outcome: consentv1.AttemptOutcome(v[8]), channel: consentv1.Channel(v[9]),
		purpose: consentv1.Purpose(v[10]), seq: binary.BigEndian.Uint64(v[11:]), first: instant(v[19:]), subject: string(v[callBytes:])}
	for i := range c.heard {
		c.heard[i] = int64(binary.BigEndian.Uint64(v[27+8*i:]))
	}
	return c, nil
}

func instant(b []byte) time.Time { return time.Unix(0, int64(binary.BigEndian.Uint64(b))).UTC() }

func (c *call) key() []byte    { return store.AttemptKey(c.token, c.seller, c.ref) }
func (c *call) ageKey() []byte { return store.AttemptAgeKey(uint64(c.at.UnixNano()), c.ref) }

// place is what the reference alone leads to: token and seller.
func (c *call) place() []byte { return append(append([]byte(nil), c.token[:]...), c.seller...) }
