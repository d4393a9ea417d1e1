// Package seal keeps what is personal: the keys of persons, sealing, opening and
// erasing, and the tokens that stand for numbers.
//
// Every personal field of a fact becomes one sealed part under a key of its
// person and class, so that one can be disclosed, or destroyed, without the
// rest. Person keys are wrapped by the epoch key of the person's bucket, epoch
// keys by a key-encryption key (KEK); to erase a person the bucket's survivors are
// wrapped anew under a fresh epoch and the old epoch's key is destroyed, after
// which no copy of the stream opens the erased person's parts. What the ledger
// itself must always read (an entry's token, inbox items) is sealed under
// the retention key, which erasing does not touch.
//
// All randomness is crypto/rand; AEADs, HMAC and HKDF come from Tink,
// golang.org/x/crypto and the standard library.
package seal

import (
	"bytes"
	"crypto/cipher"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/proof"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

const (
	nonceBytes = chacha20poly1305.NonceSizeX
	tagBytes   = chacha20poly1305.Overhead
	// SaltBytes is the size of the salt that keeps a commitment from being guessed.
	SaltBytes = proof.SaltBytes
	// partOverheadBytes is how much larger a sealed value is than the value.
	partOverheadBytes = nonceBytes + SaltBytes + tagBytes
)

// ErrNotOpened: the key does not fit, or the sealed bytes or what they belong
// to were changed. Nothing was opened.
var ErrNotOpened = errors.New("seal: does not open: wrong key, or changed bytes")

// Opening is an opened part: with it anyone can check the part's commitment,
// without a key.
type Opening struct {
	Salt  [SaltBytes]byte
	Value []byte
}

// Commitment is proof.Commitment in the ledger's types.
func Commitment(class consentv1.PersonalClass, field string, salt [SaltBytes]byte, value []byte) ledger.Hash {
	return proof.Commitment(byte(class), field, salt, value)
}

// scratch is room for what is put together, hashed or bound, and thrown away. It
// must not hold a key.
type scratch struct{ b []byte }

var scratches = sync.Pool{New: func() any { return &scratch{} }}

// scratchBytesMax is what a scratch keeps for the next use: one huge value must not
// stay in memory for ever.
const scratchBytesMax = 1 << 12

func (s *scratch) commitment(class consentv1.PersonalClass, field string, salt, value []byte) ledger.Hash {
	b := proof.AppendCommitted(s.b[:0], byte(class), field, salt, value)
	h := ledger.Hash(sha256.Sum256(b))
	clear(b) // the value is personal
	if s.b = b; cap(b) > scratchBytesMax {
		s.b = nil
	}
	return h
}

// SealPart seals one part of the entry under its person's key of that class.
// Associated data: entry id || person || u8 class || field.
func SealPart(k PersonKey, id ledger.EntryID, p Part) (*consentv1.SealedPart, error) {
	if p.Class != k.Class || len(p.Field) > 0xff {
		return nil, fmt.Errorf("seal: field %q of class %s does not go with a key of class %s", p.Field, p.Class, k.Class)
	}
	a, err := k.aead()
	if err != nil {
		return nil, err
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	// One buffer: nonce, salt and value, sealed in place. One piece of memory for the
	// part and what it points to.
	b := make([]byte, nonceBytes+SaltBytes, partOverheadBytes+len(p.Value))
	random(b)
	b = append(b, p.Value...)
	out := &struct {
		part       consentv1.SealedPart
		keyID      KeyID
		commitment ledger.Hash
	}{keyID: k.ID, commitment: s.commitment(p.Class, p.Field, b[nonceBytes:nonceBytes+SaltBytes], p.Value)}
	s.b = appendPartAD(s.b[:0], id, k.Person, p.Class, p.Field)
	out.part.Class, out.part.Field, out.part.KeyId, out.part.Commitment = p.Class, p.Field, out.keyID[:], out.commitment[:]
	out.part.Sealed = a.Seal(b[:nonceBytes], b[:nonceBytes], b[nonceBytes:], s.b)
	return &out.part, nil
}

// OpenPart opens a part and checks its commitment. A part whose sealed bytes lie
// in a file needs them put back into Sealed first.
func OpenPart(k PersonKey, id ledger.EntryID, s *consentv1.SealedPart) (Opening, error) {
	a, err := k.aead()
	if err != nil {
		return Opening{}, err
	}
	if !bytes.Equal(k.ID[:], s.GetKeyId()) {
		return Opening{}, fmt.Errorf("field %q is sealed by another key: %w", s.GetField(), ErrNotOpened)
	}
	plain, err := open(a, s.GetSealed(), appendPartAD(nil, id, k.Person, s.GetClass(), s.GetField()))
	if err != nil || len(plain) < SaltBytes {
		return Opening{}, fmt.Errorf("field %q: %w", s.GetField(), ErrNotOpened)
	}
	o := Opening{Salt: [SaltBytes]byte(plain), Value: plain[SaltBytes:]}
	return o, o.Verify(s)
}

// Verify checks an opening against a part's commitment; it needs no key.
func (o Opening) Verify(s *consentv1.SealedPart) error {
	c := Commitment(s.GetClass(), s.GetField(), o.Salt, o.Value)
	if !bytes.Equal(c[:], s.GetCommitment()) {
		return fmt.Errorf("field %q: the commitment is for another value: %w", s.GetField(), ErrNotOpened)
	}
	return nil
}

func appendPartAD(b []byte, id ledger.EntryID, p ledger.PersonID, class consentv1.PersonalClass, field string) []byte {
	b = appendTokenAD(b, id, p)
	return append(append(b, byte(class)), field...)
}

// SealToken seals an entry's exchange token under the retention key. Associated
// data: entry id || person, zeros if there is none.
func (r *Keyring) SealToken(id ledger.EntryID, p ledger.PersonID, x ledger.ExchangeToken) []byte {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	s.b = append(appendTokenAD(s.b[:0], id, p), x[:]...)
	ad, plain := s.b[:len(s.b)-len(x)], s.b[len(s.b)-len(x):]
	return sealBytes(r.retention, plain, ad)
}

// OpenToken opens an entry's token and gives both it and the key of the
// projections; zero tokens if the entry has none. It never needs a person's key.
func (r *Keyring) OpenToken(e *consentv1.Entry) (ledger.ExchangeToken, ledger.Token, error) {
	var x ledger.ExchangeToken
	if len(e.GetToken()) == 0 {
		return x, ledger.Token{}, nil
	}
	var p ledger.PersonID
	if len(e.GetEntryId()) != len(ledger.EntryID{}) || (len(e.GetPerson()) != 0 && len(e.GetPerson()) != len(p)) {
		return x, ledger.Token{}, fmt.Errorf("seal: position %d: ids have an impossible size: %w", e.GetPosition(), ErrNotOpened)
	}
	copy(p[:], e.GetPerson())
	plain, err := open(r.retention, e.GetToken(), appendTokenAD(nil, ledger.EntryID(e.GetEntryId()), p))
	if err != nil || len(plain) != len(x) || plain[0] != ledger.TokenVersion {
		return x, ledger.Token{}, fmt.Errorf("seal: token of position %d: %w", e.GetPosition(), ErrNotOpened)
	}
	copy(x[:], plain)
	return x, r.Token(x), nil
}

func appendTokenAD(b []byte, id ledger.EntryID, p ledger.PersonID) []byte {
	return append(append(b, id[:]...), p[:]...)
}

// SealBlob seals what the ledger must be able to read for itself, such as an item
// of the inbox, under a key derived from the retention key. context says what it
// is and where it belongs; it opens with the same context only.
func (r *Keyring) SealBlob(context string, plain []byte) []byte {
	return sealBytes(r.blobs, plain, []byte(context))
}

// OpenBlob undoes SealBlob.
func (r *Keyring) OpenBlob(context string, sealed []byte) ([]byte, error) {
	plain, err := open(r.blobs, sealed, []byte(context))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", context, err)
	}
	return plain, nil
}

// sealBytes gives nonce || ciphertext || tag.
func sealBytes(a cipher.AEAD, plain, ad []byte) []byte {
	b := make([]byte, nonceBytes, nonceBytes+len(plain)+tagBytes)
	random(b)
	return a.Seal(b, b, plain, ad)
}

func open(a cipher.AEAD, sealed, ad []byte) ([]byte, error) {
	if len(sealed) < nonceBytes+tagBytes {
		return nil, ErrNotOpened
	}
	plain, err := a.Open(nil, sealed[:nonceBytes], sealed[nonceBytes:], ad)
	if err != nil {
		return nil, ErrNotOpened // the AEAD says no more than that
	}
	return plain, nil
}
