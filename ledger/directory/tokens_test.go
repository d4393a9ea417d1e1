package directory_test

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/directory"
)

func bucketToken(b uint16) ledger.DirectoryToken { return token(1000 + int(b)) }

// naiveTokens is the token key as the page describes it.
func naiveTokens(from, n int) []byte {
	if n == 1 {
		t := bucketToken(uint16(from))
		h := sha256.Sum256(fmt.Appendf(nil, "\x06%s", t[:]))
		return h[:]
	}
	h := sha256.Sum256(fmt.Appendf(nil, "\x07%s%s", naiveTokens(from, n/2), naiveTokens(from+n/2, n/2)))
	return h[:]
}

// bound is an honest proof about a number in a ledger whose token key is a tree's.
func bound(tokens *directory.Tokens, all map[string][]directory.Event, number string) directory.Shown {
	var rs []directory.Placed
	s := directory.Statement{Covers: 9, CoversRecordedAt: newWorld(nil, 0).statement().CoversRecordedAt, TokenKey: tokens.Key()}
	for n, events := range all {
		var r directory.Record
		for _, e := range events {
			r = r.Add(e)
		}
		rs = append(rs, directory.Placed{Key: directory.KeyOf(n, bucketToken(directory.BucketOf(n))), Record: r})
		s.Numbers, s.Entries = s.Numbers+1, s.Entries+r.Count
	}
	slices.SortFunc(rs, func(a, b directory.Placed) int { return a.Key.Compare(b.Key) })
	s.Root = directory.Build(rs, 0).Hash
	t := bucketToken(directory.BucketOf(number))
	return directory.Shown{Directory: entry(10, s.Fact()), Number: number, Token: t, TokenPath: tokens.Path(number),
		Proof: prove(directory.KeyOf(number, t), rs).Encode(), Events: all[number]}
}

// TestTokens: each number's token leads to the token key, and no other token, number or
// path does; both implementations say so.
func TestTokens(t *testing.T) {
	tokens := directory.NewTokens(bucketToken)
	if key := tokens.Key(); string(key[:]) != string(naiveTokens(0, 1<<16)) {
		t.Fatal("the token key is not that of the page")
	}
	leaf := sha256.Sum256([]byte("leaf"))
	all := map[string][]directory.Event{number(0): {{Position: 1, Leaf: leaf}}, number(1): {{Position: 2, Leaf: leaf}, {Position: 3, Leaf: leaf}}}
	var vs []vector
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.OneOf(rapid.SampledFrom([]string{number(0), number(1)}), rapid.StringMatching(`\+[0-9]{1,15}`)).Draw(t, "number")
		s := bound(tokens, all, n)
		a, err := directory.Verify(s)
		if err != nil || !a.Bound || a.Complete != len(all[n]) {
			t.Fatalf("%+v, %v", a, err)
		}
		unbound := s
		unbound.TokenPath = nil
		if a, err := directory.Verify(unbound); err != nil || a.Bound {
			t.Fatalf("without a path: %+v, %v", a, err)
		}
		lie := s
		lie.TokenPath = slices.Clone(s.TokenPath)
		switch rapid.IntRange(0, 4).Draw(t, "lie") {
		case 0:
			lie.TokenPath[rapid.IntRange(0, 15).Draw(t, "at")][rapid.IntRange(0, 31).Draw(t, "byte")] ^= 1
		case 1:
			lie.Token[rapid.IntRange(1, 16).Draw(t, "byte")] ^= 1
		case 2:
			lie.TokenPath = lie.TokenPath[:rapid.IntRange(0, 15).Draw(t, "length")]
			if len(lie.TokenPath) == 0 {
				lie.TokenPath = []ledger.Hash{}
			}
		case 3:
			lie.TokenPath = append(lie.TokenPath, leaf)
		case 4:
			other := bucketToken(directory.BucketOf(n) ^ 1) // of another bucket, with its own path
			lie.Token, lie.TokenPath[0] = other, sha256.Sum256(append([]byte{6}, s.Token[:]...))
		}
		if _, err := directory.Verify(lie); !errors.Is(err, directory.ErrRefuted) && !errors.Is(err, directory.ErrForm) {
			t.Fatalf("a lie is taken: %v", err)
		}
		vs = append(vs, shownVector(s, map[string]any{"complete": a.Complete, "covers": 9}), shownVector(lie, map[string]any{"refused": true}))
	})
	agrees(t, vs)
}

func shownVector(s directory.Shown, want map[string]any) vector {
	v := vector{Name: "number " + s.Number, Directory: hex.EncodeToString(s.Directory), Number: s.Number, Token: hex.EncodeToString(s.Token[:]),
		Proof: hex.EncodeToString(s.Proof), Events: []vectorEvent{}, Want: want, TokenPath: []string{}}
	for _, h := range s.TokenPath {
		v.TokenPath = append(v.TokenPath, hex.EncodeToString(h[:]))
	}
	for _, e := range s.Events {
		v.Events = append(v.Events, vectorEvent{uint64(e.Position), hex.EncodeToString(e.Leaf[:])})
	}
	return v
}

// TestBucketOf: the buckets are those of the page.
func TestBucketOf(t *testing.T) {
	h := sha256.Sum256([]byte("consent.v1/directory-bucket+12025550143"))
	if got := directory.BucketOf("+12025550143"); got != binary.BigEndian.Uint16(h[:]) {
		t.Errorf("bucket %d", got)
	}
}

func BenchmarkTokens(b *testing.B) {
	for b.Loop() {
		directory.NewTokens(bucketToken)
	}
}
