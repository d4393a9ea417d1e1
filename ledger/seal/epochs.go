package seal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Buckets is into how many groups persons fall by the first 12 bits of their id.
// A key is destroyed by wrapping the rest of its bucket anew, so a bucket is
// small enough for that to be quick, and there are few enough to keep in memory.
const Buckets = 4096

// epochsFormat is the first byte of the opened epochs file. Then follow, for each
// bucket, the count of its live epochs (1 byte) and each epoch's number (4 bytes)
// and key (32), oldest first.
const epochsFormat = 1

// epochsPerBucketMax is how many a bucket can have: two while an erasure is under
// way, one more for each that was cut short.
const epochsPerBucketMax = 255

var errEpochsDamaged = errors.New("seal: epochs are damaged; restore the file from the backup of the keys folder and repeat the erasures since then")

// epoch is one generation of a bucket's wrapping key.
type epoch struct {
	number uint32
	key    [32]byte
}

// epochTable holds the live epochs of all buckets, oldest first and never empty.
// A table that readers can see is not changed any more.
type epochTable struct{ buckets [Buckets][]epoch }

func newEpochTable() (*epochTable, error) {
	t := &epochTable{}
	for b := range t.buckets {
		if err := t.add(uint16(b)); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// clone copies the table so that add and keepFrom do not reach the original.
func (t *epochTable) clone() *epochTable {
	c := *t
	for i, b := range c.buckets {
		c.buckets[i] = b[:len(b):len(b)]
	}
	return &c
}

// add draws the next epoch of a bucket.
func (t *epochTable) add(bucket uint16) error {
	b := t.buckets[bucket]
	if len(b) >= epochsPerBucketMax {
		return fmt.Errorf("seal: bucket %d has %d live epochs; finish the erasures begun", bucket, len(b))
	}
	e := epoch{number: 1}
	if len(b) > 0 {
		e.number = b[len(b)-1].number + 1
	}
	random(e.key[:])
	t.buckets[bucket] = append(b, e)
	return nil
}

// keepFrom drops the epochs of a bucket before number.
func (t *epochTable) keepFrom(bucket uint16, number uint32) {
	b := t.buckets[bucket]
	for len(b) > 1 && b[0].number < number {
		b = b[1:]
	}
	t.buckets[bucket] = slices.Clone(b) // the array behind b holds what was dropped
}

func (t *epochTable) find(bucket uint16, number uint32) (epoch, bool) {
	for _, e := range t.buckets[bucket] {
		if e.number == number {
			return e, true
		}
	}
	return epoch{}, false
}

func (t *epochTable) encode() []byte {
	out := append(make([]byte, 0, 1+Buckets*37), epochsFormat)
	for _, b := range t.buckets {
		out = append(out, byte(len(b)))
		for _, e := range b {
			out = binary.BigEndian.AppendUint32(out, e.number)
			out = append(out, e.key[:]...)
		}
	}
	return out
}

func decodeEpochs(b []byte) (*epochTable, error) {
	if len(b) == 0 || b[0] != epochsFormat {
		return nil, fmt.Errorf("%w (or written by a newer program)", errEpochsDamaged)
	}
	t, b := &epochTable{}, b[1:]
	for i := range t.buckets {
		if len(b) == 0 || b[0] == 0 || len(b)-1 < int(b[0])*36 {
			return nil, errEpochsDamaged
		}
		n, last := int(b[0]), uint32(0)
		b = b[1:]
		for range n {
			e := epoch{number: binary.BigEndian.Uint32(b), key: [32]byte(b[4:36])}
			if e.number <= last {
				return nil, errEpochsDamaged
			}
			last, b = e.number, b[36:]
			t.buckets[i] = append(t.buckets[i], e)
		}
	}
	if len(b) != 0 {
		return nil, errEpochsDamaged
	}
	return t, nil
}
