package bundle

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/consent-ledger/consent-ledger/ledger/proof"
)

const consistencyHeader = "consent-ledger/consistency@v1"

// Consistent shows that an earlier checkpoint is a beginning of this bundle's: the
// proof leads from the one to the other.
func (b *Writer) Consistent(earlier proof.Checkpoint, path tlog.TreeProof) error {
	return b.file(ConsistencyFile, consistencyFile(earlier.Note, path))
}

func consistencyFile(earlier []byte, path tlog.TreeProof) []byte {
	var out bytes.Buffer
	fmt.Fprintln(&out, consistencyHeader)
	for i := range path {
		fmt.Fprintln(&out, encode64(path[i][:]))
	}
	fmt.Fprintf(&out, "\n%s", earlier)
	return out.Bytes()
}

// consistencyHashesMax is more than a proof between any two sizes needs.
const consistencyHashesMax = 128

// parseConsistency undoes consistencyFile.
func parseConsistency(file []byte) (earlier []byte, path tlog.TreeProof, err error) {
	head, earlier, found := bytes.Cut(file, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	if !found || lines[0] != consistencyHeader || len(lines) > consistencyHashesMax {
		return nil, nil, form("%s is no proof of consistency", ConsistencyFile)
	}
	for _, line := range lines[1:] {
		h, err := decode64(line)
		if err != nil || len(h) != tlog.HashSize {
			return nil, nil, form("%s has a line that is none", ConsistencyFile)
		}
		path = append(path, tlog.Hash(h))
	}
	return earlier, path, nil
}

// CheckpointNote gives the signed note of the checkpoint in a bundle, which nobody
// has checked.
func CheckpointNote(r io.ReaderAt, size int64) ([]byte, error) {
	z, err := openZip(r, size)
	if err != nil {
		return nil, err
	}
	return z.read(CheckpointFile)
}

// consistent says what became of the history that was signed before.
func (v *verifier) consistent() ([]Claim, error) {
	held := v.trust.Earlier
	if held != nil && held.Size == v.m.Size {
		if held.Root != v.m.Root {
			return nil, refuted("the ledger signed two histories of %d entries: the checkpoint you hold, and this one", v.m.Size)
		}
	}
	if _, shown := v.sums[ConsistencyFile]; !shown {
		switch {
		case held == nil:
			return unproven("consistent", "no earlier checkpoint was compared, so another history may have been signed before"), nil
		case held.Size == v.m.Size:
			return proven("consistent", "the checkpoint you hold is the one of this bundle"), nil
		}
		return unproven("consistent", "nothing leads here from the checkpoint of %d entries that you hold; ask for an export since it", held.Size), nil
	}
	file, err := v.read(ConsistencyFile)
	if err != nil {
		return nil, err
	}
	note, path, err := parseConsistency(file)
	if err != nil {
		return nil, err
	}
	key, err := v.trust.Keys.Log()
	if err != nil {
		return nil, err
	}
	c, err := proof.OpenCheckpoint(note, key)
	if err != nil {
		return nil, fmt.Errorf("earlier checkpoint: %w", err)
	}
	if c.Size < 1 || c.Size > v.m.Size || tlog.CheckTree(path, v.m.Size, v.m.Root, c.Size, c.Root) != nil {
		return nil, refuted("the checkpoint of %d entries that was signed before is no beginning of this one: the ledger signed two histories", c.Size)
	}
	switch {
	case held == nil:
		return proven("consistent", "the checkpoint of %d entries in %s is a beginning of this one; compare it with the one you hold", c.Size, ConsistencyFile), nil
	case held.Size == c.Size && held.Root != c.Root:
		return nil, refuted("the ledger signed two histories of %d entries: the checkpoint you hold, and the one in %s", c.Size, ConsistencyFile)
	case held.Size == c.Size:
		return proven("consistent", "of the %d entries that the checkpoint you hold speaks of, none was changed, moved or left out since", c.Size), nil
	case held.Size == v.m.Size:
		return proven("consistent", "the checkpoint you hold is the one of this bundle"), nil
	}
	return unproven("consistent", "nothing leads here from the checkpoint of %d entries that you hold, only from one of %d; ask for an export since yours", held.Size, c.Size), nil
}
