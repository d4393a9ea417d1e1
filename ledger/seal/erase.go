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

// KeysPerMessageMax is how many re-wrapped keys go into one message of the keys
// stream: about 230 KiB.
const KeysPerMessageMax = 2000

// Erasure is an erasure under way. It is two steps with a publication between:
//
//	e, err := ring.Erase(persons, index.BucketKeys)  // new epochs are on disk
//	for each e.Messages(): AppendKeys, index.ApplyKeys  // survivors are safe
//	err = e.Destroy()                                 // old epochs are gone
//
// A crash before Destroy leaves old and new epochs live: everything still opens,
// the erased included, and the whole is to be run again (index.PendingErasures
// lists what is due). Running it twice does no harm.
type Erasure struct {
	ring *Keyring
	// epochs are the fresh ones, by bucket: what is older goes.
	epochs   map[uint16]uint32
	messages []*consentv1.WrappedKeys
}

// Erase begins to erase persons whose PersonErased is durable. It adds an epoch
// to each of their buckets, on disk, and wraps the keys of the other persons
// there under it. keysOf gives all wrapped keys of a bucket, those of dead epochs
// too. Meanwhile no other key may be on its way that Wrap made before: the one
// writer erases between commits.
//
// An error means that nothing was destroyed.
func (r *Keyring) Erase(persons []ledger.PersonID, keysOf func(bucket uint16) iter.Seq2[*consentv1.WrappedKey, error]) (*Erasure, error) {
	erased := make(map[ledger.PersonID]bool, len(persons))
	e := &Erasure{ring: r, epochs: map[uint16]uint32{}}
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
func (e *Erasure) rewrap(w *consentv1.WrappedKey) error {
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
	if last := len(e.messages) - 1; last >= 0 && len(e.messages[last].GetKeys()) < KeysPerMessageMax {
		e.messages[last].Keys = append(e.messages[last].Keys, n)
		return nil
	}
	e.messages = append(e.messages, &consentv1.WrappedKeys{Keys: []*consentv1.WrappedKey{n}})
	return nil
}

// Messages are the survivors' keys, wrapped anew, to be published and acknowledged
// before Destroy. There may be none.
func (e *Erasure) Messages() []*consentv1.WrappedKeys { return e.messages }

// Destroy forgets the old epochs of the buckets, on disk and in memory. From
// here on the erased persons' keys open nowhere but in a backup of the epochs
// file. What the file system keeps of a replaced file's blocks is beyond us:
// they are encrypted under the KEK.
func (e *Erasure) Destroy() error {
	r := e.ring
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.epochs.Load().clone()
	for b, n := range e.epochs {
		t.keepFrom(b, n)
	}
	return r.storeEpochs(t)
}
