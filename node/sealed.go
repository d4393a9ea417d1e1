package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	"github.com/consent-ledger/consent-ledger/ledger/stream"
)

// Large files are sealed in pieces, so that none is ever whole in memory. Each
// piece is bound to the file, to its place and to whether it is the last one: none
// can be left out, moved or cut off.
const (
	sealedMagic = "CLSEAL\x00\x01"
	pieceBytes  = 1 << 20
	// pieceOverhead is how much a piece grows when it is sealed: nonce and tag of
	// XChaCha20-Poly1305.
	pieceOverhead = 24 + 16
)

func pieceContext(file string, i int64, last bool) string {
	return fmt.Sprintf("%s/%d/%t", file, i, last)
}

// sealingWriter seals what is written to it. Close writes the last piece.
type sealingWriter struct {
	w    io.Writer
	keys *seal.Keyring
	file string
	next int64
	buf  []byte
}

func newSealingWriter(w io.Writer, keys *seal.Keyring, file string) (*sealingWriter, error) {
	_, err := io.WriteString(w, sealedMagic)
	return &sealingWriter{w: w, keys: keys, file: file, buf: make([]byte, 0, pieceBytes)}, err
}

func (s *sealingWriter) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		if len(s.buf) == pieceBytes {
			if err := s.flush(false); err != nil {
				return n, err
			}
		}
		k := min(len(p), pieceBytes-len(s.buf))
		s.buf, p, n = append(s.buf, p[:k]...), p[k:], n+k
	}
	return n, nil
}

func (s *sealingWriter) flush(last bool) error {
	_, err := s.w.Write(s.keys.SealBlob(pieceContext(s.file, s.next, last), s.buf))
	s.next, s.buf = s.next+1, s.buf[:0]
	return err
}

func (s *sealingWriter) Close() error { return s.flush(true) }

// openingReader opens what a sealingWriter wrote.
type openingReader struct {
	r     io.Reader
	keys  *seal.Keyring
	file  string
	next  int64
	ahead []byte // the sealed piece after the one being read
	plain []byte
	ended bool
}

func (o *openingReader) Read(p []byte) (int, error) {
	for len(o.plain) == 0 {
		if o.ended {
			return 0, io.EOF
		}
		if err := o.piece(); err != nil {
			return 0, err
		}
	}
	n := copy(p, o.plain)
	o.plain = o.plain[n:]
	return n, nil
}

// piece opens the next piece, which is the last one if none comes after it.
func (o *openingReader) piece() error {
	sealed := o.ahead
	if o.next == 0 {
		var err error
		if sealed, err = o.raw(); err != nil {
			return err
		}
	}
	var err error
	if o.ahead, err = o.raw(); err != nil {
		return err
	}
	o.ended = len(o.ahead) == 0
	o.plain, err = o.keys.OpenBlob(pieceContext(o.file, o.next, o.ended), sealed)
	o.next++
	return err
}

func (o *openingReader) raw() ([]byte, error) {
	buf := make([]byte, pieceBytes+pieceOverhead)
	n, err := io.ReadFull(o.r, buf)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return buf[:n], err
}

// objects keeps the numbers of lists, and rule packs, in the file store, sealed.
type objects struct {
	files *stream.Files
	keys  *seal.Keyring
	kind  string // what they are: objects of one kind are never read as another
}

// Kinds of objects.
const (
	registryObject = "registry-object"
	rulePack       = "rule-pack"
)

func (o objects) context(name ledger.Hash) string {
	return "consent.v1/" + o.kind + "/" + name.String()
}

// Put stores an object under the SHA-256 of its plaintext, which write writes.
func (o objects) Put(ctx context.Context, name ledger.Hash, write func(io.Writer) error) error {
	r, w := io.Pipe()
	go func() {
		s, err := newSealingWriter(w, o.keys, o.context(name))
		if err == nil {
			err = write(s)
		}
		if err == nil {
			err = s.Close()
		}
		w.CloseWithError(err)
	}()
	defer r.Close() // ends the writer if the store does not read to the end
	return o.files.Put(ctx, name, r)
}

// Get implements registry.Objects. The first version of the program sealed an
// object as one piece, without the magic.
func (o objects) Get(ctx context.Context, name ledger.Hash) (io.ReadCloser, error) {
	r, err := o.files.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	head := make([]byte, len(sealedMagic))
	n, err := io.ReadFull(r, head)
	if err == nil && string(head) == sealedMagic {
		return struct {
			io.Reader
			io.Closer
		}{&openingReader{r: r, keys: o.keys, file: o.context(name)}, r}, nil
	}
	defer r.Close()
	sealed, err := io.ReadAll(io.MultiReader(bytes.NewReader(head[:n]), r))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.kind, err)
	}
	plain, err := o.keys.OpenBlob(o.context(name), sealed)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.kind, err)
	}
	return io.NopCloser(bytes.NewReader(plain)), nil
}
