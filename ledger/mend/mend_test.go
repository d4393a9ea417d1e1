package mend

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/consent-ledger/consent-ledger/ledger"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// made is a world of six messages.
func made(t *testing.T) *world {
	w := newWorld(t)
	w.commit(nobody)
	w.commit(1, 2, nobody)
	w.commit(everybody)
	w.commit(3)
	w.commit(4, 3, 5)
	w.commit(nobody, nobody)
	return w
}

// blocked lists which of numbers 1 to 5 are blocked.
func blocked(m *Mender) (out string) {
	for i := 1; i <= 5; i++ {
		if m.Blocks(phone(i)) {
			out += string(rune('0' + i))
		}
	}
	return out
}

// TestLostMessages: each blocks whom it is about, at once and after a restart, and
// until the directory is there everybody.
func TestLostMessages(t *testing.T) {
	for _, tc := range []struct {
		name    string
		lost    []int
		blocked string
		state   string
	}{
		{"nothing", nil, "", ""},
		{"about nobody", []int{1}, "", StateDamaged},
		{"about two", []int{2}, "12", StateDamaged},
		{"about all", []int{3}, "12345", StateDamaged},
		{"two messages", []int{4, 5}, "345", StateDamaged},
		{"the last one", []int{6}, "", StateDamaged},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := made(t)
			for _, seq := range tc.lost {
				w.put(seq, nil)
			}
			for range 2 {
				m := w.open()
				if got := blocked(m); got != tc.blocked || m.State() != tc.state || m.Whole() != (tc.state == "") {
					t.Errorf("blocked %q, want %q; %s: %q", got, tc.blocked, m.State(), m.Problems())
				}
				w.close(m)
			}
			early, err := Open(Config{Dir: w.dir, Ledger: [16]byte{1}, Stream: w}, keyOf)
			if err != nil {
				t.Fatal(err)
			}
			if got := blocked(early); got != tc.blocked {
				t.Errorf("before anything is compared again: blocked %q, want %q", got, tc.blocked)
			}
			w.close(early)
		})
	}
}

// TestNobodyKnows: without a directory a lost message blocks everybody.
func TestNobodyKnows(t *testing.T) {
	w := made(t)
	w.put(2, nil)
	m, err := Open(Config{Dir: w.dir, Ledger: [16]byte{1}, Stream: w}, keyOf)
	if err != nil {
		t.Fatal(err)
	}
	defer w.close(m)
	m.Know(w)
	if err := m.Begin(t.Context(), w.missing()); err != nil {
		t.Fatal(err)
	}
	if got := blocked(m); got != "12345" {
		t.Errorf("blocked %q", got)
	}
}

// TestTake: an entry is taken for its leaf and for nothing else, and a message is
// read again when its last entry has come: with the bytes it had.
func TestTake(t *testing.T) {
	w := made(t)
	w.put(5, nil)
	m := w.open()
	take := func(want Taken, entries ...[]byte) {
		t.Helper()
		if got, err := m.Take(t.Context(), entries); err != nil || got != want {
			t.Errorf("%+v, want %+v: %v", got, want, err)
		}
	}
	cut := w.entries[7][:len(w.entries[7])-1]
	take(Taken{Refused: 4, Left: 1}, w.entry(7, 9), w.entry(8, 9), cut, []byte("no entry"))
	take(Taken{Unneeded: 2, Left: 1}, w.entries[0], w.entries[3])
	take(Taken{Taken: 2, Left: 1}, w.entries[8], w.entries[6]) // a bundle has some of a message
	if got := blocked(m); got != "345" {
		t.Errorf("half of it is here, and blocked are %q", got)
	}
	w.unsound = ledger.ErrDamaged
	if _, err := m.Take(t.Context(), w.entries); !errors.Is(err, ledger.ErrDamaged) {
		t.Errorf("a tree that does not lead to what was signed vouches: %v", err)
	}
	w.unsound = nil
	w.close(m) // what was taken is kept
	m = w.open()
	defer w.close(m)
	take(Taken{Taken: 1, Mended: 1, Left: 0}, w.entries[7])
	if got := blocked(m); got != "" || m.State() != "" || len(m.Problems()) != 1 || !strings.HasPrefix(m.Problems()[0], "MENDED: 1 ") {
		t.Errorf("mended: blocked %q, %s, %q", got, m.State(), m.Problems())
	}
	w.mustFollow(m.Strict())
	w.mustFollow(m.ForTree())
	w.mustFollow(m.Patient())
}

// TestTreeMends: what the tree keeps mends at once, also a message that holds noise.
func TestTreeMends(t *testing.T) {
	w := made(t)
	w.kept[2], w.kept[5], w.kept[6] = true, true, true
	w.put(2, nil)
	w.put(6, []byte("noise"))
	m := w.open()
	defer w.close(m)
	if !m.Whole() || len(m.Damages()) != 2 {
		t.Errorf("%+v", m.Damages())
	}
	w.mustFollow(m.Strict())
	w.put(5, nil) // while somebody reads
	w.mustFollow(m.Patient())
	w.put(5, w.whole[4])
	if err := m.Examine(t.Context(), 2, 5); err != nil || len(m.Damages()) != 2 {
		t.Errorf("what is right again is still damaged: %v %+v", err, m.Damages())
	}
}

// TestHoles: who must not go on without a message ends; who can wait does, while
// everybody is blocked, and goes on when it is there.
func TestHoles(t *testing.T) {
	w := made(t)
	w.put(4, nil)
	m := w.open()
	defer w.close(m)
	var hole *ledger.Hole
	read := 0
	for _, err := range m.Strict().Follow(t.Context(), 0) {
		if err != nil {
			if !errors.As(err, &hole) || hole.Seq != 4 || read != 3 {
				t.Errorf("after %d messages: %v", read, err)
			}
			break
		}
		read++
	}
	if _, err := m.Patient().Read(t.Context(), 4); !errors.As(err, &hole) || !errors.Is(err, ledger.ErrDamaged) {
		t.Errorf("a read of one: %v", err)
	}
	if _, err := m.Strict().Read(t.Context(), 7); !errors.Is(err, ledger.ErrNotFound) || errors.Is(err, ledger.ErrDamaged) {
		t.Errorf("beyond the tail: %v", err)
	}
	if got := blocked(m); got != "3" {
		t.Errorf("blocked %q", got)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.mustFollow(m.Patient())
	}()
	for m.waiting.Load() == 0 {
		select {
		case <-done:
			t.Fatal("nobody waited")
		case <-time.After(time.Millisecond):
		}
	}
	if got := blocked(m); got != "12345" || m.State() != StateDamaged {
		t.Errorf("while projections wait: blocked %q, %s", got, m.State())
	}
	changed := m.Changed()
	if !m.Waits() {
		t.Error("nobody is told that waiting is in vain")
	}
	if _, err := m.Take(t.Context(), w.entries); err != nil {
		t.Fatal(err)
	}
	<-done
	<-changed // whoever keeps a copy hears of it
	if m.Waits() {
		t.Error("mended, and answers are still BLOCK at once")
	}
	if got := blocked(m); got != "" {
		t.Errorf("mended, and blocked %q", got)
	}
}

// TestTampered: a whole commit of other entries is no damage. It blocks everybody,
// nothing mends it unasked, and the recorded entries can be put back.
func TestTampered(t *testing.T) {
	for name, other := range map[string]func(w *world) []byte{
		"another entry":        func(w *world) []byte { return join(6, [][]byte{w.entry(6, 7)}) },
		"the message before":   func(w *world) []byte { return w.whole[2] },
		"another entry beside": func(w *world) []byte { return join(7, [][]byte{w.entry(7, 7)}) },
	} {
		t.Run(name, func(t *testing.T) {
			w := made(t)
			w.kept[4] = true
			m := w.open()
			w.put(4, other(w))
			if err := m.pass(t.Context(), Scrub{stall: time.Minute}); err != nil {
				t.Fatal(err)
			}
			if got := blocked(m); got != "12345" || m.State() != StateTampered || !strings.HasPrefix(m.Problems()[0], "TAMPERED: message 4 ") {
				t.Errorf("blocked %q, %s, %q", got, m.State(), m.Problems())
			}
			w.close(m)
			m = w.open()
			defer w.close(m)
			if m.State() != StateTampered {
				t.Errorf("forgotten: %s", m.State())
			}
			if got, err := m.Take(t.Context(), [][]byte{w.entry(6, 7), w.entries[5]}); err != nil || got.Refused != 1 || got.Mended != 1 {
				t.Errorf("%+v %v", got, err)
			}
			w.mustFollow(m.Strict())
		})
	}
}

// TestForeignFolder: what another ledger lost is none of ours.
func TestForeignFolder(t *testing.T) {
	w := made(t)
	w.close(w.open())
	if _, err := Open(Config{Dir: w.dir, Ledger: [16]byte{2}, Stream: w}, keyOf); !errors.Is(err, ErrForeign) {
		t.Error(err)
	}
}

// TestScrubber finds what is lost while the ledger is served, wherever it is, keeps
// its pace and goes on after a restart where it was.
func TestScrubber(t *testing.T) {
	w := made(t)
	m := w.open()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.RunScrub(ctx, Scrub{Every: time.Millisecond, stall: 20 * time.Millisecond}) }()
	until := func(what string, ok func() bool) {
		t.Helper()
		limit := time.After(20 * time.Second)
		for !ok() {
			select {
			case <-time.After(time.Millisecond):
			case <-limit:
				t.Fatalf("%s: not in time; %+v %+v", what, m.ScrubStatus(), m.Damages())
			}
		}
	}
	until("a pass", func() bool { return m.ScrubStatus().Positions == 11 })
	if !m.Whole() {
		t.Errorf("%+v", m.Damages())
	}
	w.put(2, nil)
	until("a lost message", func() bool { return blocked(m) == "12" })
	w.put(4, []byte("noise"))
	until("a spoilt message", func() bool { return blocked(m) == "123" })
	w.put(6, nil)
	until("the last message lost", func() bool { open, _ := m.Counts(); return open == 3 })
	began := m.ScrubStatus().Finished
	until("another pass over all of it", func() bool { s := m.ScrubStatus(); return s.Finished.After(began) && s.Positions == 11 })
	w.put(4, w.whole[3])
	until("one that is right again", func() bool { return blocked(m) == "12" })
	if _, err := m.Take(t.Context(), w.entries); err != nil || !m.Whole() {
		t.Errorf("%v %+v", err, m.Damages())
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	w.close(m)
}

// TestScrubPace: so many bytes a second, and after a restart on from where it was.
func TestScrubPace(t *testing.T) {
	w := newWorld(t)
	for range 40 {
		w.commit(1, 2, 3)
	}
	bytesAll := int64(len(bytes.Join(w.whole, nil)))
	m := w.open()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if err := m.pass(t.Context(), Scrub{PaceBytes: bytesAll / 100, stall: time.Hour}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 95*time.Second || took > 110*time.Second {
			t.Errorf("a pass of 100 seconds took %s", took)
		}
		half, stop := context.WithTimeout(t.Context(), 50*time.Second)
		defer stop()
		if err := m.pass(half, Scrub{PaceBytes: bytesAll / 100, stall: time.Hour}); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	})
	w.close(m)
	m = w.open()
	defer w.close(m)
	at := m.ScrubStatus().Position
	if at < 50 || at > 70 {
		t.Fatalf("at position %d of 120 in the middle of a pass", at)
	}
	w.reads = 0
	if err := m.pass(t.Context(), Scrub{stall: time.Minute}); err != nil || m.ScrubStatus().Positions != 120 {
		t.Errorf("%+v %v", m.ScrubStatus(), err)
	}
	if w.reads > 22 {
		t.Errorf("%d messages were read in the second half of 40", w.reads)
	}
}
