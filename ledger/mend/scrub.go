package mend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
)

const (
	// scrubStall is how long the stream may give nothing before the message that is
	// due is looked at by itself: at the end of a stream nothing follows a lost one.
	scrubStall = 10 * time.Second
	// scrubSave is how often progress is written down.
	scrubSave = 5 * time.Second
)

// Scrub is how the stream is read again.
type Scrub struct {
	// PaceBytes is how many bytes a second are read; 0: as fast as can be.
	PaceBytes int64
	// Every is the least time between the beginnings of two passes.
	Every time.Duration

	stall time.Duration // tests'; 0: scrubStall
}

// scrubbed is how far a pass is; it outlasts a restart.
type scrubbed struct {
	Seq      uint64          `json:"seq"` // last message compared
	Position ledger.Position `json:"position"`
	Began    time.Time       `json:"began"`
	// Last pass that was finished.
	Finished  time.Time       `json:"finished"`
	Seconds   float64         `json:"seconds"`
	Positions ledger.Position `json:"positions"`
}

// ScrubStatus is how the scrubber stands.
type ScrubStatus struct {
	// PaceBytes a second; 0: it does not run, or is not bounded.
	PaceBytes int64
	// Position compared last in the pass under way; 0: none is.
	Position ledger.Position
	// Finished is when the last full pass ended; zero: none did. It took so long, and
	// compared so many positions.
	Finished  time.Time
	Took      time.Duration
	Positions ledger.Position
}

// ScrubStatus tells how the scrubber stands.
func (m *Mender) ScrubStatus() ScrubStatus {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.scrub
	return ScrubStatus{PaceBytes: m.pace.Load(), Position: s.Position, Finished: s.Finished, Took: time.Duration(s.Seconds * float64(time.Second)), Positions: s.Positions}
}

// RunScrub reads the whole stream again and again until ctx is done, and compares
// every entry with the tree. What it finds holds from then on; it ends the pass with
// nothing but ctx, since a stream that does not answer is somebody else's to report.
func (m *Mender) RunScrub(ctx context.Context, s Scrub) error {
	if s.stall == 0 {
		s.stall = scrubStall
	}
	m.pace.Store(s.PaceBytes)
	for {
		err := m.pass(ctx, s)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		wait := time.Until(m.progress().Began.Add(s.Every))
		if err != nil {
			m.cfg.Logger.Warn("scrubber: it could not read on; it tries again", "error", err)
			wait = s.stall
		}
		if err := ledger.Pause(ctx, wait); err != nil {
			return err
		}
	}
}

func (m *Mender) progress() scrubbed {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.scrub
}

// save writes down how far a pass is. A crash before it is on disk only means that
// some of it is read twice.
func (m *Mender) save(p scrubbed) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	raw, err := json.Marshal(p)
	if err != nil {
		return err
	}
	b := m.db.NewBatch()
	if err := b.Set(metaScrub, raw); err != nil {
		return errors.Join(err, b.Close())
	}
	m.scrub = p
	return b.Commit(false)
}

// scrubPass is one pass under way.
type scrubPass struct {
	m     *Mender
	s     Scrub
	at    scrubbed
	saved time.Time
	pace  pacer
}

// pass goes on with the pass that was under way, or begins one, up to the stream's
// tail of now.
func (m *Mender) pass(ctx context.Context, s Scrub) error {
	p := &scrubPass{m: m, s: s, at: m.progress(), saved: time.Now(), pace: pacer{bytes: s.PaceBytes, due: time.Now()}}
	if p.at.Seq == 0 {
		p.at.Began = m.cfg.Now().UTC()
	}
	tail, err := m.cfg.Stream.Tail(ctx)
	if err != nil {
		return err
	}
	for p.at.Seq < tail {
		if err := p.stretch(ctx, tail); err != nil {
			return errors.Join(err, m.save(p.at))
		}
	}
	now := m.cfg.Now().UTC()
	m.cfg.Logger.Info("scrubber: the whole stream was read and compared", "positions", p.at.Position, "damaged", len(m.Damages()), "open", m.view.Load().open)
	return m.save(scrubbed{Began: p.at.Began, Finished: now, Seconds: now.Sub(p.at.Began).Seconds(), Positions: p.at.Position})
}

// errStalled ends a stretch in which nothing comes.
var errStalled = errors.New("mend: the stream gives nothing")

// stretch reads on until a message is damaged, or the tail is reached.
func (p *scrubPass) stretch(ctx context.Context, tail uint64) error {
	if p.m.at(p.at.Seq+1) != nil {
		return p.damaged(ctx, p.at.Seq+1, p.at.Seq+2)
	}
	reading, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	stalled := time.AfterFunc(p.s.stall, func() { stop(errStalled) })
	defer stalled.Stop()
	for msg, err := range p.m.cfg.Stream.Follow(reading, p.at.Seq) {
		var hole *ledger.Hole
		switch {
		case errors.As(err, &hole):
			return p.damaged(ctx, hole.Seq, hole.Next)
		case err != nil && ctx.Err() == nil && errors.Is(context.Cause(reading), errStalled):
			return p.damaged(ctx, p.at.Seq+1, p.at.Seq+2)
		case err != nil:
			return err
		}
		if wrong, err := p.compare(msg); err != nil {
			return err
		} else if wrong {
			return p.damaged(ctx, msg.Seq, msg.Seq+1)
		}
		if err := p.done(ctx, msg); err != nil || p.at.Seq >= tail || p.m.at(msg.Seq+1) != nil {
			return err
		}
		stalled.Reset(p.s.stall)
	}
	return context.Cause(ctx)
}

// compare tells whether a message is not what was recorded.
func (p *scrubPass) compare(msg ledger.Message) (wrong bool, err error) {
	f, err := p.m.compare(msg)
	if err != nil || f.problem != "" {
		return true, err
	}
	first, _, _ := split(msg.Data)
	return p.at.Position > 0 && first != p.at.Position+1, nil
}

// done counts a message and keeps the pace.
func (p *scrubPass) done(ctx context.Context, msg ledger.Message) error {
	first, entries, _ := split(msg.Data)
	p.at.Seq, p.at.Position = msg.Seq, first+ledger.Position(len(entries))-1
	return p.rest(ctx, len(msg.Data))
}

// damaged has messages looked at by themselves, one by one at the leader, and goes
// on behind them. What cannot be found out ends the pass.
func (p *scrubPass) damaged(ctx context.Context, from, to uint64) error {
	tail, err := p.m.cfg.Stream.Tail(ctx)
	if err != nil {
		return err
	}
	if from > tail {
		return fmt.Errorf("message %d is not there yet: %w", from, errStalled)
	}
	if err := p.m.lost(ctx, from, to); err != nil {
		return err
	}
	for seq := from; seq < max(to, from+1); seq++ {
		p.at.Seq = seq
		if d := p.m.at(seq); d != nil && d.Last > 0 {
			p.at.Position = d.Last
			continue
		}
		p.at.Position = 0 // unknown: the next message begins anew
	}
	return p.rest(ctx, 0)
}

// rest waits until so many bytes may have been read.
func (p *scrubPass) rest(ctx context.Context, bytes int) error {
	if time.Since(p.saved) > scrubSave {
		p.saved = time.Now()
		if err := p.m.save(p.at); err != nil {
			return err
		}
	} else {
		p.m.mu.Lock()
		p.m.scrub = p.at
		p.m.mu.Unlock()
	}
	return p.pace.rest(ctx, bytes)
}
