package faults

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// TestOddFolders: what a hurried colleague does to a folder. Each start is refused by
// the name of what is wrong, or serves the ledger as it was; none panics, none uses a
// position again.
func TestOddFolders(t *testing.T) {
	root := t.TempDir()
	dir, other, whole := filepath.Join(root, "ledger"), filepath.Join(root, "other"), filepath.Join(root, "whole")
	anchor, otherAnchor := filepath.Join(root, "anchor"), filepath.Join(root, "other-anchor")
	initLedger(t, dir)
	initLedger(t, other)
	b, s := newBook(t), serve(t, dir, "--anchor", anchor)
	b.must(s, seller())
	for i := range 5 {
		b.must(s, grant("g-"+string(rune('0'+i)), number(i), i))
	}
	b.must(s, stopped("stop", number(1)))
	acked := s.doctor(&consentv1.DoctorRequest{}).GetPosition()
	s.stop()
	serve(t, other, "--anchor", otherAnchor).stop()
	copyFolder(t, dir, whole)
	stream := func(of, name string) string {
		found, err := filepath.Glob(filepath.Join(of, "jetstream", "jetstream", "*", "streams", name))
		if err != nil || len(found) != 1 {
			t.Fatalf("%s: %v %q", name, err, found)
		}
		return found[0]
	}
	cut := func(name string, left int64) {
		files, err := filepath.Glob(filepath.Join(dir, "keys", name))
		if err != nil || len(files) == 0 {
			t.Fatalf("no %s: %v", name, err)
		}
		for _, f := range files {
			if err := os.Truncate(f, left); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tc := range []struct {
		name   string
		breaks func()
		flags  []string
		said   string // of a start that is refused; empty: it serves
	}{
		{"another ledger's tree", func() { copyFolder(t, filepath.Join(other, "tree"), filepath.Join(dir, "tree")) }, nil, "belongs to another ledger"},
		{"another ledger's directory", func() { copyFolder(t, filepath.Join(other, "directory"), filepath.Join(dir, "directory")) }, nil, ""},
		{"another ledger's mended", func() { copyFolder(t, filepath.Join(other, "mended"), filepath.Join(dir, "mended")) }, nil, "belongs to another ledger"},
		{"another ledger's keys stream", func() { copyFolder(t, stream(other, "CONSENT_KEYS"), stream(dir, "CONSENT_KEYS")) }, nil, "CONSENT_KEYS"},
		{"another ledger's attempts", func() { copyFolder(t, stream(other, "CONSENT_ATTEMPTS"), stream(dir, "CONSENT_ATTEMPTS")) }, nil, "CONSENT_ATTEMPTS"},
		{"another ledger's anchor", func() {}, []string{"--anchor", otherAnchor}, "anchor"},
		{"an anchor that is no checkpoint", func() {
			if err := os.WriteFile(anchor, []byte("noise"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, []string{"--anchor", anchor}, "anchor"},
		{"the keys cut short", func() { cut("*.json", 20) }, nil, "keys"},
		{"the keys emptied", func() { cut("*.json", 0) }, nil, "keys"},
		{"the mark emptied", func() {
			if err := os.Truncate(filepath.Join(dir, "CONSENT_LEDGER"), 0); err != nil {
				t.Fatal(err)
			}
		}, nil, "a format this version does not know"},
		{"a file where the tree is", func() {
			if err := os.WriteFile(filepath.Join(dir, "tree"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, nil, "tree"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			copyFolder(t, whole, dir)
			if strings.HasPrefix(tc.name, "a file where") {
				removeAll(t, dir, "tree")
			}
			tc.breaks()
			d := &damaged{t: t, dir: dir}
			s, said := d.start(tc.flags...)
			if s == nil {
				if tc.said == "" || !strings.Contains(said, tc.said) || strings.Contains(said, "panic") {
					t.Fatalf("want %q, it says %s", tc.said, said)
				}
				t.Log(said)
				return
			}
			defer s.stop()
			if tc.said != "" {
				t.Errorf("it is served: %q", s.doctor(&consentv1.DoctorRequest{}).GetProblems())
			}
			b.t = t
			s.applied()
			if c := s.check(number(1)); c.GetVerdict() != consentv1.Verdict_VERDICT_BLOCK {
				t.Errorf("a number that asked to stop: %s %q", c.GetVerdict(), codes(c))
			}
			b.verify(s, nil)
			if r := newBook(t).must(s, stopped("stop-"+t.Name(), number(2))); r.GetPosition() <= acked {
				t.Errorf("position %d was used before", r.GetPosition())
			}
		})
	}
}

// TestOtherProjections: state that was folded from another ledger answers nothing.
func TestOtherProjections(t *testing.T) {
	root := t.TempDir()
	dir, other := filepath.Join(root, "ledger"), filepath.Join(root, "other")
	for _, d := range []string{dir, other} {
		initLedger(t, d)
		b, s := newBook(t), serve(t, d)
		b.must(s, seller())
		b.must(s, map[string]*consentv1.Fact{dir: stopped("x", number(1)), other: grant("x", number(1), 1)}[d])
		s.stop()
	}
	whole := filepath.Join(root, "whole")
	copyFolder(t, filepath.Join(dir, "projections"), whole)
	copyFolder(t, filepath.Join(other, "projections"), filepath.Join(dir, "projections"))
	for range 2 { // a restart makes nothing better
		refused(t, launch(t, dir), "another history", "move the folder projections away")
	}
	removeAll(t, dir, "projections")
	s := serve(t, dir)
	if c := s.check(number(1)); c.GetVerdict() != consentv1.Verdict_VERDICT_BLOCK {
		t.Errorf("a number that asked to stop: %s %q", c.GetVerdict(), codes(c))
	}
	s.stop()
}

// TestCopiesHearOfDamage: who follows the feed is told to block whom the server blocks,
// and to block them no more when it is mended.
func TestCopiesHearOfDamage(t *testing.T) {
	d := newDamaged(t)
	d.loseOne()
	s := serve(t, d.dir)
	ctx, end := context.WithCancel(t.Context())
	defer end()
	st, err := s.client.Feed.Subscribe(ctx, connect.NewRequest(&consentv1.SubscribeRequest{Seller: "acme", Reveal: true}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { end(); _ = st.Close() }()
	tokens, blocked := map[string]string{}, (*consentv1.Blocked)(nil)
	read := func(what string, ok func() bool) {
		t.Helper()
		for blocked == nil || !ok() {
			if !st.Receive() {
				t.Fatalf("%s: %v", what, st.Err())
			}
			if u := st.Msg().GetUpdate(); u != nil {
				tokens[u.GetNumber()] = string(u.GetToken())
			}
			if b := st.Msg().GetBlocked(); b != nil {
				blocked = b
			}
		}
	}
	blocks := func(n int) bool {
		return blocked.GetEverybody() || slices.ContainsFunc(blocked.GetTokens(), func(b []byte) bool { return string(b) == tokens[number(n)] })
	}
	s.scrubbed()
	read("the damage", func() bool { return len(tokens) > 1500 && !blocked.GetEverybody() && len(blocked.GetTokens()) == 1 })
	if !blocks(3) || blocks(4) {
		t.Errorf("blocked: 3 %t, 4 %t", blocks(3), blocks(4))
	}
	if broken := slices.Contains(codes(s.check(number(3))), "LEDGER_INTEGRITY"); !broken {
		t.Error("the server answers for it")
	}
	d.b.t = t
	d.b.must(s, grant("again", number(3), 0)) // a change frees nobody
	d.mend(s)
	read("the repair", func() bool { return !blocked.GetEverybody() && len(blocked.GetTokens()) == 0 })
	end()
	s.stop()
}
