package seal

import (
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// ErrErased: the epoch key that wraps this person's key was destroyed. What it
// sealed can be opened by nobody any more.
var ErrErased = errors.New("seal: erased, the key was destroyed")

// KeyID names one drawn key: 8 random bytes.
type KeyID = [8]byte

// PersonKey is one person's key for one class, in clear. Do not log or store it.
type PersonKey struct {
	Person ledger.PersonID
	Class  consentv1.PersonalClass
	ID     KeyID
	key    [chacha20poly1305.KeySize]byte
}

// String keeps the key out of every message.
func (k PersonKey) String() string { return fmt.Sprintf("key %x of class %s", k.ID, k.Class) }

// GoString does the same for %#v.
func (k PersonKey) GoString() string { return k.String() }

// DrawPerson draws the random id of a new person.
func DrawPerson() (p ledger.PersonID) {
	random(p[:])
	return p
}

// DrawKey draws a new key and its id.
func DrawKey(p ledger.PersonID, class consentv1.PersonalClass) PersonKey {
	k := PersonKey{Person: p, Class: class}
	random(k.ID[:])
	random(k.key[:])
	return k
}

func (k PersonKey) aead() (cipher.AEAD, error) {
	a, err := chacha20poly1305.NewX(k.key[:])
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return a, nil
}

// SystemKey seals the personal fields of facts about no person (an event id, a
// date as written). It is derived from the retention key, has the id of eight
// zero bytes and is never erased.
func (r *Keyring) SystemKey(class consentv1.PersonalClass) PersonKey {
	k := PersonKey{Class: class}
	copy(k.key[:], derive(r.keys.Retention[:], fmt.Sprintf("consent.v1/system-part/%d", class), len(k.key)))
	return k
}

// Wrap wraps a key under the newest epoch of its person's bucket.
func (r *Keyring) Wrap(k PersonKey) (*consentv1.WrappedKey, error) {
	b := r.epochs.Load().buckets[k.Person.Bucket()]
	return wrap(k, b[len(b)-1])
}

func wrap(k PersonKey, e epoch) (*consentv1.WrappedKey, error) {
	a, err := chacha20poly1305.NewX(e.key[:])
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	s.b = appendWrapAD(s.b[:0], k, e.number)
	out := &struct {
		key    consentv1.WrappedKey
		person ledger.PersonID
		id     KeyID
	}{person: k.Person, id: k.ID} // one piece of memory, with nothing in clear
	out.key.Person, out.key.Class, out.key.KeyId, out.key.Epoch = out.person[:], k.Class, out.id[:], e.number
	out.key.Wrapped = sealBytes(a, k.key[:], s.b)
	return &out.key, nil
}

// Unwrap opens a wrapped key. ErrErased if its epoch is no longer live,
// ErrNotOpened if it was changed.
func (r *Keyring) Unwrap(w *consentv1.WrappedKey) (PersonKey, error) {
	return r.epochs.Load().unwrap(w)
}

func (t *epochTable) unwrap(w *consentv1.WrappedKey) (PersonKey, error) {
	k := PersonKey{Class: w.GetClass()}
	if len(w.GetPerson()) != len(k.Person) || len(w.GetKeyId()) != len(k.ID) {
		return PersonKey{}, fmt.Errorf("seal: wrapped key with ids of an impossible size: %w", ErrNotOpened)
	}
	copy(k.Person[:], w.GetPerson())
	copy(k.ID[:], w.GetKeyId())
	e, ok := t.find(k.Person.Bucket(), w.GetEpoch())
	if !ok {
		return PersonKey{}, ErrErased
	}
	a, err := chacha20poly1305.NewX(e.key[:])
	if err != nil {
		return PersonKey{}, fmt.Errorf("seal: %w", err)
	}
	plain, err := open(a, w.GetWrapped(), appendWrapAD(nil, k, e.number))
	if err != nil || len(plain) != len(k.key) {
		return PersonKey{}, fmt.Errorf("seal: %s, epoch %d: %w", k, e.number, ErrNotOpened)
	}
	copy(k.key[:], plain)
	return k, nil
}

// Live tells whether an epoch's key still exists.
func (r *Keyring) Live(bucket uint16, epoch uint32) bool {
	_, ok := r.epochs.Load().find(bucket, epoch)
	return ok
}

// appendWrapAD appends person || u8 class || key id || u32 epoch.
func appendWrapAD(b []byte, k PersonKey, epoch uint32) []byte {
	b = append(append(b, k.Person[:]...), byte(k.Class))
	return binary.BigEndian.AppendUint32(append(b, k.ID[:]...), epoch)
}
