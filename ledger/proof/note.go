// Package proof holds the formats in which the ledger shows what it holds to
// people who do not trust it: checkpoints, receipts, proofs of inclusion. It needs
// no database, no network and no secret: whoever has a public key can check all of
// it, today and in five years. The maths is golang.org/x/mod/sumdb/tlog's, the
// signatures are those of .../sumdb/note.
//
// Formats are described in docs/reference/proof.md, exactly enough for a second
// implementation. Every form has one encoding: bytes that say the same in another
// way are refused, so that any changed byte shows.
package proof

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// ExportsSuffix follows the origin in the name of the key that signs export bundles.
const ExportsSuffix = "/exports"

// NoteBytesMax bounds a note we open: a checkpoint with some hundred cosignatures.
const NoteBytesMax = 1 << 16

var (
	// ErrForm: the bytes are not in the one form they must have. Nothing was checked.
	ErrForm = errors.New("proof: not in the form that docs/reference/proof.md describes")

	// ErrUnsigned: no key that was given signed it.
	ErrUnsigned = errors.New("proof: not signed by the key given; get the ledger's key from somebody you trust")

	// ErrRefuted: the form and the signature are right, and what they say is not so.
	ErrRefuted = errors.New("proof: refuted")
)

func form(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrForm, fmt.Sprintf(format, args...))
}

func refuted(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrRefuted, fmt.Sprintf(format, args...))
}

// OpenNote gives a note that at least one of the verifiers signed. Signatures of
// others are left alone, but every line must be in the one encoding it can have:
// the library takes base64 whose last bits mean nothing, and so a flipped bit.
func OpenNote(msg []byte, keys ...note.Verifier) (*note.Note, error) {
	if len(msg) > NoteBytesMax {
		return nil, form("a note of %d bytes", len(msg))
	}
	text := string(msg)
	end := strings.LastIndex(text, "\n\n")
	if end < 0 {
		return nil, form("a note without signatures")
	}
	for line := range strings.Lines(text[end+2:]) {
		at := strings.LastIndexByte(line, ' ')
		if at < 0 || !strings.HasSuffix(line, "\n") {
			return nil, form("a signature line that is none")
		}
		if _, err := decode64(strings.TrimSuffix(line[at+1:], "\n")); err != nil {
			return nil, err
		}
	}
	n, err := note.Open(msg, note.VerifierList(keys...))
	var none *note.UnverifiedNoteError
	var wrong *note.InvalidSignatureError
	switch {
	case errors.As(err, &none):
		return nil, ErrUnsigned
	case errors.As(err, &wrong):
		return nil, refuted("what it says was changed: it is not what %s signed", wrong.Name)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrForm, err)
	}
	return n, nil
}

// decode64 reads base64 in its one encoding.
func decode64(s string) ([]byte, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || base64.StdEncoding.EncodeToString(b) != s {
		return nil, form("base64 that is not in its one encoding")
	}
	return b, nil
}

// decodeHash reads a SHA-256 in base64.
func decodeHash(s string) (h tlog.Hash, err error) {
	b, err := decode64(s)
	if err == nil && len(b) != len(h) {
		err = form("a hash of %d bytes", len(b))
	}
	copy(h[:], b)
	return h, err
}

// decodePath reads a path, a hash a line.
func decodePath(lines []string) (path tlog.RecordProof, err error) {
	for _, line := range lines {
		h, err := decodeHash(line)
		if err != nil {
			return nil, err
		}
		path = append(path, h)
	}
	return path, nil
}

func encode64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
