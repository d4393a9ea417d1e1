package seal

import (
	"testing"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

func BenchmarkSealFact(b *testing.B) {
	f, keys := fullGrant(), map[consentv1.PersonalClass]PersonKey{}
	for c := range consentv1.PersonalClass_name {
		keys[consentv1.PersonalClass(c)] = DrawKey(DrawPerson(), consentv1.PersonalClass(c))
	}
	b.ReportAllocs()
	for b.Loop() {
		_, parts := Split(f)
		for _, p := range parts {
			if _, err := SealPart(keys[p.Class], ledger.EntryID{}, p); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkSealPart(b *testing.B) {
	k, p := DrawKey(DrawPerson(), words), Part{Class: words, Field: "24.3", Value: []byte("STOP calling me")}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := SealPart(k, ledger.EntryID{}, p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenToken(b *testing.B) {
	r := testRing(b)
	x, err := r.Exchange("+12025550143")
	must(b, err)
	var p ledger.PersonID
	e := &consentv1.Entry{EntryId: make([]byte, 16), Person: p[:], Token: r.SealToken(ledger.EntryID{}, p, x)}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := r.OpenToken(e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDrawAndWrap(b *testing.B) {
	r, p := testRing(b), DrawPerson()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Wrap(DrawKey(p, words)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkIdempotency(b *testing.B) {
	r := testRing(b)
	b.ReportAllocs()
	for b.Loop() {
		_ = r.Idempotency("crm", "event-000000000001")
	}
}
