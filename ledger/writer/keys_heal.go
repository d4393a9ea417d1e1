package writer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

const (
	// healKeysMax bounds the keys of one message: some 120 bytes each.
	healKeysMax = 1000
	// healFillMax bounds the empty messages that make a keys stream as long as it was.
	healFillMax = 1 << 16
	// buckets of persons.
	buckets = 1 << 12
)

// HealKeys stores again every live key that the index holds and the keys stream has
// lost, byte for byte as it was wrapped, and gives how many those were. The index reads
// each message once, so it has what the stream loses afterwards.
func (w *Writer) HealKeys(ctx context.Context) (keys int, err error) {
	w.keysMu.Lock() // no epoch may end meanwhile, or a dead wrapping would come last
	defer w.keysMu.Unlock()
	return w.healKeys(ctx)
}

func (w *Writer) healKeys(ctx context.Context) (keys int, err error) {
	if err := w.index.Flush(); err != nil {
		return 0, err
	}
	there, err := w.storedKeys(ctx)
	if err != nil {
		return 0, err
	}
	var lost consentv1.WrappedKeys
	store := func() error {
		if len(lost.GetKeys()) == 0 {
			return nil
		}
		data, err := proto.Marshal(&lost)
		if err != nil {
			return fmt.Errorf("writer: serialize keys: %w", err)
		}
		keys, lost.Keys = keys+len(lost.GetKeys()), nil
		_, err = w.appendKeysSettled(ctx, data)
		return err
	}
	for bucket := range uint16(buckets) {
		for k, err := range w.index.BucketKeys(bucket) {
			if err != nil {
				return keys, err
			}
			if _, stored := slices.BinarySearch(there, wrapping(k)); stored || !w.keys.Live(bucket, k.GetEpoch()) {
				continue
			}
			if lost.Keys = append(lost.Keys, k); len(lost.GetKeys()) >= healKeysMax {
				if err := store(); err != nil {
					return keys, err
				}
			}
		}
	}
	return keys, store()
}

// TakeKeys stores the keys of copies of lost messages that this ledger's key ring opens
// and the index does not hold, and gives how many those were: the next start reads them.
// refused counts those that are no keys of this ledger.
func (w *Writer) TakeKeys(ctx context.Context, messages [][]byte) (taken, refused int, err error) {
	w.keysMu.Lock()
	defer w.keysMu.Unlock()
	for _, raw := range messages {
		var m, wanted consentv1.WrappedKeys
		if proto.Unmarshal(raw, &m) != nil {
			refused++
			continue
		}
		for _, k := range m.GetKeys() {
			opened, err := w.keys.Unwrap(k)
			if errors.Is(err, seal.ErrErased) {
				continue
			}
			if err != nil {
				refused++
				continue
			}
			_, held, err := w.index.Key(opened.Person, opened.Class, opened.ID)
			if err != nil {
				return taken, refused, err
			}
			if !held {
				wanted.Keys = append(wanted.Keys, k)
			}
		}
		if len(wanted.GetKeys()) == 0 {
			continue
		}
		data, err := proto.Marshal(&wanted)
		if err != nil {
			return taken, refused, fmt.Errorf("writer: serialize keys: %w", err)
		}
		seq, err := w.appendKeysSettled(ctx, data)
		if err != nil {
			return taken, refused, err
		}
		w.index.KeysLeft(seq)
		taken += len(wanted.GetKeys())
	}
	return taken, refused, nil
}

// storedKeys names every wrapping that the stream holds, sorted: eight bytes each.
func (w *Writer) storedKeys(ctx context.Context) (out []uint64, err error) {
	for m, err := range w.log.FollowKeys(ctx, 0) {
		if err != nil {
			return nil, err
		}
		var keys consentv1.WrappedKeys
		if proto.Unmarshal(m.Data, &keys) != nil {
			continue // lost
		}
		for _, k := range keys.GetKeys() {
			out = append(out, wrapping(k))
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// wrapping names one wrapping of one key: its random id, turned by the epoch.
func wrapping(k *consentv1.WrappedKey) uint64 {
	var id [8]byte
	copy(id[:], k.GetKeyId())
	return binary.BigEndian.Uint64(id[:]) ^ uint64(k.GetEpoch())*0x9e3779b97f4a7c15
}

// healKeysTail puts back what a keys stream lost that ends before what the index read
// of it. Its sequences would come again, and the index would pass over them.
func (w *Writer) healKeysTail(ctx context.Context) error {
	tail, err := w.log.KeysTail(ctx)
	read := w.index.Applied().KeysSeq
	if err != nil || tail >= read {
		return err
	}
	if read-tail > healFillMax {
		return fmt.Errorf("writer: the last %d messages of the keys stream are lost: %w: put back the newest copy of the ledger's folder", read-tail,
			ledger.ErrDamaged)
	}
	w.keysMu.Lock()
	defer w.keysMu.Unlock()
	if _, err := w.healKeys(ctx); err != nil {
		return err
	}
	for seq := uint64(0); seq < read; {
		if seq, err = w.appendKeysSettled(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}
