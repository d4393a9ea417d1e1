package attempts

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/projections/rules"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Reserve decides on a contact and, where a cap limits it, reserves it: the answer
// counts everything durable and everything in flight. in is what the decision may
// know besides attempts and the instant, which are filled in here. An error that
// is ledger.ErrUncertain: it may be reserved and counts until that is known.
func (k *Keeper) Reserve(ctx context.Context, c Call, in rules.Input) Outcome {
	d, err := declared(c, consentv1.AttemptOutcome_ATTEMPT_OUTCOME_RESERVED, k.c.Keys)
	if err != nil {
		return Outcome{Err: err}
	}
	return k.submit(ctx, []item{{Declared: d, ask: &in}})[0]
}

// Cancel gives a reservation up. Number, channel and purpose need not be named.
func (k *Keeper) Cancel(ctx context.Context, c Call) Outcome {
	d, err := declared(c, consentv1.AttemptOutcome_ATTEMPT_OUTCOME_CANCELLED, k.c.Keys)
	if err != nil {
		return Outcome{Err: err}
	}
	return k.submit(ctx, []item{{Declared: d}})[0]
}

// Record makes attempts durable and gives one outcome each, in order.
func (k *Keeper) Record(ctx context.Context, ds []Declared) []Outcome {
	items := make([]item, len(ds))
	for i, d := range ds {
		items[i] = item{Declared: d}
	}
	return k.submit(ctx, items)
}

// Decided is a decision to keep that reserves nothing.
type Decided struct {
	// ID is the record's, new for each.
	ID ledger.EntryID
	// About is what was asked about; a reference is left out.
	About    Call
	Decision *consentv1.Decision
	// Statement is the leaf of what a receipt says of it; zero: no receipt is asked for.
	Statement ledger.Hash
}

// Keep makes decisions durable and gives one outcome each, in order. Decisions of one
// call may come into several messages. On an error some of them may not be kept.
func (k *Keeper) Keep(ctx context.Context, ds []Decided) ([]Outcome, error) {
	items := make([]item, len(ds))
	for i, d := range ds {
		s := sealed(d.ID, d.About, k.c.Keys)
		s.record.Decision = kept(d.Decision)
		if d.Statement != (ledger.Hash{}) {
			s.record.Statement = d.Statement[:]
		}
		items[i] = item{Declared: s}
	}
	out := k.submit(ctx, items)
	for _, o := range out {
		if o.Err != nil {
			return nil, o.Err
		}
	}
	return out, nil
}

func (k *Keeper) submit(ctx context.Context, items []item) []Outcome {
	if len(items) == 0 {
		return nil
	}
	now, _ := k.c.Now()
	for i := range items {
		if items[i].at.IsZero() {
			items[i].at, items[i].unsaid = now.Round(0), true
		}
	}
	r := newRequest(items)
	err := k.enter(ctx, r)
	if err == nil {
		select {
		case <-r.done:
			return r.outcomes
		case <-ctx.Done():
			err = uncertain(context.Cause(ctx))
		}
	}
	out := make([]Outcome, len(items))
	for i := range out {
		out[i].Err = err
	}
	return out
}

// enter puts a request in its lane. The read lock is held while it waits for room,
// so that the end of the keeper sees every request that got in.
func (k *Keeper) enter(ctx context.Context, r *request) error {
	k.mu.RLock()
	defer k.mu.RUnlock()
	select {
	case <-k.ending:
		return notReady(errors.Join(k.failure, errClosed))
	default:
	}
	select {
	case k.queue.lane(r) <- r:
		return nil
	case <-k.ending:
		return notReady(errClosed)
	case <-ctx.Done():
		return notReady(context.Cause(ctx))
	}
}

// ReferenceBytes is how much of a ReferenceKey the database and the rules see.
const ReferenceBytes = len(store.Reference{})

// Knows tells whether anything is known of a call, by its ReferenceKey.
func Knows(r store.Reader, key ledger.Hash) (bool, error) {
	place, err := r.Get(store.AttemptRefKey(store.Reference(key[:ReferenceBytes])))
	return place != nil, err
}

// Wholeness is odd while the database holds all attempts this node knows. An
// answer read between two equal odd values is whole.
func (k *Keeper) Wholeness() uint64 { return k.whole.Load() }

// Contact is one that somebody asks about: in a seller's name to a number.
type Contact struct {
	Token  ledger.Token
	Seller string
	// At is its instant. Attempts of the month before it count, and what came after
	// it unless Past is set.
	At   time.Time
	Past bool
	// AsOf: what was recorded by then, and nothing after it. Zero: all that is known.
	AsOf time.Time
}

// Attempts lists what counts for a contact, newest first, as the rules want it. r is
// a snapshot taken after wholeness was asked for (see Wholeness). known is false if
// something may be missing; then out is not to be counted on.
func (k *Keeper) Attempts(r store.Reader, wholeness uint64, c Contact) (out []rules.Attempt, known bool, err error) {
	p := period{from: c.At.Add(-counted), asOf: c.AsOf}
	if c.Past {
		p.until = c.At
	}
	if !c.AsOf.IsZero() && c.AsOf.Before(c.At) {
		p.until = c.AsOf
	}
	if wholeness%2 == 0 || p.from.UnixNano() < k.horizon.Load() {
		return nil, false, nil
	}
	out, err = attemptsOf(r, k.known.Load(), c.Token, c.Seller, p, func(*call) bool { return true })
	return out, err == nil && k.whole.Load() == wholeness, err
}

// MayHaveTried tells of many numbers whether something was ever tried; may has as many places
// and is false only where Attempts surely finds nothing, if KnowsAll then.
func (k *Keeper) MayHaveTried(tokens []ledger.Token, may []bool) {
	keys := make([]uint32, len(tokens))
	for i, t := range tokens {
		keys[i] = fingerprint(t)
	}
	k.known.Load().MayHoldMany(keys, may)
}

// KnowsAll tells whether nothing is missing of the attempts that count for a contact at an
// instant, in what was read since wholeness was asked for.
func (k *Keeper) KnowsAll(wholeness uint64, at time.Time) bool {
	return wholeness%2 == 1 && at.Add(-counted).UnixNano() >= k.horizon.Load() && k.whole.Load() == wholeness
}

// Applied is the last message the database holds.
func (k *Keeper) Applied() uint64 { return k.applied.Load() }

// StateHash hashes what the database holds, at one moment.
func (k *Keeper) StateHash(ctx context.Context) (h ledger.Hash, err error) {
	snap := k.c.DB.Snapshot()
	defer func() { err = errors.Join(err, snap.Close()) }()
	var all []byte
	for _, s := range spaces {
		lo, hi := store.SpaceRange(s)
		one, err := snap.Hash(ctx, lo, hi)
		if err != nil {
			return ledger.Hash{}, fmt.Errorf("projection %s: %w", Name, err)
		}
		all = append(append(all, s), one[:]...)
	}
	return sha256.Sum256(all), nil
}

// Rebuild deletes the projection and folds the stream anew; meanwhile whatever a
// cap limits is blocked.
func (k *Keeper) Rebuild(ctx context.Context) error {
	done := make(chan error, 1)
	again := func(ctx context.Context) error {
		k.setWhole(false)
		k.c.Logger.Info("attempts are deleted and folded anew", "sequence", k.at.seq)
		err := k.wipe()
		if err == nil {
			err = k.catchUp(ctx)
		}
		if err == nil {
			k.setWhole(true)
		}
		done <- err
		return err
	}
	select {
	case k.do <- again:
	case <-k.ending:
		return k.refusal()
	case <-ctx.Done():
		return fmt.Errorf("attempts: rebuild not begun: %w", context.Cause(ctx))
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("attempts: rebuild goes on alone: %w", context.Cause(ctx))
	}
}
