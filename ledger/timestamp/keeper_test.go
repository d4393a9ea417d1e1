package timestamp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/proof"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	"github.com/consent-ledger/consent-ledger/ledger/timestamp/tsatest"
)

func signing(t *testing.T) *seal.Signing {
	t.Helper()
	s, err := seal.NewSigning("ledger.example.com/test", bytes.Repeat([]byte{9}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func checkpoint(t *testing.T, size int64) proof.Checkpoint {
	t.Helper()
	c, err := proof.SignCheckpoint(size, tlog.Hash{byte(size)}, signing(t).Log)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// taped is an authority that gives tokens a real one made before, by size; so that a
// test of the pace waits for no process.
type taped struct {
	t     *testing.T
	mu    sync.Mutex
	made  map[string]Stamp // by message
	err   error
	asked int
}

func tape(t *testing.T, sizes ...int64) *taped {
	t.Helper()
	tsa := tsatest.New(t)
	a, out := authority(t, tsa, tsa.Serve(nil)), &taped{t: t, made: map[string]Stamp{}}
	for _, size := range sizes {
		c := checkpoint(t, size)
		s, err := a.Ask(t.Context(), c.Note)
		if err != nil {
			t.Fatal(err)
		}
		out.made[string(c.Note)] = s
	}
	return out
}

func (a *taped) String() string { return "https://tsa.example.com" }

func (a *taped) Ask(_ context.Context, message []byte) (Stamp, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked++
	if a.err != nil {
		return Stamp{}, a.err
	}
	s, ok := a.made[string(message)]
	if !ok {
		a.t.Errorf("asked about a message that is no checkpoint of the test:\n%s", message)
	}
	return s, nil
}

func (a *taped) fails(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.err = err
}

func (a *taped) questions() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked
}

func openShelf(t *testing.T, dir string) *Shelf {
	t.Helper()
	s, err := OpenShelf(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Once an hour, never the same checkpoint twice, a minute after a failure; what failed
// is said until it does not fail any more.
func TestThePace(t *testing.T) {
	a, shelf := tape(t, 5, 9, 12), openShelf(t, filepath.Join(t.TempDir(), "stamps"))
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		now, any := proof.Checkpoint{}, false
		grow := func(size int64) {
			c := checkpoint(t, size)
			mu.Lock()
			defer mu.Unlock()
			now, any = c, true
		}
		k := NewKeeper(Config{Shelf: shelf, Authority: a, Verifier: signing(t).Log.Verifier, Newest: func() (proof.Checkpoint, bool) {
			mu.Lock()
			defer mu.Unlock()
			return now, any
		}})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { k.Run(ctx); close(done) }()
		passes := func(d time.Duration) { <-time.After(d); synctest.Wait() }
		want := func(asked int, newest int64) {
			t.Helper()
			size, _, err := shelf.Newest()
			if a.questions() != asked || size != newest || (err == nil) != (newest > 0) {
				t.Fatalf("%d questions, the newest stamp is of %d (%v); want %d and %d", a.questions(), size, err, asked, newest)
			}
		}
		synctest.Wait()
		want(0, 0) // nothing is signed yet
		grow(5)
		passes(firstAfter)
		want(1, 5)
		grow(9)
		passes(EveryDefault / 2)
		want(1, 5) // not yet
		a.fails(errors.New("out of paper"))
		passes(EveryDefault/2 + time.Second) // at one instant nobody says who wakes first
		want(2, 5)
		if p := k.Problems(); len(p) != 1 || !strings.Contains(p[0], "TIMESTAMP: https://tsa.example.com") || !strings.Contains(p[0], "of 5 entries") || !strings.Contains(p[0], "out of paper") {
			t.Errorf("%q", p)
		}
		passes(againAfter)
		want(3, 5)
		a.fails(nil)
		passes(againAfter)
		want(4, 9)
		if p := k.Problems(); len(p) != 0 {
			t.Errorf("%q", p)
		}
		passes(3 * EveryDefault)
		want(4, 9) // nothing new
		// An export does not wait for the hour, nor does it ask twice.
		for range 2 {
			s, err := k.Stamp(ctx, checkpoint(t, 12))
			if err != nil || string(s.Message) != string(checkpoint(t, 12).Note) {
				t.Fatal(err)
			}
			want(5, 12)
		}
		stop()
		<-done
	})
}

// The first stamp after a position is the one that says most; a position that none
// covers has the newest checkpoint stamped.
func TestTheFirstStampOverAPosition(t *testing.T) {
	a, dir := tape(t, 5, 9), filepath.Join(t.TempDir(), "stamps")
	newest := checkpoint(t, 5)
	config := func() Config {
		return Config{Shelf: openShelf(t, dir), Authority: a, Verifier: signing(t).Log.Verifier, Newest: func() (proof.Checkpoint, bool) { return newest, true }}
	}
	k := NewKeeper(config())
	for _, step := range []struct {
		at          ledger.Position
		size, asked int64
	}{{3, 5, 1}, {5, 5, 1}, {1, 5, 1}} {
		c, s, err := k.Covering(t.Context(), step.at)
		if err != nil || c.Size != step.size || string(s.Message) != string(c.Note) || int64(a.questions()) != step.asked {
			t.Errorf("position %d: of %d, after %d questions, %v", step.at, c.Size, a.questions(), err)
		}
	}
	if _, _, err := k.Covering(t.Context(), 6); !errors.Is(err, ledger.ErrNotReady) {
		t.Errorf("no checkpoint covers it: %v", err)
	}
	newest = checkpoint(t, 9)
	if c, _, err := k.Covering(t.Context(), 6); err != nil || c.Size != 9 {
		t.Errorf("of %d, %v", c.Size, err)
	}
	k = NewKeeper(config()) // another start
	if c, _, err := k.Covering(t.Context(), 2); err != nil || c.Size != 5 || a.questions() != 2 {
		t.Errorf("after a restart: of %d, %v", c.Size, err)
	}
	a.fails(errors.New("out of paper"))
	newest = checkpoint(t, 20)
	if _, _, err := k.Covering(t.Context(), 15); !errors.Is(err, ledger.ErrNotReady) || !strings.Contains(err.Error(), "out of paper") {
		t.Errorf("%v", err)
	}
}

// Whatever an accident leaves in the folder, no token is given out beside a checkpoint
// that it is not over.
func TestDamagedShelves(t *testing.T) {
	a, dir := tape(t, 5, 9), filepath.Join(t.TempDir(), "stamps")
	keep := func() *Shelf {
		s := openShelf(t, dir)
		for _, size := range []int64{5, 9} {
			if err := s.Keep(size, a.made[string(checkpoint(t, size).Note)]); err != nil {
				t.Fatal(err)
			}
		}
		return s
	}
	keep()
	if size, _, err := openShelf(t, dir).Newest(); err != nil || size != 9 {
		t.Fatalf("of %d, %v", size, err)
	}
	tokens, err := filepath.Glob(filepath.Join(dir, "*"+tokenEnding))
	if err != nil || len(tokens) != 2 {
		t.Fatalf("%v, %v", tokens, err)
	}
	for name, harm := range map[string]func() error{
		"another token": func() error {
			other, err := os.ReadFile(tokens[0])
			return errors.Join(err, os.WriteFile(tokens[1], other, 0o600))
		},
		"an empty token": func() error { return os.WriteFile(tokens[1], nil, 0o600) },
		"no token":       func() error { return os.Remove(tokens[1]) },
		"another checkpoint": func() error {
			return os.WriteFile(strings.TrimSuffix(tokens[1], tokenEnding)+checkpointEnding, checkpoint(t, 10).Note, 0o600)
		},
	} {
		if err := os.RemoveAll(dir); err != nil { // what another harm left would have a stamp kept beside it
			t.Fatal(err)
		}
		s := keep()
		if err := harm(); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Newest(); !errors.Is(err, ledger.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Half a pair, as a crash between the two leaves it, and other files are nothing.
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, filepath.Base(tokens[0])), []byte("x"), 0o600),
		os.WriteFile(filepath.Join(dir, "notes.checkpoint"), []byte("x"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := openShelf(t, dir).Newest(); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("half a pair: %v", err)
	}
	// A damaged stamp is asked for again.
	s := keep()
	if err := os.WriteFile(tokens[1], nil, 0o600); err != nil {
		t.Fatal(err)
	}
	k := NewKeeper(Config{Shelf: s, Authority: a, Verifier: signing(t).Log.Verifier})
	if st, err := k.Stamp(t.Context(), checkpoint(t, 9)); err != nil || len(st.Token) == 0 {
		t.Errorf("%v", err)
	}
	if _, err := s.Of(9); err != nil {
		t.Error(err)
	}
}

// Stamps come in any order: of an older checkpoint after a newer one's, of two notes of one
// size within a second. The newest is of the largest ledger, the first is the one with the
// earliest time, and none takes another's place.
func TestStampsOutOfOrder(t *testing.T) {
	a, dir := tape(t, 5, 9), filepath.Join(t.TempDir(), "stamps")
	s := openShelf(t, dir)
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder for nothing: %v", err)
	}
	cosigned := checkpoint(t, 5)
	cosigned.Note = append(cosigned.Note, "— witness.example.com/w1 AAAAAAAA\n"...)
	tsa := tsatest.New(t)
	other, err := authority(t, tsa, tsa.Serve(nil)).Ask(t.Context(), cosigned.Note)
	if err != nil {
		t.Fatal(err)
	}
	nine, five := a.made[string(checkpoint(t, 9).Note)], a.made[string(checkpoint(t, 5).Note)]
	nine.At = nine.At.Add(-time.Hour) // as if it had been stamped long before
	five.At = other.At
	for _, k := range []struct {
		size int64
		st   Stamp
	}{{9, nine}, {5, five}, {5, other}, {5, five}} {
		if err := s.Keep(k.size, k.st); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range []*Shelf{s, openShelf(t, dir)} {
		if size, _, err := s.Newest(); err != nil || size != 9 {
			t.Errorf("the newest is of %d, %v", size, err)
		}
		if size, _, err := s.Covering(3); err != nil || size != 9 {
			t.Errorf("the first over position 3 is of %d, %v", size, err)
		}
		if len(s.all) != 3 {
			t.Errorf("%d stamps are kept of three notes", len(s.all))
		}
		for _, note := range [][]byte{checkpoint(t, 5).Note, cosigned.Note} {
			if st, err := s.Over(5, note); err != nil || !bytes.Equal(st.Message, note) || !strings.Contains(st.By, "Test timestamp authority") {
				t.Errorf("by %q, %v", st.By, err)
			}
		}
	}
}

// Stamps serve without an authority; more are not made.
func TestNobodyIsAsked(t *testing.T) {
	a, shelf := tape(t, 5), openShelf(t, filepath.Join(t.TempDir(), "stamps"))
	newest := checkpoint(t, 9)
	k := NewKeeper(Config{Shelf: shelf, Verifier: signing(t).Log.Verifier, Newest: func() (proof.Checkpoint, bool) { return newest, true }})
	k.Run(t.Context()) // has nothing to do
	if _, _, err := k.Covering(t.Context(), 3); !errors.Is(err, ErrNobodyAsked) {
		t.Errorf("nothing is stamped: %v", err)
	}
	if err := shelf.Keep(5, a.made[string(checkpoint(t, 5).Note)]); err != nil {
		t.Fatal(err)
	}
	if c, st, err := k.Covering(t.Context(), 3); err != nil || c.Size != 5 || string(st.Message) != string(c.Note) {
		t.Errorf("of %d, %v", c.Size, err)
	}
	if _, err := k.Stamp(t.Context(), checkpoint(t, 5)); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"a later position":   func() error { _, _, err := k.Covering(t.Context(), 6); return err }(),
		"another checkpoint": func() error { _, err := k.Stamp(t.Context(), newest); return err }(),
	} {
		if !errors.Is(err, ErrNobodyAsked) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if p := k.Problems(); len(p) != 0 || a.questions() != 0 {
		t.Errorf("%q, %d questions", p, a.questions())
	}
}

// What is served is the pair, byte for byte.
func TestStampsAreServed(t *testing.T) {
	a, s := tape(t, 5, 9), openShelf(t, filepath.Join(t.TempDir(), "stamps"))
	server := httptest.NewServer(s)
	defer server.Close()
	get := func(path string) (string, int) {
		res, err := http.Get(server.URL + HTTPPrefix + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body), res.StatusCode
	}
	if _, status := get("checkpoint"); status != http.StatusNotFound {
		t.Errorf("nothing is stamped: %d", status)
	}
	for _, size := range []int64{9, 5} {
		if err := s.Keep(size, a.made[string(checkpoint(t, size).Note)]); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{"checkpoint": string(checkpoint(t, 9).Note), "5/checkpoint": string(checkpoint(t, 5).Note),
		"5/token": string(a.made[string(checkpoint(t, 5).Note)].Token), "9/token": string(a.made[string(checkpoint(t, 9).Note)].Token)} {
		if got, status := get(path); status != http.StatusOK || got != want {
			t.Errorf("%s: %d, %q", path, status, got)
		}
	}
	for _, path := range []string{"", "token", "6/token", "05/token", "5/other", "5", "-5/token", "5/token/"} {
		if _, status := get(path); status != http.StatusNotFound {
			t.Errorf("%q: %d", path, status)
		}
	}
}
