package timestamp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/proof"
)

const (
	// EveryDefault is how often an authority is asked if nobody says otherwise.
	EveryDefault = time.Hour
	// againAfter is the pause after a try that failed; firstAfter is between two looks
	// for the first checkpoint of a new ledger.
	againAfter, firstAfter = time.Minute, time.Second
)

// Asker gives timestamps; an Authority does.
type Asker interface {
	fmt.Stringer
	Ask(ctx context.Context, message []byte) (Stamp, error)
}

// ErrNobodyAsked: no stamp that was made before serves, and no authority is asked for
// another one.
var ErrNobodyAsked = errors.New("timestamp: no authority is asked")

// Config is what a keeper needs.
type Config struct {
	Shelf *Shelf
	// Authority is asked for new stamps; nil: those that are kept are all there will be.
	Authority Asker
	// Verifier is the key that signs the ledger's checkpoints.
	Verifier note.Verifier
	// Newest is the checkpoint that others are shown; false: there is none yet.
	Newest func() (proof.Checkpoint, bool)
	// Every is the time between two questions; 0: EveryDefault.
	Every time.Duration
	// Logger hears of what failed. Nil discards.
	Logger *slog.Logger
}

// Keeper has checkpoints stamped every so often and when somebody needs it. Nothing
// that records or answers ever waits for it. Safe for concurrent use; Run runs once.
type Keeper struct {
	Config
	asking sync.Mutex // one question at a time: two of one checkpoint would cost twice
	failed atomic.Pointer[string]
}

// NewKeeper makes a keeper.
func NewKeeper(c Config) *Keeper {
	if c.Every == 0 {
		c.Every = EveryDefault
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Keeper{Config: c}
}

// Run has the newest checkpoint stamped until ctx is done. What an authority does not
// stamp is tried again; the next checkpoint says more than the missed one did.
func (k *Keeper) Run(ctx context.Context) {
	for k.Asks() {
		pause := k.Every
		if c, ok := k.Newest(); !ok {
			pause = min(pause, firstAfter)
		} else if _, err := k.Stamp(ctx, c); err != nil {
			pause = min(pause, againAfter)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// Asks tells whether an authority is asked for new stamps.
func (k *Keeper) Asks() bool { return k.Authority != nil }

// Stamp gives the stamp of a checkpoint, and asks for one if it has none.
func (k *Keeper) Stamp(ctx context.Context, c proof.Checkpoint) (Stamp, error) {
	k.asking.Lock()
	defer k.asking.Unlock()
	if st, err := k.Shelf.Over(c.Size, c.Note); err == nil {
		return st, nil
	} else if !errors.Is(err, ledger.ErrNotFound) {
		k.Logger.Warn("timestamp: a stamp is damaged; another one is asked for", "error", err)
	}
	if !k.Asks() {
		return Stamp{}, ErrNobodyAsked
	}
	st, err := k.Authority.Ask(ctx, c.Note)
	if err == nil {
		err = k.Shelf.Keep(c.Size, st)
	}
	if err == nil {
		k.failed.Store(nil)
		return st, nil
	}
	text := err.Error()
	if old := k.failed.Swap(&text); old == nil && ctx.Err() == nil {
		k.Logger.Warn("timestamp: the newest checkpoint is not stamped; it is tried again", "authority", k.Authority.String(), "size", c.Size, "error", text)
	}
	return Stamp{}, err
}

// Covering gives the checkpoint that was stamped first of those that hold a position,
// and has the newest stamped if there is none.
func (k *Keeper) Covering(ctx context.Context, at ledger.Position) (proof.Checkpoint, Stamp, error) {
	_, st, err := k.Shelf.Covering(at)
	if errors.Is(err, ledger.ErrNotFound) {
		if !k.Asks() {
			return proof.Checkpoint{}, st, ErrNobodyAsked
		}
		c, ok := k.Newest()
		if !ok || c.Size < int64(at) {
			return c, st, fmt.Errorf("timestamp: no checkpoint for others covers position %d yet: %w", at, ledger.ErrNotReady)
		}
		if st, err = k.Stamp(ctx, c); err != nil {
			return c, st, fmt.Errorf("%w: %w", err, ledger.ErrNotReady)
		}
	}
	if err != nil {
		return proof.Checkpoint{}, st, err
	}
	c, err := proof.OpenCheckpoint(st.Message, k.Verifier)
	if err != nil {
		return c, st, fmt.Errorf("timestamp: a stamped checkpoint is not this ledger's: %w: %w", err, ledger.ErrDamaged)
	}
	return c, st, nil
}

// Problems lists what somebody should look at, for doctor.
func (k *Keeper) Problems() []string {
	why := k.failed.Load()
	if why == nil {
		return nil
	}
	last := "none is stamped yet"
	if size, st, err := k.Shelf.Newest(); err == nil {
		last = fmt.Sprintf("the last one stamped is of %d entries, at %s", size, st.Said())
	}
	return []string{fmt.Sprintf("TIMESTAMP: %s does not stamp checkpoints, %s: %s", k.Authority, last, *why)}
}
