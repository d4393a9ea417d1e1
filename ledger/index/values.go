package index

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// Recorded is what the ledger holds under an idempotency key.
type Recorded struct {
	Position   ledger.Position
	EntryID    ledger.EntryID
	Leaf       ledger.Hash
	RecordedAt time.Time
	Content    ledger.Hash
}

// Head is the end of a person's chain.
type Head struct {
	Seq      uint64
	Leaf     ledger.Hash
	Position ledger.Position
}

const (
	recordedBytes = 8 + 16 + 32 + 8 + 32
	headBytes     = 8 + 8 + 32
	appliedBytes  = 8 + 8 + 8 + 8
)

func badValue(what string, n int) error {
	return fmt.Errorf("index: %s of %d bytes: the index is damaged; delete it, it is built anew from the stream", what, n)
}

func (r Recorded) encode(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(r.Position))
	b = append(b, r.EntryID[:]...)
	b = append(b, r.Leaf[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(r.RecordedAt.UnixNano()))
	return append(b, r.Content[:]...)
}

func decodeRecorded(b []byte) (r Recorded, err error) {
	if len(b) != recordedBytes {
		return r, badValue("a receipt", len(b))
	}
	r.Position = ledger.Position(binary.BigEndian.Uint64(b))
	r.EntryID, r.Leaf = ledger.EntryID(b[8:24]), ledger.Hash(b[24:56])
	r.RecordedAt = time.Unix(0, int64(binary.BigEndian.Uint64(b[56:]))).UTC()
	r.Content = ledger.Hash(b[64:])
	return r, nil
}

func (h Head) encode(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, h.Seq)
	b = binary.BigEndian.AppendUint64(b, uint64(h.Position))
	return append(b, h.Leaf[:]...)
}

func decodeHead(b []byte) (h Head, err error) {
	if len(b) != headBytes {
		return h, badValue("a person", len(b))
	}
	h.Seq, h.Position = binary.BigEndian.Uint64(b), ledger.Position(binary.BigEndian.Uint64(b[8:]))
	h.Leaf = ledger.Hash(b[16:])
	return h, nil
}

func encodeApplied(a Applied) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, appliedBytes), a.Seq)
	b = binary.BigEndian.AppendUint64(b, uint64(a.Position))
	b = binary.BigEndian.AppendUint64(b, a.KeysSeq)
	if a.Position == 0 {
		return binary.BigEndian.AppendUint64(b, 0)
	}
	return binary.BigEndian.AppendUint64(b, uint64(a.RecordedAt.UnixNano()))
}

func decodeApplied(b []byte) (a Applied, err error) {
	if len(b) != appliedBytes {
		return a, badValue("the applied position", len(b))
	}
	a.Seq, a.Position = binary.BigEndian.Uint64(b), ledger.Position(binary.BigEndian.Uint64(b[8:]))
	a.KeysSeq = binary.BigEndian.Uint64(b[16:])
	if a.Position > 0 {
		a.RecordedAt = time.Unix(0, int64(binary.BigEndian.Uint64(b[24:]))).UTC()
	}
	return a, nil
}

func encodeSeq(n uint64) []byte { return binary.BigEndian.AppendUint64(make([]byte, 0, 8), n) }

func decodeSeq(b []byte) (uint64, error) {
	if len(b) != 8 {
		return 0, badValue("a sequence", len(b))
	}
	return binary.BigEndian.Uint64(b), nil
}

// holders are the persons who held a number, oldest first; if open, the last of
// them holds it now.
type holders struct {
	open    bool
	persons []ledger.PersonID
}

// holder is who holds the number now; zero: nobody known.
func (h holders) holder() ledger.PersonID {
	if !h.open {
		return ledger.PersonID{}
	}
	return h.persons[len(h.persons)-1]
}

// begin adds a person. The list it grew from does not change.
func (h holders) begin(p ledger.PersonID) holders {
	return holders{open: true, persons: append(h.persons[:len(h.persons):len(h.persons)], p)}
}

// end leaves the number without a holder.
func (h holders) end() holders { return holders{persons: h.persons} }

func (h holders) encode(b []byte) []byte {
	flag := byte(0)
	if h.open {
		flag = 1
	}
	b = append(b, flag)
	for _, p := range h.persons {
		b = append(b, p[:]...)
	}
	return b
}

func decodeHolders(b []byte) (h holders, err error) {
	if len(b)%16 != 1 || b[0] > 1 || (b[0] == 1 && len(b) == 1) {
		return h, badValue("a number's holders", len(b))
	}
	h.open = b[0] == 1
	for at := 1; at < len(b); at += 16 {
		h.persons = append(h.persons, ledger.PersonID(b[at:]))
	}
	return h, nil
}
