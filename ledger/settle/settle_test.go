package settle_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/memstream"
	"github.com/consent-ledger/consent-ledger/ledger/settle"
)

// fault is what happens to one append: not done, or done and unheard.
type fault int

const (
	none fault = iota
	lost
	unheard
	other  // somebody else's message takes the place first
	unread // like lost, and the next read has no answer
)

type spoiled struct {
	*memstream.Stream
	faults []fault
	always fault
	deaf   bool
}

func (s *spoiled) Append(ctx context.Context, after uint64, data []byte) (uint64, error) {
	f := s.always
	if len(s.faults) > 0 {
		f, s.faults = s.faults[0], s.faults[1:]
	}
	switch f {
	case lost, unread:
		s.deaf = f == unread
		return 0, ledger.ErrNoAnswer
	case unheard:
		if _, err := s.Stream.Append(ctx, after, data); err != nil {
			return 0, err
		}
		return 0, ledger.ErrNoAnswer
	case other:
		if _, err := s.Stream.Append(ctx, after, []byte("theirs")); err != nil {
			return 0, err
		}
	}
	return s.Stream.Append(ctx, after, data)
}

func (s *spoiled) Read(ctx context.Context, seq uint64) (ledger.Message, error) {
	if s.deaf {
		s.deaf = false
		return ledger.Message{}, ledger.ErrNoAnswer
	}
	return s.Stream.Read(ctx, seq)
}

// TestAppend: whatever is lost, what is said is what is stored. In synctest's
// bubble ten seconds without an answer take no time.
func TestAppend(t *testing.T) {
	for _, tc := range []struct {
		name   string
		faults []fault
		always fault
		want   error
		stored string // at the place; empty: nothing
	}{
		{name: "heard", stored: "ours"},
		{name: "lost once", faults: []fault{lost}, stored: "ours"},
		{name: "unheard once", faults: []fault{unheard}, stored: "ours"},
		{name: "unheard, and the reading too", faults: []fault{unheard, unread}, stored: "ours"},
		{name: "never heard, not stored", always: lost, want: settle.ErrUnsettled},
		{name: "never heard, stored", faults: []fault{unheard}, always: lost, want: settle.ErrUnsettled, stored: "ours"},
		{name: "another was first", faults: []fault{other}, want: settle.ErrOther, stored: "theirs"},
		{name: "lost, then another was first", faults: []fault{lost, other}, want: settle.ErrOther, stored: "theirs"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &spoiled{Stream: memstream.New(func(uint64, []byte) {}), faults: tc.faults, always: tc.always}
				retried := 0
				err := settle.Append(t.Context(), s, 0, []byte("ours"), settle.Policy{Retried: func() { retried++ }})
				if !errors.Is(err, tc.want) {
					t.Fatalf("%v, want %v", err, tc.want)
				}
				m, err := s.Stream.Read(t.Context(), 1)
				if err != nil && tc.stored != "" || string(m.Data) != tc.stored {
					t.Errorf("stored %q, %v", m.Data, err)
				}
				if (tc.always == lost) != (retried > 100) {
					t.Errorf("tried again %d times", retried)
				}
			})
		})
	}
}

func TestAppendEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("closing")
	s := &spoiled{Stream: memstream.New(func(uint64, []byte) {}), always: lost}
	err := settle.Append(ctx, s, 0, []byte("ours"), settle.Policy{Retried: func() { cancel(why) }})
	if !errors.Is(err, settle.ErrUnsettled) || !errors.Is(err, why) {
		t.Errorf("%v", err)
	}
}
