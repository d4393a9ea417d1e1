package directory_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/directory"
)

// naive is the tree as the page describes it, bit by bit, without sharing a line.
func naive(records map[directory.Key]directory.Record, prefix string) ledger.Hash {
	var here []directory.Key
	for k := range records {
		if bits(k)[:len(prefix)] == prefix {
			here = append(here, k)
		}
	}
	switch len(here) {
	case 0:
		return ledger.Hash{}
	case 1:
		r := records[here[0]]
		value := sha256.Sum256(fmt.Appendf(nil, "\x05%s%s%s", be(r.Count), be(uint64(r.Last)), r.Head[:]))
		return sha256.Sum256(fmt.Appendf(nil, "\x02%s%s", here[0][:], value[:]))
	}
	left, right := naive(records, prefix+"0"), naive(records, prefix+"1")
	return sha256.Sum256(fmt.Appendf(nil, "\x03%s%s", left[:], right[:]))
}

func be(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func bits(k directory.Key) string {
	out := ""
	for _, b := range k {
		out += fmt.Sprintf("%08b", b)
	}
	return out
}

// keys draws keys that share many bits, as random ones never would.
func keys() *rapid.Generator[directory.Key] {
	return rapid.Custom(func(t *rapid.T) (k directory.Key) {
		copy(k[:], rapid.SliceOfN(rapid.SampledFrom([]byte{0, 0, 0, 1, 0x80, 0xff}), 32, 32).Draw(t, "bytes"))
		if rapid.Bool().Draw(t, "low") { // differ in the last bits alone
			k = directory.Key{}
			k[31] = rapid.Byte().Draw(t, "last")
		}
		return k
	})
}

func records() *rapid.Generator[directory.Record] {
	return rapid.Custom(func(t *rapid.T) directory.Record {
		n := rapid.Uint64Range(1, 5).Draw(t, "count")
		return directory.Record{Count: n, Last: ledger.Position(n + rapid.Uint64Range(0, 9).Draw(t, "more")), Head: sha256.Sum256(be(rapid.Uint64().Draw(t, "head")))}
	})
}

func placed(m map[directory.Key]directory.Record) (out []directory.Placed) {
	for k, r := range m { // in any order: the sort decides
		out = append(out, directory.Placed{Key: k, Record: r})
	}
	slices.SortFunc(out, func(a, b directory.Placed) int { return a.Key.Compare(b.Key) })
	return out
}

func prove(k directory.Key, rs []directory.Placed) (p directory.Proof) {
	p.Path(k, rs, 0)
	return p
}

// TestTree: every key that is there is found with its record, every other is not,
// and the root is that of the page.
func TestTree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.MapOfN(keys(), records(), 0, 24).Draw(t, "records")
		rs := placed(m)
		root := directory.Build(rs, 0)
		if want := naive(m, ""); root.Hash != want || root.Keys != uint64(len(m)) {
			t.Fatalf("root %s of %d keys, want %s of %d", root.Hash, root.Keys, want, len(m))
		}
		asked := append(rapid.SliceOfN(keys(), 4, 4).Draw(t, "asked"), sortedKeys(m)...)
		for _, k := range asked {
			got := mustCheck(t, root.Hash, k, prove(k, rs))
			if got != m[k] {
				t.Fatalf("key %x has %+v, want %+v", k[:4], got, m[k])
			}
		}
	})
}

func sortedKeys(m map[directory.Key]directory.Record) (out []directory.Key) {
	for _, r := range placed(m) {
		out = append(out, r.Key)
	}
	return out
}

// mustCheck checks a proof after a round trip through its bytes.
func mustCheck(t *rapid.T, root ledger.Hash, k directory.Key, p directory.Proof) directory.Record {
	t.Helper()
	back, err := directory.DecodeProof(p.Encode())
	if err != nil {
		t.Fatal(err)
	}
	got, err := back.Check(root, k)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestOneAnswer: no change of a proof gives another answer, for a key that is there
// and for one that is not: not a byte, not a sibling more or less, not the proof of
// another key.
func TestOneAnswer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.MapOfN(keys(), records(), 1, 12).Draw(t, "records")
		rs := placed(m)
		root := directory.Build(rs, 0).Hash
		k := rapid.OneOf(keys(), rapid.SampledFrom(sortedKeys(m))).Draw(t, "key")
		p := prove(k, rs)
		raw := p.Encode()
		at, flip := rapid.IntRange(0, len(raw)-1).Draw(t, "at"), rapid.ByteRange(1, 255).Draw(t, "flip")
		changed := bytes.Clone(raw)
		changed[at] ^= flip
		refuses(t, "a changed byte", root, k, changed)
		refuses(t, "a byte more", root, k, append(bytes.Clone(raw), 0))
		refuses(t, "a byte less", root, k, raw[:len(raw)-1])
		for _, q := range forgeries(t, p, rs, k) {
			refuses(t, "a forgery", root, k, q.Encode())
		}
	})
}

// forgeries are proofs that a liar would try.
func forgeries(t *rapid.T, p directory.Proof, rs []directory.Placed, k directory.Key) (out []directory.Proof) {
	lie := rapid.SampledFrom(rs).Draw(t, "lie")
	hidden := directory.Proof{Siblings: p.Siblings} // it is not there
	if p.Found.Count > 0 || p.Other != nil {
		out = append(out, hidden)
	}
	if lie.Key != k { // somebody else's place
		other := prove(lie.Key, rs)
		other.Other, other.Found = &directory.Other{Key: lie.Key, Value: sha256.Sum256([]byte("any"))}, directory.Record{}
		out = append(out, other)
	}
	made := p // a record of one's own
	made.Other, made.Found = nil, directory.Record{Count: p.Found.Count + 1, Last: p.Found.Last + 1, Head: p.Found.Head}
	out = append(out, made)
	if len(p.Siblings) > 0 { // ends higher up
		short := p
		short.Siblings = p.Siblings[:len(p.Siblings)-1]
		out = append(out, short)
	}
	return out
}

func refuses(t *rapid.T, what string, root ledger.Hash, k directory.Key, raw []byte) {
	t.Helper()
	p, err := directory.DecodeProof(raw)
	if err == nil {
		_, err = p.Check(root, k)
	}
	if !errors.Is(err, directory.ErrForm) && !errors.Is(err, directory.ErrRefuted) {
		t.Fatalf("%s was taken: %v", what, err)
	}
}

// TestProofOfAbsenceNeedsTheRightNeighbour: another key that is really in the tree
// proves nothing about a key whose path does not pass it.
func TestProofOfAbsenceNeedsTheRightNeighbour(t *testing.T) {
	a, b := directory.Key{0x00}, directory.Key{0xff}
	rs := []directory.Placed{{Key: a, Record: directory.Record{Count: 1, Last: 1}}, {Key: b, Record: directory.Record{Count: 1, Last: 2}}}
	root := directory.Build(rs, 0).Hash
	p := prove(directory.Key{0xfe}, rs) // b is alone there
	if _, err := p.Check(root, directory.Key{0xfe}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Check(root, directory.Key{0x01}); !errors.Is(err, directory.ErrRefuted) {
		t.Fatalf("a neighbour from the other side was taken: %v", err)
	}
	if _, err := p.Check(root, b); !errors.Is(err, directory.ErrRefuted) {
		t.Fatalf("a key was shown as another one than itself: %v", err)
	}
}

// TestRecord: order, repetition, position and leaf of every event count.
func TestRecord(t *testing.T) {
	a, b := directory.Event{Position: 1, Leaf: ledger.Hash{1}}, directory.Event{Position: 2, Leaf: ledger.Hash{2}}
	fold := func(es ...directory.Event) (r directory.Record) {
		for _, e := range es {
			r = r.Add(e)
		}
		return r
	}
	seen := map[ledger.Hash]string{}
	for name, r := range map[string]directory.Record{
		"none": fold(), "a": fold(a), "b": fold(b), "ab": fold(a, b), "ba": fold(b, a), "aa": fold(a, a),
		"moved": fold(directory.Event{Position: 3, Leaf: a.Leaf}), "other": fold(directory.Event{Position: 1, Leaf: b.Leaf}),
	} {
		if was, twice := seen[r.Head]; twice {
			t.Errorf("%s and %s have one head", was, name)
		}
		seen[r.Head] = name
	}
	if r := fold(a, b); r.Count != 2 || r.Last != 2 {
		t.Errorf("%+v", r)
	}
}

// TestKey: number and token both make the key, and neither can stand for the other.
func TestKey(t *testing.T) {
	one, two := ledger.DirectoryToken{1, 1}, ledger.DirectoryToken{1, 2}
	ks := map[directory.Key]bool{}
	for _, n := range []string{"+12025550143", "+12025550144", "+1202555014"} {
		ks[directory.KeyOf(n, one)], ks[directory.KeyOf(n, two)] = true, true
	}
	if len(ks) != 6 {
		t.Errorf("%d keys of 6", len(ks))
	}
}

// FuzzDecodeProof: any bytes are refused, or are the one encoding of a proof.
func FuzzDecodeProof(f *testing.F) {
	f.Add(directory.Proof{Siblings: []ledger.Hash{{1}}}.Encode())
	f.Add(directory.Proof{Found: directory.Record{Count: 1, Last: 2}}.Encode())
	f.Add(directory.Proof{Other: &directory.Other{}}.Encode())
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := directory.DecodeProof(raw)
		if err == nil && !bytes.Equal(p.Encode(), raw) {
			t.Fatalf("%x reads as %x", raw, p.Encode())
		}
	})
}
