package bundle

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/consent-ledger/consent-ledger/ledger/bundle/bundletest"
	"github.com/consent-ledger/consent-ledger/ledger/proof"
)

// holding lets both verifiers check a bundle for a reader who holds a checkpoint.
func holding(t *testing.T, s *story, zip []byte, held proof.Checkpoint) (Claim, error) {
	t.Helper()
	trust := Trust{Keys: s.parsed()}
	if held.Note != nil {
		trust.Earlier = &held
	}
	v, err := Verify(bytes.NewReader(zip), int64(len(zip)), trust)
	python := bundletest.VerifyTrusting(t, Script(), s.keys(), nil, held.Note, zip)[0]
	if (err != nil) != (python.Refused != "") {
		t.Errorf("Go says %v, Python %q", err, python.Refused)
	}
	if err != nil || python.Refused != "" {
		return Claim{}, err
	}
	i := slices.IndexFunc(python.Claims, func(c bundletest.Claim) bool { return c.Claim == "consistent" })
	if got := claim(v, "consistent"); Claim(python.Claims[i]) != got {
		t.Errorf("Go says %v, Python %v", got, python.Claims[i])
	}
	return claim(v, "consistent"), nil
}

// TestConsistent: who holds an earlier checkpoint learns whether this is the same
// history, and two histories are refused.
func TestConsistent(t *testing.T) {
	plain, rich := boundStory(t), richStory(t)
	before := boundStory(t) // the same history, cut off earlier
	before.entries, before.hashes = before.entries[:5], before.hashes[:tlog.StoredHashCount(5)]
	// The same keys sign another history of as many entries.
	forked := tellStory(newWorld(t, "the ledger of a story"))
	forked.entries, forked.hashes = nil, nil
	for range plain.entries {
		forked.add("", plainFact())
	}
	none := proof.Checkpoint{}
	for _, c := range []struct {
		name   string
		zip    []byte
		held   proof.Checkpoint
		proven bool
		text   string // of the claim
		refuse string
	}{
		{"nothing held, nothing shown", honest(plain), none, false, "no earlier checkpoint was compared", ""},
		{"nothing held", honest(rich), none, true, "the checkpoint of 13 entries in consistency.txt", ""},
		{"the one it was made since", honest(rich), plain.checkpoint(), true, "of the 13 entries that the checkpoint you hold", ""},
		{"its own", honest(rich), rich.checkpoint(), true, "the one of this bundle", ""},
		{"its own, nothing shown", honest(plain), plain.checkpoint(), true, "the one of this bundle", ""},
		{"another", honest(rich), before.checkpoint(), false, "nothing leads here", ""},
		{"one to which nothing leads", honest(plain), before.checkpoint(), false, "nothing leads here", ""},
		{"a later one", honest(plain), rich.checkpoint(), false, "nothing leads here", ""},
		{"another history of that size", honest(plain), forked.checkpoint(), false, "", "two histories of 13"},
		{"another history before", honest(rich), forked.checkpoint(), false, "", "two histories of 13"},
		{"no beginning", rich.lie(honest(rich), func(f files) { f[ConsistencyFile] = consistencyFile(forked.checkpoint().Note, rich.since(13)) }, nil), none, false, "", "no beginning"},
		{"a proof cut off", rich.lie(honest(rich), func(f files) { f[ConsistencyFile] = consistencyFile(rich.earlier.Note, rich.since(13)[1:]) }, nil), none, false, "", "no beginning"},
		{"a proof too long", rich.lie(honest(rich), func(f files) {
			f[ConsistencyFile] = consistencyFile(rich.earlier.Note, append(rich.since(13), tlog.Hash{}))
		}, nil), none, false, "", "no beginning"},
		{"a later checkpoint", plain.lie(honest(plain), func(f files) { f[ConsistencyFile] = consistencyFile(rich.checkpoint().Note, rich.since(13)) }, nil), none, false, "", "no beginning"},
		{"of another ledger", rich.lie(honest(rich), func(f files) {
			f[ConsistencyFile] = consistencyFile(tellStory(newWorld(t, "another ledger")).checkpoint().Note, rich.since(13))
		}, nil), none, false, "", "not signed by the key"},
		{"another form", rich.lie(honest(rich), func(f files) { f[ConsistencyFile] = append([]byte(" "), f[ConsistencyFile]...) }, nil), none, false, "", "no proof of consistency"},
		{"no form", rich.lie(honest(rich), func(f files) { f[ConsistencyFile] = nil }, nil), none, false, "", "no proof of consistency"},
	} {
		got, err := holding(t, rich, c.zip, c.held)
		if c.refuse != "" {
			if err == nil || !strings.Contains(err.Error(), c.refuse) {
				t.Errorf("%s: %v, want %q", c.name, err, c.refuse)
			}
			continue
		}
		if err != nil || got.Proven != c.proven || !strings.Contains(got.Text, c.text) {
			t.Errorf("%s: %v %v, want %v %q", c.name, got, err, c.proven, c.text)
		}
	}
	note, err := CheckpointNote(bytes.NewReader(honest(plain)), int64(len(honest(plain))))
	if err != nil || !bytes.Equal(note, plain.checkpoint().Note) {
		t.Errorf("the checkpoint of a bundle: %q, %v", note, err)
	}
}

// TestConsistencyOfEverySize: both verifiers follow the proofs of x/mod between any
// two sizes, and none of a step aside.
func TestConsistencyOfEverySize(t *testing.T) {
	w := newWorld(t, "sizes")
	var notes []proof.Checkpoint
	for range 20 {
		w.add("", plainFact())
		notes = append(notes, w.checkpoint())
	}
	s := &story{world: w, shown: nil}
	m := Manifest{Origin: origin, Produced: began, Seller: "acme", Through: 20}
	zip := s.bundle(m, nil)
	var zips [][]byte
	var want []bool
	for i, c := range notes {
		path := w.since(int64(i + 1))
		show := func(path tlog.TreeProof) {
			zips = append(zips, w.lie(zip, func(f files) {
				f.without(packsFolder)
				f[ConsistencyFile] = consistencyFile(c.Note, path)
			}, nil))
		}
		show(path)
		want = append(want, true)
		for j := range path {
			wrong := slices.Clone(path)
			wrong[j][7] ^= 1
			show(wrong)
			want = append(want, false)
		}
	}
	_, errs := both(t, w, zips...)
	for i, err := range errs {
		if (err == nil) != want[i] {
			t.Errorf("proof %d: %v", i, err)
		}
	}
}
