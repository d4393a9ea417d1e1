package tree

import (
	"context"
	"errors"
	"os"
	"testing"
)

// What the entries of a copy's end need is durable before any of them is, and nothing is
// asked for if nothing is taken: a process that dies between the two must not leave
// entries whose keys nobody stores again.
func TestWhatAnEndNeedsComesBeforeIt(t *testing.T) {
	m := newMade(20)
	for range 10 {
		m.commit(50)
	}
	s := newStand(t, m.messages)
	s.close(s.whole())
	catchUp := func(copied [][]byte, before func(stored int) error) error {
		t.Helper()
		if err := os.RemoveAll(s.dir); err != nil { // and with it what the tree keeps of the end
			t.Fatal(err)
		}
		c := s.config()
		c.Copy = &source{messages: copied}
		c.BeforeTail = func(context.Context) error { return before(len(s.source.messages)) }
		tr, err := Open(c)
		if err != nil {
			t.Fatal(err)
		}
		defer s.close(tr)
		return tr.CatchUp(t.Context())
	}
	died := errors.New("died")
	for _, tc := range []struct {
		name        string
		cut, copied int
		fails       error
		want        error
		calls, left int
	}{
		{"a copy that is too old", 5, 9, nil, ErrRolledBack, 0, 5},
		{"a stream that is whole", 10, 10, nil, nil, 0, 10},
		{"it dies before the end", 5, 10, died, died, 1, 5},
		{"again", 5, 10, nil, nil, 1, 10},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s.source.messages = m.messages[:tc.cut:tc.cut]
			calls := 0
			err := catchUp(m.messages[:tc.copied], func(stored int) error {
				if calls++; stored != tc.cut {
					t.Errorf("%d messages were stored before", stored)
				}
				return tc.fails
			})
			if !errors.Is(err, tc.want) || calls != tc.calls || len(s.source.messages) != tc.left {
				t.Fatalf("%v; asked %d times, the stream has %d messages", err, calls, len(s.source.messages))
			}
		})
	}
}
