package bundle

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/consent-ledger/consent-ledger/ledger/bundle/bundletest"
	"github.com/consent-ledger/consent-ledger/ledger/ledgertest"
	"github.com/consent-ledger/consent-ledger/ledger/proof"
)

// TestWitnesses: whose word counts is the reader's policy, and one that is not met
// refuses the bundle.
func TestWitnesses(t *testing.T) {
	s := newStory(t)
	one, oneKey := ledgertest.Cosigner(t, "witness.example.com/one")
	two, twoKey := ledgertest.Cosigner(t, "witness.example.org/two")
	_, threeKey := ledgertest.Cosigner(t, "witness.example.net/three")
	log, err := note.Open(s.checkpoint().Note, note.VerifierList(s.signing.Log.Verifier))
	if err != nil {
		t.Fatal(err)
	}
	both, err := note.Sign(log, one, two)
	if err != nil {
		t.Fatal(err)
	}
	zip := s.lie(honest(s), func(f files) { f[CheckpointFile] = both }, nil)
	wrong := s.lie(honest(s), func(f files) {
		lines := bytes.SplitAfter(both, []byte("\n"))
		last := slices.Clone(lines[len(lines)-2])
		if last[50] == 'A' {
			last[50] = 'B'
		} else {
			last[50] = 'A'
		}
		lines[len(lines)-2] = last
		f[CheckpointFile] = bytes.Join(lines, nil)
	}, nil)
	policy := fmt.Sprintf("# whose word I take\nlog x\nwitness w1 %s https://one\nwitness w2 %s https://two # the second\nwitness w3 %s https://three\n", oneKey, twoKey, threeKey)
	for _, c := range []struct {
		name, policy string
		zip          []byte
		want         string // of the claim; empty: refused
	}{
		{"no policy", "", zip, "operator only: no witness's word"},
		{"one", policy + "quorum w1\n", zip, "by as many witnesses as your policy demands: witness.example.com/one;"},
		{"two of three", policy + "group g 2 w3 w2 w1\nquorum g\n", zip, "demands: witness.example.com/one, witness.example.org/two;"},
		{"any of groups", policy + "group a all w3\ngroup b all w1 w2\ngroup g any a b\nquorum g\n", zip, "demands: witness.example.com/one, witness.example.org/two;"},
		{"three", policy + "group g all w1 w2 w3\nquorum g\n", zip, ""},
		{"a stranger", policy + "quorum w3\n", zip, ""},
		{"a bundle without", policy + "quorum w1\n", honest(s), ""},
		{"a wrong cosignature", policy + "quorum w2\n", wrong, ""},
		{"a wrong one of somebody who is not needed", policy + "group g any w1 w2\nquorum g\n", wrong, "demands: witness.example.com/one;"},
	} {
		var p *proof.Policy
		if c.policy != "" {
			if p, err = proof.ParsePolicy([]byte(c.policy)); err != nil {
				t.Fatal(err)
			}
		}
		v, err := Verify(bytes.NewReader(c.zip), int64(len(c.zip)), Trust{Keys: s.parsed(), Policy: p})
		python := bundletest.VerifyTrusting(t, Script(), s.keys(), []byte(c.policy), nil, c.zip)[0]
		if (err != nil) != (c.want == "") || (python.Refused != "") != (c.want == "") {
			t.Errorf("%s: %v, %q", c.name, err, python.Refused)
		}
		if err != nil || python.Refused != "" {
			continue
		}
		got := claim(v, "anchored")
		i := slices.IndexFunc(python.Claims, func(p bundletest.Claim) bool { return p.Claim == "anchored" })
		if got.Proven != (c.policy != "") || !strings.Contains(got.Text, c.want) || Claim(python.Claims[i]) != got {
			t.Errorf("%s: Go says %v, Python %v", c.name, got, python.Claims[i])
		}
	}
	for _, bad := range []string{"x", policy, policy + "quorum none\n", policy + "group g 0 w1\nquorum g\n", policy + "quorum w4\n"} {
		if _, err := proof.ParsePolicy([]byte(bad)); err == nil {
			t.Errorf("%q is taken for a policy", bad)
		}
		if a := bundletest.VerifyTrusting(t, Script(), s.keys(), []byte(bad), nil, zip)[0]; a.Refused == "" {
			t.Errorf("Python takes %q for a policy", bad)
		}
	}
}
