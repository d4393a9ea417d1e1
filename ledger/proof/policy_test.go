package proof_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/consent-ledger/consent-ledger/ledger/ledgertest"
	ours "github.com/consent-ledger/consent-ledger/ledger/proof"
)

// TestPolicy: who cosigned, and whether they are enough, is counted by witness and not
// by line; a policy that demands nobody, or lets one stand for two, is refused.
func TestPolicy(t *testing.T) {
	one, oneKey := ledgertest.Cosigner(t, "witness.example.com/one")
	_, twoKey := ledgertest.Cosigner(t, "witness.example.org/two")
	c, err := ours.SignCheckpoint(7, tlog.Hash{7}, keys(t).Log)
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(c.Note, note.VerifierList(keys(t).Log.Verifier))
	if err != nil {
		t.Fatal(err)
	}
	cosigned, err := note.Sign(n, one)
	if err != nil {
		t.Fatal(err)
	}
	// The same key under another name, as its owner could make it.
	raw, err := base64.StdEncoding.DecodeString(strings.SplitN(oneKey, "+", 3)[2])
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(append([]byte("witness.example.net/other\n"), raw...))
	otherName := fmt.Sprintf("witness.example.net/other+%x+%s", sum[:4], base64.StdEncoding.EncodeToString(raw))
	file := fmt.Sprintf("witness w1 %s https://one.example\nwitness w2 %s https://two.example\n", oneKey, twoKey)
	for _, c := range []struct {
		quorum string
		enough bool
	}{{"quorum w1\n", true}, {"quorum w2\n", false}, {"group g any w1 w2\nquorum g\n", true}, {"group g all w1 w2\nquorum g\n", false},
		{"group a any w1\ngroup b any w2\ngroup g any a b\nquorum g\n", true}, {"group a any w1\ngroup b any w2\ngroup g all a b\nquorum g\n", false}} {
		p, err := ours.ParsePolicy([]byte(file + c.quorum))
		if err != nil {
			t.Fatal(err)
		}
		if p.Satisfied(cosigned) != c.enough {
			t.Errorf("%s: satisfied is %v", c.quorum, !c.enough)
		}
		if got := p.Cosigners(cosigned); len(got) > 1 || slices.Contains(got, "witness.example.org/two") || c.enough && len(got) != 1 {
			t.Errorf("%s: %v", c.quorum, got)
		}
	}
	for _, bad := range []string{"", "x", file, "quorum none\n", file + "quorum none\n", file + "group g 0 w1\nquorum g\n", file + "quorum w4\n",
		// C2SP tlog-policy: "each witness can contribute to a group ... in only one way".
		file + "group a any w1\ngroup b any w1 w2\ngroup g all a b\nquorum g\n", file + "group g 2 w1 w1\nquorum g\n",
		file + "group a 0 w1\ngroup g any a w2\nquorum g\n", file + "group a 00 w1\ngroup g any a w2\nquorum g\n", file + "group a all\ngroup g any a w2\nquorum g\n",
		file + "witness w3 " + oneKey + " https://one.example\nquorum w2\n", file + "witness w3 " + otherName + " https://one.example\ngroup g 2 w1 w3\nquorum g\n",
		file + "group a 1 w1\ngroup g all a a\nquorum g\n", file + "quorum w2\nquorum w1\n",
		string(bytes.Repeat([]byte("#"), ours.KeysBytesMax+1))} {
		if _, err := ours.ParsePolicy([]byte(bad)); err == nil {
			t.Errorf("%.60q is taken for a policy", bad)
		}
	}
}
