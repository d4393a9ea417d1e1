package bundle

import (
	"bytes"
	"strings"
	"testing"

	"github.com/consent-ledger/consent-ledger/ledger"
)

const bob = "+12125550144"

// madeUp is a token that nobody's number has.
func madeUp() ledger.DirectoryToken { return token("made up") }

// denial is a story whose teller says that he never heard of a number he has five
// entries about: under a made-up token there is nothing.
func denial(s *story) *story {
	s.numbers, s.shown, s.denied = []string{ann}, map[ledger.Position]int{}, true
	s.proofs = [][]byte{s.prove(ann, madeUp())}
	return s
}

// editPath shows a path from the token of the first number.
func editPath(f files, path []ledger.Hash) {
	editLines(f, CompletenessFile, func(l [][]byte) [][]byte {
		c, err := parseCompleteness(bytes.TrimSuffix(l[0], []byte("\n")))
		if err != nil {
			panic(err)
		}
		c.TokenPath = nil
		for i := range path {
			c.TokenPath = append(c.TokenPath, path[i][:])
		}
		if l[0], err = jsonLine(c); err != nil {
			panic(err)
		}
		return l
	})
}

// TestAbsent: that nothing is recorded about a number is proven if its token is shown
// to be its own, and not before; and nobody can deny a number by a made-up token.
func TestAbsent(t *testing.T) {
	absent := func(s *story) *story {
		s.numbers = append(s.numbers, bob)
		s.proofs = append(s.proofs, s.prove(bob, s.token(bob)))
		return s
	}
	bound, denied := absent(boundStory(t)), denial(boundStory(t))
	path := bound.tokens.Path
	edited := func(s *story, path []ledger.Hash) []byte {
		return s.lie(honest(s), func(f files) { editPath(f, path) }, nil)
	}
	wrong := path(ann)
	wrong[3][0] ^= 1
	cases := []struct {
		name string
		zip  []byte
		want string // of the claim; of the refusal after a !
	}{
		{"shown to be its own", honest(bound), "nothing about 3 numbers was left out up to position 10, by the directory at position 11, in which each " +
			"has one place; 1 later entry is here"},
		{"not shown", honest(absent(newStory(t))), "completeness: unproven for 1 of 3 numbers"},
		{"denied without a path", honest(denied), "completeness: unproven for 1 of 1 number;"},
		{"denied with the number's path", edited(denied, path(ann)), "!not the number's"},
		{"denied with another number's path", edited(denied, path(eve)), "!not the number's"},
		{"a path changed", edited(boundStory(t), wrong), "!not the number's"},
		{"another number's path", edited(boundStory(t), path(eve)), "!not the number's"},
		{"a path cut off", edited(boundStory(t), path(ann)[1:]), "!a path of 15 hashes"},
		{"a path too long", edited(boundStory(t), append(path(ann), ledger.Hash{})), "!a path of 17 hashes"},
		{"a path in a ledger without a tree of tokens", edited(newStory(t), path(ann)), "!not the number's"},
	}
	var zips [][]byte
	for _, c := range cases {
		zips = append(zips, c.zip)
	}
	v, errs := both(t, bound.world, zips...)
	for i, c := range cases {
		if accepted(t, c.name, errs[i], c.want) && !strings.HasPrefix(claim(v[i], "complete").Text, c.want) {
			t.Errorf("%s: %q, want %q", c.name, claim(v[i], "complete").Text, c.want)
		}
	}
}
