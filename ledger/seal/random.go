package seal

import (
	"crypto/rand"
	"fmt"
	"sync"

	"github.com/google/uuid"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// randomBytes is how much randomness is read at a time: an entry takes some 250
// bytes in seven draws, and a read costs more than its bytes.
const randomBytes = 2048

// randomness is a store of unused random bytes. None is handed out twice, and
// none stays behind once it has been.
type randomness struct {
	unused []byte
	room   [randomBytes]byte
}

var randoms = sync.Pool{New: func() any { return &randomness{} }}

// DrawEntryID draws the id of a new entry, a UUIDv7.
func DrawEntryID() (ledger.EntryID, error) {
	id, err := uuid.NewV7FromReader(randomReader{})
	if err != nil {
		return ledger.EntryID{}, fmt.Errorf("seal: entry id: %w", err)
	}
	return ledger.EntryID(id), nil
}

// randomReader reads what random gives.
type randomReader struct{}

func (randomReader) Read(b []byte) (int, error) {
	random(b)
	return len(b), nil
}

// random fills b. crypto/rand.Read never fails; the process would end first.
func random(b []byte) {
	if len(b) > randomBytes {
		_, _ = rand.Read(b)
		return
	}
	r := randoms.Get().(*randomness)
	if len(r.unused) < len(b) {
		r.unused = r.room[:]
		_, _ = rand.Read(r.unused)
	}
	copy(b, r.unused)
	clear(r.unused[:len(b)])
	r.unused = r.unused[len(b):]
	randoms.Put(r)
}
