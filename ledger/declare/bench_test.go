package declare_test

import (
	"testing"

	"github.com/consent-ledger/consent-ledger/ledger/declare"
)

func BenchmarkDeclareGrant(b *testing.B) {
	k, f := keyring(b), grant(nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := declare.Declare(declare.Declaration{Fact: f}, k, registered{}); err != nil {
			b.Fatal(err)
		}
	}
}
