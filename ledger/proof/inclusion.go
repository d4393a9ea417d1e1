package proof

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// Inclusion shows that an entry is in the ledger that a checkpoint speaks of: the
// content of a .tlog-proof file (C2SP tlog-proof).
type Inclusion struct {
	// Position is the entry's; the index in the tree is one less.
	Position ledger.Position
	Path     tlog.RecordProof
	// Checkpoint is the signed note, with whatever cosignatures it has.
	Checkpoint []byte
}

// Encode gives the file.
func (p Inclusion) Encode() []byte {
	f := proof.TLogProof{Index: uint64(p.Position - 1), Checkpoint: p.Checkpoint}
	for _, h := range p.Path {
		f.Hashes = append(f.Hashes, h)
	}
	return f.Marshal()
}

// DecodeInclusion reads a .tlog-proof file without extra data.
func DecodeInclusion(file []byte) (Inclusion, error) {
	var f proof.TLogProof
	if err := f.Unmarshal(file); err != nil {
		return Inclusion{}, fmt.Errorf("%w: %w", ErrForm, err)
	}
	p := Inclusion{Position: ledger.Position(f.Index) + 1, Checkpoint: f.Checkpoint}
	for _, h := range f.Hashes {
		p.Path = append(p.Path, h)
	}
	if f.Index >= sizeMax || !bytes.Equal(p.Encode(), file) {
		return Inclusion{}, form("a tlog-proof that is not in its one encoding")
	}
	return p, nil
}

// Check checks that the leaf is in the ledger at the position, and gives the
// checkpoint that says so.
func (p Inclusion) Check(leaf ledger.Hash, key note.Verifier) (Checkpoint, error) {
	c, err := OpenCheckpoint(p.Checkpoint, key)
	if err != nil {
		return Checkpoint{}, err
	}
	if p.Position == 0 || int64(p.Position) > c.Size {
		return Checkpoint{}, refuted("position %d in a ledger of %d entries", p.Position, c.Size)
	}
	if err := tlog.CheckRecord(p.Path, c.Size, c.Root, int64(p.Position-1), tlog.Hash(leaf)); err != nil {
		return Checkpoint{}, refuted("these bytes are not the ledger's entry %d", p.Position)
	}
	return c, nil
}

// number reads a decimal in its one encoding.
func number(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || decimal(n) != s {
		return 0, form("%q is no number in its one encoding", clip(s))
	}
	return n, nil
}

func decimal(n uint64) string { return strconv.FormatUint(n, 10) }

func clip(s string) string {
	if len(s) > 40 {
		s = s[:40] + "…"
	}
	return strings.ToValidUTF8(s, "?")
}
