package attempts

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	"github.com/consent-ledger/consent-ledger/ledger/settle"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/projections/rules"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

const (
	// Name names the projection in keys, hashes and pages.
	Name = "attempts"
	// version changes whenever its keys or values change meaning.
	version = 3
)

// spaces are the projection's key spaces, in the order of its hash.
var spaces = []byte{store.SpaceAttempt, store.SpaceAttemptRef, store.SpaceAttemptAge}

// Config is what a keeper needs.
type Config struct {
	Log  Log
	DB   *store.DB
	Keys *seal.Keyring
	// Decide answers a question; it is pure and counts Input.Attempts.
	Decide func(rules.Input) *consentv1.Decision
	// Now is the machine's time, and what is wrong with its clock: while something
	// is, nothing is reserved.
	Now func() (now time.Time, problem string)
	// Anchored gives the last message that the ledger knows of, and when it learnt of
	// it, having waited until it knows everything; nil: it knows of none.
	Anchored func(context.Context) (seq uint64, at time.Time, err error)
	// Settle bounds how long a batch may stay without an answer.
	Settle settle.Policy
	// Logger hears of rebuilds and of other nodes' batches. Nil discards.
	Logger *slog.Logger
}

// Keeper is the one goroutine that adds to the stream, and what reads beside it.
// Run runs once; everything else is safe for concurrent use.
type Keeper struct {
	c     Config
	queue *queue
	do    chan func(context.Context) error // what the keeper does between batches

	// Both belong to Run: what the database holds, and whether the message behind that
	// was there and could not be read.
	at         meta
	behindLost bool

	// whole is odd while the database holds all of the stream this node knows, and
	// another number after each time it did not.
	whole   atomic.Uint64
	applied atomic.Uint64
	horizon atomic.Int64 // calls from before it are dropped or lost; ns since 1970
	lost    atomic.Int64 // the latest of those that are lost; ns since 1970
	known   atomic.Pointer[store.Fingerprints]

	// ending is closed when no request may enter any more. mu is held for reading
	// while one enters a lane and guards failure.
	ending  chan struct{}
	endOnce sync.Once
	mu      sync.RWMutex
	failure error

	testingOnlyBeforeApply func(seq uint64) error
}

// Open reads how far the database is. Nothing is answered until Run has caught up.
func Open(c Config) (*Keeper, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	k := &Keeper{c: c, queue: newQueue(), do: make(chan func(context.Context) error), ending: make(chan struct{})}
	k.known.Store(store.NewFingerprints())
	raw, err := c.DB.Get(store.MetaKey(Name))
	if err != nil {
		return nil, fmt.Errorf("attempts: %w", err)
	}
	m, ok := decodeMeta(raw)
	if !ok {
		return k, k.wipe()
	}
	k.take(m)
	return k, k.load()
}

// load reads the tokens that have calls.
func (k *Keeper) load() error {
	f := store.NewFingerprints()
	lo, hi := store.SpaceRange(store.SpaceAttempt)
	err := k.c.DB.Each(lo, hi, func(key, _ []byte) error {
		t, _, _, err := store.ParseAttemptKey(key)
		f.Add(fingerprint(t))
		return err
	})
	if err != nil {
		return fmt.Errorf("attempts: %w", err)
	}
	f.Ready()
	k.known.Store(f)
	return nil
}

// meta says what the database holds; it commits with it. Stored as version (4),
// sequence (8), recorded_at in ns (8), lost in ns (8), leaf (32).
type meta struct {
	seq        uint64
	recordedAt time.Time
	// lost is the latest instant of a message that was not there when it was due: of
	// calls up to then some are missing. 1970: none was.
	lost time.Time
	leaf ledger.Hash
}

func (m meta) encode() []byte {
	b := binary.BigEndian.AppendUint32(nil, version)
	b = binary.BigEndian.AppendUint64(b, m.seq)
	b = binary.BigEndian.AppendUint64(b, uint64(m.recordedAt.UnixNano()))
	b = binary.BigEndian.AppendUint64(b, uint64(m.lost.UnixNano()))
	return append(b, m.leaf[:]...)
}

// decodeMeta gives false for what is missing, damaged or of another version.
func decodeMeta(b []byte) (m meta, ok bool) {
	if len(b) != 28+len(m.leaf) || binary.BigEndian.Uint32(b) != version {
		return meta{}, false
	}
	instant := func(b []byte) time.Time { return time.Unix(0, int64(binary.BigEndian.Uint64(b))).UTC() }
	return meta{binary.BigEndian.Uint64(b[4:]), instant(b[12:]), instant(b[20:]), ledger.Hash(b[28:])}, true
}

// take makes what is in the database known.
func (k *Keeper) take(m meta) {
	k.at = m
	k.applied.Store(m.seq)
	k.lost.Store(m.lost.UnixNano())
	k.horizon.Store(max(m.recordedAt.Add(-keptFor).UnixNano(), m.lost.UnixNano()))
}

// wipe deletes the projection.
func (k *Keeper) wipe() error {
	b := k.c.DB.NewBatch()
	for _, s := range spaces {
		if err := b.DeleteRange(store.SpaceRange(s)); err != nil {
			return errors.Join(err, b.Close())
		}
	}
	if err := b.Delete(store.MetaKey(Name)); err != nil {
		return errors.Join(err, b.Close())
	}
	if err := b.Commit(false); err != nil {
		return fmt.Errorf("attempts: %w", err)
	}
	k.take(meta{recordedAt: time.Unix(0, 0).UTC(), lost: time.Unix(0, 0).UTC()})
	return k.load()
}

// Run catches up with the stream and decides what is asked, until ctx is done or
// something leaves doubt. Its error then ends the process: the next start reads
// the stream to its tail, which settles it. What was taken in is settled first.
func (k *Keeper) Run(ctx context.Context) error {
	err := k.run(ctx, context.WithoutCancel(ctx))
	k.setWhole(false)
	k.fail(err)
	k.queue.drain(func(r *request) { r.abandon(k.refusal()) })
	return err
}

func (k *Keeper) run(stop, ctx context.Context) error {
	if err := k.begin(stop); err != nil {
		return err
	}
	for {
		items, do := k.queue.take(stop, k.do)
		var err error
		switch {
		case do != nil:
			err = do(stop)
		case len(items) == 0:
			return nil
		default:
			err = k.turn(ctx, items)
		}
		if err != nil {
			return err
		}
	}
}

// begin makes the database whole.
func (k *Keeper) begin(ctx context.Context) error {
	if err := k.settleLost(ctx); err != nil {
		return err
	}
	if err := k.catchUp(ctx); err != nil {
		return err
	}
	k.setWhole(true)
	return nil
}

// turn decides a batch, makes it durable, applies it and answers. A crash before
// it is durable leaves nothing; after that, a batch that the next start applies.
// Another node's batch in its place means that all of it is decided anew.
func (k *Keeper) turn(ctx context.Context, items []*item) error {
	for {
		p, err := k.decide(items)
		if err == nil && len(p.batch.GetRecords()) > 0 {
			err = k.publish(ctx, p)
		}
		if errors.Is(err, settle.ErrOther) {
			k.c.Logger.Warn("attempts: another node was first; deciding anew", "sequence", p.seq)
			if err = k.catchUpSoon(ctx); err == nil {
				continue
			}
		}
		if err != nil {
			k.setWhole(false)
			for _, it := range items {
				it.answer(Outcome{Err: uncertain(err)})
			}
			return fmt.Errorf("attempts: %w", err)
		}
		for i, it := range items {
			it.answer(p.outcomes[i])
		}
		return nil
	}
}

// publish makes a batch durable at its place and applies it.
func (k *Keeper) publish(ctx context.Context, p *plan) error {
	data, err := proto.Marshal(p.batch)
	if err != nil {
		return fmt.Errorf("serialize batch: %w", err)
	}
	if err := settle.Append(ctx, k.c.Log, k.at.seq, data, k.c.Settle); err != nil {
		return err
	}
	return k.commit(p.o, meta{p.seq, p.recordedAt, k.at.lost, ledger.LeafHash(data)})
}

// apply folds a message that was read from the stream. One that is no batch counts as
// lost.
func (k *Keeper) apply(m ledger.Message) error {
	b, said, err := k.read(m)
	if err != nil {
		k.c.Logger.Error("attempts: this message is no batch of attempts; its calls are lost", "message", m.Seq, "error", err)
		k.behindLost = true
		return nil
	}
	at, lost := later(b.GetRecordedAt().AsTime(), k.at.recordedAt), k.at.lost
	if k.behindLost || m.Seq != k.at.seq+1 || b.GetLost() {
		lost = at
	}
	o := newOverlay(k.c.DB, k.known.Load())
	for i, s := range said {
		if _, _, err := o.say(s, m.Seq); err != nil {
			return fmt.Errorf("message %d, record %d: %w", m.Seq, i, err)
		}
	}
	k.behindLost = false
	return k.commit(o, meta{m.Seq, at, lost, ledger.LeafHash(m.Data)})
}

// read gives what a message says of calls.
func (k *Keeper) read(m ledger.Message) (b *consentv1.AttemptBatch, out []said, err error) {
	b = &consentv1.AttemptBatch{}
	if err := proto.Unmarshal(m.Data, b); err != nil {
		return nil, nil, err
	}
	if len(b.GetRecords()) == 0 && !b.GetLost() || !plausible(b.GetRecordedAt()) {
		return nil, nil, errors.New("it has no records, or no instant that can be")
	}
	at := later(b.GetRecordedAt().AsTime(), k.at.recordedAt)
	for i, r := range b.GetRecords() {
		t, err := openToken(k.c.Keys, r)
		if err != nil {
			return nil, nil, fmt.Errorf("record %d: %w", i, err)
		}
		s, ok, err := saidBy(r, t, at)
		if err != nil {
			return nil, nil, fmt.Errorf("record %d: %w", i, err)
		}
		if ok {
			out = append(out, s)
		}
	}
	return b, out, nil
}

// later is the later of two instants.
func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// commit writes what a message changed, and how far that is, in one batch.
func (k *Keeper) commit(o *overlay, m meta) error {
	if hook := k.testingOnlyBeforeApply; hook != nil {
		if err := hook(m.seq); err != nil {
			return err
		}
	}
	b := k.c.DB.NewBatch()
	if err := errors.Join(o.flush(b), o.drop(b, m.recordedAt.Add(-keptFor)), b.Set(store.MetaKey(Name), m.encode())); err != nil {
		return errors.Join(err, b.Close())
	}
	if err := b.Commit(false); err != nil {
		return err
	}
	k.take(m)
	return nil
}

// catchUpMax bounds a catching up that callers wait for; after it a restart is quicker.
const catchUpMax = 30 * time.Second

func (k *Keeper) catchUpSoon(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, catchUpMax)
	defer cancel()
	return k.catchUp(ctx)
}

// setWhole says whether the database holds everything.
func (k *Keeper) setWhole(yes bool) {
	if odd := k.whole.Load()%2 == 1; odd != yes {
		k.whole.Add(1)
	}
}

// fail ends the keeper: nobody enters a lane any more. err nil is a clean end.
func (k *Keeper) fail(err error) {
	k.endOnce.Do(func() { close(k.ending) })
	k.mu.Lock() // after this, everybody who waited for room has left
	defer k.mu.Unlock()
	if k.failure == nil {
		k.failure = err
	}
}

// refusal is what callers hear after the end.
func (k *Keeper) refusal() error {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.failure == nil {
		return notReady(errClosed)
	}
	return notReady(k.failure)
}
