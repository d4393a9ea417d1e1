package attempts

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/memstream"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	"github.com/consent-ledger/consent-ledger/ledger/settle"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/projections/rules"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

var (
	schedules = flag.Int("attempts.schedules", 10_000, "random schedules of two nodes")
	firstSeed = flag.Uint64("attempts.seed", 1, "seed of the first schedule; the others follow")
)

// TestTwoNodesNeverOneTooMany is the promise: two nodes that both believe they may
// grant, random schedules of their every step, answers and packets lost and late,
// crashes at every point, clocks that differ, projections lost, retries and
// cancellations. After each message stored, no window holds more contacts than
// the cap; every ALLOW that was answered is in the stream; and in the end both
// nodes, and one that folds everything anew, hold the same and allow just what the
// cap leaves.
//
// One goroutine runs at a time, so a seed is a schedule: -attempts.seed=N
// -attempts.schedules=1 runs one again.
func TestTwoNodesNeverOneTooMany(t *testing.T) {
	keys := testKeys(t)
	const perDatabase = 100
	seen := tally{}
	for done := 0; done < *schedules; done += perDatabase {
		dir := t.TempDir()
		dbs := [2]*store.DB{testDB(t, filepath.Join(dir, "a")), testDB(t, filepath.Join(dir, "b"))}
		for i := range min(perDatabase, *schedules-done) {
			runSchedule(t, keys, dbs, *firstSeed+uint64(done+i), seen)
			if t.Failed() {
				break
			}
		}
		for _, db := range dbs {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}
		if t.Failed() {
			return
		}
		if err := os.RemoveAll(dir); err != nil { // a hundred megabytes a round
			t.Error(err)
		}
	}
	t.Logf("%d schedules from seed %d: %v", *schedules, *firstSeed, seen)
	for _, what := range []string{"allowed", "blocked", "refused", "uncertain", "the same again", "killed", "arrived late", "another was first"} {
		if seen[what] == 0 && *schedules >= 100 {
			t.Errorf("no schedule saw: %s", what)
		}
	}
}

// schedule is one run: its world, its two nodes and what the dialers know.
type schedule struct {
	t      *testing.T
	rng    *rand.Rand
	keys   *seal.Keyring
	stream *memstream.Stream
	model  *model
	nodes  [2]*node
	now    time.Time
	late   []packet // appends that were sent and have not arrived
	refs   []*dialled
	seen   tally
}

type packet struct {
	after uint64
	data  []byte
}

// dialled is what the dialers know of one call.
type dialled struct {
	ref       string
	number    int
	allowed   time.Time // of the last ALLOW; zero: none
	gaveUp    bool
	recording bool
}

// node is one process. Its keeper's work runs beside the schedule and stops at
// every step that others could see, until it is told to go on.
type node struct {
	s      *schedule
	db     *store.DB
	keeper *Keeper
	skew   time.Duration
	mono   time.Duration
	dead   bool       // the process was killed; nothing it does counts any more
	busy   bool       // something of it is under way
	steps  chan step  // what it wants to do next
	told   chan order // what becomes of that
	sent   []sending  // the requests of the turn under way
}

type step int

const (
	appending step = iota
	reading
	applying
	finished
)

// order is what becomes of a step.
type order int

const (
	goOn    order = iota
	lost          // never arrives, nobody answers
	unheard       // is done, nobody answers
	delayed       // nobody answers, and it arrives later
	kill          // the process dies here
)

var errKilled = errors.New("killed")

// sending is a request and what to do with its answer.
type sending struct {
	r    *request
	then func(Outcome)
}

// tally counts what happened in all schedules: a promise that nothing ever
// threatened is not tested.
type tally map[string]int

func runSchedule(t *testing.T, keys *seal.Keyring, dbs [2]*store.DB, seed uint64, seen tally) {
	s := &schedule{t: t, seen: seen, rng: rand.New(rand.NewPCG(seed, 1)), keys: keys, now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	fail := func(format string, args ...any) {
		t.Helper()
		t.Errorf("seed %d: "+format, append([]any{seed}, args...)...)
	}
	s.model = newModel(keys, fail)
	s.stream = memstream.New(s.model.check)
	for i, db := range dbs {
		s.nodes[i] = &node{s: s, db: db, steps: make(chan step), told: make(chan order)}
		s.nodes[i].start(true)
	}
	for range 30 + s.rng.IntN(30) {
		s.once()
	}
	s.settle()
	s.judge()
}

// once lets one thing happen.
func (s *schedule) once() {
	n := s.nodes[s.rng.IntN(2)]
	switch p := s.rng.IntN(100); {
	case p < 10:
		s.now = s.now.Add(time.Duration(s.rng.Int64N(int64(8 * time.Hour))))
	case p < 20:
		s.deliver()
	case n.busy:
		n.step(s.disturb())
	case n.dead:
		n.start(s.rng.IntN(3) == 0)
	default:
		n.turn()
	}
}

// disturb says what becomes of the next step: mostly nothing.
func (s *schedule) disturb() order {
	switch p := s.rng.IntN(100); {
	case p < 6:
		return lost
	case p < 14:
		return unheard
	case p < 20:
		return delayed
	case p < 26:
		return kill
	}
	return goOn
}

// deliver lets a late packet arrive, if there is one.
func (s *schedule) deliver() {
	if len(s.late) == 0 {
		return
	}
	i := s.rng.IntN(len(s.late))
	p := s.late[i]
	s.late = append(s.late[:i], s.late[i+1:]...)
	if _, err := s.stream.Append(context.Background(), p.after, p.data); err == nil { // its sender has long stopped listening
		s.seen["arrived late"]++
	}
}

// settle lets everything end: late packets arrive, what is dead comes back.
func (s *schedule) settle() {
	for len(s.late) > 0 {
		s.deliver()
	}
	for _, n := range s.nodes {
		for n.busy || n.dead {
			if n.busy {
				n.step(goOn)
			} else {
				n.start(false)
			}
		}
	}
}

// start begins a process: with its database, or after losing it.
func (n *node) start(lose bool) {
	n.dead, n.skew = false, time.Duration(n.s.rng.Int64N(int64(time.Minute)))-30*time.Second
	if n.s.rng.IntN(10) == 0 {
		n.skew = -time.Hour
	}
	k, err := Open(Config{Log: nodeLog{n}, DB: n.db, Keys: n.s.keys, Decide: capped,
		Now:    func() (time.Time, string) { return n.s.now.Add(n.skew), "" },
		Settle: settle.Policy{Mono: func() time.Duration { return n.mono }, Wait: n.wait}})
	if err == nil && lose {
		err = k.wipe()
	}
	if err != nil {
		n.s.t.Fatal(err)
	}
	k.testingOnlyBeforeApply = func(uint64) error { return n.ask(applying) }
	n.keeper = k
	n.run(func() error { return k.begin(context.Background()) })
}

// run lets the keeper work up to its first step.
func (n *node) run(work func() error) {
	n.busy = true
	go func() {
		if work() != nil {
			n.dead = true // the schedule waits meanwhile, so this is no race
		}
		n.steps <- finished
	}()
	n.await()
}

// step answers the step the keeper stands at, and lets it go to the next one.
func (n *node) step(o order) {
	n.told <- o
	n.await()
}

// await takes the next step of the keeper; its last one hands out the answers.
func (n *node) await() {
	if <-n.steps != finished {
		return
	}
	n.busy = false
	for _, sent := range n.sent {
		select {
		case <-sent.r.done:
			sent.then(sent.r.outcomes[0])
		default:
			n.s.model.fail("a turn ended and left a request without an answer")
		}
	}
	n.sent = nil
}

// ask stands at a step until it is told what becomes of it.
func (n *node) ask(s step) error {
	if n.dead {
		return errKilled
	}
	n.steps <- s
	if o := <-n.told; o == kill {
		n.s.seen["killed"]++
		n.dead = true
		return errKilled
	} else if s == appending {
		return verdict(o)
	}
	return nil
}

// verdict carries an order as an error.
type verdict order

func (v verdict) Error() string { return fmt.Sprint("order ", int(v)) }

// wait takes three seconds of the ten after which a process gives up.
func (n *node) wait(context.Context, time.Duration) error {
	n.mono += 3 * time.Second
	if n.dead {
		return errKilled
	}
	return nil
}

// nodeLog is the stream as a node sees it.
type nodeLog struct{ n *node }

func (l nodeLog) Append(ctx context.Context, after uint64, data []byte) (uint64, error) {
	err := l.n.ask(appending)
	var v verdict
	if !errors.As(err, &v) {
		return 0, fmt.Errorf("%w: %w", ledger.ErrNoAnswer, err)
	}
	switch order(v) {
	case lost:
		return 0, ledger.ErrNoAnswer
	case delayed:
		l.n.s.late = append(l.n.s.late, packet{after, append([]byte(nil), data...)})
		return 0, ledger.ErrNoAnswer
	}
	seq, err := l.n.s.stream.Append(ctx, after, data)
	if errors.Is(err, ledger.ErrWrongTail) {
		l.n.s.seen["another was first"]++
	}
	if order(v) == unheard && err == nil {
		return 0, ledger.ErrNoAnswer
	}
	return seq, err
}

func (l nodeLog) Read(ctx context.Context, seq uint64) (ledger.Message, error) {
	if err := l.n.ask(reading); err != nil {
		return ledger.Message{}, err
	}
	return l.n.s.stream.Read(ctx, seq)
}

func (l nodeLog) Bounds(ctx context.Context) (uint64, uint64, error) {
	if err := l.n.ask(reading); err != nil {
		return 0, 0, err
	}
	return l.n.s.stream.Bounds(ctx)
}

func (l nodeLog) Follow(ctx context.Context, after uint64) iter.Seq2[ledger.Message, error] {
	return l.n.s.stream.Follow(ctx, after)
}

// turn lets dialers ask for a few things at once.
func (n *node) turn() {
	var items []*item
	for range 1 + n.s.rng.IntN(3) {
		sent, ok := n.s.request()
		if !ok {
			continue
		}
		n.sent, items = append(n.sent, sent), append(items, &sent.r.items[0])
	}
	if len(items) == 0 {
		return
	}
	k := n.keeper
	n.run(func() error { return k.turn(context.Background(), items) })
}

// request makes up what one dialer wants.
func (s *schedule) request() (sending, bool) {
	if len(s.refs) == 0 || s.rng.IntN(2) == 0 {
		d := &dialled{ref: fmt.Sprint("call-", len(s.refs)), number: s.rng.IntN(2)}
		s.refs = append(s.refs, d)
		return s.reserve(d), true
	}
	d := s.refs[s.rng.IntN(len(s.refs))]
	switch s.rng.IntN(3) {
	case 0:
		return s.reserve(d), true // again, perhaps after giving it up
	case 1:
		if d.recording {
			return sending{}, false
		}
		d.gaveUp = true
		return s.said(d, consentv1.AttemptOutcome_ATTEMPT_OUTCOME_CANCELLED), true
	default:
		if d.gaveUp || d.allowed.IsZero() {
			return sending{}, false
		}
		d.recording = true
		return s.said(d, consentv1.AttemptOutcome_ATTEMPT_OUTCOME_NO_ANSWER), true
	}
}

func (s *schedule) reserve(d *dialled) sending {
	c, err := declared(testCall(s.t, s.keys, d.number, d.ref), consentv1.AttemptOutcome_ATTEMPT_OUTCOME_RESERVED, s.keys)
	if err != nil {
		s.t.Fatal(err)
	}
	return sending{newRequest([]item{{Declared: c, ask: &rules.Input{Seller: acme, At: s.now}}}), func(o Outcome) { s.answered(d, o) }}
}

// answered judges the answer to a reservation.
func (s *schedule) answered(d *dialled, o Outcome) {
	switch {
	case errors.Is(o.Err, ledger.ErrUncertain):
		s.seen["uncertain"]++
	case o.Err != nil:
		s.seen["refused"]++
	case o.Decision.GetVerdict() != consentv1.Verdict_VERDICT_ALLOW:
		s.seen["blocked"]++
	case o.Duplicate:
		s.seen["the same again"]++
	default:
		s.seen["allowed"]++
	}
	if o.Err != nil || o.Decision.GetVerdict() != consentv1.Verdict_VERDICT_ALLOW {
		return
	}
	c := s.model.call(s.keys, d.ref)
	if !o.Reserved || c == nil || !c.reserved {
		s.model.fail("ALLOW for %s was answered and is not in the stream: %+v", d.ref, o)
	}
	d.allowed = o.Decision.GetAt().AsTime()
}

// said records what came of a call. Dialers call as soon as they may: one that
// waits for hours must ask again, because a reservation counts at its instant.
func (s *schedule) said(d *dialled, outcome consentv1.AttemptOutcome) sending {
	c, err := declared(testCall(s.t, s.keys, d.number, d.ref), outcome, s.keys)
	if err != nil {
		s.t.Fatal(err)
	}
	c.at, c.unsaid = d.allowed, s.rng.IntN(2) == 0
	return sending{newRequest([]item{{Declared: c}}), func(Outcome) {}}
}

// judge looks at the end: all hold the same, and allow just what the cap leaves.
func (s *schedule) judge() {
	var hashes []ledger.Hash
	hash := func(n *node) {
		h, err := n.keeper.StateHash(context.Background())
		if err != nil {
			s.t.Fatal(err)
		}
		hashes = append(hashes, h)
	}
	quiet := func(n *node, lose bool) {
		n.start(lose)
		n.skew = 0
		for n.busy {
			n.step(goOn)
		}
	}
	for _, n := range s.nodes {
		quiet(n, false)
		hash(n)
	}
	quiet(s.nodes[0], true)
	if hash(s.nodes[0]); hashes[0] != hashes[1] || hashes[0] != hashes[2] {
		s.model.fail("two nodes and a rebuild hold different states: %v", hashes)
	}
	s.now = s.now.Add(time.Minute)
	for i := range 2 {
		d := &dialled{ref: fmt.Sprint("last-", i), number: i}
		want := s.model.used(number(i), s.now) < capMax
		sent := s.reserve(d)
		n := s.nodes[i]
		n.sent = []sending{{sent.r, func(o Outcome) {
			if got := o.Decision.GetVerdict() == consentv1.Verdict_VERDICT_ALLOW; o.Err != nil || got != want {
				s.model.fail("in the end, allowed is %v and should be %v (%v)", got, want, o.Err)
			}
		}}}
		n.run(func() error { return n.keeper.turn(context.Background(), []*item{&sent.r.items[0]}) })
		for n.busy {
			n.step(goOn)
		}
		n.dead = true
	}
}
