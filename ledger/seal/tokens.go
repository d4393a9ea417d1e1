package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/consent-ledger/consent-ledger/ledger"
)

const (
	block = aes.BlockSize

	// digitsMax is how many digits a readable number has at most: with its
	// leading plus it fills one AES block.
	digitsMax = block - 1
)

// Tokens turns numbers into keyed pseudonyms and back. A token is one AES-256
// block cipher call away from the next: CMAC over exactly one block is a
// permutation, so whoever holds the keys can go back, as one could by trying all
// numbers against any keyed hash. The keys are the secret. Safe for concurrent use.
type Tokens struct {
	exchange  *oneBlock
	token     *oneBlock
	directory *oneBlock
	master    []byte
	sellers   sync.Map // seller id -> *oneBlock; as many as there are sellers
}

// newTokens takes the keys Kx and Kt and the key from which those of sellers
// are derived, 32 bytes each.
func newTokens(kx, kt, feedMaster []byte) (*Tokens, error) {
	x, err := newOneBlock(kx)
	if err != nil {
		return nil, err
	}
	t, err := newOneBlock(kt)
	if err != nil {
		return nil, err
	}
	d, err := newOneBlock(derive(feedMaster, directoryLabel, 32))
	if err != nil {
		return nil, err
	}
	return &Tokens{exchange: x, token: t, directory: d, master: feedMaster}, nil
}

// directoryLabel is no seller's: theirs begin otherwise.
const directoryLabel = "consent.v1/directory-token"

// Exchange gives the exchange token of a number in E.164 with its leading plus:
// CMAC(Kx, number), zero-padded to one block. An error, without the number in
// it, if it is not a plus and 1 to 15 digits.
func (t *Tokens) Exchange(e164 string) (ledger.ExchangeToken, error) {
	if !isE164(e164) {
		return ledger.ExchangeToken{}, fmt.Errorf("seal: not a plus and 1 to %d digits", digitsMax)
	}
	var m [block]byte
	copy(m[:], e164)
	return versioned(t.exchange.mac(m)), nil
}

// TokensOf appends the tokens of many numbers, what Exchange and Token give one by one: each
// number '+' and digits with zeros behind them, which is not looked at. It writes over numbers.
func (t *Tokens) TokensOf(dst []ledger.Token, numbers [][block]byte) []ledger.Token {
	t.exchange.macAll(numbers)
	t.token.macAll(numbers)
	for i := range numbers {
		dst = append(dst, versioned(numbers[i]))
	}
	return dst
}

// Token gives the key of every projection: CMAC(Kt, x).
func (t *Tokens) Token(x ledger.ExchangeToken) ledger.Token {
	return versioned(t.token.mac([block]byte(x[1:])))
}

// Directory gives the token of a bucket of the directory of all numbers, which makes
// the keys of its numbers: CMAC(K_directory, 02 ‖ zeros ‖ bucket).
func (t *Tokens) Directory(bucket uint16) ledger.DirectoryToken {
	m := [block]byte{0: 2}
	binary.BigEndian.PutUint16(m[block-2:], bucket)
	return versioned(t.directory.mac(m))
}

// DirectoryKey is K_directory. With it one can try all numbers against the directory:
// it is for an expert whom a court trusts, and for nobody else. HKDF-SHA-256 of the
// feed master key.
func (t *Tokens) DirectoryKey() [32]byte { return [32]byte(derive(t.master, directoryLabel, 32)) }

// Feed gives what one seller's dialers see: CMAC(K_seller, x).
func (t *Tokens) Feed(seller string, x ledger.ExchangeToken) ledger.FeedToken {
	return versioned(t.seller(seller).mac([block]byte(x[1:])))
}

// ExchangeOfFeed turns a seller's feed token back into its exchange token.
func (t *Tokens) ExchangeOfFeed(seller string, f ledger.FeedToken) ledger.ExchangeToken {
	return versioned(t.seller(seller).unmac([block]byte(f[1:])))
}

// Number turns an exchange token back into its number. An error if the token was
// not made with this key.
func (t *Tokens) Number(x ledger.ExchangeToken) (string, error) {
	m := t.exchange.unmac([block]byte(x[1:]))
	n := len(m)
	for n > 0 && m[n-1] == 0 {
		n--
	}
	if x[0] != ledger.TokenVersion || !isE164(string(m[:n])) {
		return "", fmt.Errorf("seal: the exchange token is of another version or of another ledger's key")
	}
	return string(m[:n]), nil
}

// ExchangeOf turns a token back into its exchange token.
func (t *Tokens) ExchangeOf(tok ledger.Token) ledger.ExchangeToken {
	return versioned(t.token.unmac([block]byte(tok[1:])))
}

// sellerKey is the key of one seller's feed tokens: what its mirrors are given,
// together with Kx. HKDF-SHA-256 of the feed master key.
func (t *Tokens) sellerKey(seller string) []byte {
	return derive(t.master, "consent.v1/feed-token/"+seller, 32)
}

func (t *Tokens) seller(id string) *oneBlock {
	if b, ok := t.sellers.Load(id); ok {
		return b.(*oneBlock)
	}
	b, err := newOneBlock(t.sellerKey(id))
	if err != nil {
		panic(err) // a 32-byte key is an AES-256 key
	}
	kept, _ := t.sellers.LoadOrStore(id, b)
	return kept.(*oneBlock)
}

// derive makes a key for one purpose from another key.
func derive(secret []byte, label string, size int) []byte {
	k, err := hkdf.Key(sha256.New, secret, nil, label, size)
	if err != nil {
		panic(err) // only for more than 255 hashes' worth of key
	}
	return k
}

func versioned(b [block]byte) (t [1 + block]byte) {
	t[0] = ledger.TokenVersion
	copy(t[1:], b[:])
	return t
}

func isE164(s string) bool {
	if len(s) < 2 || len(s) > block || s[0] != '+' {
		return false
	}
	for i := 1; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// oneBlock is AES-256-CMAC (NIST SP 800-38B, RFC 4493) for messages of exactly
// one block: AES(K, m xor K1). Tink's CMAC gives the same bytes (a test says so)
// at five times the cost, and cannot be turned round.
type oneBlock struct {
	aes cipher.Block
	k1  [block]byte
	// buffers keeps the block handed to the cipher's interface off the heap.
	buffers sync.Pool
}

func newOneBlock(key []byte) (*oneBlock, error) {
	if len(key) != 32 {
		return nil, fmt.Errorf("seal: a token key has %d bytes, not 32", len(key))
	}
	c, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	b := &oneBlock{aes: c, buffers: sync.Pool{New: func() any { return new([block]byte) }}}
	c.Encrypt(b.k1[:], b.k1[:])
	double(&b.k1)
	return b, nil
}

// double multiplies by x in GF(2^128): the subkey K1 of SP 800-38B section 6.1.
func double(b *[block]byte) {
	carry := b[0] >> 7
	for i := range block - 1 {
		b[i] = b[i]<<1 | b[i+1]>>7
	}
	b[block-1] = b[block-1]<<1 ^ carry*0x87
}

func (b *oneBlock) mac(m [block]byte) [block]byte {
	buf := b.buffers.Get().(*[block]byte)
	for i := range buf {
		buf[i] = m[i] ^ b.k1[i]
	}
	b.aes.Encrypt(buf[:], buf[:])
	m = *buf
	b.buffers.Put(buf)
	return m
}

// macAll is mac of each, in place.
func (b *oneBlock) macAll(ms [][block]byte) {
	for i := range ms {
		m := ms[i][:]
		subtle.XORBytes(m, m, b.k1[:])
		b.aes.Encrypt(m, m)
	}
}

func (b *oneBlock) unmac(t [block]byte) [block]byte {
	buf := b.buffers.Get().(*[block]byte)
	*buf = t
	b.aes.Decrypt(buf[:], buf[:])
	for i := range buf {
		t[i] = buf[i] ^ b.k1[i]
	}
	b.buffers.Put(buf)
	return t
}
