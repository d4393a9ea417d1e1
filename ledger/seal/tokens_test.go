package seal

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tink-crypto/tink-go/v2/mac/subtle"
	"pgregory.net/rapid"

	"github.com/consent-ledger/consent-ledger/ledger"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestOneBlockVector is the example of NIST SP 800-38B, AES-256, Mlen = 128.
func TestOneBlockVector(t *testing.T) {
	b, err := newOneBlock(unhex(t, "603deb10 15ca71be 2b73aef0 857d7781 1f352c07 3b6108d7 2d9810a3 0914dff4"))
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(b.k1[:]); got != "cad1ed03299eedac2e9a99808621502f" {
		t.Errorf("subkey K1 is %s", got)
	}
	m := [block]byte(unhex(t, "6bc1bee2 2e409f96 e93d7e11 7393172a"))
	if got := b.mac(m); hex.EncodeToString(got[:]) != "28a7023f452e8f82bd4bf28d8c37c35c" {
		t.Errorf("tag is %x", got)
	}
	if got := b.unmac(b.mac(m)); got != m {
		t.Errorf("the tag turns back into %x", got)
	}
}

func TestOneBlockAgreesWithTink(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key")
		m := [block]byte(rapid.SliceOfN(rapid.Byte(), block, block).Draw(t, "message"))
		ours, err := newOneBlock(key)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := subtle.NewAESCMAC(key, block)
		if err != nil {
			t.Fatal(err)
		}
		want, err := theirs.ComputeMAC(m[:])
		if err != nil {
			t.Fatal(err)
		}
		if got := ours.mac(m); got != [block]byte(want) {
			t.Fatalf("ours %x, Tink's %x", got, want)
		}
	})
}

func testTokens(t testing.TB) *Tokens {
	t.Helper()
	key := func(b byte) []byte { return []byte(strings.Repeat(string(rune(b)), 32)) }
	tok, err := newTokens(key('x'), key('t'), key('f'))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestTokensGoBothWays(t *testing.T) {
	tok := testTokens(t)
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.StringMatching(`\+[0-9]{1,15}`).Draw(t, "number")
		x, err := tok.Exchange(n)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := tok.Number(x); err != nil || got != n {
			t.Fatalf("%q comes back as %q, %v", n, got, err)
		}
		if tok.ExchangeOf(tok.Token(x)) != x {
			t.Fatal("the token does not turn back")
		}
		if tok.ExchangeOfFeed("acme", tok.Feed("acme", x)) != x {
			t.Fatal("feed token does not turn back")
		}
		if a, b := tok.Feed("acme", x), tok.Feed("other", x); a == b || ledger.Token(a) == tok.Token(x) {
			t.Fatal("two keys, one token")
		}
	})
}

func TestExchangeRefuses(t *testing.T) {
	tok := testTokens(t)
	for _, n := range []string{"", "+", "12025550143", "+1202555014a", "+1234567890123456", "+1 2025550143", "+\x00"} {
		_, err := tok.Exchange(n)
		if err == nil {
			t.Errorf("%q has a token", n)
		} else if len(n) > 3 && strings.Contains(err.Error(), n) {
			t.Errorf("the error repeats the number: %v", err)
		}
	}
	if _, err := tok.Number(ledger.ExchangeToken{ledger.TokenVersion, 1, 2, 3}); err == nil {
		t.Error("a foreign token has a number")
	}
}

func TestTokensNeedNoMemory(t *testing.T) {
	tok := testTokens(t)
	x, err := tok.Exchange("+12025550143")
	if err != nil {
		t.Fatal(err)
	}
	tok.Feed("acme", x)
	n := testing.AllocsPerRun(1000, func() {
		x, _ := tok.Exchange("+12025550143")
		_ = tok.Token(x)
		_ = tok.ExchangeOf(tok.Token(x))
		_ = tok.Feed("acme", x)
	})
	if n >= 1 && !raceEnabled {
		t.Errorf("%v allocations", n)
	}
}

// TestTokensOfMany: many at once are as one by one.
func TestTokensOfMany(t *testing.T) {
	tok := testTokens(t)
	rapid.Check(t, func(t *rapid.T) {
		var blocks [][block]byte
		var want []ledger.Token
		for _, n := range rapid.SliceOf(rapid.StringMatching(`\+[0-9]{1,15}`)).Draw(t, "numbers") {
			x, err := tok.Exchange(n)
			if err != nil {
				t.Fatal(err)
			}
			var b [block]byte
			copy(b[:], n)
			blocks, want = append(blocks, b), append(want, tok.Token(x))
		}
		if got := tok.TokensOf(nil, blocks); !slices.Equal(got, want) {
			t.Fatalf("%x, want %x", got, want)
		}
	})
}

func BenchmarkTokensOf(b *testing.B) {
	tok := testTokens(b)
	blocks, out := make([][block]byte, 1000), make([]ledger.Token, 0, 1000)
	for b.Loop() {
		out = tok.TokensOf(out[:0], blocks)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/token")
}

func BenchmarkToken(b *testing.B) {
	tok := testTokens(b)
	for b.Loop() {
		x, _ := tok.Exchange("+12025550143")
		_ = tok.Token(x)
	}
}

func BenchmarkFeed(b *testing.B) {
	tok := testTokens(b)
	x, err := tok.Exchange("+12025550143")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		_ = tok.Feed("acme", x)
	}
}

func ExampleTokens() {
	key := func(b string) []byte { return []byte(strings.Repeat(b, 32)) }
	tok, err := newTokens(key("x"), key("t"), key("f"))
	if err != nil {
		panic(err)
	}
	x, err := tok.Exchange("+12025550143")
	if err != nil {
		panic(err)
	}
	n, err := tok.Number(tok.ExchangeOf(tok.Token(x)))
	fmt.Println(n, err)
	// Output: +12025550143 <nil>
}

// TestDirectoryTokens: who is given the key alone makes the same tokens with
// another library; and no token stands for another use.
func TestDirectoryTokens(t *testing.T) {
	tok := testTokens(t)
	key := tok.DirectoryKey()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.StringMatching(`\+[0-9]{1,15}`).Draw(t, "number")
		bucket := rapid.Uint16().Draw(t, "bucket")
		got := tok.Directory(bucket)
		theirs, err := subtle.NewAESCMAC(key[:], block)
		if err != nil {
			t.Fatal(err)
		}
		m := make([]byte, block)
		m[0], m[block-2], m[block-1] = 2, byte(bucket>>8), byte(bucket)
		want, err := theirs.ComputeMAC(m)
		if err != nil {
			t.Fatal(err)
		}
		if got != ledger.DirectoryToken(append([]byte{ledger.TokenVersion}, want...)) {
			t.Fatalf("%x, want %x", got, want)
		}
		x, err := tok.Exchange(n)
		if err != nil {
			t.Fatal(err)
		}
		if got == ledger.DirectoryToken(x) || got == ledger.DirectoryToken(tok.Token(x)) || got == ledger.DirectoryToken(tok.Feed("acme", x)) {
			t.Fatal("the directory token is another token too")
		}
	})
}
