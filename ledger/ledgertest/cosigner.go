package ledgertest

import (
	"bytes"
	"testing"

	cosign "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

// Cosigner makes a witness of a name, always the same one, and gives its public key as a
// policy has it.
func Cosigner(t testing.TB, name string) (*cosign.Signer, string) {
	t.Helper()
	secret, public, err := note.GenerateKey(bytes.NewReader(bytes.Repeat([]byte(name), 32)), name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := cosign.NewSignerForCosignatureV1(secret)
	if err != nil {
		t.Fatal(err)
	}
	if public, err = cosign.VKeyToCosignatureV1(public); err != nil {
		t.Fatal(err)
	}
	return s, public
}
