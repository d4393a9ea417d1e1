// Package witness is both ends of the C2SP tlog-witness protocol: a witness that
// cosigns checkpoints which follow from what it saw before, for whoever runs it, and
// the ledger's side that asks for it. A signature of the ledger alone cannot show
// that everybody is told the same history; that of somebody else can.
package witness

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/consent-ledger/consent-ledger/ledger/proof"
)

const (
	// proofLinesMax is the specification's bound of a consistency proof.
	proofLinesMax = 63
	// requestBytesMax bounds a request: the proof and a note.
	requestBytesMax = proof.NoteBytesMax + 4096
	// addPath is where a witness takes checkpoints, below its prefix.
	addPath = "/add-checkpoint"
	// sizeType is the content type of an answer that tells the size last seen.
	sizeType = "text/x.tlog.size"
)

// encodeRequest makes the body of an add-checkpoint request.
func encodeRequest(old int64, p tlog.TreeProof, note []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "old %d\n", old)
	for _, h := range p {
		fmt.Fprintf(&b, "%s\n", base64.StdEncoding.EncodeToString(h[:]))
	}
	b.WriteByte('\n')
	b.Write(note)
	return b.Bytes()
}

// decodeRequest undoes encodeRequest; another encoding of the same is refused.
func decodeRequest(body []byte) (old int64, p tlog.TreeProof, note []byte, err error) {
	head, note, found := bytes.Cut(body, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	size, ok := strings.CutPrefix(lines[0], "old ")
	if !found || !ok || len(lines)-1 > proofLinesMax {
		return 0, nil, nil, fmt.Errorf("witness: no add-checkpoint request: an old size, at most %d hashes, an empty line, a checkpoint", proofLinesMax)
	}
	if old, err = strconv.ParseInt(size, 10, 62); err != nil || old < 0 {
		return 0, nil, nil, fmt.Errorf("witness: the old size is no number")
	}
	for _, line := range lines[1:] {
		h, err := tlog.ParseHash(line)
		if err != nil {
			return 0, nil, nil, fmt.Errorf("witness: a line of the proof is no hash")
		}
		p = append(p, h)
	}
	if !bytes.Equal(encodeRequest(old, p, note), body) {
		return 0, nil, nil, fmt.Errorf("witness: the request is not in its one encoding")
	}
	return old, p, note, nil
}
