package seal

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"sync"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// hashes makes the keyed hashes that tell retries from conflicts. Its key never
// changes: a source may send the same event again in five years. The four
// inputs cannot meet: their first bytes are 0 (a length), 1 (the canonical
// form's version; later versions use neither 2 nor 3), 2 and 3.
type hashes struct{ states sync.Pool }

func newHashes(key []byte) *hashes {
	return &hashes{states: sync.Pool{New: func() any { return &hashState{h: hmac.New(sha256.New, key)} }}}
}

// hashState is a reused HMAC: making one costs four times as much as using it.
type hashState struct {
	h   hash.Hash
	buf []byte
}

func (h *hashes) sum(fill func(buf []byte) []byte) (out ledger.Hash) {
	s := h.states.Get().(*hashState)
	s.h.Reset()
	s.buf = fill(s.buf[:0])
	s.h.Write(s.buf)
	s.buf = s.h.Sum(s.buf[:0])
	copy(out[:], s.buf)
	if cap(s.buf) <= 1<<16 { // one huge fact must not stay in memory for ever
		h.states.Put(s)
	}
	return out
}

// Idempotency is the key of a fact for ever: HMAC-SHA-256 of source and event
// id, each behind its length as four bytes.
func (r *Keyring) Idempotency(source, eventID string) ledger.Hash {
	return r.hashes.sum(func(b []byte) []byte {
		b = binary.BigEndian.AppendUint32(b, uint32(len(source)))
		b = append(b, source...)
		b = binary.BigEndian.AppendUint32(b, uint32(len(eventID)))
		return append(b, eventID...)
	})
}

// ContentMAC tells a retry from a conflict: HMAC-SHA-256 of the canonical form
// of the fact as declared.
func (r *Keyring) ContentMAC(canonical []byte) ledger.Hash {
	return r.hashes.sum(func(b []byte) []byte { return append(b, canonical...) })
}

// ConflictKey is the idempotency key of a revocation recorded although its source
// and event id stand for another fact: HMAC-SHA-256 of 0x02, that key and its content.
func (r *Keyring) ConflictKey(idempotency, content ledger.Hash) ledger.Hash {
	return r.hashes.sum(func(b []byte) []byte {
		b = append(append(b, 2), idempotency[:]...)
		return append(b, content[:]...)
	})
}

// Party is the key of a person with several numbers: the first bytes of the
// HMAC-SHA-256 of 0x03 and the company's own id of the person, whatever the
// source. It stands in clear, so whoever holds the key can try ids against it.
func (r *Keyring) Party(id string) [ledger.PartyKeyBytes]byte {
	h := r.hashes.sum(func(b []byte) []byte { return append(append(b, 3), id...) })
	return [ledger.PartyKeyBytes]byte(h[:ledger.PartyKeyBytes])
}
