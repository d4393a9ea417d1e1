package runner

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/projections"
)

// Applied is the position up to which every projection holds everything: that of
// the slowest. It is 0 until the ledger has proven to be the one the state was
// folded from.
func (r *Runner) Applied() ledger.Position { return ledger.Position(r.applied.Load()) }

// Reached is the last position that any of these projections holds in a store, folded by
// this version of them or another; before a runner is opened over it.
func Reached(db *store.DB, ps ...projections.Projection) (at ledger.Position, err error) {
	for _, p := range ps {
		raw, err := db.Get(store.MetaKey(p.Name()))
		if err != nil {
			return 0, err
		}
		if m, err := decodeMeta(raw); err == nil { // another is folded anew
			at = max(at, m.applied)
		}
	}
	return at, nil
}

// WaitApplied waits until Applied is at or after a position. The error is ctx's,
// or ErrStopped with its cause: then nothing will be applied any more, and what
// is there must not be answered from, because what came after is unknown.
func (r *Runner) WaitApplied(ctx context.Context, at ledger.Position) error {
	for {
		reached, changed, err := r.look(at)
		if err != nil || reached {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("projections: waiting for position %d: %w", at, context.Cause(ctx))
		}
	}
}

// Err is nil while the runner runs or has not been started, ErrStopped after.
func (r *Runner) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stopped
}

func (r *Runner) look(at ledger.Position) (reached bool, changed <-chan struct{}, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.Applied() >= at, r.changed, r.stopped
}

// step tells everybody who waits that something changed.
func (r *Runner) step() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.changed)
	r.changed = make(chan struct{})
}

// View is the store at one moment, true at one position.
type View struct {
	store.Reader
	// Position is what the view is true at: it holds everything up to it and
	// nothing after it. Only while a projection of a new version catches up do the
	// others hold more.
	Position ledger.Position

	known *known // nil: not known for this moment
}

// MayHaveState is false only for a token that certainly has no suppression
// state in this view, which spares the unknown a look-up.
func (v View) MayHaveState(t ledger.Token) bool {
	return v.known == nil || v.known.any.MayHold(fingerprintOf(t))
}

// MayHaveStates is MayHaveState of many tokens; may has as many places.
func (v View) MayHaveStates(tokens []ledger.Token, may []bool) {
	v.mayHold(tokens, may, func(k *known) *store.Fingerprints { return k.any })
}

// MayHaveStatesTowardsAll is the same for the states towards all sellers, which few have.
func (v View) MayHaveStatesTowardsAll(tokens []ledger.Token, may []bool) {
	v.mayHold(tokens, may, func(k *known) *store.Fingerprints { return k.all })
}

func (v View) mayHold(tokens []ledger.Token, may []bool, set func(*known) *store.Fingerprints) {
	if v.known == nil {
		for i := range may {
			may[i] = true
		}
		return
	}
	keys := make([]uint32, len(tokens))
	for i, t := range tokens {
		keys[i] = fingerprintOf(t)
	}
	set(v.known).MayHoldMany(keys, may)
}

// KnowsAll tells whether all tokens that have state are known in memory, which a
// start reads beside its work.
func (r *Runner) KnowsAll() bool { return r.known.Load().any.Complete() }

// Get is the store's, but a state towards all sellers that certainly is not there
// costs no look-up. Whether a token has any, MayHaveState tells.
func (v View) Get(key []byte) ([]byte, error) {
	if v.known != nil && v.known.lacksAll(key) {
		return nil, nil
	}
	return v.Reader.Get(key)
}

// Append is the store's, with what Get spares.
func (v View) Append(dst, key []byte) (value []byte, found bool, err error) {
	if v.known != nil && v.known.lacksAll(key) {
		return dst, false, nil
	}
	return v.Reader.Append(dst, key)
}

// Read waits until a position is applied and calls f with a view at or after it.
// The view ends with f. Read all of an answer from one view: between two, an
// erasure may have moved a prohibition from a seller's state to everybody's.
func (r *Runner) Read(ctx context.Context, atLeast ledger.Position, f func(View) error) error {
	for {
		if err := r.WaitApplied(ctx, atLeast); err != nil {
			return err
		}
		done, err := r.readNow(atLeast, f)
		if done || err != nil {
			return err
		}
	}
}

// readNow calls f unless a rebuild has taken the position away.
func (r *Runner) readNow(atLeast ledger.Position, f func(View) error) (done bool, err error) {
	before, at, k := r.seq.Load(), r.Applied(), r.known.Load()
	snap := r.db.Snapshot()
	defer func() { err = errors.Join(err, snap.Close()) }()
	v := View{Reader: snap, Position: at, known: k}
	if before%2 != 0 || r.seq.Load() != before {
		// A commit came between; the snapshot itself knows which side it is on.
		v.known = nil
		if v.Position, err = r.positionOf(snap); err != nil {
			return false, err
		}
	}
	if v.Position < atLeast {
		return false, nil
	}
	return true, f(v)
}

// positionOf reads the lowest position of all projections from a snapshot.
func (r *Runner) positionOf(s store.Reader) (ledger.Position, error) {
	var at ledger.Position
	for i, p := range r.parts {
		raw, err := s.Get(store.MetaKey(p.p.Name()))
		if err != nil {
			return 0, err
		}
		m, err := decodeMeta(raw)
		if err != nil {
			return 0, nil // deleted: a rebuild has just begun
		}
		if i == 0 || m.applied < at {
			at = m.applied
		}
	}
	return at, nil
}

// StateHash hashes what each projection holds, by name. All hashes are of one
// moment. Two stores that hold the same entries have the same hashes. It works
// whether the runner runs or not.
func (r *Runner) StateHash(ctx context.Context) (map[string]ledger.Hash, error) {
	_, out, err := r.StateHashAt(ctx)
	return out, err
}

// StateHashAt is StateHash with the position it is true at.
func (r *Runner) StateHashAt(ctx context.Context) (at ledger.Position, out map[string]ledger.Hash, err error) {
	snap := r.db.Snapshot()
	defer func() { err = errors.Join(err, snap.Close()) }()
	if at, err = r.positionOf(snap); err != nil {
		return 0, nil, err
	}
	out = map[string]ledger.Hash{}
	for _, p := range r.parts {
		if out[p.p.Name()], err = hashOf(ctx, snap, p.p.Spaces()); err != nil {
			return 0, nil, fmt.Errorf("projection %s: %w", p.p.Name(), err)
		}
	}
	return at, out, nil
}

// hashOf is the state hash of a space; of several, the hash of their hashes.
func hashOf(ctx context.Context, r store.Reader, spaces []byte) (ledger.Hash, error) {
	var all []byte
	for _, s := range spaces {
		lo, hi := store.SpaceRange(s)
		h, err := r.Hash(ctx, lo, hi)
		if err != nil || len(spaces) == 1 {
			return h, err
		}
		all = append(append(all, s), h[:]...)
	}
	return sha256.Sum256(all), nil
}
