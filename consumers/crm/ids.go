package crm

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
)

// FileHash is the SHA-256 of all that is left to read: the first of two passes.
func FileHash(r io.Reader) (sum [sha256.Size]byte, err error) {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return sum, fmt.Errorf("read the file to hash it: %w", err)
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// idMaker gives rows without an event id one of their own: a hash of the file,
// the line, the map, the default region and the historical mark (DESIGN 14).
// The same file read the same way gives the same ids, so it adds nothing twice;
// read another way, its facts are others. The whole file goes in, not the row,
// because two equal rows of one file are two events.
type idMaker struct{ prefix []byte }

func newIDMaker(o Options) idMaker {
	h := sha256.New()
	h.Write([]byte("consent-ledger/file-row-id/v1\x00"))
	for _, part := range [][]byte{o.File[:], o.Map.bytes(), []byte(o.DefaultRegion), {boolByte(o.Historical)}} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write(part)
	}
	return idMaker{h.Sum(nil)}
}

// of gives the id of the row that begins on a line.
func (m idMaker) of(line int) string {
	var in [sha256.Size + 8]byte
	copy(in[:], m.prefix)
	binary.BigEndian.PutUint64(in[sha256.Size:], uint64(line))
	sum := sha256.Sum256(in[:])
	return "row-" + hex.EncodeToString(sum[:16])
}

func boolByte(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// hashingReader hashes what passes through, to see at the end that the second
// pass read what the first one did.
type hashingReader struct {
	in    io.Reader
	h     hash.Hash
	want  [sha256.Size]byte
	bytes int64
}

func newHashingReader(in io.Reader, want [sha256.Size]byte) *hashingReader {
	return &hashingReader{in: in, h: sha256.New(), want: want}
}

func (r *hashingReader) Read(p []byte) (int, error) {
	n, err := r.in.Read(p)
	r.h.Write(p[:n])
	r.bytes += int64(n)
	return n, err
}

func (r *hashingReader) unchanged() error {
	if [sha256.Size]byte(r.h.Sum(nil)) != r.want {
		return ErrChanged
	}
	return nil
}
