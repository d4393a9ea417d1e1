// Package ledgertest is the contract of ledger.Log as a suite, and a wrapper
// that injects its failures. Every implementation passes the same suite.
package ledgertest

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// recordedAt is late enough to follow whatever a test has recorded.
var recordedAt = time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)

// Commit makes a valid commit of n system entries from a position.
func Commit(t testing.TB, first ledger.Position, n int) []byte {
	t.Helper()
	c := &consentv1.Commit{FirstPosition: uint64(first)}
	for i := range n {
		id := bytes.Repeat([]byte{byte(uint64(first) + uint64(i)), byte((uint64(first) + uint64(i)) >> 8)}, 16)
		raw, err := proto.Marshal(&consentv1.Entry{
			Position: uint64(first) + uint64(i), RecordedAt: timestamppb.New(recordedAt), EntryId: id[:16], Idempotency: id, Content: id,
			Fact: &consentv1.Fact{Kind: &consentv1.Fact_WriterStarted{WriterStarted: &consentv1.WriterStarted{}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		c.Entries = append(c.Entries, raw)
	}
	data, err := proto.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Run is the suite. open gives an empty log.
func Run(t *testing.T, open func(t *testing.T) ledger.Log) {
	t.Run("append reads back the exact bytes", func(t *testing.T) {
		l, ctx := open(t), t.Context()
		want := [][]byte{Commit(t, 1, 1), Commit(t, 2, 3)}
		for i, data := range want {
			seq, err := l.Append(ctx, uint64(i), data)
			if err != nil || seq != uint64(i+1) {
				t.Fatalf("append %d: sequence %d, %v", i, seq, err)
			}
		}
		for i, data := range want {
			m, err := l.Read(ctx, uint64(i+1))
			if err != nil || !bytes.Equal(m.Data, data) {
				t.Fatalf("read %d: %v, equal bytes %t", i+1, err, bytes.Equal(m.Data, data))
			}
		}
		if tail, err := l.Tail(ctx); err != nil || tail != 2 {
			t.Fatalf("tail %d, %v", tail, err)
		}
		if _, err := l.Read(ctx, 3); !errors.Is(err, ledger.ErrNotFound) {
			t.Fatalf("read beyond the tail: %v", err)
		}
	})
	t.Run("a wrong tail stores nothing", func(t *testing.T) {
		l, ctx := open(t), t.Context()
		if _, err := l.Append(ctx, 0, Commit(t, 1, 1)); err != nil {
			t.Fatal(err)
		}
		for _, after := range []uint64{0, 2} {
			if _, err := l.Append(ctx, after, Commit(t, 2, 1)); !errors.Is(err, ledger.ErrWrongTail) {
				t.Fatalf("append after %d: %v", after, err)
			}
		}
		if tail, err := l.Tail(ctx); err != nil || tail != 1 {
			t.Fatalf("tail %d, %v", tail, err)
		}
	})
	t.Run("follow yields what was there and what comes", func(t *testing.T) {
		l, ctx := open(t), t.Context()
		for i := range uint64(3) {
			if _, err := l.Append(ctx, i, Commit(t, ledger.Position(i+1), 1)); err != nil {
				t.Fatal(err)
			}
		}
		next := uint64(2)
		for m, err := range l.Follow(ctx, 1) {
			if err != nil || m.Seq != next {
				t.Fatalf("message %d, want %d: %v", m.Seq, next, err)
			}
			if next == 3 {
				if _, err := l.Append(ctx, 3, Commit(t, 4, 1)); err != nil {
					t.Fatal(err)
				}
			}
			if next++; next == 5 {
				break
			}
		}
	})
	t.Run("follow ends with its context", func(t *testing.T) {
		l := open(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for _, err := range l.Follow(ctx, 0) {
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("got %v", err)
			}
		}
	})
	t.Run("keys are kept in order and end at the tail", func(t *testing.T) {
		l, ctx := open(t), t.Context()
		for range l.FollowKeys(ctx, 0) {
			t.Fatal("keys in an empty log")
		}
		for i := range byte(3) {
			if _, err := l.AppendKeys(ctx, []byte{i}); err != nil {
				t.Fatal(err)
			}
		}
		var got []byte
		for m, err := range l.FollowKeys(ctx, 1) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, m.Data...)
		}
		if !bytes.Equal(got, []byte{1, 2}) {
			t.Fatalf("got %v", got)
		}
	})
}
