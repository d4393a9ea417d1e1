package rpc_test

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/proof"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

func stopOf(number, id string) *consentv1.Fact {
	return &consentv1.Fact{Source: "crm", EventId: id, Number: number, Kind: &consentv1.Fact_ConsentRevoked{ConsentRevoked: &consentv1.ConsentRevoked{}}}
}

// Receipts of many callers at once, of retries and of later questions are each
// proven by the public key alone, and agree.
func TestSignedReceipts(t *testing.T) {
	l, ctx := newLedger(t), t.Context()
	l.Durability = consentv1.Durability_DURABILITY_FSYNC
	var err error
	if l.Signing, err = seal.NewSigning("ledger.example.com/test", bytes.Repeat([]byte{5}, 32)); err != nil {
		t.Fatal(err)
	}
	check := func(r *consentv1.Receipt, entry bool) {
		file, err := proof.DecodeReceipt(r.GetSigned())
		if err != nil {
			t.Errorf("position %d: %v", r.GetPosition(), err)
			return
		}
		p, err := file.Check(l.Signing.Receipts.Verifier)
		if err != nil || p.Position != ledger.Position(r.GetPosition()) || p.Leaf.String() != r.GetLeafHash() || (p.Entry != nil) != entry ||
			!p.RecordedAt.Equal(r.GetRecordedAt().AsTime()) {
			t.Errorf("position %d: the receipt says %+v, %v", r.GetPosition(), p, err)
		}
	}
	h := l.Handler()
	var wg sync.WaitGroup
	for range 20 {
		for _, id := range []string{"a", "b", "c", "d"} { // each fact twenty times
			wg.Go(func() {
				res, err := l.RecordOne(ctx, &consentv1.RecordRequest{Fact: stopOf("+12125550143", id), Signed: true})
				if err != nil {
					t.Error(err)
					return
				}
				check(res.GetReceipt(), false)
			})
		}
	}
	wg.Wait()
	res, err := l.RecordOne(ctx, &consentv1.RecordRequest{Fact: stopOf("+12125550143", "e")})
	if err != nil || len(res.GetReceipt().GetSigned()) > 0 {
		t.Fatalf("signed without being asked: %v", err)
	}
	for at := uint64(1); at <= res.GetReceipt().GetPosition(); at++ {
		got, err := h.GetReceipt(ctx, connect.NewRequest(&consentv1.GetReceiptRequest{Position: at, Signed: true}))
		if err != nil {
			t.Fatal(err)
		}
		check(got.Msg.GetReceipt(), true)
		if strings.Contains(string(got.Msg.GetReceipt().GetSigned()), "5550143") {
			t.Error("a receipt holds the number")
		}
	}
	keys, err := h.ListPublicKeys(ctx, connect.NewRequest(&consentv1.ListPublicKeysRequest{}))
	if err != nil || len(keys.Msg.GetKeys()) != 3 || keys.Msg.GetKeys()[1].GetVerifier() != l.Signing.Receipts.Public ||
		keys.Msg.GetKeys()[2].GetVerifier() != l.Signing.Exports.Public {
		t.Errorf("%v, %v", keys, err)
	}
}
