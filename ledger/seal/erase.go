package seal

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// keysPerMessageMax is how many re-wrapped keys go into one message of the keys
// stream: about 230 KiB.
const keysPerMessageMax = 2000

// erasure is an erasure under way: new epochs, survivors wrapped anew.
type erasure struct {
	ring *Keyring
	// epochs are the fresh ones, by bucket: what is older goes.
	epochs   map[uint16]uint32
	messages []*consentv1.WrappedKeys
}

// Destroy destroys the keys of persons whose PersonErased is durable, in three
// steps: each of their buckets gets a fresh epoch, on disk; the keys of the other
// persons there are wrapped under it and handed to publish, which returns once
// they are durable; then the old epochs are forgotten. From there on the erased
// persons' keys open nowhere but in a backup of the epochs file. What the file
// system keeps of a replaced file's blocks is beyond us: they are encrypted
// under the KEK.
//
// keysOf gives all wrapped keys of a bucket, dead ones too. No key that Wrap made
// before may be on its way meanwhile: the one writer erases between commits.
//
// An error, or a crash, before the last step destroys nothing: old and new epochs
// are both live, everything still opens, and the whole is to be run again
// (the index lists what is due). Running it twice does no harm.
func (r *Keyring) Destroy(persons []ledger.PersonID, keysOf func(bucket uint16) iter.Seq2[*consentv1.WrappedKey, error],
	publish func(*consentv1.WrappedKeys) error) error {
	e, err := r.beginErasure(persons, keysOf)
	if err != nil {
		return err
	}
	for _, m := range e.messages {
		if err := publish(m); err != nil {
			return fmt.Errorf("seal: publish keys wrapped anew: %w", err)
		}
	}
	return e.finish()
}

func (r *Keyring) beginErasure(persons []ledger.PersonID, keysOf func(bucket uint16) iter.Seq2[*consentv1.WrappedKey, error]) (*erasure, error) {
	erased := make(map[ledger.PersonID]bool, len(persons))
	e := &erasure{ring: r, epochs: map[uint16]uint32{}}
	for _, p := range persons {
		erased[p] = true
		e.epochs[p.Bucket()] = 0
	}
	if err := r.addEpochs(e.epochs); err != nil {
		return nil, err
	}
	for _, bucket := range slices.Sorted(maps.Keys(e.epochs)) {
		for w, err := range keysOf(bucket) {
			if err != nil {
				return nil, fmt.Errorf("seal: keys of bucket %d: %w", bucket, err)
			}
			if len(w.GetPerson()) == len(ledger.PersonID{}) && erased[ledger.PersonID(w.GetPerson())] {
				continue
			}
			if err := e.rewrap(w); err != nil {
				return nil, err
			}
		}
	}
	return e, nil
}

// addEpochs draws an epoch for each bucket and fills in its number. Always a new
// one, even if an earlier erasure left two: under the newer of those may lie the
// keys of a person who is erased only now.
func (r *Keyring) addEpochs(epochs map[uint16]uint32) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.epochs.Load().clone()
	for b := range epochs {
		if err := t.add(b); err != nil {
			return err
		}
		epochs[b] = t.buckets[b][len(t.buckets[b])-1].number
	}
	return r.storeEpochs(t)
}

// storeEpochs writes the file and then shows the table to readers: a key wrapped
// under an epoch that a crash forgets would be lost. The caller holds mu.
func (r *Keyring) storeEpochs(t *epochTable) error {
	if err := writeWrapped(r.dir, EpochsFile, r.kek, t.encode(), r.keys.Ledger[:]); err != nil {
		return err
	}
	r.epochs.Store(t)
	return nil
}

// rewrap wraps a survivor's key under its bucket's fresh epoch. A key whose epoch
// is dead belongs to somebody erased before and is left out.
func (e *erasure) rewrap(w *consentv1.WrappedKey) error {
	t := e.ring.epochs.Load()
	k, err := t.unwrap(w)
	if errors.Is(err, ErrErased) {
		return nil
	}
	if err != nil {
		return err
	}
	fresh, ok := t.find(k.Person.Bucket(), e.epochs[k.Person.Bucket()])
	if !ok {
		return fmt.Errorf("seal: bucket %d lost epoch %d during an erasure", k.Person.Bucket(), e.epochs[k.Person.Bucket()])
	}
	n, err := wrap(k, fresh)
	if err != nil {
		return err
	}
	if last := len(e.messages) - 1; last >= 0 && len(e.messages[last].GetKeys()) < keysPerMessageMax {
		e.messages[last].Keys = append(e.messages[last].Keys, n)
		return nil
	}
	e.messages = append(e.messages, &consentv1.WrappedKeys{Keys: []*consentv1.WrappedKey{n}})
	return nil
}

// finish forgets the old epochs of the buckets, on disk and in memory.
func (e *erasure) finish() error {
	r := e.ring
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.epochs.Load().clone()
	for b, n := range e.epochs {
		t.keepFrom(b, n)
	}
	return r.storeEpochs(t)
}
