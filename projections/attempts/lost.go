package attempts

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/settle"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// A call that is lost and not counted would be one too many that is permitted. So
// wherever a message is not there when it is due, everything before the next one
// counts as unknown: Attempts and Reserve then take every cap for reached, until the
// longest window that a rule may count (rules.AttemptsDays) lies behind it. What the
// database holds already is known, whatever the stream loses afterwards; a rebuild
// would forget it.
//
// JetStream gives the sequences of a lost tail out again. Receipts name them, so they
// are filled with batches that say `lost`, and nothing else takes their places.

const (
	// attemptsAge is how long the stream keeps messages at least (stream.Pinned): what
	// is older may be gone.
	attemptsAge = 1827 * 24 * time.Hour
	// fillMax bounds the places that are filled one by one, at some hundred a second.
	fillMax = 1 << 16
)

// LostUntil is the latest instant of calls of which some are lost and not counted;
// zero if none are. Caps are taken for reached for CapsBlocked after it.
func (k *Keeper) LostUntil() time.Time {
	lost := k.lost.Load()
	if lost <= 0 {
		return time.Time{}
	}
	return time.Unix(0, lost).UTC()
}

// CapsBlocked is how long a cap is taken for reached after calls were lost.
const CapsBlocked = counted

// settleLost compares the stream with what was read of it before, and with what the
// ledger knows of it, and fills the places at its end that are lost.
func (k *Keeper) settleLost(ctx context.Context) error {
	first, last, err := k.c.Log.Bounds(ctx)
	if err != nil {
		return fmt.Errorf("attempts: %w", err)
	}
	known, learnt := uint64(0), time.Time{}
	if k.c.Anchored != nil {
		if known, learnt, err = k.c.Anchored(ctx); err != nil {
			return fmt.Errorf("attempts: what is anchored: %w", err)
		}
	}
	now, _ := k.now()
	gone := first > last && last > k.at.seq // nothing is there, and not all of it was read
	another, err := k.another(ctx, first, last)
	switch {
	case err != nil:
		return err
	case another:
		k.c.Logger.Error("attempts: the stream holds other messages than were read; it is read anew, and caps count as reached", "message", k.at.seq)
		return errors.Join(k.wipe(), k.fill(ctx, last, last+1))
	case max(known, k.at.seq) > last:
		k.c.Logger.Error("attempts: the stream has lost its end; its places are filled", "ends_at", last, "known_to", max(known, k.at.seq))
		return k.fill(ctx, last, max(known, k.at.seq))
	case gone && known >= last && now.Sub(learnt) > attemptsAge: // by age, as it should be
		return k.commit(newOverlay(k.c.DB, k.known.Load()), meta{seq: last, recordedAt: k.at.recordedAt, lost: k.at.lost})
	case gone:
		k.c.Logger.Error("attempts: the stream has lost all of its messages; caps count as reached", "ends_at", last)
		return k.fill(ctx, last, last+1)
	}
	return nil
}

// another tells whether the stream holds something else than was read of it. What is
// lost, or too old to be kept, is nothing else.
func (k *Keeper) another(ctx context.Context, first, last uint64) (bool, error) {
	if k.at.seq < max(first, 1) || k.at.seq > last {
		return false, nil
	}
	m, err := k.c.Log.Read(ctx, k.at.seq)
	if errors.Is(err, ledger.ErrNotFound) || errors.Is(err, ledger.ErrUnreadable) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("attempts: message %d: %w", k.at.seq, err)
	}
	if ledger.LeafHash(m.Data) == k.at.leaf {
		return false, nil
	}
	b, _, err := k.read(m)
	return err == nil && !b.GetLost(), nil // else it is lost, or fills a lost one's place
}

// fill makes batches that say `lost` of the messages after one up to another.
func (k *Keeper) fill(ctx context.Context, after, last uint64) error {
	if last-after > fillMax {
		return fmt.Errorf("attempts: %d messages at the stream's end are lost: %w: put back the newest copy of the ledger's folder", last-after, ledger.ErrDamaged)
	}
	at, _ := k.now()
	for seq := after; seq < last; seq++ {
		// No two batches may be equal, or one would be taken for the other.
		data, err := proto.Marshal(&consentv1.AttemptBatch{RecordedAt: timestamppb.New(at.Add(time.Duration(seq - after))), Lost: true})
		if err != nil {
			return err
		}
		if err := settle.Append(ctx, k.c.Log, seq, data, k.c.Settle); err != nil {
			return fmt.Errorf("attempts: fill the place of message %d: %w", seq+1, err)
		}
	}
	return nil
}

// catchUp applies what the stream holds after the database, and closes it with a
// batch that says `lost` if its last message is not there.
func (k *Keeper) catchUp(ctx context.Context) error {
	for {
		first, last, err := k.c.Log.Bounds(ctx)
		if err != nil || last <= k.at.seq || first > last {
			return err
		}
		readable, err := k.lastReadable(ctx, max(first, k.at.seq+1), last)
		if err != nil {
			return err
		}
		if err := k.applyTo(ctx, readable); err != nil {
			return fmt.Errorf("attempts: %w", err)
		}
		if k.at.seq == last {
			return nil
		}
		k.c.Logger.Error("attempts: the last messages of the stream are lost; caps count as reached", "read_to", k.at.seq, "ends_at", last)
		if err := k.fill(ctx, last, last+1); err != nil && !errors.Is(err, settle.ErrOther) {
			return err
		}
	}
}

// applyTo applies the messages behind the database up to one that is there.
func (k *Keeper) applyTo(ctx context.Context, last uint64) error {
	if last <= k.at.seq {
		return nil
	}
	for m, err := range k.c.Log.Follow(ctx, k.at.seq) {
		if err == nil {
			err = k.apply(m)
		}
		if err != nil {
			return err
		}
		if m.Seq >= last {
			return nil
		}
	}
	return context.Cause(ctx)
}

// lastReadable is the last message from first to last that is there; first-1 if none
// is. Whoever follows beyond it would wait for ever.
func (k *Keeper) lastReadable(ctx context.Context, first, last uint64) (uint64, error) {
	for seq := last; seq >= first; seq-- {
		_, err := k.c.Log.Read(ctx, seq)
		switch {
		case err == nil:
			return seq, nil
		case errors.Is(err, ledger.ErrNotFound), errors.Is(err, ledger.ErrUnreadable):
		default:
			return 0, err
		}
	}
	return first - 1, nil
}
