package node

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
)

// spool keeps files that are being handed over, sealed, until they are loaded or
// refused. Of a file whose SHA-256 was announced the part that arrived stays after
// a break, so that the next try goes on there.
type spool struct {
	dir  string
	keys *seal.Keyring
}

// spoolAge is how long a part of a file waits for the rest.
const spoolAge = 48 * time.Hour

// openSpool makes the folder and removes what nobody came back for.
func openSpool(dir string, keys *seal.Keyring, now time.Time) (*spool, error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("spool: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && (filepath.Ext(e.Name()) != spoolKept || now.Sub(info.ModTime()) > spoolAge) {
			err = os.Remove(filepath.Join(dir, e.Name()))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("spool: %w", err)
		}
	}
	return &spool{dir, keys}, nil
}

// Endings of files in the spool: what stays after a break, and what does not.
const (
	spoolKept = ".part"
	spoolTemp = ".temp"
)

// staged tells how many bytes of a file are here.
func (s *spool) staged(sum []byte) int64 {
	info, err := os.Stat(filepath.Join(s.dir, hex.EncodeToString(sum)+spoolKept))
	if err != nil || len(sum) != sha256.Size {
		return 0
	}
	return info.Size() / (pieceBytes + pieceOverhead) * pieceBytes
}

// spooled is one file in the spool. Writing it belongs to one goroutine, and so
// does reading it afterwards.
type spooled struct {
	f     *os.File
	keys  *seal.Keyring
	name  string // context of its pieces
	size  int64
	buf   []byte
	sum   hash.Hash
	at    int64 // of the piece in cache
	cache []byte
	kept  bool
	// read is told up to where the file was read.
	read *atomic.Int64
}

// create begins a file, or goes on with one at offset, which must be what staged
// said.
func (s *spool) create(sum []byte, offset int64) (*spooled, error) {
	p := &spooled{keys: s.keys, sum: sha256.New(), buf: make([]byte, 0, pieceBytes), at: -1, kept: len(sum) > 0, read: new(atomic.Int64)}
	var err error
	if !p.kept {
		p.f, err = os.CreateTemp(s.dir, "*"+spoolTemp)
	} else {
		p.f, err = os.OpenFile(filepath.Join(s.dir, hex.EncodeToString(sum)+spoolKept), os.O_CREATE|os.O_RDWR, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	p.name = "consent.v1/spool/" + filepath.Base(p.f.Name())
	if offset%pieceBytes != 0 || offset != 0 && offset != s.staged(sum) {
		return nil, errors.Join(&ledger.InvalidError{Field: "offset", Problem: "is not how much of the file is here", Fix: "ask again how far the load is"}, p.f.Close())
	}
	if err := p.f.Truncate(offset / pieceBytes * (pieceBytes + pieceOverhead)); err != nil {
		return nil, errors.Join(fmt.Errorf("spool: %w", err), p.f.Close())
	}
	p.size = offset
	if _, err := io.Copy(p.sum, io.NewSectionReader(p, 0, offset)); err != nil {
		// A power cut may have left a piece that was never written.
		return nil, errors.Join(fmt.Errorf("spool: what arrived before is damaged and is forgotten; load again: %w", err), p.remove())
	}
	return p, nil
}

func (p *spooled) Write(b []byte) (n int, err error) {
	p.sum.Write(b)
	for len(b) > 0 {
		k := min(len(b), pieceBytes-len(p.buf))
		p.buf, b, n, p.size = append(p.buf, b[:k]...), b[k:], n+k, p.size+int64(k)
		if len(p.buf) == pieceBytes {
			if err := p.flush(); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

func (p *spooled) flush() error {
	if len(p.buf) == 0 {
		return nil
	}
	i := (p.size - 1) / pieceBytes
	_, err := p.f.WriteAt(p.keys.SealBlob(pieceContext(p.name, i, false), p.buf), i*(pieceBytes+pieceOverhead))
	p.buf = p.buf[:0]
	return err
}

// end writes the last piece and checks that the file is the one announced.
func (p *spooled) end(sum []byte) error {
	if err := p.flush(); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	if len(sum) > 0 && !bytes.Equal(sum, p.sum.Sum(nil)) {
		return &ledger.InvalidError{Field: "file", Problem: "changed while it was sent: what arrived is not the file that was announced", Fix: "wait until nobody writes it, then load it again"}
	}
	return nil
}

// ReadAt implements io.ReaderAt.
func (p *spooled) ReadAt(b []byte, off int64) (n int, err error) {
	for n < len(b) && off < p.size {
		i := off / pieceBytes
		if i != p.at {
			sealed := make([]byte, min(pieceBytes, p.size-i*pieceBytes)+pieceOverhead)
			if _, err := p.f.ReadAt(sealed, i*(pieceBytes+pieceOverhead)); err != nil {
				return n, fmt.Errorf("spool: %w", err)
			}
			if p.cache, err = p.keys.OpenBlob(pieceContext(p.name, i, false), sealed); err != nil {
				return n, fmt.Errorf("spool: %w", err)
			}
			p.at = i
		}
		k := copy(b[n:], p.cache[off-i*pieceBytes:])
		n, off = n+k, off+int64(k)
	}
	p.read.Store(off)
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// close closes the file. A part of an announced file stays if keep is set.
func (p *spooled) close(keep bool) error {
	if keep && p.kept {
		return p.f.Close()
	}
	return p.remove()
}

func (p *spooled) remove() error {
	return errors.Join(p.f.Close(), os.Remove(p.f.Name()))
}
