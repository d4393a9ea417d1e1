package mend

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
)

// Stream is a stream beside the ledger's; stream.Beside is one.
type Stream interface {
	Name() string
	// Bounds gives the first sequence that is there and the last one there ever was.
	Bounds(ctx context.Context) (first, last uint64, err error)
	// Read gives one message from the leader: ledger.ErrNotFound or ErrUnreadable.
	Read(ctx context.Context, seq uint64) (ledger.Message, error)
	// Follow yields the messages after one that are there, then waits for more.
	Follow(ctx context.Context, after uint64) iter.Seq2[ledger.Message, error]
}

// Beside is a stream beside the ledger's that is read for what it has lost.
type Beside struct {
	Stream Stream
	// Ages: its oldest messages go in time, so that it may begin late.
	Ages bool
	// Right tells whether bytes are a message of it.
	Right func(data []byte) bool
	// Heal puts back what lost messages held, from where it is known too; false: it is
	// known nowhere. Nil: nothing is to be put back.
	Heal func(ctx context.Context) (bool, error)
	// Means says what is lost with a message, and what helps.
	Means string
	// Grave: what is lost is missed, so that the ledger is DAMAGED.
	Grave bool
}

// Loss is a run of messages that such a stream has lost.
type Loss struct {
	Stream  string    `json:"stream"`
	First   uint64    `json:"first"`
	Last    uint64    `json:"last"`
	FoundAt time.Time `json:"found_at"`
	// Healed: what they held is in the stream again.
	Healed bool `json:"healed,omitempty"`
}

// lossesMax bounds the runs that are kept of all streams: beyond it a disk is so far
// gone that one more says nothing.
const lossesMax = 1000

// Watch tells a Mender of the streams beside the ledger's. It comes before all that asks
// about them.
func (m *Mender) Watch(streams ...Beside) { m.beside = streams }

// Losses lists what the streams beside the ledger's have lost, by stream and sequence.
func (m *Mender) Losses() []Loss {
	if l := m.losses.Load(); l != nil {
		return *l
	}
	return nil
}

// BesideFinished is when a pass over all of them ended last, by this process; zero:
// none did.
func (m *Mender) BesideFinished() time.Time {
	if at := m.besideFinished.Load(); at != nil {
		return *at
	}
	return time.Time{}
}

// grave tells whether something is lost beside the ledger that is missed.
func (m *Mender) grave() bool {
	return slices.ContainsFunc(m.Losses(), func(l Loss) bool { return !l.Healed && m.of(l.Stream).Grave })
}

// of gives the stream of a name.
func (m *Mender) of(name string) Beside {
	for _, b := range m.beside {
		if b.Stream.Name() == name {
			return b
		}
	}
	return Beside{}
}

// BesideProblems lists what the streams beside the ledger's have lost, for doctor.
func (m *Mender) BesideProblems() []string {
	var out []string
	messages, healed := map[string]uint64{}, map[string]uint64{}
	for _, l := range m.Losses() {
		if l.Healed {
			healed[l.Stream] += l.Last - l.First + 1
		} else {
			messages[l.Stream] += l.Last - l.First + 1
		}
	}
	for _, b := range m.beside {
		name := b.Stream.Name()
		kind := strings.TrimPrefix(name, "CONSENT_")
		if n := messages[name]; n > 0 {
			out = append(out, fmt.Sprintf("%s: %d messages of %s are lost; %s", kind, n, name, b.Means))
		}
		if n := healed[name]; n > 0 {
			out = append(out, fmt.Sprintf("MENDED: %d messages of %s were lost, and what they held is in it again; look at the disk", n, name))
		}
	}
	return out
}

// loadLosses reads what was found before.
func (m *Mender) loadLosses() error {
	var out []Loss
	lo, hi := store.SpaceRange(store.SpaceLoss)
	err := m.db.Each(lo, hi, func(k, v []byte) error {
		var l Loss
		stream, seq, err := store.ParseLossKey(k)
		if err = errors.Join(err, json.Unmarshal(v, &l)); err == nil && (l.Stream != stream || l.First != seq) {
			err = fmt.Errorf("mend: lost messages from %d of %s: %w", seq, stream, store.ErrBadKey)
		}
		out = append(out, l)
		return err
	})
	m.showLosses(out)
	return err
}

func (m *Mender) showLosses(all []Loss) {
	slices.SortFunc(all, func(a, b Loss) int {
		return cmp.Or(strings.Compare(a.Stream, b.Stream), cmp.Compare(a.First, b.First))
	})
	m.losses.Store(&all)
}

// known tells whether a run is part of one that was found before.
func (m *Mender) known(stream string, first, last uint64) bool {
	return slices.ContainsFunc(m.Losses(), func(l Loss) bool { return l.Stream == stream && l.First <= first && l.Last >= last })
}

// lose notes runs of one stream, durably.
func (m *Mender) lose(found ...Loss) error {
	if len(found) == 0 {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	all := slices.Clone(m.Losses())
	b := m.db.NewBatch()
	for _, l := range found {
		all = slices.DeleteFunc(all, func(o Loss) bool { return o.Stream == l.Stream && o.First == l.First })
		if len(all) >= lossesMax {
			break
		}
		raw, err := json.Marshal(l)
		if err == nil {
			err = b.Set(store.LossKey(l.Stream, l.First), raw)
		}
		if err != nil {
			return errors.Join(err, b.Close())
		}
		all = append(all, l)
		m.cfg.Logger.Error("a stream beside the ledger's has lost messages; look at its disk, and at consent doctor",
			"stream", l.Stream, "first", l.First, "last", l.Last, "healed", l.Healed)
	}
	if err := b.Commit(true); err != nil {
		return err
	}
	m.showLosses(all)
	return nil
}

// Healed notes that what a stream had lost is in it again.
func (m *Mender) Healed(stream string, seqs []uint64) error {
	var now []Loss
	for _, l := range m.Losses() {
		whole := l.Stream == stream && !l.Healed
		for seq := l.First; whole && seq <= l.Last; seq++ {
			whole = slices.Contains(seqs, seq)
		}
		if whole {
			l.Healed = true
			now = append(now, l)
		}
	}
	return m.lose(now...)
}

// RunBeside reads the streams beside the ledger's again and again until ctx is done, and
// does what else is to be read at the scrubber's pace. What cannot be read is tried
// again at the next pass.
func (m *Mender) RunBeside(ctx context.Context, s Scrub, more func(ctx context.Context, rest func(bytes int) error) error) error {
	if s.stall == 0 {
		s.stall = scrubStall
	}
	for {
		began := time.Now()
		p := &pacer{bytes: s.PaceBytes, due: began}
		err := m.passBeside(ctx, s, p)
		if err == nil && more != nil {
			err = more(ctx, func(n int) error { return p.rest(ctx, n) })
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		wait := time.Until(began.Add(s.Every))
		if err != nil {
			m.cfg.Logger.Warn("scrubber: it could not read on; it tries again", "error", err)
			wait = max(wait, s.stall)
		} else {
			now := m.cfg.Now().UTC()
			m.besideFinished.Store(&now)
		}
		if err := ledger.Pause(ctx, wait); err != nil {
			return err
		}
	}
}

func (m *Mender) passBeside(ctx context.Context, s Scrub, p *pacer) error {
	var failed error
	for _, b := range m.beside {
		found, err := b.lost(ctx, s.stall, p)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", b.Stream.Name(), err))
			continue
		}
		failed = errors.Join(failed, m.noteLost(ctx, b, found))
	}
	return failed
}

// noteLost notes the runs that are new, and has what they held put back.
func (m *Mender) noteLost(ctx context.Context, b Beside, found [][2]uint64) error {
	var fresh []Loss
	for _, run := range found {
		if !m.known(b.Stream.Name(), run[0], run[1]) {
			fresh = append(fresh, Loss{Stream: b.Stream.Name(), First: run[0], Last: run[1], FoundAt: m.cfg.Now().UTC()})
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	if b.Heal != nil {
		healed, err := b.Heal(ctx)
		if err != nil {
			return err
		}
		for i := range fresh {
			fresh[i].Healed = healed
		}
	}
	return m.lose(fresh...)
}

// lost reads a stream to its tail of now, and gives the runs of messages that are not
// there or are none of it.
func (b Beside) lost(ctx context.Context, stall time.Duration, p *pacer) (runs [][2]uint64, err error) {
	first, last, err := b.Stream.Bounds(ctx)
	if err != nil {
		return nil, err
	}
	next := uint64(1)
	if b.Ages {
		next = first
	}
	for next <= last {
		seen, err := b.stretch(ctx, &next, last, stall, p)
		if err != nil {
			return nil, err
		}
		runs = append(runs, seen...)
	}
	return runs, nil
}

// stretch reads on from *next until nothing comes any more, and then looks for the next
// message that is there, one by one.
func (b Beside) stretch(ctx context.Context, next *uint64, last uint64, stall time.Duration, p *pacer) (runs [][2]uint64, err error) {
	reading, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	stalled := time.AfterFunc(stall, func() { stop(errStalled) })
	defer stalled.Stop()
	for msg, err := range b.Stream.Follow(reading, *next-1) {
		if err != nil && ctx.Err() == nil && errors.Is(context.Cause(reading), errStalled) {
			break
		}
		if err != nil {
			return nil, err
		}
		if msg.Seq > *next {
			runs = append(runs, [2]uint64{*next, min(msg.Seq-1, last)})
		}
		if msg.Seq <= last && !b.Right(msg.Data) {
			runs = append(runs, [2]uint64{msg.Seq, msg.Seq})
		}
		*next = msg.Seq + 1
		if msg.Seq >= last {
			return runs, nil
		}
		stalled.Stop()
		if err := p.rest(ctx, len(msg.Data)); err != nil {
			return nil, err
		}
		stalled.Reset(stall)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	began := *next
	for ; *next <= last; *next++ {
		_, err := b.Stream.Read(ctx, *next)
		if err == nil {
			break
		}
		if !errors.Is(err, ledger.ErrNotFound) && !errors.Is(err, ledger.ErrUnreadable) {
			return nil, err
		}
	}
	if *next > began {
		runs = append(runs, [2]uint64{began, *next - 1})
	}
	return runs, nil
}

// pacer reads so many bytes a second; 0: as fast as can be.
type pacer struct {
	bytes int64
	due   time.Time
}

// rest waits until so many bytes may have been read.
func (p *pacer) rest(ctx context.Context, n int) error {
	if p.bytes <= 0 {
		return ctx.Err()
	}
	p.due = p.due.Add(time.Duration(float64(n) / float64(p.bytes) * float64(time.Second)))
	wait := time.Until(p.due)
	if wait < 0 {
		p.due = time.Now() // what could not be read in time is not caught up with
	}
	return ledger.Pause(ctx, wait)
}

// FollowKeys yields the keys messages after one, and notes those that are lost: nobody
// has read what they held.
func (l *Log) FollowKeys(ctx context.Context, after uint64) iter.Seq2[ledger.Message, error] {
	return func(yield func(ledger.Message, error) bool) {
		next, last, err := after+1, uint64(0), error(nil)
		if last, err = l.KeysTail(ctx); err != nil {
			yield(ledger.Message{}, err)
			return
		}
		miss := func(to uint64) error { // up to the one before
			if to <= next || l.m.known(KeysName, next, to-1) {
				return nil
			}
			return l.m.lose(Loss{Stream: KeysName, First: next, Last: to - 1, FoundAt: l.m.cfg.Now().UTC()})
		}
		for msg, err := range l.Log.FollowKeys(ctx, after) {
			if err == nil {
				err = miss(msg.Seq)
			}
			if !yield(msg, err) || err != nil {
				return
			}
			next = msg.Seq + 1
		}
		if err := miss(last + 1); err != nil {
			yield(ledger.Message{}, err)
		}
	}
}

// KeysName is the name of the stream of wrapped keys.
const KeysName = "CONSENT_KEYS"
