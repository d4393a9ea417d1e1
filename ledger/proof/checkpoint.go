package proof

import (
	"errors"
	"fmt"

	"github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// sizeMax keeps sizes inside what the maths takes.
const sizeMax = 1 << 60

// Checkpoint is a signed statement about the whole ledger: that its first Size
// entries have this root.
type Checkpoint struct {
	Size int64
	Root tlog.Hash
	// Note is the signed note, C2SP tlog-checkpoint without extension lines.
	Note []byte
}

// SignCheckpoint makes a checkpoint. The signer's name is the origin.
func SignCheckpoint(size int64, root tlog.Hash, by note.Signer) (Checkpoint, error) {
	text := log.Checkpoint{Origin: by.Name(), Size: uint64(size), Hash: root[:]}.Marshal()
	msg, err := note.Sign(&note.Note{Text: string(text)}, by)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("proof: sign a checkpoint: %w", err)
	}
	return Checkpoint{Size: size, Root: root, Note: msg}, nil
}

// OpenCheckpoint reads a checkpoint that its ledger signed: key is the ledger's,
// and its name the origin.
func OpenCheckpoint(msg []byte, key note.Verifier) (Checkpoint, error) {
	n, err := OpenNote(msg, key)
	if err != nil {
		return Checkpoint{}, err
	}
	var c log.Checkpoint
	rest, err := c.Unmarshal([]byte(n.Text))
	switch {
	case err != nil:
		return Checkpoint{}, fmt.Errorf("%w: %w", ErrForm, err)
	case len(rest) > 0:
		return Checkpoint{}, form("a checkpoint with extension lines")
	case len(c.Hash) != tlog.HashSize || c.Size > sizeMax || string(c.Marshal()) != n.Text:
		return Checkpoint{}, form("a checkpoint that is not in its one encoding")
	case c.Origin != key.Name():
		return Checkpoint{}, refuted("a checkpoint of %q signed by the key of %q", c.Origin, key.Name())
	}
	return Checkpoint{Size: int64(c.Size), Root: tlog.Hash(c.Hash), Note: msg}, nil
}

// Consistent checks that the ledger of c only grew since old: everything old says
// is still so. The proof is that of RFC 9162 section 2.1.4; it is empty if nothing
// was added, or if old is the empty ledger.
func (c Checkpoint) Consistent(old Checkpoint, p tlog.TreeProof) error {
	switch {
	case old.Size > c.Size:
		return refuted("the ledger shrank from %d entries to %d", old.Size, c.Size)
	case old.Size == c.Size && old.Root != c.Root:
		return refuted("two ledgers of %d entries with different roots", c.Size)
	case old.Size == c.Size || old.Size == 0:
		if len(p) > 0 {
			return form("a proof of %d hashes where none is needed", len(p))
		}
		return nil
	}
	if err := tlog.CheckTree(p, c.Size, c.Root, old.Size, old.Root); err != nil {
		return errors.Join(refuted("the first %d entries are no longer what they were", old.Size), err)
	}
	return nil
}
