package suppression_test

import (
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/consent-ledger/consent-ledger/projections/suppression"
)

// TestReaderForgets: what a reader read before shows in nothing it reads later, and
// the protobuf library reads the same.
func TestReaderForgets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r suppression.Reader
		for range rapid.IntRange(1, 6).Draw(t, "states") {
			stored := encodedIn(t, fold(anyFacts(t)...))
			v, err := r.Load(func(key []byte) ([]byte, error) {
				if raw, ok := stored[string(key[1+len(token(0)):])]; ok {
					return []byte(raw), nil
				}
				return nil, nil
			}, token(1), "acme")
			if err != nil {
				t.Fatal(err)
			}
			for seller, got := range map[string]*suppression.State{"acme": v.Seller, "all": v.All} {
				raw, there := stored[seller]
				if !there {
					if got != nil {
						t.Fatalf("%s: nothing is stored, and %v was read", seller, got)
					}
					continue
				}
				want := &suppression.State{}
				if err := proto.Unmarshal([]byte(raw), want); err != nil || !proto.Equal(got, want) {
					t.Fatalf("%s: %v\ngot  %v\nwant %v", seller, err, got, want)
				}
				if again, err := suppression.Encode(got); err != nil || string(again) != raw {
					t.Fatalf("%s: encoded again it is another: %v", seller, err)
				}
			}
		}
	})
}

// TestUnknownInsideARecord: a field that this version does not know might forbid,
// in a record as much as beside it. The protobuf library passes over it.
func TestUnknownInsideARecord(t *testing.T) {
	s := fold(on(1, granted()))["acme"]
	s.Grants[0].ProtoReflect().SetUnknown([]byte{0xf8, 0x01, 1})
	raw, err := suppression.Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := suppression.Decode(raw); !errors.Is(err, suppression.ErrBadState) {
		t.Errorf("read in spite of it: %v", err)
	}
}

// BenchmarkReader reads a usual state as a check does.
func BenchmarkReader(b *testing.B) {
	raw, err := suppression.Encode(fold(on(1, granted()), on(1, granted(), channels(live)), on(2, revoked()))["acme"])
	if err != nil {
		b.Fatal(err)
	}
	var r suppression.Reader
	get := func(key []byte) ([]byte, error) {
		if key[len(key)-1] == 'e' {
			return raw, nil
		}
		return nil, nil
	}
	b.Run("reader", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := r.Load(get, token(1), "acme"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("library", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := proto.Unmarshal(raw, &suppression.State{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := suppression.Decode(raw); err != nil {
				b.Fatal(err)
			}
		}
	})
}
