package tree

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/consent-ledger/consent-ledger/ledger"
)

const (
	// keptFileBytes is from what size on a file is full: there are two, so that at
	// least this much is kept, several of JetStream's files, since what it loses
	// silently is one, or the end of one (m).
	keptFileBytes = 32 << 20
	// keptHead is a record's: sequence (8), size (4), CRC-32C of both and of the data.
	keptHead = 16
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// kept is the newest messages of the stream, in two files that are filled in turn.
// Plain files: the same in Pebble cost as much as building the tree. Nothing is
// synced: the process may die at once, and what a power cut takes here the stream
// has. One goroutine adds; any may read.
type kept struct {
	mu     sync.Mutex // guards all; held across a file's read, which is rare
	files  [2]*os.File
	active int
	at     [2]int64 // where each file's next record goes
	all    []keptMessage
	buf    []byte
}

type keptMessage struct {
	seq  uint64
	file int
	off  int64 // of its data
	size int
}

// openKept opens the files in dir and makes them if they are not there. A record
// that was not written to its end, and all behind it, count as nothing.
func openKept(dir string) (*kept, error) {
	k := &kept{}
	var read [2][]keptMessage
	for i := range k.files {
		f, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf("tail-%d", i)), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("tree: kept messages: %w", err), k.close())
		}
		k.files[i] = f
		if read[i], err = k.load(i); err != nil {
			return nil, errors.Join(fmt.Errorf("tree: kept messages: %w", err), k.close())
		}
	}
	last := func(m []keptMessage) uint64 {
		if len(m) == 0 {
			return 0
		}
		return m[len(m)-1].seq
	}
	if last(read[1]) > last(read[0]) {
		k.active = 1
	}
	older, newer := read[1-k.active], read[k.active]
	if len(newer) > 0 && last(older)+1 == newer[0].seq {
		k.all = append(k.all, older...)
	}
	k.all = append(k.all, newer...)
	return k, nil
}

func (k *kept) close() (err error) {
	for _, f := range k.files {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return err
}

// load lists the whole records of a file, which follow each other.
func (k *kept) load(i int) (out []keptMessage, err error) {
	var head [keptHead]byte
	for {
		if _, err := k.files[i].ReadAt(head[:], k.at[i]); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, err
		}
		m := keptMessage{seq: binary.BigEndian.Uint64(head[:]), file: i, off: k.at[i] + keptHead, size: int(binary.BigEndian.Uint32(head[8:]))}
		if m.size > keptFileBytes || (len(out) > 0 && m.seq != out[len(out)-1].seq+1) {
			return out, nil
		}
		if _, err := k.read(m); err != nil {
			return out, nil // cut off, or never whole
		}
		out = append(out, m)
		k.at[i] = m.off + int64(m.size)
	}
}

// add keeps a message. One that is kept already is passed over; one that does not
// follow begins anew.
func (k *kept) add(m ledger.Message) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if n := len(k.all); n > 0 {
		last := k.all[n-1].seq
		if m.Seq <= last {
			return nil
		}
		if m.Seq != last+1 {
			if err := errors.Join(k.empty(0), k.empty(1)); err != nil {
				return err
			}
		}
	}
	if k.at[k.active] >= keptFileBytes {
		k.active = 1 - k.active
		if err := k.empty(k.active); err != nil {
			return err
		}
	}
	k.buf = binary.BigEndian.AppendUint64(k.buf[:0], m.Seq)
	k.buf = binary.BigEndian.AppendUint32(k.buf, uint32(len(m.Data)))
	k.buf = binary.BigEndian.AppendUint32(k.buf, crc32.Update(crc32.Checksum(k.buf, castagnoli), castagnoli, m.Data))
	k.buf = append(k.buf, m.Data...)
	if _, err := k.files[k.active].WriteAt(k.buf, k.at[k.active]); err != nil {
		return fmt.Errorf("tree: keep message %d: %w", m.Seq, err)
	}
	k.all = append(k.all, keptMessage{m.Seq, k.active, k.at[k.active] + keptHead, len(m.Data)})
	k.at[k.active] += int64(len(k.buf))
	return nil
}

// empty empties a file.
func (k *kept) empty(i int) error {
	left := k.all[:0]
	for _, m := range k.all {
		if m.file != i {
			left = append(left, m)
		}
	}
	k.all, k.at[i] = left, 0
	if err := k.files[i].Truncate(0); err != nil {
		return fmt.Errorf("tree: kept messages: %w", err)
	}
	return nil
}

// read gives a message's bytes.
func (k *kept) read(m keptMessage) ([]byte, error) {
	raw := make([]byte, keptHead+m.size)
	if _, err := k.files[m.file].ReadAt(raw, m.off-keptHead); err != nil {
		return nil, fmt.Errorf("tree: kept message %d: %w", m.seq, err)
	}
	sum := crc32.Update(crc32.Checksum(raw[:12], castagnoli), castagnoli, raw[keptHead:])
	if binary.BigEndian.Uint64(raw) != m.seq || sum != binary.BigEndian.Uint32(raw[12:]) {
		return nil, fmt.Errorf("tree: kept message %d was changed: %w", m.seq, ledger.ErrDamaged)
	}
	return raw[keptHead:], nil
}

// message gives the kept message of a sequence; ledger.ErrNotFound if there is none.
func (k *kept) message(seq uint64) (ledger.Message, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.all) == 0 || seq < k.all[0].seq || seq > k.all[len(k.all)-1].seq {
		return ledger.Message{}, fmt.Errorf("tree: message %d is not kept: %w", seq, ledger.ErrNotFound)
	}
	raw, err := k.read(k.all[seq-k.all[0].seq])
	return ledger.Message{Seq: seq, Data: raw}, err
}
