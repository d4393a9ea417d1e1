package keeper

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/directory"
	"github.com/consent-ledger/consent-ledger/ledger/store"
)

// About tells which numbers entries are about, by position, without reading the
// entries: who asks has lost them. What is about no number is left out. through is
// how far the records go; nothing is known of what lies beyond. It reads all
// records, so it is for few questions with many positions.
//
// A record ends at the newest entry of its number, and each entry names the one
// before it. So the successors of a lost entry are followed upwards, in one pass
// over the links, to the last one, which belongs to a record.
func (k *Keeper) About(ctx context.Context, positions []ledger.Position) (about map[ledger.Position]directory.Key, through ledger.Position, err error) {
	snap := k.db.Snapshot()
	defer func() { err = errors.Join(err, snap.Close()) }()
	raw, err := snap.Get(metaProgress)
	if err != nil || raw == nil || len(positions) == 0 {
		return nil, 0, err
	}
	p, err := decodeProgress(raw)
	if err != nil {
		return nil, 0, err
	}
	// ends holds, by the newest entry reached so far, where we came from.
	ends := make(map[ledger.Position][]ledger.Position, len(positions))
	for _, at := range positions {
		ends[at] = []ledger.Position{at}
	}
	_, hi := store.SpaceRange(store.SpaceBefore)
	n := 0
	err = snap.Each(store.BeforeKey(slices.Min(positions)), hi, func(key, value []byte) error {
		at, err := store.ParseBeforeKey(key)
		if err != nil || len(value) != 8 {
			return errors.Join(err, ctx.Err())
		}
		before := ledger.Position(binary.BigEndian.Uint64(value))
		if from, ok := ends[before]; ok {
			delete(ends, before)
			ends[at] = append(ends[at], from...)
		}
		ledger.Breathe(n)
		n++
		return ctx.Err()
	})
	if err != nil {
		return nil, 0, err
	}
	about = make(map[ledger.Position]directory.Key, len(positions))
	lo, hi := store.SpaceRange(store.SpaceRecord)
	err = snap.Each(lo, hi, func(key, value []byte) error {
		h, err := store.ParseRecordKey(key)
		if err != nil {
			return err
		}
		r, err := directory.DecodeRecord(value)
		if err != nil {
			return err
		}
		for _, at := range ends[r.Last] {
			about[at] = directory.Key(h)
		}
		ledger.Breathe(n)
		n++
		return ctx.Err()
	})
	return about, p.position, err
}
