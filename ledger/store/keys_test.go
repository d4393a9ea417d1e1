package store

import (
	"bytes"
	"cmp"
	"errors"
	"testing"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// FuzzKeys builds every key from two sets of parts and wants back what went in,
// and the order of the keys to be the order of the parts.
func FuzzKeys(f *testing.F) {
	f.Add([]byte("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), []byte("b"), uint64(1), uint64(1<<40), byte(1), byte(5))
	f.Fuzz(func(t *testing.T, rawA, rawB []byte, nA, nB uint64, cA, cB byte) {
		a, b := partsOf(rawA, nA, cA), partsOf(rawB, nB, cB)
		for _, s := range keySpaces {
			ka, kb := s.build(a), s.build(b)
			same, err := s.parse(ka, a)
			if err != nil || !same {
				t.Fatalf("%s: %x does not come back: %v", s.name, ka, err)
			}
			if want := s.order(a, b); want != bytes.Compare(ka, kb) {
				t.Fatalf("%s: %x and %x are not in the order of their parts", s.name, ka, kb)
			}
			if _, err := s.parse(append([]byte{0xfe}, ka[1:]...), a); !errors.Is(err, ErrBadKey) {
				t.Fatalf("%s: a key of another space: %v", s.name, err)
			}
		}
	})
}

// FuzzParse feeds the decoders anything: an error or a key that builds the same bytes.
func FuzzParse(f *testing.F) {
	f.Add(append([]byte("\x30"), make([]byte, 40)...))
	f.Fuzz(func(t *testing.T, k []byte) {
		if b, n, err := ParseShelfPageKey(k); err == nil && !bytes.Equal(ShelfPageKey(b, n), k) {
			t.Fatalf("%x reads as %x %d", k, b, n)
		}
		for _, s := range keySpaces {
			_, _ = s.parse(k, parts{})
		}
	})
}

type parts struct {
	token  ledger.Token
	person ledger.PersonID
	id     string
	keyID  KeyID
	n      uint64
	c      byte
}

func partsOf(raw []byte, n uint64, c byte) (p parts) {
	copy(p.token[:], raw)
	copy(p.person[:], raw)
	copy(p.keyID[:], raw)
	p.id, p.n, p.c = string(bytes.ReplaceAll(raw, []byte{0}, []byte{1})), n, c
	if p.id == "" {
		p.id = "x"
	}
	return p
}

var keySpaces = []struct {
	name  string
	build func(parts) []byte
	parse func([]byte, parts) (same bool, err error)
	order func(a, b parts) int
}{
	{"meta", func(p parts) []byte { return MetaKey(p.id) },
		func(k []byte, p parts) (bool, error) { n, err := ParseMetaKey(k); return n == p.id, err },
		func(a, b parts) int { return cmp.Compare(a.id, b.id) }},
	{"idempotency", func(p parts) []byte { return IdempotencyKey(p.person) },
		func(k []byte, p parts) (bool, error) { h, err := ParseIdempotencyKey(k); return h == p.person, err },
		func(a, b parts) int { return bytes.Compare(a.person[:], b.person[:]) }},
	{"token", func(p parts) []byte { return TokenKey(p.token) },
		func(k []byte, p parts) (bool, error) { x, err := ParseTokenKey(k); return x == p.token, err },
		func(a, b parts) int { return bytes.Compare(a.token[:], b.token[:]) }},
	{"person", func(p parts) []byte { return PersonKey(p.person) },
		func(k []byte, p parts) (bool, error) { x, err := ParsePersonKey(k); return x == p.person, err },
		func(a, b parts) int { return bytes.Compare(a.person[:], b.person[:]) }},
	{"erased", func(p parts) []byte { return ErasedKey(p.person) },
		func(k []byte, p parts) (bool, error) { x, err := ParseErasedKey(k); return x == p.person, err },
		func(a, b parts) int { return bytes.Compare(a.person[:], b.person[:]) }},
	{"commit", func(p parts) []byte { return CommitKey(ledger.Position(p.n)) },
		func(k []byte, p parts) (bool, error) { x, err := ParseCommitKey(k); return uint64(x) == p.n, err },
		func(a, b parts) int { return cmp.Compare(a.n, b.n) }},
	{"catalog", func(p parts) []byte { return CatalogKey(p.c, p.id) },
		func(k []byte, p parts) (bool, error) {
			c, id, err := ParseCatalogKey(k)
			return c == p.c && id == p.id, err
		}, kindIDOrder},
	{"state", func(p parts) []byte { return StateKey(p.token, p.id) },
		func(k []byte, p parts) (bool, error) {
			x, id, err := ParseStateKey(k)
			return x == p.token && id == p.id, err
		},
		func(a, b parts) int { return cmp.Or(bytes.Compare(a.token[:], b.token[:]), cmp.Compare(a.id, b.id)) }},
	{"timeline", func(p parts) []byte { return TimelineKey(p.token, ledger.Position(p.n)) },
		func(k []byte, p parts) (bool, error) {
			x, n, err := ParseTimelineKey(k)
			return x == p.token && uint64(n) == p.n, err
		},
		func(a, b parts) int { return cmp.Or(bytes.Compare(a.token[:], b.token[:]), cmp.Compare(a.n, b.n)) }},
	{"listing", func(p parts) []byte { return ListingKey(p.c, p.id) },
		func(k []byte, p parts) (bool, error) {
			c, id, err := ParseListingKey(k)
			return c == p.c && id == p.id, err
		}, kindIDOrder},
	{"attempt", func(p parts) []byte { return AttemptKey(p.token, p.id, Reference(p.person)) },
		func(k []byte, p parts) (bool, error) {
			x, id, r, err := ParseAttemptKey(k)
			return x == p.token && id == p.id && r == Reference(p.person), err
		},
		func(a, b parts) int {
			return cmp.Or(bytes.Compare(a.token[:], b.token[:]), cmp.Compare(a.id, b.id), bytes.Compare(a.person[:], b.person[:]))
		}},
	{"attemptref", func(p parts) []byte { return AttemptRefKey(Reference(p.person)) },
		func(k []byte, p parts) (bool, error) {
			r, err := ParseAttemptRefKey(k)
			return r == Reference(p.person), err
		},
		func(a, b parts) int { return bytes.Compare(a.person[:], b.person[:]) }},
	{"attemptage", func(p parts) []byte { return AttemptAgeKey(p.n, Reference(p.person)) },
		func(k []byte, p parts) (bool, error) {
			n, r, err := ParseAttemptAgeKey(k)
			return n == p.n && r == Reference(p.person), err
		},
		func(a, b parts) int { return cmp.Or(cmp.Compare(a.n, b.n), bytes.Compare(a.person[:], b.person[:])) }},
	{"registrymeta", func(p parts) []byte { return RegistryMetaKey(p.id) },
		func(k []byte, p parts) (bool, error) { n, err := ParseRegistryMetaKey(k); return n == p.id, err },
		func(a, b parts) int { return cmp.Compare(a.id, b.id) }},
	{"partynumber", func(p parts) []byte { return PartyNumberKey(p.person, p.token) },
		func(k []byte, p parts) (bool, error) {
			id, x, err := ParsePartyNumberKey(k)
			return id == p.person && x == p.token, err
		},
		func(a, b parts) int {
			return cmp.Or(bytes.Compare(a.person[:], b.person[:]), bytes.Compare(a.token[:], b.token[:]))
		}},
	{"numberparty", func(p parts) []byte { return NumberPartyKey(p.token, p.person) },
		func(k []byte, p parts) (bool, error) {
			x, id, err := ParseNumberPartyKey(k)
			return id == p.person && x == p.token, err
		},
		func(a, b parts) int {
			return cmp.Or(bytes.Compare(a.token[:], b.token[:]), bytes.Compare(a.person[:], b.person[:]))
		}},
	{"tile", func(p parts) []byte { return TileKey(p.c, p.n) },
		func(k []byte, p parts) (bool, error) {
			c, n, err := ParseTileKey(k)
			return c == p.c && n == p.n, err
		},
		func(a, b parts) int { return cmp.Or(cmp.Compare(a.c, b.c), cmp.Compare(a.n, b.n)) }},
	{"chain", func(p parts) []byte { return ChainKey(p.person) },
		func(k []byte, p parts) (bool, error) { x, err := ParseChainKey(k); return x == p.person, err },
		func(a, b parts) int { return bytes.Compare(a.person[:], b.person[:]) }},
	{"pack", func(p parts) []byte { return PackKey(ledger.Position(p.n)) },
		func(k []byte, p parts) (bool, error) { x, err := ParsePackKey(k); return uint64(x) == p.n, err },
		func(a, b parts) int { return cmp.Compare(a.n, b.n) }},
	{"partyfact", func(p parts) []byte { return PartyFactKey(p.person, ledger.Position(p.n)) },
		func(k []byte, p parts) (bool, error) {
			id, n, err := ParsePartyFactKey(k)
			return id == p.person && uint64(n) == p.n, err
		},
		func(a, b parts) int {
			return cmp.Or(bytes.Compare(a.person[:], b.person[:]), cmp.Compare(a.n, b.n))
		}},
	{"shelfpage", func(p parts) []byte { return ShelfPageKey(p.book(), p.n) },
		func(k []byte, p parts) (bool, error) {
			b, n, err := ParseShelfPageKey(k)
			return b == p.book() && n == p.n, err
		},
		func(a, b parts) int {
			return cmp.Or(bytes.Compare(a.token[:], b.token[:]), cmp.Compare(a.n, b.n))
		}},
	{"shelfbook", func(p parts) []byte { return ShelfBookKey(p.book()) },
		func(k []byte, p parts) (bool, error) { b, err := ParseShelfBookKey(k); return b == p.book(), err },
		func(a, b parts) int { return bytes.Compare(a.token[:], b.token[:]) }},
	{"record", func(p parts) []byte { return RecordKey(ledger.Hash(p.book())) },
		func(k []byte, p parts) (bool, error) {
			h, err := ParseRecordKey(k)
			return h == ledger.Hash(p.book()), err
		},
		func(a, b parts) int { return bytes.Compare(a.token[:], b.token[:]) }},
	{"bucket", func(p parts) []byte { return BucketKey(uint16(p.n)) },
		func(k []byte, p parts) (bool, error) { n, err := ParseBucketKey(k); return n == uint16(p.n), err },
		func(a, b parts) int { return cmp.Compare(uint16(a.n), uint16(b.n)) }},
	{"before", func(p parts) []byte { return BeforeKey(ledger.Position(p.n)) },
		func(k []byte, p parts) (bool, error) { n, err := ParseBeforeKey(k); return uint64(n) == p.n, err },
		func(a, b parts) int { return cmp.Compare(a.n, b.n) }},
	{"quiet", func(p parts) []byte { return QuietKey(ledger.Position(p.n)) },
		func(k []byte, p parts) (bool, error) { n, err := ParseQuietKey(k); return uint64(n) == p.n, err },
		func(a, b parts) int { return cmp.Compare(a.n, b.n) }},
	{"damage", func(p parts) []byte { return DamageKey(p.n) },
		func(k []byte, p parts) (bool, error) { n, err := ParseDamageKey(k); return n == p.n, err },
		func(a, b parts) int { return cmp.Compare(a.n, b.n) }},
	{"mended", func(p parts) []byte { return MendedKey(ledger.Position(p.n)) },
		func(k []byte, p parts) (bool, error) { n, err := ParseMendedKey(k); return uint64(n) == p.n, err },
		func(a, b parts) int { return cmp.Compare(a.n, b.n) }},
	{"loss", func(p parts) []byte { return LossKey(p.id, p.n) },
		func(k []byte, p parts) (bool, error) {
			id, n, err := ParseLossKey(k)
			return id == p.id && n == p.n, err
		},
		func(a, b parts) int { return cmp.Or(cmp.Compare(a.n, b.n), cmp.Compare(a.id, b.id)) }},
}

func (p parts) book() (b Book) {
	copy(b[:], p.token[:])
	return b
}

func kindIDOrder(a, b parts) int { return cmp.Or(cmp.Compare(a.c, b.c), cmp.Compare(a.id, b.id)) }

func TestPersonBucketRangeCoversJustTheBucket(t *testing.T) {
	for bucket := range uint16(4096) {
		lo, hi := PersonBucketRange(bucket)
		for _, last := range []byte{0x00, 0x0f} {
			p := ledger.PersonID{0: byte(bucket >> 4), 1: byte(bucket<<4) | last}
			if last != 0 {
				for i := 2; i < len(p); i++ {
					p[i] = 0xff
				}
			}
			k := PersonKey(p)
			if p.Bucket() != bucket || bytes.Compare(k, lo) < 0 || bytes.Compare(k, hi) >= 0 {
				t.Fatalf("bucket %d: [%x, %x) does not hold %x", bucket, lo, hi, k)
			}
		}
		if next, _ := PersonBucketRange(bucket + 1); bucket < 4095 && !bytes.Equal(next, hi) {
			t.Fatalf("bucket %d ends at %x, the next begins at %x", bucket, hi, next)
		}
	}
}

func TestPrefixRange(t *testing.T) {
	for _, tc := range []struct{ prefix, hi string }{{"\x20a", "\x20b"}, {"\x20\xff", "\x21"}, {"\x20\xff\xff", "\x21"}} {
		if lo, hi := PrefixRange([]byte(tc.prefix)); string(lo) != tc.prefix || string(hi) != tc.hi {
			t.Errorf("%q: [%q, %q)", tc.prefix, lo, hi)
		}
	}
}
