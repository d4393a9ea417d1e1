package mend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// Log is the stream as it should be: mended where it is damaged. It implements
// ledger.Log; writing goes to the stream.
type Log struct {
	ledger.Log
	m *Mender
	// patient waits at a hole; trusting gives what the stream has, uncompared.
	patient, trusting bool
}

// Strict is for who must not go on without every message: at a hole it ends with a
// *ledger.Hole.
func (m *Mender) Strict() *Log { return &Log{Log: m.cfg.Stream, m: m} }

// ForTree is Strict for the tree, which compares by itself and must see what others
// wrote.
func (m *Mender) ForTree() *Log { return &Log{Log: m.cfg.Stream, m: m, trusting: true} }

// Patient is for who can wait until a hole is mended, because all answers are BLOCK
// meanwhile: state that stands still is not answered from.
func (m *Mender) Patient() *Log { return &Log{Log: m.cfg.Stream, m: m, patient: true} }

// Read gives the message at a sequence: compared with the tree as far as that goes.
// A *ledger.Hole if it is lost, ledger.ErrNotFound only beyond the tail.
func (l *Log) Read(ctx context.Context, seq uint64) (ledger.Message, error) {
	if d := l.m.at(seq); d != nil {
		return l.m.read(ctx, d, false)
	}
	msg, err := l.Log.Read(ctx, seq)
	switch {
	case err == nil && l.trusting:
		return msg, nil
	case err == nil:
		f, err := l.m.compare(msg)
		if err != nil || f.problem == "" {
			return msg, err
		}
	case errors.Is(err, ledger.ErrNotFound), errors.Is(err, ledger.ErrUnreadable):
		if tail, terr := l.Tail(ctx); terr != nil || seq == 0 || seq > tail {
			return msg, cmp.Or(terr, err)
		}
	default:
		return msg, err
	}
	if err := l.m.Examine(ctx, seq); err != nil {
		return ledger.Message{}, err
	}
	if d := l.m.at(seq); d != nil {
		return l.m.read(ctx, d, false)
	}
	return l.Log.Read(ctx, seq) // it was read wrongly once and is right
}

// Follow yields every message after a sequence, as ledger.Log.Follow does, the
// mended ones in their places.
func (l *Log) Follow(ctx context.Context, after uint64) iter.Seq2[ledger.Message, error] {
	return func(yield func(ledger.Message, error) bool) {
		for next := after + 1; ; {
			if d := l.m.at(next); d != nil {
				msg, err := l.m.read(ctx, d, l.patient)
				if errors.Is(err, errRight) {
					continue
				}
				if !yield(msg, err) || err != nil {
					return
				}
				next++
				continue
			}
			if !l.stretch(ctx, &next, yield) {
				return
			}
		}
	}
}

// stretch yields what the stream has, up to the next message that is known to be
// damaged. It is false when following ends.
func (l *Log) stretch(ctx context.Context, next *uint64, yield func(ledger.Message, error) bool) bool {
	for msg, err := range l.Log.Follow(ctx, *next-1) {
		var hole *ledger.Hole
		if errors.As(err, &hole) && l.m.lost(ctx, hole.Seq, hole.Next) == nil && l.m.at(hole.Seq) != nil {
			return true
		}
		if !yield(msg, err) || err != nil {
			return false
		}
		*next++
		if l.m.at(*next) != nil {
			return true
		}
	}
	return false
}

// lost notes that the stream went from one message to a later one.
func (m *Mender) lost(ctx context.Context, from, to uint64) error {
	var seqs []uint64
	for seq := from; seq < max(to, from+1); seq++ {
		seqs = append(seqs, seq)
	}
	return m.Examine(ctx, seqs...)
}

// errRight: the message is not damaged any more; ask the stream.
var errRight = errors.New("mend: the message is right")

// read gives a mended message, or waits until it is one.
func (m *Mender) read(ctx context.Context, d *Damage, patient bool) (ledger.Message, error) {
	if d.Mended {
		return m.mended(d)
	}
	hole := fmt.Errorf("mend: message %d %s: %w", d.Seq, d.Problem, &ledger.Hole{Seq: d.Seq})
	if !patient {
		return ledger.Message{}, hole
	}
	m.waiting.Add(1)
	m.tell()
	defer func() { m.waiting.Add(-1); m.tell() }()
	m.cfg.Logger.Error("a follower of the ledger waits at a hole until it is mended; every check is BLOCK meanwhile", "error", hole)
	for {
		changed := m.Changed()
		switch d := m.at(d.Seq); {
		case d == nil:
			return ledger.Message{}, errRight
		case d.Mended:
			return m.mended(d)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ledger.Message{}, context.Cause(ctx)
		}
	}
}

// Begin looks at what a start can know without reading everything: what was damaged
// before, what the stream itself says it misses, and whether its end can be read.
// missing lists what the stream says. The tree must be known.
func (m *Mender) Begin(ctx context.Context, missing []uint64) error {
	seqs := missing
	for seq, d := range m.view.Load().damages {
		if !d.Mended {
			seqs = append(seqs, seq)
		}
	}
	tail, err := m.cfg.Stream.Tail(ctx)
	if err != nil {
		return err
	}
	for seq := tail; seq > 0; seq-- {
		f, err := m.look(ctx, seq)
		if err != nil {
			return err
		}
		if f.problem == "" || f.tampered {
			break // the tree says what it is
		}
		if _, err := m.tree.Kept(seq); !f.missing && err != nil {
			break // never seen before: the tree says what it is
		}
		seqs = append(seqs, seq)
		if len(seqs) > unreadableMax {
			return fmt.Errorf("mend: the last %d messages of the stream cannot be read: %w: put back the newest copy of the ledger's folder", unreadableMax, ledger.ErrDamaged)
		}
	}
	return m.Examine(ctx, seqs...)
}

// unreadableMax bounds how much of a stream's end is looked at message by message.
const unreadableMax = 1 << 17
