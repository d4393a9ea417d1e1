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
	shown, err := v.shownBefore()
	if err != nil {
		return nil, err
	}
	held := v.trust.Earlier
	for _, c := range []proof.Checkpoint{{Size: v.m.Size, Root: v.m.Root}, shown} {
		if held != nil && held.Size == c.Size && held.Root != c.Root {
			return nil, refuted("the ledger signed two histories of %d entries: the checkpoint you hold, and another", held.Size)
		}
	}
	switch {
	case held != nil && held.Size == v.m.Size:
		return proven("consistent", "the checkpoint you hold is the one of this bundle"), nil
	case held != nil && held.Size == shown.Size:
		return proven("consistent", "of the %d entries that the checkpoint you hold speaks of, none was changed, moved or left out since", shown.Size), nil
	case held != nil:
		return unproven("consistent", "nothing leads here from the checkpoint of %d entries that you hold; ask for an export since it", held.Size), nil
	case shown.Size > 0:
		return proven("consistent", "the checkpoint of %d entries in %s is a beginning of this one; compare it with the one you hold", shown.Size, ConsistencyFile), nil
	}
	return unproven("consistent", "no earlier checkpoint was compared, so another history may have been signed before"), nil
}

// shownBefore is the earlier checkpoint in the bundle, which is a beginning of this
// one's; zero if there is none.
func (v *verifier) shownBefore() (c proof.Checkpoint, err error) {
	if _, shown := v.sums[ConsistencyFile]; !shown {
		return c, nil
	}
	file, err := v.read(ConsistencyFile)
	if err != nil {
		return c, err
	}
	note, path, err := parseConsistency(file)
	if err != nil {
		return c, err
	}
	key, err := v.trust.Keys.Log()
	if err != nil {
		return c, err
	}
	if c, err = proof.OpenCheckpoint(note, key); err != nil {
		return c, fmt.Errorf("earlier checkpoint: %w", err)
	}
	if c.Size < 1 || c.Size > v.m.Size || tlog.CheckTree(path, v.m.Size, v.m.Root, c.Size, c.Root) != nil {
		return c, refuted("the checkpoint of %d entries is no beginning of this one: the ledger signed two histories", c.Size)
	}
	return c, nil
}
