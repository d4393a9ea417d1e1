package index

import (
	"bytes"
	"encoding/binary"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// person is one row: where a person's chain ends, and the person's wrapped keys.
// They lie together because each fact about a known number needs both, and each
// new person brings both. The row of a person whose keys are there and whose first
// entry is not has a zero head.
type person struct {
	head Head
	keys keyList
}

// known tells whether the person has an entry.
func (p person) known() bool { return p.head.Seq > 0 }

func (p person) encode(b []byte) []byte { return append(p.head.encode(b), p.keys...) }

// decodePerson reads a row; the keys share its bytes.
func decodePerson(b []byte) (p person, err error) {
	if len(b) < headBytes {
		return p, badValue("a person", len(b))
	}
	if p.head, err = decodeHead(b[:headBytes]); err != nil {
		return p, err
	}
	p.keys = keyList(b[headBytes:])
	return p, p.keys.check()
}

// keyList is a person's wrapped keys as they are stored: class (1), id (8), epoch
// (4), length of the wrapped key (2) and the wrapped key, ascending by class and id.
// The bytes of a list never change.
type keyList []byte

// Sizes within a keyList.
const (
	keyNameBytes = 1 + 8
	keyHeadBytes = keyNameBytes + 4 + 2
)

// first gives the bytes of the first key, and the rest of the list.
func (l keyList) first() (key []byte, rest keyList) {
	n := keyHeadBytes + int(binary.BigEndian.Uint16(l[keyNameBytes+4:]))
	return l[:n], l[n:]
}

// check tells whether a list can be read to its end.
func (l keyList) check() error {
	all := len(l)
	for len(l) > 0 {
		if len(l) < keyHeadBytes || len(l) < keyHeadBytes+int(binary.BigEndian.Uint16(l[keyNameBytes+4:])) {
			return badValue("a person's keys", all)
		}
		_, l = l.first()
	}
	return nil
}

// with adds a key, or replaces the one of the same class and id.
func (l keyList) with(k keyName, w *consentv1.WrappedKey) keyList {
	name := append([]byte{byte(k.class)}, k.id[:]...)
	out := make(keyList, 0, len(l)+keyHeadBytes+len(w.GetWrapped()))
	for len(l) > 0 {
		key, rest := l.first()
		order := bytes.Compare(key[:keyNameBytes], name)
		if order > 0 {
			break
		}
		if l = rest; order < 0 {
			out = append(out, key...)
		}
	}
	out = binary.BigEndian.AppendUint32(append(out, name...), w.GetEpoch())
	out = binary.BigEndian.AppendUint16(out, uint16(len(w.GetWrapped())))
	return append(append(out, w.GetWrapped()...), l...)
}

// find gives the first key that fits, nil if there is none. id nil: any.
func (l keyList) find(of ledger.PersonID, class consentv1.PersonalClass, id *store.KeyID) *consentv1.WrappedKey {
	for len(l) > 0 {
		key, rest := l.first()
		if key[0] == byte(class) && (id == nil || bytes.Equal(key[1:keyNameBytes], id[:])) {
			return decodeWrapped(of, key)
		}
		l = rest
	}
	return nil
}

// each visits all keys until visit says no.
func (l keyList) each(of ledger.PersonID, visit func(*consentv1.WrappedKey) bool) bool {
	for len(l) > 0 {
		key, rest := l.first()
		if !visit(decodeWrapped(of, key)) {
			return false
		}
		l = rest
	}
	return true
}

func decodeWrapped(of ledger.PersonID, key []byte) *consentv1.WrappedKey {
	key = bytes.Clone(key)
	return &consentv1.WrappedKey{Person: of[:], Class: consentv1.PersonalClass(key[0]), KeyId: key[1:keyNameBytes:keyNameBytes],
		Epoch: binary.BigEndian.Uint32(key[keyNameBytes:]), Wrapped: key[keyHeadBytes:]}
}

// keyName is the name of one drawn key.
type keyName struct {
	person ledger.PersonID
	class  consentv1.PersonalClass
	id     store.KeyID
}

// wrappedBytesMax is what the length in a keyList holds; a wrapped key has 72 bytes.
const wrappedBytesMax = 0xffff

func keyOfWrapped(w *consentv1.WrappedKey) (k keyName, err error) {
	if len(w.GetPerson()) != len(k.person) || len(w.GetKeyId()) != len(k.id) || w.GetClass() < 1 || w.GetClass() > 0xff || len(w.GetWrapped()) > wrappedBytesMax {
		return k, damaged("wrapped key with an impossible name or size")
	}
	return keyName{ledger.PersonID(w.GetPerson()), w.GetClass(), store.KeyID(w.GetKeyId())}, nil
}
