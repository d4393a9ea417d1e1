package feed

import (
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/projections"
	"github.com/consent-ledger/consent-ledger/projections/internal/memsource"
	"github.com/consent-ledger/consent-ledger/projections/runner"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// timelines stands in for the timeline: every number there is anything about.
type timelines struct{}

func (timelines) Name() string    { return "timeline" }
func (timelines) Version() uint32 { return 1 }
func (timelines) Spaces() []byte  { return []byte{store.SpaceTimeline} }
func (timelines) Apply(b projections.Batch, e *ledger.Entry) error {
	if e.Token.IsZero() {
		return nil
	}
	return b.Set(store.TimelineKey(e.Token, e.Position), nil)
}

// damage is what a mender would say.
type damage struct {
	mu        sync.Mutex
	changed   chan struct{}
	numbers   []string
	everybody bool
}

func newDamage() *damage { return &damage{changed: make(chan struct{})} }

func (d *damage) set(everybody bool, tokens ...int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.everybody, d.numbers = everybody, nil
	for _, n := range tokens {
		d.numbers = append(d.numbers, fmt.Sprintf("+120255501%02d", n))
	}
	close(d.changed)
	d.changed = make(chan struct{})
}

func (d *damage) Changed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changed
}

func (d *damage) Blocked() (int, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.numbers), d.everybody
}

func (d *damage) broken(_ *runner.View, e164 string, _ ledger.Token) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.everybody || slices.Contains(d.numbers, e164), nil
}

// copied is as much of a dialer's copy as decides whether it may answer ALLOW.
type copied struct {
	t       *testing.T
	next    func() (*consentv1.SubscribeResponse, error, bool)
	blocked *consentv1.Blocked
	states  map[string]bool
}

// until reads on until a condition holds.
func (c *copied) until(ok func() bool) {
	c.t.Helper()
	for !ok() {
		r, err, more := c.next()
		if err != nil || !more {
			c.t.Fatal(err, more)
		}
		switch e := r.GetEvent().(type) {
		case *consentv1.SubscribeResponse_Blocked:
			c.blocked = e.Blocked
		case *consentv1.SubscribeResponse_Update:
			if c.blocked == nil {
				c.t.Fatal("a state came before it was said who is blocked")
			}
			c.states[string(e.Update.GetToken())] = true
		}
	}
}

// blocks lists which of numbers 1 to 5 it blocks.
func (c *copied) blocks() (out string) {
	for n := 1; n <= 5; n++ {
		token := tokens{}.FeedOf("acme", memsource.TokenOf(n))
		if c.blocked.GetEverybody() || slices.ContainsFunc(c.blocked.GetTokens(), func(b []byte) bool { return string(b) == string(token[:]) }) {
			out += fmt.Sprint(n)
		}
	}
	return out
}

// TestCopiesBlockWhatIsDamaged: a copy that begins, one that follows and one that comes
// back block whom the server blocks, all of them while that is being found out, and
// nobody any more when all is mended. A change recorded meanwhile frees nobody.
func TestCopiesBlockWhatIsDamaged(t *testing.T) {
	w := newWorldOf(t, timelines{})
	w.background(w.runner.Run)
	w.source.Append(seller("acme"), seller("beta"))
	w.source.Append(revoked(1, "acme"), revoked(2, "beta"), revoked(3), revoked(4, "acme"), asked(5))
	p := w.publish(nil)
	if err := w.runner.WaitApplied(t.Context(), w.source.Tail()); err != nil {
		t.Fatal(err)
	}
	d := newDamage()
	s := NewSubscriber(SubscriberConfig{State: w.runner, Listing: w.listing, Tokens: tokens{}, Stream: w.stream, Published: p.Published, Integrity: d,
		Broken: d.broken})
	follow := func(from ledger.Position) *copied {
		next, stop := iter.Pull2(s.Subscribe(t.Context(), Request{Seller: "acme", From: from}))
		t.Cleanup(stop)
		return &copied{t: t, next: next, states: map[string]bool{}}
	}
	c := follow(0)
	c.until(func() bool { return len(c.states) == 3 })
	if got := c.blocks(); got != "" {
		t.Errorf("nothing is lost, and %q are blocked", got)
	}
	for _, step := range []struct {
		everybody bool
		tokens    []int
		want      string
	}{{false, []int{1, 5}, "15"}, {true, nil, "12345"}, {false, []int{2, 3}, "23"}, {false, nil, ""}, {false, []int{4}, "4"}} {
		d.set(step.everybody, step.tokens...)
		c.until(func() bool { return c.blocks() == step.want })
	}
	late := follow(0)
	late.until(func() bool { return late.blocked != nil })
	if got := late.blocks(); got != "12345" {
		t.Errorf("while it is not known who, %q are blocked", got)
	}
	late.until(func() bool { return late.blocks() == "4" })
	d.set(false)
	back := follow(w.source.Tail())
	back.until(func() bool { return back.blocked != nil })
	if got := back.blocks(); got != "" {
		t.Errorf("who comes back when all is mended still blocks %q", got)
	}
}
