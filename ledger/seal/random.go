package seal

import (
	"crypto/rand"
	"sync"
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
